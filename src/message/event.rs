//! The CloudEvents 1.0 attributes of a message, before a broker formats them.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Id;

/// The CloudEvents attributes of one message (CloudEvents 1.0, its partitioning and recorded time
/// extensions, and our own `class` and `instance`).
#[derive(Debug, Clone)]
pub struct Event {
    /// `id`.
    pub id: Id,
    /// `instance`, and the end of `source`. None means that it could not be read from the body.
    pub instance: Option<u64>,
    /// The end of `type`: the notification's type, sanitized. None means that it is not known.
    pub kind: Option<String>,
    /// `class`. None means that the type is not known.
    pub class: Option<Cow<'static, str>>,
    /// `time`: when it happened according to GREEN-API, Unix seconds.
    pub time: Option<u64>,
    /// `recordedtime`: when the bridge received it.
    pub recorded: SystemTime,
    /// `partitionkey`: messages of one key stay in order. None means no key.
    pub partition_key: Option<String>,
    /// Whether the body is JSON; decides `datacontenttype`.
    pub json: bool,
    /// W3C trace context of the request, passed on unchanged.
    pub trace: TraceContext,
}

/// A CloudEvents attribute: of the core, of its partitioning and recorded time extensions, or our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are CloudEvents' own")]
pub enum Attribute {
    Id,
    Source,
    Type,
    SpecVersion,
    Time,
    RecordedTime,
    PartitionKey,
    Class,
    Instance,
}

impl Attribute {
    /// Its CloudEvents name, without a binding's prefix.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::SpecVersion => "specversion",
            Self::Time => "time",
            Self::RecordedTime => "recordedtime",
            Self::PartitionKey => "partitionkey",
            Self::Class => "class",
            Self::Instance => "instance",
        }
    }
}

/// W3C trace context headers, each valid or absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// `traceparent`.
    pub parent: Option<String>,
    /// `tracestate`; only ever beside a parent.
    pub state: Option<String>,
}

impl Event {
    /// The instance as a text, as logs and headers have it.
    pub fn instance_text(&self) -> Option<String> {
        self.instance.map(|instance| instance.to_string())
    }

    /// The event of a body of which nothing is known.
    pub fn unparsed(id: Id, recorded: SystemTime) -> Self {
        Self {
            id,
            instance: None,
            kind: None,
            class: None,
            time: None,
            recorded,
            partition_key: None,
            json: false,
            trace: TraceContext::default(),
        }
    }

    /// The attributes that are set.
    pub fn attributes(&self) -> impl Iterator<Item = (Attribute, Cow<'_, str>)> {
        let instance = self.instance.map(|instance| written(20, instance));
        let source = instance.as_deref().unwrap_or("unknown");
        let kind = self.kind.as_deref().unwrap_or("unparsed");
        [
            (Attribute::Id, Some(Cow::Owned(written(32, self.id)))),
            (Attribute::Source, Some(Cow::Owned(["urn:greenapi:instance:", source].concat()))),
            (Attribute::Type, Some(Cow::Owned(["com.green-api.", kind].concat()))),
            (Attribute::SpecVersion, Some(Cow::Borrowed("1.0"))),
            (Attribute::Time, self.time.map(|seconds| Cow::Owned(rfc3339(seconds)))),
            (Attribute::RecordedTime, Some(Cow::Owned(rfc3339_millis(self.recorded)))),
            (Attribute::PartitionKey, self.partition_key.as_deref().map(Cow::Borrowed)),
            (Attribute::Class, self.class.as_deref().map(Cow::Borrowed)),
            (Attribute::Instance, instance.map(Cow::Owned)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// `datacontenttype`.
    pub fn content_type(&self) -> &'static str {
        if self.json { "application/json" } else { "application/octet-stream" }
    }
}

fn rfc3339(seconds: u64) -> String {
    written(20, humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)))
}

fn rfc3339_millis(at: SystemTime) -> String {
    // a clock that shows a time before 1970 must not stop a notification
    written(24, humantime::format_rfc3339_millis(at.max(UNIX_EPOCH)))
}

/// A value as text, with room for `bytes` from the start: growing the text costs more than writing it.
fn written(bytes: usize, value: impl Display) -> String {
    let mut text = String::with_capacity(bytes);
    // writing to memory does not fail
    let _ = write!(text, "{value}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unparsed_body_says_so_in_its_attributes() {
        let event = Event::unparsed(Id::from(7), UNIX_EPOCH);
        let attributes: Vec<_> = event.attributes().map(|(name, value)| format!("{}={value}", name.as_str())).collect();
        assert_eq!(
            attributes,
            [
                "id=00000000000000000000000000000007",
                "source=urn:greenapi:instance:unknown",
                "type=com.green-api.unparsed",
                "specversion=1.0",
                "recordedtime=1970-01-01T00:00:00.000Z",
            ]
        );
        assert_eq!(event.content_type(), "application/octet-stream");
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(1_588_091_580), "2020-04-28T16:33:00Z"); // `date -u -d @1588091580`
    }
}
