//! Dead letters, read back and replayed.
//!
//! In: the records of a dead letter topic, a dead letter subject or the journal ([`Source`]). Out: each dead letter, put
//! together from its parts ([`DeadLetterReader`]), and the notification that a replay makes of it ([`decide_replay`]).
//!
//! A replay is marked where the dead letter is, so no right and no file of its own is needed. The journal marks the dead
//! letter itself, in the transaction that stores the notification. At a broker a marker follows in the same topic or
//! stream once the notification is stored: the id, and no body ([`ReplayMarkers`]). So every reader on any machine knows
//! of it as long as the dead letter is there, in whatever order dead letters are replayed. A replay that is cut off
//! before its marker is repeated: JetStream drops the repeat by its `Nats-Msg-Id`; in Kafka it has the same `ce_id`.

mod filter;
mod journal_backlog;
mod journal_dead_letters;
mod parts;
mod reader;
mod record;
mod replay_decision;
mod replay_markers;
mod replayer;

pub use filter::{DeadLetterFilter, parse_id};
pub use journal_backlog::JournalBacklog;
pub use journal_dead_letters::{JournalDeadLetters, from_journal};
pub use parts::{DeadLetter, PartAssembler};
pub use reader::DeadLetterReader;
pub use record::{DlqHeaders, ParsedRecord, location_name, parse_record};
pub use replay_decision::{ReplayDecision, decide_replay, replay_marker};
pub use replay_markers::ReplayMarkers;
pub use replayer::{DeadLetterDestination, ReplayOutcome, Replayer};

use crate::brokers::{kafka, nats};
use crate::message::{Broker, DlqRecord};

/// Whether bodies are needed. A source may leave them out where they are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bodies {
    /// Read them.
    Read,
    /// Only headers are needed.
    Skip,
}

/// Where dead letters are.
pub enum Source {
    /// In a topic.
    Kafka(Box<kafka::Reader>),
    /// In a stream.
    Nats(Box<nats::Reader>),
    /// In the journal, where there was no broker for them.
    Journal(Box<JournalDeadLetters>),
}

impl Source {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kafka(_) => Broker::Kafka.as_str(),
            Self::Nats(_) => Broker::Nats.as_str(),
            Self::Journal(_) => location_name(None),
        }
    }

    /// Begins with the oldest record, and ends with the last there is now. Returns how many there are, at most.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub async fn begin(&mut self, bodies: Bodies) -> Result<u64, String> {
        let bodies = bodies == Bodies::Read;
        match self {
            Self::Kafka(kafka) => kafka.begin(bodies).await,
            Self::Nats(nats) => nats.begin(bodies).await,
            Self::Journal(journal) => journal.begin().await,
        }
    }

    /// The next record. `None` means that all were read.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub async fn next(&mut self) -> Result<Option<DlqRecord>, String> {
        match self {
            Self::Kafka(kafka) => kafka.next().await,
            Self::Nats(nats) => nats.next().await,
            Self::Journal(journal) => journal.next().await,
        }
    }
}
