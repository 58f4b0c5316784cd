//! A body that the bridge takes for a notification has the type and the instance that another parser finds.

#![no_main]

use greenapi_bridge::notification::Notification;
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "typeWebhook")]
    kind: String,
    #[serde(rename = "instanceData")]
    instance_data: InstanceData,
}

#[derive(Deserialize)]
struct InstanceData {
    #[serde(rename = "idInstance")]
    id: Value,
}

fuzz_target!(|body: &[u8]| {
    match Notification::parse(body) {
        Ok(notification) => {
            let other: Body = match serde_json::from_slice(body) {
                Ok(body) => body,
                // the other parser refuses names of unknown members that hold half of a surrogate pair
                Err(error) => {
                    assert!(body.windows(2).any(|pair| pair == b"\\u"), "{error}");
                    return;
                }
            };
            assert_eq!(notification.kind, other.kind);
            let instance = match &other.instance_data.id {
                Value::String(digits) => {
                    assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits}");
                    digits.parse().ok()
                }
                number => number.as_u64(),
            };
            assert_eq!(instance, Some(notification.instance));
        }
        // the detail of the dead letter
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
