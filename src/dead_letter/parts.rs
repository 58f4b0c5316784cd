//! Putting dead letters together from their parts.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::DlqHeaders;
use crate::message::Id;

/// The most bytes of parts in memory while others are still to be read. The parts of one dead letter are stored one
/// after the other, so they are near each other.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The most dead letters in memory of which parts are still to be read.
const MAX_INCOMPLETE: usize = 1024;

/// A dead letter, with its whole body or what there is of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its headers; of one in parts those of the first part that was read, with the size of all that were.
    pub headers: DlqHeaders,
    /// Its body; empty where only headers are read.
    pub body: Bytes,
    /// How many parts it has; 1 if it was not split.
    pub part_count: usize,
    /// The parts that are not there, or were too far apart.
    pub missing: Vec<usize>,
}

impl DeadLetter {
    /// A dead letter that was not split.
    pub fn whole(headers: DlqHeaders, body: Bytes) -> Self {
        Self { headers, body, part_count: 1, missing: Vec::new() }
    }

    /// Checks that all bytes are there, and that the id was made of them.
    ///
    /// # Errors
    /// Which parts are missing, or that the bytes are others.
    pub fn check_complete(&self) -> Result<(), String> {
        if !self.missing.is_empty() {
            let (missing, count) = (self.missing.len(), self.part_count);
            return Err(format!("{missing} of {count} parts are not there: {}", first_of(&self.missing)));
        }
        if Id::of(&self.body) != self.headers.id {
            return Err("its body does not match its id (SHA-256)".into());
        }
        Ok(())
    }
}

/// The first of many numbers.
fn first_of(parts: &[usize]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<_> = parts.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if parts.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Dead letters of which parts are still to be read, the oldest first.
#[derive(Debug)]
pub struct PartAssembler {
    incomplete: VecDeque<Incomplete>,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Incomplete {
    headers: DlqHeaders,
    part_count: usize,
    /// The bytes and the size of each part, by its number. Where only headers are read there is a size and no bytes.
    parts: BTreeMap<usize, (Bytes, usize)>,
}

impl Default for PartAssembler {
    fn default() -> Self {
        Self { incomplete: VecDeque::new(), bytes: 0, max_bytes: MAX_BYTES }
    }
}

impl PartAssembler {
    /// Adds one record. Returns the dead letters that are complete with it, and those given up because others need the
    /// memory.
    pub fn add(&mut self, headers: DlqHeaders, body: Bytes) -> Vec<DeadLetter> {
        let Some(part) = headers.part else { return vec![DeadLetter::whole(headers, body)] };
        let index = self.incomplete.iter().position(|one| one.is_of(&headers)).unwrap_or(self.incomplete.len());
        if index == self.incomplete.len() {
            let one = Incomplete { headers: headers.clone(), part_count: part.count, parts: BTreeMap::new() };
            self.incomplete.push_back(one);
        }
        let Some(one) = self.incomplete.get_mut(index) else { return Vec::new() };
        self.bytes += body.len();
        if let Some((replaced, _)) = one.parts.insert(part.number, (body, headers.size)) {
            self.bytes -= replaced.len();
        }
        let mut out = Vec::new();
        if one.parts.len() == one.part_count {
            out.extend(self.take(index));
        }
        // never give up the dead letter that this part belongs to
        while self.incomplete.len() > MAX_INCOMPLETE || self.bytes > self.max_bytes && self.incomplete.len() > 1 {
            let oldest = usize::from(self.incomplete.front().is_some_and(|one| one.is_of(&headers)));
            out.extend(self.take(oldest));
        }
        out
    }

    /// Takes what is still incomplete when all was read.
    pub fn take_rest(&mut self) -> Vec<DeadLetter> {
        std::iter::from_fn(|| self.take(0)).collect()
    }

    fn take(&mut self, index: usize) -> Option<DeadLetter> {
        let Incomplete { mut headers, part_count, parts } = self.incomplete.remove(index)?;
        // the header may claim any count: memory is not allocated by it
        const MAX_MISSING: usize = 10_000;
        let missing = (1..=part_count).filter(|number| !parts.contains_key(number)).take(MAX_MISSING).collect();
        headers.size = parts.values().map(|(_, size)| size).sum();
        let body: Vec<u8> = parts.into_values().flat_map(|(body, _)| body).collect();
        // the body has the bytes of its parts
        self.bytes -= body.len();
        Some(DeadLetter { headers, body: body.into(), part_count, missing })
    }
}

impl Incomplete {
    /// Whether a record is a part of this dead letter.
    fn is_of(&self, headers: &DlqHeaders) -> bool {
        let part_count = headers.part.map(|part| part.count);
        self.headers.id == headers.id && Some(self.part_count) == part_count
    }
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
