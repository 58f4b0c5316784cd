//! The dead letters that only the journal stores: there was no broker for them.

use std::collections::VecDeque;

use bytes::Bytes;

use super::DeadLetter;
use super::record::{ParsedRecord, parse_record};
use crate::journal::{self, EventFilter, JournalReader, PageLimit, Record};
use crate::message::{Attribute, DlqRecord, Message, MessageKind};

/// The most records that one read examines, and about how many bytes of bodies it returns.
const PAGE: PageLimit = PageLimit { records: 500, bytes: 4 * 1024 * 1024 };

/// Reads them, also beside a bridge that runs on the journal.
pub struct JournalDeadLetters {
    reader: JournalReader,
    after: i64,
    until: i64,
    read_ahead: VecDeque<DlqRecord>,
}

impl JournalDeadLetters {
    /// Opens a journal to read.
    ///
    /// # Errors
    /// There is none, or it cannot be read: why, in words.
    pub fn open(config: &journal::Config) -> Result<Self, String> {
        let reader = JournalReader::open(&config.directory).map_err(|error| error.to_string())?;
        Ok(Self { reader, after: 0, until: 0, read_ahead: VecDeque::new() })
    }

    /// Begins with the oldest, and ends with the last there is now. Returns how many there are.
    pub(super) async fn begin(&mut self) -> Result<u64, String> {
        let count = self.reader.count_dead_letters().await.map_err(|error| error.to_string())?;
        let range = self.reader.range().await.map_err(|error| error.to_string())?;
        (self.after, self.until) = (0, range.map_or(0, |range| range.last));
        self.read_ahead.clear();
        Ok(count)
    }

    /// The next record. `None` means that all were read.
    pub(super) async fn next(&mut self) -> Result<Option<DlqRecord>, String> {
        while self.read_ahead.is_empty() && self.after < self.until {
            let filter = EventFilter { dead_letters: true, ..EventFilter::default() };
            let page = self.reader.page(&filter, self.after, PAGE).await.map_err(|error| error.to_string())?;
            self.after = if page.at_end { self.until } else { page.through };
            let journal_only = page.records.into_iter().filter(|record| record.backlog.is_empty());
            self.read_ahead.extend(journal_only.flat_map(with_markers));
        }
        Ok(self.read_ahead.pop_front())
    }
}

/// A dead letter that the journal stores, as it was received. `None` means that the record is not a dead letter.
pub fn from_journal(record: Record) -> Option<DeadLetter> {
    match parse_record(as_dlq_record(record.seq, &record.message)) {
        ParsedRecord::DeadLetter(headers, body) => Some(DeadLetter::whole(*headers, body)),
        ParsedRecord::ReplayMarker { .. } | ParsedRecord::Foreign => None,
    }
}

/// A dead letter, and a marker for each time it was replayed.
fn with_markers(Record { seq, message, .. }: Record) -> Vec<DlqRecord> {
    let letter = as_dlq_record(seq, &message);
    let replays = message.as_dead_letter().map_or(0, |dead| dead.replayed);
    let marker = |number: u32| DlqRecord {
        headers: vec![
            (format!("ce_{}", Attribute::Id.as_str()), message.event.id.to_string()),
            (MessageKind::REPLAYED_HEADER.to_owned(), number.to_string()),
        ],
        body: Bytes::new(),
        size: 0,
        ..letter.clone()
    };
    let markers: Vec<_> = (1..=replays).map(marker).collect();
    std::iter::once(letter).chain(markers).collect()
}

/// A dead letter in the form that it would have in a topic.
fn as_dlq_record(seq: i64, message: &Message) -> DlqRecord {
    let attributes = message.attributes().map(|(name, value)| (format!("ce_{}", name.as_str()), value.into_owned()));
    let others = message.headers().map(|(name, value)| (name.to_owned(), value.into_owned()));
    DlqRecord {
        broker: None,
        position: seq.to_string(),
        at: message.event.recorded,
        headers: attributes.chain(others).collect(),
        size: message.body.len(),
        body: message.body.clone(),
    }
}
