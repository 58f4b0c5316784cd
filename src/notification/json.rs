//! Reads single members of arbitrary JSON objects.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The text, if this is a string of valid Unicode: one with a lone surrogate is not.
pub(super) fn string(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// The text of one member, if this is an object and the member a string; the last one where it is repeated.
pub(super) fn string_member(raw: Option<&RawValue>, name: &str) -> Option<String> {
    let mut found = None;
    members(raw?.get(), |key, value| {
        if key == name.as_bytes() {
            found = Some(value);
        }
    })
    .ok()?;
    string(found)
}

/// Calls `each` with every member of the object `json`, in order.
///
/// Keys are decoded, and bytes: an escape that is half of a surrogate pair is legal JSON and must pass in keys that
/// nothing reads.
///
/// # Errors
/// When `json` is not one whole JSON object.
pub(super) fn members<'a>(json: &'a str, each: impl FnMut(&[u8], &'a RawValue)) -> Result<(), serde_json::Error> {
    let mut from = serde_json::Deserializer::from_str(json);
    let has_control_character = from.deserialize_map(Members(each))?;
    from.end()?;
    // in a key that is read as bytes, the parser accepts one that is no escape, which is not JSON
    if has_control_character { check_syntax(json) } else { Ok(()) }
}

/// Its value is whether a decoded key has a control character.
struct Members<F>(F);

impl<'a, F: FnMut(&[u8], &'a RawValue)> Visitor<'a> for Members<F> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<bool, A::Error> {
        let mut has_control_character = false;
        while let Some(key) = map.next_key_seed(Key)? {
            has_control_character |= key.iter().any(u8::is_ascii_control);
            (self.0)(&key, map.next_value()?);
        }
        Ok(has_control_character)
    }
}

struct Key;

impl<'a> serde::de::DeserializeSeed<'a> for Key {
    type Value = Cow<'a, [u8]>;

    fn deserialize<D: Deserializer<'a>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_bytes(self)
    }
}

impl<'a> Visitor<'a> for Key {
    type Value = Cow<'a, [u8]>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_borrowed_bytes<E: Error>(self, key: &'a [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_bytes<E: Error>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_vec()))
    }
}

/// Checks that this is one whole JSON text.
///
/// # Errors
/// The position and kind of the first error, without a piece of the text.
pub(super) fn check_syntax(json: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(json).map(|_| ())
}

/// The kind of a value, for people. None means that the member is absent.
pub(super) fn kind_of(raw: Option<&RawValue>) -> &'static str {
    match raw.and_then(|raw| raw.get().bytes().next()) {
        None => "absent",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        Some(_) => "a number",
    }
}

/// Whether brackets nest deeper than `max`. Only for well-formed JSON.
pub(super) fn deeper_than(json: &str, max: usize) -> bool {
    let bytes = json.as_bytes();
    // hardly any notification has that many brackets at all, and counting them takes nanoseconds
    if memchr::memchr2_iter(b'[', b'{', bytes).take(max + 1).count() <= max {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    false
}
