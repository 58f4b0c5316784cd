//! Bodies put together from their parts.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::Head;
use crate::message::Id;

/// How many bytes of parts are held at most, while others are to come. The parts of a letter are stored one after the
/// other, so they lie near each other.
const HELD: usize = 64 * 1024 * 1024;

/// How many letters are held at most.
const LETTERS: usize = 1024;

/// A dead letter, with all of its body or what there is of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// What it says of itself; of one in parts what the first that was read says, with the size of all that are there.
    pub head: Head,
    /// Its body, as far as bodies are read.
    pub body: Bytes,
    /// In how many parts it was cut; 1 if it was not.
    pub count: usize,
    /// The parts that are not there, or that came too far apart to be held.
    pub missing: Vec<usize>,
}

impl Whole {
    /// Whether it has all its bytes, and they are those it was named after; else what is wrong.
    ///
    /// # Errors
    /// Which parts are missing.
    pub fn complete(&self) -> Result<(), String> {
        if !self.missing.is_empty() {
            return Err(format!(
                "{} of {} parts are not there: {}",
                self.missing.len(),
                self.count,
                some(&self.missing)
            ));
        }
        if Id::of(&self.body) != self.head.id {
            return Err("its bytes are not those that its id was made of".into());
        }
        Ok(())
    }
}

/// The first of many.
fn some(parts: &[usize]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<_> = parts.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if parts.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Letters of which parts are still to come, the oldest first.
#[derive(Debug)]
pub struct Parts {
    held: VecDeque<Set>,
    bytes: usize,
    most: usize,
}

#[derive(Debug)]
struct Set {
    head: Head,
    count: usize,
    parts: BTreeMap<usize, (Bytes, usize)>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { held: VecDeque::new(), bytes: 0, most: HELD }
    }
}

impl Parts {
    /// Takes one record; gives out what is whole with it, and what there is no room for any more.
    pub fn add(&mut self, head: Head, body: Bytes) -> Vec<Whole> {
        let Some(part) = head.part else {
            return vec![Whole { head, body, count: 1, missing: Vec::new() }];
        };
        let same = |set: &Set| (set.head.id, set.count) == (head.id, part.count);
        let place = self.held.iter().position(same).unwrap_or(self.held.len());
        if place == self.held.len() {
            self.held.push_back(Set { head: head.clone(), count: part.count, parts: BTreeMap::new() });
        }
        let Some(set) = self.held.get_mut(place) else { return Vec::new() };
        self.bytes += body.len();
        if let Some((before, _)) = set.parts.insert(part.number, (body, head.size)) {
            self.bytes -= before.len();
        }
        let mut out = Vec::new();
        if set.parts.len() == set.count {
            out.extend(self.give_out(place));
        }
        // the one that grows is not given up for itself
        while self.held.len() > LETTERS || self.bytes > self.most && self.held.len() > 1 {
            let oldest = usize::from(self.held.front().is_some_and(|set| same_letter(set, &head)));
            out.extend(self.give_out(oldest));
        }
        out
    }

    /// What is left when all was read.
    pub fn rest(&mut self) -> Vec<Whole> {
        std::iter::from_fn(|| self.give_out(0)).collect()
    }

    fn give_out(&mut self, place: usize) -> Option<Whole> {
        let Set { mut head, count, parts } = self.held.remove(place)?;
        // a count is only what a header says: nothing is made as large as that
        const NAMED: usize = 10_000;
        let missing = (1..=count).filter(|number| !parts.contains_key(number)).take(NAMED).collect();
        head.size = parts.values().map(|(_, size)| size).sum();
        let body: Vec<u8> = parts.into_values().flat_map(|(body, _)| body).collect();
        // parts hold as much as the body that was made of them
        self.bytes -= body.len();
        Some(Whole { head, body: body.into(), count, missing })
    }
}

fn same_letter(set: &Set, head: &Head) -> bool {
    set.head.id == head.id && head.part.is_some_and(|part| part.count == set.count)
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
