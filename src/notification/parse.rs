//! From bytes to a [`Notification`], or to the reason why not.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Notification, Optional, ParseError, json};

/// How deep a notification may nest, the outer object included: what common parsers accept by default (`serde_json` 128,
/// Jackson 1000). Published notifications nest 7 deep at most.
pub(super) const MAX_DEPTH: usize = 128;

/// Plausible `timestamp` values: 2000-01-01 to the end of 2100, Unix seconds.
const PLAUSIBLE_TIMES: std::ops::RangeInclusive<u64> = 946_684_800..=4_133_980_799;

impl<'a> Notification<'a> {
    /// Parses one body.
    ///
    /// # Errors
    /// [`ParseError`], for the first of these that holds: not JSON, not an object, nested too deep, ambiguous, no
    /// type, no instance.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let json = text(body)?;
        let outer = TopLevelMembers::of(json)?;
        let inner = outer.instance_data.map(InstanceData::of).unwrap_or_default();
        let repeated = outer.repeated.or(inner.repeated);
        // an instance that is named twice is not certain
        let is_certain = inner.repeated.is_none() && outer.repeated.is_none_or(|key| key == TYPE);
        let instance = instance(inner.id).filter(|_| is_certain);
        if json::deeper_than(json, MAX_DEPTH) {
            return Err(ParseError::TooDeep { instance });
        }
        if let Some(key) = repeated {
            return Err(ParseError::Ambiguous { key, instance });
        }
        let Some(kind) = outer.kind.and_then(kind) else {
            let found = json::kind_of(outer.kind);
            if found == "a string" {
                return Err(ParseError::NotJson("typeWebhook holds half of a surrogate pair".into()));
            }
            return Err(ParseError::NoType { found, instance });
        };
        let Some(instance) = instance else {
            let found = json::kind_of(inner.id);
            return Err(ParseError::NoInstance { found, kind: kind.into_owned() });
        };
        let time = outer.timestamp.and_then(time);
        let optional = Optional { product: inner.product, ..outer.optional };
        Ok(Self { kind, instance, time, optional })
    }
}

/// The body as text. `serde_json` skips the content of strings that nothing reads, so the encoding is checked here.
fn text(body: &[u8]) -> Result<&str, ParseError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| ParseError::NotJson(format!("not UTF-8 from byte {} on", error.valid_up_to())))?;
    if text.starts_with('\u{feff}') {
        return Err(ParseError::NotJson("starts with a byte-order mark".into()));
    }
    Ok(text)
}

/// The members of the top-level object that the bridge reads.
#[derive(Default)]
struct TopLevelMembers<'a> {
    kind: Option<&'a RawValue>,
    instance_data: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    repeated: Option<&'static str>,
    optional: Optional<'a>,
}

impl<'a> TopLevelMembers<'a> {
    fn of(json: &'a str) -> Result<Self, ParseError> {
        let mut members = Self::default();
        let each = |key: &[u8], value| members.set(key, value);
        match json::members(json, each) {
            Ok(()) => Ok(members),
            // the parser reports a wrong kind of value before it reaches a syntax error behind it
            Err(_) => Err(match json::check_syntax(json) {
                Ok(()) => ParseError::NotObject,
                Err(error) => ParseError::NotJson(error.to_string()),
            }),
        }
    }

    fn set(&mut self, key: &[u8], value: &'a RawValue) {
        match key {
            b"typeWebhook" => set_once(&mut self.kind, value, &mut self.repeated, TYPE),
            b"instanceData" => set_once(&mut self.instance_data, value, &mut self.repeated, "instanceData"),
            b"timestamp" => self.timestamp = Some(value),
            b"senderData" => self.optional.sender_data = Some(value),
            b"messageData" => self.optional.message_data = Some(value),
            b"chatId" => self.optional.chat = Some(value),
            b"from" => self.optional.from = Some(value),
            b"avatarInfo" => self.optional.avatar_info = Some(value),
            _ => {}
        }
    }
}

/// The members of `instanceData` that the bridge reads.
#[derive(Default)]
struct InstanceData<'a> {
    id: Option<&'a RawValue>,
    product: Option<&'a RawValue>,
    repeated: Option<&'static str>,
}

impl<'a> InstanceData<'a> {
    fn of(instance_data: &'a RawValue) -> Self {
        let mut members = Self::default();
        let each = |key: &[u8], value| match key {
            b"idInstance" => set_once(&mut members.id, value, &mut members.repeated, "idInstance"),
            b"typeInstance" => members.product = Some(value),
            _ => {}
        };
        // anything but an object has no instance: the error adds nothing
        let _ = json::members(instance_data.get(), each);
        members
    }
}

const TYPE: &str = "typeWebhook";

/// Sets a member that must not be repeated: two parsers may disagree on which of the two counts. Where several are
/// repeated, `repeated` names one that belongs to the instance.
fn set_once<'a>(
    member: &mut Option<&'a RawValue>,
    value: &'a RawValue,
    repeated: &mut Option<&'static str>,
    name: &'static str,
) {
    if member.replace(value).is_some() && (repeated.is_none() || name != TYPE) {
        *repeated = Some(name);
    }
}

fn kind(raw: &RawValue) -> Option<Cow<'_, str>> {
    let json = raw.get();
    let plain = json.strip_prefix('"')?.strip_suffix('"')?;
    if plain.contains('\\') {
        return json::string(Some(raw)).map(Cow::Owned);
    }
    Some(Cow::Borrowed(plain))
}

/// An unsigned integer, or a string of digits only.
fn instance(raw: Option<&RawValue>) -> Option<u64> {
    let json = raw?.get();
    let digits = if json.starts_with('"') { json::string(raw)?.into() } else { Cow::Borrowed(json) };
    // `u64::from_str` accepts a plus sign
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn time(raw: &RawValue) -> Option<u64> {
    let seconds = raw.get().parse().ok()?;
    PLAUSIBLE_TIMES.contains(&seconds).then_some(seconds)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
