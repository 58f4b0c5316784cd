//! One event as a line of output.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The members of an event that a human-readable line shows.
#[derive(Debug, Deserialize)]
struct Envelope<'e> {
    recordedtime: String,
    #[serde(default)]
    class: Option<String>,
    #[serde(default)]
    instance: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: &'e RawValue,
}

/// The most characters of a body in a human-readable line.
const MAX_BODY_CHARS: usize = 160;

/// The line, with its line break: the envelope on one line, or its main members for a human reader.
pub(super) fn format(id: &str, envelope: &[u8], json: bool) -> Vec<u8> {
    let mut out = match serde_json::from_slice::<Envelope<'_>>(envelope) {
        Ok(envelope) if !json => human(id, &envelope).into_bytes(),
        // JSON has line breaks only between tokens
        _ => envelope.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect(),
    };
    out.push(b'\n');
    out
}

fn human(id: &str, envelope: &Envelope<'_>) -> String {
    let Envelope { recordedtime, class, instance, kind, data } = envelope;
    let kind = kind.strip_prefix("com.green-api.").unwrap_or(kind);
    let [class, instance] = [class, instance].map(|text| text.as_deref().unwrap_or("-"));
    // serialized again, so that no control character of a payload reaches the terminal
    let body = serde_json::from_str::<Value>(data.get()).map(|value| value.to_string()).unwrap_or_default();
    let plain: String =
        body.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).take(MAX_BODY_CHARS + 1).collect();
    let (body, more) = match plain.char_indices().nth(MAX_BODY_CHARS) {
        Some((end, _)) => (&plain[..end], "…"),
        None => (plain.as_str(), ""),
    };
    format!("{recordedtime}  {id}  {class:<8}  {instance:<10}  {kind}  {body}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: &str = "{\"recordedtime\":\"T\",\"class\":\"state\",\"instance\":\"7\",\"type\":\"com.green-api.x\",\"data\":{\r\n \"a\" : \"\\u001b[2J\u{9b}é\"}}";

    #[test]
    fn json_output_is_the_envelope_on_one_line() {
        let line = String::from_utf8(format("j-1", ENVELOPE.as_bytes(), true)).unwrap();
        assert_eq!(line, ENVELOPE.replace("\r\n", "  ") + "\n");
    }

    #[test]
    fn no_payload_can_drive_the_terminal() {
        let line = String::from_utf8(format("j-1", ENVELOPE.as_bytes(), false)).unwrap();
        assert_eq!(line, "T  j-1  state     7           x  {\"a\":\"\\u001b[2J\u{fffd}é\"}\n");
        let long = ENVELOPE.replace("é", &"é".repeat(1000));
        let line = String::from_utf8(format("j-1", long.as_bytes(), false)).unwrap();
        assert!(line.ends_with("é…\n") && line.chars().count() < 250, "{line}");
    }
}
