//! Why a body goes to the dead letter, and the parts of one that is too large.

use std::fmt;

/// The most bytes of one part of a dead letter. Every broker accepts this much by default: NATS 1 MiB with headers,
/// Kafka 1,048,588 bytes.
pub const PART_BYTES: usize = 512 * 1024;

/// The smallest part worth splitting into: a broker that accepts less is not set up for webhooks, and millions of parts
/// would be useless.
pub const MIN_PART_BYTES: usize = 4 * 1024;

/// The `bridge-` headers of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// `bridge-reason`.
    pub reason: Reason,
    /// `bridge-detail`: for people; visible ASCII and spaces, never a piece of the body.
    pub detail: String,
    /// `bridge-part`. None means that the body is whole.
    pub part: Option<Part>,
    /// How many times it was replayed. Only the journal counts here; at a broker, replay markers stand beside it.
    pub replayed: u32,
    /// Set if a replay became a dead letter again: how many replays came before it.
    pub earlier_replays: Option<u32>,
}

impl DeadLetter {
    /// A whole dead letter. `detail` is cut to 200 characters, and what a header cannot carry becomes `?`.
    pub fn new(reason: Reason, detail: String) -> Self {
        let safe = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
        let detail = detail.chars().take(200).map(safe).collect();
        Self { reason, detail, part: None, replayed: 0, earlier_replays: None }
    }
}

/// One of several parts, numbered from 1; shown as `1/3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub number: usize,
    /// How many parts there are.
    pub count: usize,
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.number, self.count)
    }
}

/// Why a body could not go to its own destination. A closed set: it is a metric label and a header value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Not a JSON text (RFC 8259): syntax, encoding, a byte-order mark, bytes after its end.
    NotJson,
    /// JSON, but not an object.
    NotObject,
    /// Nested deeper than consumers' parsers can be expected to follow.
    TooDeep,
    /// `typeWebhook`, `instanceData` or `idInstance` is repeated.
    Ambiguous,
    /// No `typeWebhook` that is a string.
    NoType,
    /// No `instanceData.idInstance` that is an instance.
    NoInstance,
    /// Sent with a `Content-Encoding`.
    Encoded,
    /// A field breaks the schema of its type; only with strict validation.
    Schema,
    /// Larger than the broker accepts in one message.
    TooLarge,
    /// The broker will never accept this message.
    Rejected,
    /// The payload chose a topic that does not exist, or one too many.
    NoDestination,
    /// The body was changed on the journal's disk.
    Altered,
}

impl Reason {
    /// Every reason, in the order of its labels.
    pub const ALL: [Self; 12] = [
        Self::NotJson,
        Self::NotObject,
        Self::TooDeep,
        Self::Ambiguous,
        Self::NoType,
        Self::NoInstance,
        Self::Encoded,
        Self::Schema,
        Self::TooLarge,
        Self::Rejected,
        Self::NoDestination,
        Self::Altered,
    ];

    /// The name in headers and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotObject => "not_object",
            Self::TooDeep => "too_deep",
            Self::Ambiguous => "ambiguous",
            Self::NoType => "no_type",
            Self::NoInstance => "no_instance",
            Self::Encoded => "encoded",
            Self::Schema => "schema",
            Self::TooLarge => "too_large",
            Self::Rejected => "rejected",
            Self::NoDestination => "no_destination",
            Self::Altered => "altered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_short_and_valid_in_a_header() {
        let dead = DeadLetter::new(Reason::NotJson, "bad\r\nX-Evil: 1 \u{1F600}".repeat(50));
        assert!(dead.detail.starts_with("bad??X-Evil: 1 ?bad"));
        assert_eq!(dead.detail.len(), 200);
    }

    #[test]
    fn reasons_are_in_the_order_of_their_labels() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
