//! The letters of a source, one after the other, each whole if it can be.

use std::collections::VecDeque;

use super::{Parts, Record, Selection, Source, Whole, read};

/// Reads those that are meant, the oldest first.
pub struct Reading<'s> {
    source: &'s mut Source,
    selection: &'s Selection,
    parts: Parts,
    /// Those that are whole, or given up, and not given out yet.
    out: VecDeque<Whole>,
    over: bool,
    /// How many records there are, at most.
    pub all: u64,
    /// How many of them were read.
    pub done: u64,
    /// How many of them are not of the bridge's making.
    pub foreign: u64,
}

impl<'s> Reading<'s> {
    /// Begins with the oldest; ends with the last there is now.
    ///
    /// # Errors
    /// What is wrong with the source, and the remedy.
    pub async fn begin(source: &'s mut Source, selection: &'s Selection, bodies: bool) -> Result<Self, String> {
        let all = source.begin(bodies).await?;
        let (parts, out) = (Parts::default(), VecDeque::new());
        Ok(Self { source, selection, parts, out, over: false, all, done: 0, foreign: 0 })
    }

    /// The next letter; none after the last. `each` is told of every record how many there were, and how many there
    /// are in all.
    ///
    /// # Errors
    /// What is wrong with the source, and the remedy.
    pub async fn next(&mut self, mut each: impl FnMut(u64, u64)) -> Result<Option<Whole>, String> {
        while self.out.is_empty() && !self.over {
            let Some(letter) = self.source.next().await? else {
                self.over = true;
                self.out.extend(self.parts.rest());
                break;
            };
            self.done += 1;
            each(self.done, self.all);
            match read(letter) {
                Record::Letter(head, body) if self.selection.has(&head) => self.out.extend(self.parts.add(*head, body)),
                Record::Letter(..) | Record::Note(..) => {}
                Record::Foreign => self.foreign += 1,
            }
        }
        Ok(self.out.pop_front())
    }
}
