//! The letters that a journal keeps for their own sake, because there is no broker they could lie at.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Whole;
use super::record::{Record as Read, read};
use crate::journal::store::Reader;
use crate::journal::store::queries::{Filter, ends, kept_letters, page};
use crate::journal::{self, Record};
use crate::message::{Attribute, Letter, Message, Replay};

/// The most records that are looked at in one transaction, and about how many bytes of letters it reads.
const AT_ONCE: usize = 500;
const BYTES: usize = 4 * 1024 * 1024;

/// Reads them, also beside a bridge that runs on the journal.
pub struct Kept {
    reader: Reader,
    after: i64,
    until: i64,
    read: VecDeque<Letter>,
}

impl Kept {
    /// Opens a journal to read.
    ///
    /// # Errors
    /// There is none, or it cannot be read; in words.
    pub fn open(config: &journal::Config) -> Result<Self, String> {
        let reader = Reader::open(&config.directory).map_err(|error| error.to_string())?;
        Ok(Self { reader, after: 0, until: 0, read: VecDeque::new() })
    }

    pub(super) async fn begin(&mut self) -> Result<u64, String> {
        let asked = self.reader.read(|db| Ok((kept_letters(db)?, ends(db)?)));
        let (count, ends) = asked.await.map_err(|error| error.to_string())?;
        (self.after, self.until) = (0, ends.map_or(0, |(_, last)| last));
        self.read.clear();
        Ok(count)
    }

    pub(super) async fn next(&mut self) -> Result<Option<Letter>, String> {
        while self.read.is_empty() && self.after < self.until {
            let (after, filter) = (self.after, Filter { dead_letters: true, ..Filter::default() });
            let page = self.reader.read(move |db| page(db, &filter, after, AT_ONCE, BYTES)).await;
            let page = page.map_err(|error| error.to_string())?;
            self.after = if page.end { self.until } else { page.last };
            let kept = page.records.into_iter().filter(|record| record.owed.is_empty());
            self.read.extend(kept.flat_map(letters));
        }
        Ok(self.read.pop_front())
    }
}

/// A letter that a journal keeps, as it was received; none if it is no letter.
pub fn kept(record: Record) -> Option<Whole> {
    match read(letter(record.seq, &record.message)) {
        Read::Letter(head, body) => Some(Whole { head: *head, body, count: 1, missing: Vec::new() }),
        Read::Note(..) | Read::Foreign => None,
    }
}

/// It and a note for each time it was replayed.
fn letters(Record { seq, message, .. }: Record) -> Vec<Letter> {
    let letter = letter(seq, &message);
    let times = message.dead_letter.as_ref().map_or(0, |dead| dead.replayed);
    let note = |number: u32| Letter {
        headers: vec![
            (format!("ce_{}", Attribute::Id.as_str()), message.event.id.to_string()),
            (Replay::HEADER.to_owned(), number.to_string()),
        ],
        body: Bytes::new(),
        size: 0,
        ..letter.clone()
    };
    let notes: Vec<_> = (1..=times).map(note).collect();
    std::iter::once(letter).chain(notes).collect()
}

/// A letter as it would lie in a topic.
fn letter(seq: i64, message: &Message) -> Letter {
    let attributes = message.attributes().map(|(name, value)| (format!("ce_{}", name.as_str()), value.into_owned()));
    let others = message.headers().map(|(name, value)| (name.to_owned(), value.into_owned()));
    Letter {
        broker: None,
        position: seq.to_string(),
        at: message.event.recorded,
        headers: attributes.chain(others).collect(),
        size: message.body.len(),
        body: message.body.clone(),
    }
}
