//! A whole body as a [`Value`], for what must look at every field.

use serde_json::Value;

/// Parses a JSON text that is nested no deeper than the limit of [`super::Notification::parse`].
///
/// JSON allows two things that a [`Value`] cannot hold: half of a surrogate pair in a string, and a number beyond
/// `f64`. Notifications with them pass everywhere else, so here others take their place: U+FFFD and 0.
///
/// # Errors
/// When `json` is not one whole JSON text.
pub(super) fn parse(json: &str) -> Result<Value, serde_json::Error> {
    parse_plain(json).or_else(|_| parse_plain(&replace_unrepresentable(json)))
}

fn parse_plain(json: &str) -> Result<Value, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_str(json);
    from.disable_recursion_limit();
    let value = serde::Deserialize::deserialize(&mut from)?;
    from.end()?;
    Ok(value)
}

/// The same JSON text without what a [`Value`] cannot hold.
fn replace_unrepresentable(json: &str) -> String {
    let mut replaced = String::with_capacity(json.len());
    let (mut rest, mut in_string) = (json, false);
    while let Some(first) = rest.chars().next() {
        let (taken, instead) = match first {
            '\\' if in_string => escape(rest),
            '-' | '0'..='9' if !in_string => number(rest),
            _ => (first.len_utf8(), None),
        };
        in_string ^= first == '"';
        let (piece, after) = rest.split_at(taken);
        replaced += instead.unwrap_or(piece);
        rest = after;
    }
    replaced
}

/// The length of the escape that `text` begins with, or of both where two are a surrogate pair; and what to write
/// instead, if it is half of one.
fn escape(text: &str) -> (usize, Option<&'static str>) {
    match (code_unit(text), text.get(6..).and_then(code_unit)) {
        (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => (12, None),
        (Some(0xD800..0xE000), _) => (6, Some("\\ufffd")),
        (Some(_), _) => (6, None),
        (None, _) => (text.chars().take(2).map(char::len_utf8).sum(), None),
    }
}

/// The number of an escape such as `\u00e9`, if `text` begins with one.
fn code_unit(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// The length of the number that `text` begins with; and what to write instead, if it is too large.
fn number(text: &str) -> (usize, Option<&'static str>) {
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(text.len());
    let too_large = text[..end].parse().is_ok_and(f64::is_infinite);
    (end, too_large.then_some("0"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_value_cannot_hold_is_replaced_and_nothing_else() {
        let body = r#"{"a\ud800":"\udc00x\\ud800\"\ud83d\ude00\u00e9\n","b":[1e999,-1E+999,1.5,-0,18446744073709551616],"c":"1e999"}"#;
        let long = format!("{body}{}", " ".repeat(3)).replace("1.5", &"9".repeat(400));
        let expected = json!({
            "a\u{fffd}": "\u{fffd}x\\ud800\"\u{1f600}\u{e9}\n", "b": [0, 0, 1.5, -0.0, 18446744073709551616.0], "c": "1e999"
        });
        assert_eq!(parse(body).unwrap(), expected);
        assert_eq!(parse(&long).unwrap()["b"][2], 0);
    }

    #[test]
    fn as_deep_as_a_notification_may_nest() {
        let nested = format!("{}1{}", "[".repeat(128), "]".repeat(128));
        assert!(parse(&nested).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_is_json_can_be_parsed(text in r#"[\{\}\[\]",:a019\\uedD8\-\.é]{0,30}"#) {
            for text in [format!("\"{text}\""), text] {
                let checked: Result<serde::de::IgnoredAny, _> = serde_json::from_str(&text);
                prop_assert_eq!(parse(&text).is_ok(), checked.is_ok(), "{}", text);
            }
        }
    }
}
