//! The dead letter, read again: what lies there, put together from its parts, and what a replay makes of it.
//!
//! A replay is remembered where the letter lies: in the journal by the letter itself, in the transaction that keeps the
//! notification; at a broker, after the notification is stored, a note follows in the same topic
//! or stream, with the letter's id and no body ([`Notes`]). So it is known to whoever looks next, on any machine, for
//! as long as the letter is kept, in whatever order letters are replayed; and it needs no right and no file of its
//! own. A replay that is cut off between the two is repeated: JetStream drops the repeat by its `Nats-Msg-Id`, in
//! Kafka it carries the same `ce_id`.

mod again;
mod behind;
#[cfg(feature = "journal")]
mod kept;
mod notes;
mod parts;
mod reading;
mod record;
mod replayer;
mod select;

pub use again::{Again, again, note};
pub use behind::Behind;
#[cfg(feature = "journal")]
pub use kept::{Kept, kept};
pub use notes::Notes;
pub use parts::{Parts, Whole};
pub use reading::Reading;
pub use record::{Head, Record, place_name, read};
pub use replayer::{Outcome, Replayer};
pub use select::{Selection, read_id};

#[cfg(feature = "kafka")]
use crate::brokers::kafka;
#[cfg(feature = "nats")]
use crate::brokers::nats;
use crate::message::{Broker, Letter};

/// Where dead letters lie.
pub enum Source {
    /// In a topic.
    #[cfg(feature = "kafka")]
    Kafka(Box<kafka::Reader>),
    /// In a stream.
    #[cfg(feature = "nats")]
    Nats(Box<nats::Reader>),
    /// In the journal, where no broker is used.
    #[cfg(feature = "journal")]
    Journal(Box<Kept>),
}

impl Source {
    /// Where that is, in a word.
    pub fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => Broker::Kafka.as_str(),
            #[cfg(feature = "nats")]
            Self::Nats(_) => Broker::Nats.as_str(),
            #[cfg(feature = "journal")]
            Self::Journal(_) => place_name(None),
        }
    }

    /// Begins to read from the oldest record to what is there now; says how many there are, at most. Where no
    /// `bodies` are wanted they may be left out.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn begin(&mut self, bodies: bool) -> Result<u64, String> {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.begin(bodies).await,
            #[cfg(feature = "nats")]
            Self::Nats(nats) => nats.begin(bodies).await,
            #[cfg(feature = "journal")]
            Self::Journal(kept) => kept.begin().await,
        }
    }

    /// The next record; none after the last.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn next(&mut self) -> Result<Option<Letter>, String> {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.next().await,
            #[cfg(feature = "nats")]
            Self::Nats(nats) => nats.next().await,
            #[cfg(feature = "journal")]
            Self::Journal(kept) => kept.next().await,
        }
    }
}
