//! From bytes to a [`Notification`], or to the reason why not.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Notification, Optional, Refused, object};

/// How deep a notification may nest, the outer object counted: what common parsers follow by default
/// (`serde_json` 128, Jackson 1000). Published notifications nest 7 deep at most.
pub(super) const MAX_DEPTH: usize = 128;

/// `timestamp` values that are believed: 2000-01-01 to the end of 2100, Unix seconds.
const BELIEVED_TIMES: std::ops::RangeInclusive<u64> = 946_684_800..=4_133_980_799;

impl<'a> Notification<'a> {
    /// Reads one body.
    ///
    /// # Errors
    /// [`Refused`], for the first of these that holds: not JSON, not an object, nested too deep, ambiguous, no
    /// type, no instance.
    pub fn parse(body: &'a [u8]) -> Result<Self, Refused> {
        let json = text(body)?;
        let seen = Seen::in_object(json)?;
        let inner = seen.instance_data.map(Inner::of).unwrap_or_default();
        let repeated = seen.repeated.or(inner.repeated);
        // of two, neither is it
        let certain = inner.repeated.is_none() && seen.repeated.is_none_or(|key| key == TYPE);
        let instance = instance(inner.id).filter(|_| certain);
        if object::deeper_than(json, MAX_DEPTH) {
            return Err(Refused::TooDeep { instance });
        }
        if let Some(key) = repeated {
            return Err(Refused::Ambiguous { key, instance });
        }
        let Some(kind) = seen.kind.and_then(kind) else {
            let found = object::name_of(seen.kind);
            if found == "a string" {
                return Err(Refused::NotJson("typeWebhook holds half of a surrogate pair".into()));
            }
            return Err(Refused::NoType { found, instance });
        };
        let Some(instance) = instance else {
            let found = object::name_of(inner.id);
            return Err(Refused::NoInstance { found, kind: kind.into_owned() });
        };
        let time = seen.timestamp.and_then(time);
        let optional = Optional { product: inner.product, ..seen.optional };
        Ok(Self { kind, instance, time, optional })
    }
}

/// The body as text. `serde_json` skips over the inside of strings it is not asked for, so the encoding is
/// checked here.
fn text(body: &[u8]) -> Result<&str, Refused> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Refused::NotJson(format!("no UTF-8 from byte {} on", error.valid_up_to())))?;
    if text.starts_with('\u{feff}') {
        return Err(Refused::NotJson("starts with a byte-order mark".into()));
    }
    Ok(text)
}

/// The members of the outer object that matter.
#[derive(Default)]
struct Seen<'a> {
    kind: Option<&'a RawValue>,
    instance_data: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    repeated: Option<&'static str>,
    optional: Optional<'a>,
}

impl<'a> Seen<'a> {
    fn in_object(json: &'a str) -> Result<Self, Refused> {
        let mut seen = Self::default();
        let each = |key: &[u8], value| seen.take(key, value);
        match object::members(json, each) {
            Ok(()) => Ok(seen),
            // an error over the kind of value comes before errors of syntax that follow it
            Err(_) => Err(match object::well_formed(json) {
                Ok(()) => Refused::NotObject,
                Err(fault) => Refused::NotJson(fault.to_string()),
            }),
        }
    }

    fn take(&mut self, key: &[u8], value: &'a RawValue) {
        match key {
            b"typeWebhook" => once(&mut self.kind, value, &mut self.repeated, TYPE),
            b"instanceData" => once(&mut self.instance_data, value, &mut self.repeated, "instanceData"),
            b"timestamp" => self.timestamp = Some(value),
            b"senderData" => self.optional.sender_data = Some(value),
            b"messageData" => self.optional.message_data = Some(value),
            b"chatId" => self.optional.chat = Some(value),
            b"from" => self.optional.from = Some(value),
            _ => {}
        }
    }
}

/// The members of `instanceData` that matter.
#[derive(Default)]
struct Inner<'a> {
    id: Option<&'a RawValue>,
    product: Option<&'a RawValue>,
    repeated: Option<&'static str>,
}

impl<'a> Inner<'a> {
    fn of(instance_data: &'a RawValue) -> Self {
        let mut inner = Self::default();
        let each = |key: &[u8], value| match key {
            b"idInstance" => once(&mut inner.id, value, &mut inner.repeated, "idInstance"),
            b"typeInstance" => inner.product = Some(value),
            _ => {}
        };
        // anything but an object holds no instance, which is all there is to say of it
        let _ = object::members(instance_data.get(), each);
        inner
    }
}

const TYPE: &str = "typeWebhook";

/// Sets a member that must not stand there twice: two parsers may disagree on which of two counts. Of several that do,
/// one that is of the instance is named.
fn once<'a>(
    slot: &mut Option<&'a RawValue>,
    value: &'a RawValue,
    repeated: &mut Option<&'static str>,
    name: &'static str,
) {
    if slot.replace(value).is_some() && (repeated.is_none() || name != TYPE) {
        *repeated = Some(name);
    }
}

fn kind(raw: &RawValue) -> Option<Cow<'_, str>> {
    let json = raw.get();
    let plain = json.strip_prefix('"')?.strip_suffix('"')?;
    if plain.contains('\\') {
        return object::string(Some(raw)).map(Cow::Owned);
    }
    Some(Cow::Borrowed(plain))
}

/// An unsigned integer, or a string of digits only.
fn instance(raw: Option<&RawValue>) -> Option<u64> {
    let json = raw?.get();
    let digits = if json.starts_with('"') { object::string(raw)?.into() } else { Cow::Borrowed(json) };
    // `u64::from_str` takes a plus sign
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn time(raw: &RawValue) -> Option<u64> {
    let seconds = raw.get().parse().ok()?;
    BELIEVED_TIMES.contains(&seconds).then_some(seconds)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
