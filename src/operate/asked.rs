//! What a reader of events asks for, in the query of its request.

use std::time::SystemTime;

use percent_encoding::percent_decode_str;

use crate::journal::store::queries::Filter;
use crate::journal::{Start, is_place};
use crate::notification::Class;
use crate::units;

/// Reads a query; what it asks for, and where it begins.
///
/// # Errors
/// What cannot be understood, and what to give instead.
pub(super) fn read(query: &str, last_event_id: Option<&str>, now: SystemTime) -> Result<(Filter, Start), String> {
    let (mut filter, mut places) = (Filter::default(), Vec::new());
    for (name, value) in query.split('&').filter(|part| !part.is_empty()).map(pair) {
        let value = value.ok_or_else(|| format!("{name}: not UTF-8; percent-encode it as UTF-8"))?;
        let each = value.split(',').map(str::trim).filter(|one| !one.is_empty());
        match name {
            "class" => filter.classes.extend(each.map(class).collect::<Result<Vec<_>, _>>()?),
            "instance" => filter.instances.extend(each.map(instance).collect::<Result<Vec<_>, _>>()?),
            "type" => filter.types.extend(each.map(kind).collect::<Result<Vec<_>, _>>()?),
            "after" => places.push(Start::After(place(&value).map_err(|error| format!("after={error}"))?)),
            "since" => places.push(Start::Since(since(value.trim(), now).map_err(|error| format!("since={error}"))?)),
            "last" => places.push(Start::Last(last(&value)?)),
            other => {
                return Err(format!("{other}: unknown; there are class, instance, type, after, since and last"));
            }
        }
    }
    // a browser that comes back asks for the same page again, and says in this header how far it came
    if let Some(place) = last_event_id.filter(|place| !place.is_empty()) {
        return Ok((filter, Start::After(place.into())));
    }
    let start = places.pop().unwrap_or_default();
    match places.is_empty() {
        true => Ok((filter, start)),
        false => Err("after, since and last name several places to begin at; give one".into()),
    }
}

/// A name, and its value decoded.
fn pair(part: &str) -> (&str, Option<String>) {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    let value = value.replace('+', " ");
    (name, percent_decode_str(&value).decode_utf8().ok().map(Into::into))
}

fn class(name: &str) -> Result<String, String> {
    let known = Class::ALL.map(Class::as_str);
    match known.contains(&name) {
        true => Ok(name.into()),
        false => Err(format!("class={name}: unknown; there are {}", known.join(", "))),
    }
}

fn instance(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("instance={text}: not an instance; give its number, such as 1101000001"))
}

/// As in `ce_type`, with or without its prefix.
fn kind(text: &str) -> Result<String, String> {
    let kind = text.strip_prefix("com.green-api.").unwrap_or(text);
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    match kind.bytes().all(known) && (1..=64).contains(&kind.len()) {
        true => Ok(kind.into()),
        false => Err(format!("type={text}: no type; give one such as incomingMessageReceived")),
    }
}

fn last(text: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| format!("last={text}: not a number; give one such as 10"))
}

/// A place: `<journal>-<number>`, of whichever journal, or a number alone.
///
/// # Errors
/// What it is not, and what to give instead.
pub fn place(text: &str) -> Result<String, String> {
    let text = text.trim();
    match is_place(text) {
        true => Ok(text.into()),
        false => Err(format!(
            "{text}: not a place; give the id of an event, such as 0a1b2c3d-42, or its number alone; 0 is before all"
        )),
    }
}

/// A time, as RFC 3339 or as how long ago it is.
///
/// # Errors
/// What it is not, and what to give instead.
pub fn since(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    if let Ok(ago) = units::read_duration(text) {
        return Ok(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH));
    }
    humantime::parse_rfc3339_weak(text).map_err(|_| {
        format!("{text}: not a time; give how long ago, such as 10m, or a time such as 2026-01-31T12:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn asked(query: &str) -> Result<(Filter, Start), String> {
        read(query, None, UNIX_EPOCH + Duration::from_secs(3600))
    }

    #[test]
    fn values_stand_apart_or_together() {
        let (filter, start) = asked("class=incoming,state&type=com.green-api.a%2Cb&class=other&instance=7").unwrap();
        assert_eq!(filter.classes, ["incoming", "state", "other"]);
        assert_eq!(filter.types, ["a", "b"]);
        assert_eq!((filter.instances, start), (vec![7], Start::Oldest));
        assert_eq!(asked("").unwrap(), (Filter::default(), Start::Oldest));
    }

    #[test]
    fn there_is_one_place_to_begin_at() {
        assert_eq!(asked("after=ab-7").unwrap().1, Start::After("ab-7".into()));
        assert_eq!(asked("last=3").unwrap().1, Start::Last(3));
        assert_eq!(asked("since=59m").unwrap().1, Start::Since(UNIX_EPOCH + Duration::from_secs(60)));
        let later = UNIX_EPOCH + Duration::from_secs(1_588_091_580); // `date -u -d @1588091580`
        assert_eq!(asked("since=2020-04-28T16:33:00Z").unwrap().1, Start::Since(later));
        assert!(asked("after=7&last=3").unwrap_err().contains("give one"));
        let came_back = read("after=7&last=3", Some("ab-9"), UNIX_EPOCH).unwrap();
        assert_eq!(came_back.1, Start::After("ab-9".into()));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_to_give() {
        for (query, part) in [
            ("class=inbound", "class=inbound: unknown; there are incoming, outgoing, state, device, other"),
            ("instance=x", "give its number"),
            ("instance=-1", "give its number"),
            ("type=a%20b", "give one such as"),
            ("last=-1", "not a number"),
            ("after=foo", "after=foo: not a place; give the id of an event"),
            ("after=", "after=: not a place"),
            ("since=noon", "since=noon: not a time"),
            ("klass=incoming", "klass: unknown; there are class, instance"),
            ("class=%ff", "not UTF-8"),
        ] {
            let said = asked(query).unwrap_err();
            assert!(said.contains(part), "{query}: {said}");
        }
    }
}
