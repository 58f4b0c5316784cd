//! Why a broker did not store a message.

use thiserror::Error;

use crate::telemetry::Label;

/// Why a broker did not store a message, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct Fault {
    /// What is at fault.
    pub kind: FaultKind,
    /// Metric label and log field.
    pub reason: FaultReason,
    /// For the log; never a piece of a body.
    pub detail: String,
    /// True if the same message may well be stored a moment later.
    pub transient: bool,
    /// True if the broker may have stored the message all the same: it was sent, and its ack was lost.
    pub maybe_stored: bool,
}

/// What is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// This message: the broker will never accept it, and accepts others.
    Record,
    /// The topic or stream: other destinations are unharmed.
    Destination,
    /// The connection. Sending the message again is safe.
    Connection,
}

/// Declares the reasons with their labels, so that no reason lacks one.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $reason:ident = $label:literal,)*) => {
        /// Why a broker did not store a message, or does not store any: metric label, log field and state in `/readyz`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FaultReason {
            $($(#[doc = $doc])* $reason,)*
        }

        impl FaultReason {
            /// Every reason, in the order of its discriminant.
            pub const ALL: &[Self] = &[$(Self::$reason),*];

            /// The label.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => $label,)*
                }
            }
        }
    };
}

reasons! {
    /// No connection was made yet since start.
    Connecting = "connecting",
    /// The connection is lost.
    Disconnected = "disconnected",
    /// The stream acknowledges what it may lose, or never accepts what is sent to it.
    UnsafeStream = "unsafe_stream",
    /// The topic deletes what it acknowledged once a later record has the same key.
    UnsafeTopic = "unsafe_topic",
    /// The stream does not exist.
    NoStream = "no_stream",
    /// The stream does not have the subject.
    NoSubject = "no_subject",
    /// The stream or the cluster was not inspected since it may have changed.
    NotInspected = "not_inspected",
    /// The client failed to send.
    Send = "send",
    /// The client is closed.
    Closed = "closed",
    /// No ack came in time.
    NoReport = "no_report",
    /// The stream elected a new leader; acks of the one before are lost.
    NewLeader = "new_leader",
    /// Nothing listens on the subject: JetStream is electing, or is not there.
    NoResponders = "no_responders",
    /// JetStream is not enabled for the account.
    NoJetstream = "no_jetstream",
    /// The bridge's user lacks a right.
    NotAuthorized = "not_authorized",
    /// The message is larger than the broker accepts.
    TooLarge = "too_large",
    /// The stream is full.
    StreamFull = "stream_full",
    /// The broker has no space left on disk or in memory.
    NoSpace = "no_space",
    /// The subject belongs to another stream.
    WrongStream = "wrong_stream",
    /// The broker says that it cannot store now.
    Unavailable = "unavailable",
    /// The broker refuses the message for another reason.
    Refused = "refused",
    /// The topic does not exist.
    NoTopic = "no_topic",
    /// Payloads chose more topics than `route.max_destinations`.
    TooManyTopics = "too_many_topics",
    /// The broker does not accept the login.
    NotAuthenticated = "not_authenticated",
    /// Partitions have no leader.
    NoLeader = "no_leader",
    /// Too few replicas are in sync.
    TooFewReplicas = "too_few_replicas",
    /// The client's queue is full.
    QueueFull = "queue_full",
    /// The topic refuses the record's timestamp.
    WrongClock = "wrong_clock",
    /// The record could not be read from the journal, so nothing was sent.
    NotRead = "not_read",
}

impl Label for FaultReason {
    const ALL: &'static [Self] = Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl From<FaultReason> for &'static str {
    fn from(reason: FaultReason) -> Self {
        reason.as_str()
    }
}

impl Fault {
    /// This message is at fault.
    pub(super) fn record(reason: FaultReason, detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Record, reason, detail: detail.into(), transient: false, maybe_stored: false }
    }

    /// Its destination is at fault.
    pub(super) fn destination(reason: FaultReason, detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Destination, reason, detail: detail.into(), transient: false, maybe_stored: false }
    }

    /// The record could not be read from the journal, so nothing was sent.
    pub fn not_read(detail: String) -> Self {
        Self::not_sent(FaultReason::NotRead, detail)
    }

    /// The message may have been stored.
    pub(super) fn maybe_stored(reason: FaultReason, detail: impl Into<String>) -> Self {
        Self { maybe_stored: true, ..Self::not_sent(reason, detail) }
    }

    /// The message did not leave this process.
    pub(super) fn not_sent(reason: FaultReason, detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Connection, reason, detail: detail.into(), transient: true, maybe_stored: false }
    }
}
