//! The query of `/events`: which events a reader wants, and where it begins.

use std::time::SystemTime;

use percent_encoding::percent_decode_str;

use crate::journal::{EventFilter, FollowFrom, is_position};
use crate::notification::Class;
use crate::units;

/// What a reader of events asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EventQuery {
    /// Which events.
    pub(super) filter: EventFilter,
    /// Where to begin.
    pub(super) start: FollowFrom,
}

impl EventQuery {
    /// Reads a query. A browser that reconnects sends the same query again and adds `Last-Event-ID`, which says how far
    /// it came: that wins.
    ///
    /// # Errors
    /// What cannot be understood, and what to give instead.
    pub(super) fn parse(query: &str, last_event_id: Option<&str>, now: SystemTime) -> Result<Self, String> {
        let (mut filter, mut starts) = (EventFilter::default(), Vec::new());
        for (name, value) in query.split('&').filter(|part| !part.is_empty()).map(name_and_value) {
            let value = value.ok_or_else(|| format!("{name}: not UTF-8; percent-encode it as UTF-8"))?;
            let each = value.split(',').map(str::trim).filter(|one| !one.is_empty());
            match name {
                "class" => filter.classes.extend(each.map(parse_class).collect::<Result<Vec<_>, _>>()?),
                "instance" => filter.instances.extend(each.map(parse_instance).collect::<Result<Vec<_>, _>>()?),
                "type" => filter.types.extend(each.map(parse_type).collect::<Result<Vec<_>, _>>()?),
                "after" => {
                    starts.push(FollowFrom::After(parse_event_id(&value).map_err(|error| format!("after={error}"))?));
                }
                "since" => {
                    let since = units::read_since(value.trim(), now).map_err(|error| format!("since={error}"))?;
                    starts.push(FollowFrom::Since(since));
                }
                "last" => starts.push(FollowFrom::Last(parse_last(&value)?)),
                other => {
                    return Err(format!("{other}: unknown; there are class, instance, type, after, since and last"));
                }
            }
        }
        if let Some(id) = last_event_id.filter(|id| !id.is_empty()) {
            return Ok(Self { filter, start: FollowFrom::After(id.into()) });
        }
        let start = starts.pop().unwrap_or_default();
        if starts.is_empty() {
            Ok(Self { filter, start })
        } else {
            Err("after, since and last are several positions to begin at; give one".into())
        }
    }
}

/// A name, and its value decoded. `None` means that the value is not UTF-8.
fn name_and_value(part: &str) -> (&str, Option<String>) {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    let value = value.replace('+', " ");
    (name, percent_decode_str(&value).decode_utf8().ok().map(Into::into))
}

fn parse_class(name: &str) -> Result<String, String> {
    let known = Class::ALL.map(Class::as_str);
    if known.contains(&name) {
        Ok(name.into())
    } else {
        Err(format!("class={name}: unknown; there are {}", known.join(", ")))
    }
}

fn parse_instance(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("instance={text}: not an instance; give its number, such as 1101000001"))
}

/// As in `ce_type`, with or without its prefix.
fn parse_type(text: &str) -> Result<String, String> {
    let kind = text.strip_prefix("com.green-api.").unwrap_or(text);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if kind.bytes().all(allowed) && (1..=64).contains(&kind.len()) {
        Ok(kind.into())
    } else {
        Err(format!("type={text}: not a type; give one such as incomingMessageReceived"))
    }
}

fn parse_last(text: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| format!("last={text}: not a number; give one such as 10"))
}

/// Reads the id of an event: `<journal>-<seq>` of any journal, or a sequence number alone.
///
/// # Errors
/// What it is not, and what to give instead.
pub fn parse_event_id(text: &str) -> Result<String, String> {
    let text = text.trim();
    if is_position(text) {
        return Ok(text.into());
    }
    Err(format!("{text}: not the id of an event; give one such as 0a1b2c3d-42, or its number alone; 0 is before all"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn parse(query: &str) -> Result<EventQuery, String> {
        EventQuery::parse(query, None, UNIX_EPOCH + Duration::from_secs(3600))
    }

    #[test]
    fn a_name_may_have_several_values_or_stand_several_times() {
        let EventQuery { filter, start } =
            parse("class=incoming,state&type=com.green-api.a%2Cb&class=other&instance=7").unwrap();
        assert_eq!(filter.classes, ["incoming", "state", "other"]);
        assert_eq!(filter.types, ["a", "b"]);
        assert_eq!((filter.instances, start), (vec![7], FollowFrom::Oldest));
        assert_eq!(parse("").unwrap(), EventQuery::default());
    }

    #[test]
    fn a_reader_begins_at_one_position() {
        assert_eq!(parse("after=ab-7").unwrap().start, FollowFrom::After("ab-7".into()));
        assert_eq!(parse("last=3").unwrap().start, FollowFrom::Last(3));
        assert_eq!(parse("since=59m").unwrap().start, FollowFrom::Since(UNIX_EPOCH + Duration::from_secs(60)));
        let later = UNIX_EPOCH + Duration::from_secs(1_588_091_580); // `date -u -d @1588091580`
        assert_eq!(parse("since=2020-04-28T16:33:00Z").unwrap().start, FollowFrom::Since(later));
        assert!(parse("after=7&last=3").unwrap_err().contains("give one"));
        let reconnected = EventQuery::parse("after=7&last=3", Some("ab-9"), UNIX_EPOCH).unwrap();
        assert_eq!(reconnected.start, FollowFrom::After("ab-9".into()));
    }

    #[test]
    fn a_wrong_value_is_refused_with_what_to_give_instead() {
        for (query, part) in [
            ("class=inbound", "class=inbound: unknown; there are incoming, outgoing, state, device, other"),
            ("instance=x", "give its number"),
            ("instance=-1", "give its number"),
            ("type=a%20b", "give one such as"),
            ("last=-1", "not a number"),
            ("after=foo", "after=foo: not the id of an event; give one"),
            ("after=", "after=: not the id of an event"),
            ("since=noon", "since=noon: not a time"),
            ("klass=incoming", "klass: unknown; there are class, instance"),
            ("class=%ff", "not UTF-8"),
        ] {
            let said = parse(query).unwrap_err();
            assert!(said.contains(part), "{query}: {said}");
        }
    }
}
