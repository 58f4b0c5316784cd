//! One event as a line.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What a line for people is made of.
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

/// The most characters of a body in a line for people.
const MOST: usize = 160;

/// The line, with its end: the envelope as it is but on one line, or what people want to know of it.
pub(super) fn of(id: &str, envelope: &[u8], json: bool) -> Vec<u8> {
    let mut out = match serde_json::from_slice::<Envelope<'_>>(envelope) {
        Ok(envelope) if !json => human(id, &envelope).into_bytes(),
        // line breaks only ever stand between tokens
        _ => envelope.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect(),
    };
    out.push(b'\n');
    out
}

fn human(id: &str, envelope: &Envelope<'_>) -> String {
    let Envelope { recordedtime, class, instance, kind, data } = envelope;
    let kind = kind.strip_prefix("com.green-api.").unwrap_or(kind);
    let [class, instance] = [class, instance].map(|text| text.as_deref().unwrap_or("-"));
    // written anew: what a payload holds must not move a terminal's cursor
    let body = serde_json::from_str::<Value>(data.get()).map(|value| value.to_string()).unwrap_or_default();
    let plain: String =
        body.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).take(MOST + 1).collect();
    let (body, more) = match plain.char_indices().nth(MOST) {
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
    fn json_is_one_line_and_else_as_it_is() {
        let line = String::from_utf8(of("j-1", ENVELOPE.as_bytes(), true)).unwrap();
        assert_eq!(line, ENVELOPE.replace("\r\n", "  ") + "\n");
    }

    #[test]
    fn for_people_no_payload_can_drive_the_terminal() {
        let line = String::from_utf8(of("j-1", ENVELOPE.as_bytes(), false)).unwrap();
        assert_eq!(line, "T  j-1  state     7           x  {\"a\":\"\\u001b[2J\u{fffd}é\"}\n");
        let long = ENVELOPE.replace("é", &"é".repeat(1000));
        let line = String::from_utf8(of("j-1", long.as_bytes(), false)).unwrap();
        assert!(line.ends_with("é…\n") && line.chars().count() < 250, "{line}");
    }
}
