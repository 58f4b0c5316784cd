//! Why a body goes to the dead letter.

use std::fmt;

/// The most bytes one part of a dead letter has. Every broker takes that much by default: NATS 1 MiB with
/// headers, Kafka 1,048,588 bytes.
pub const PART_BYTES: usize = 512 * 1024;

/// The smallest part worth cutting: a broker that takes less is not set up for webhooks, and millions of parts
/// would help nobody.
pub const LEAST_PART: usize = 4 * 1024;

/// What a dead letter says of itself, in `bridge-` headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// `bridge-reason`.
    pub reason: Reason,
    /// `bridge-detail`: for people, visible ASCII and spaces, never a piece of the body.
    pub detail: String,
    /// `bridge-part`, where the body had to be cut.
    pub part: Option<Part>,
    /// How many times it was replayed, of what the journal keeps; others have notes beside them.
    pub replayed: u32,
}

impl DeadLetter {
    /// A whole dead letter. Of `detail` only what a header can carry is kept, at most 200 characters.
    pub fn new(reason: Reason, detail: String) -> Self {
        let safe = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
        let detail = detail.chars().take(200).map(safe).collect();
        Self { reason, detail, part: None, replayed: 0 }
    }
}

/// One part of several, counted from 1; shown as `1/3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which one.
    pub number: usize,
    /// Of how many.
    pub count: usize,
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.number, self.count)
    }
}

/// Why a body could not go its normal way. A closed set: it is a metric label and a header value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Not a JSON text (RFC 8259): syntax, encoding, a byte-order mark, bytes after its end.
    NotJson,
    /// JSON, but not an object.
    NotObject,
    /// Nested deeper than consumers' parsers can be expected to follow.
    TooDeep,
    /// `typeWebhook`, `instanceData` or `idInstance` stands there twice.
    Ambiguous,
    /// No `typeWebhook` that is a string.
    NoType,
    /// No `instanceData.idInstance` that is an instance.
    NoInstance,
    /// Larger than the broker takes in one message.
    TooLarge,
    /// The broker refuses the message for what it is.
    Rejected,
    /// The payload chose a topic that is not there, or one too many.
    NoDestination,
}

impl Reason {
    /// Every reason, in the order of its labels.
    pub const ALL: [Self; 9] = [
        Self::NotJson,
        Self::NotObject,
        Self::TooDeep,
        Self::Ambiguous,
        Self::NoType,
        Self::NoInstance,
        Self::TooLarge,
        Self::Rejected,
        Self::NoDestination,
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
            Self::TooLarge => "too_large",
            Self::Rejected => "rejected",
            Self::NoDestination => "no_destination",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_short_and_fit_for_a_header() {
        let dead = DeadLetter::new(Reason::NotJson, "bad\r\nX-Evil: 1 \u{1F600}".repeat(50));
        assert!(dead.detail.starts_with("bad??X-Evil: 1 ?bad"));
        assert_eq!(dead.detail.len(), 200);
    }

    #[test]
    fn reasons_stand_in_the_order_of_their_labels() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }
}
