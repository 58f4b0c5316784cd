//! CloudEvents structured mode: one JSON envelope, the same for every broker.

use bytes::Bytes;

use super::Event;

/// `content-type` of an envelope (CloudEvents JSON format 1.0, section 3).
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The envelope: every attribute, and the body as `data`, byte for byte. The body must be a JSON text.
pub(super) fn envelope(event: &Event, body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(body.len() + 512);
    out.push(b'{');
    let attributes = event.attributes().map(|(attribute, value)| (attribute.as_str(), value));
    for (name, value) in attributes.chain([("datacontenttype", event.content_type().into())]) {
        // a string is always JSON, and writing to memory does not fail
        let value = serde_json::Value::from(value);
        out.extend_from_slice(format!("\"{name}\":{value},").as_bytes());
    }
    out.extend_from_slice(b"\"data\":");
    out.extend_from_slice(body);
    out.push(b'}');
    out.into()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::message::Id;

    #[test]
    fn the_body_is_in_the_envelope_byte_for_byte() {
        let body = br#"{ "a" : 1.10, "a":"\u00e9" }"#;
        let event =
            Event { json: true, partition_key: Some("7:\"x\"".into()), ..Event::unparsed(Id::from(7), UNIX_EPOCH) };
        let text = String::from_utf8(envelope(&event, body).to_vec()).unwrap();
        assert!(text.ends_with(r#","data":{ "a" : 1.10, "a":"\u00e9" }}"#), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["id"], "00000000000000000000000000000007");
        assert_eq!(value["partitionkey"], "7:\"x\"");
        assert_eq!(value["datacontenttype"], "application/json");
        assert_eq!(value["specversion"], "1.0");
    }
}
