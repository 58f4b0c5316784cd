//! The dead letters of a source, one after the other, each put together from its parts.

use std::collections::VecDeque;

use super::{Bodies, DeadLetter, DeadLetterFilter, ParsedRecord, PartAssembler, Source, parse_record};

/// Reads the dead letters that match a filter, the oldest first.
pub struct DeadLetterReader<'s> {
    source: &'s mut Source,
    filter: &'s DeadLetterFilter,
    parts: PartAssembler,
    /// Those that are assembled, or given up, and not returned yet.
    ready: VecDeque<DeadLetter>,
    at_end: bool,
    /// How many records there are, at most.
    pub total: u64,
    /// How many of them were read.
    pub read: u64,
    /// How many of them the bridge did not write.
    pub foreign: u64,
}

impl<'s> DeadLetterReader<'s> {
    /// Begins with the oldest; ends with the last there is now.
    ///
    /// # Errors
    /// What is wrong with the source, and what to do.
    pub async fn begin(source: &'s mut Source, filter: &'s DeadLetterFilter, bodies: Bodies) -> Result<Self, String> {
        let total = source.begin(bodies).await?;
        let (parts, ready) = (PartAssembler::default(), VecDeque::new());
        Ok(Self { source, filter, parts, ready, at_end: false, total, read: 0, foreign: 0 })
    }

    /// The next dead letter. `None` means that all were read. Calls `progress` for each record with the records read and
    /// those there are.
    ///
    /// # Errors
    /// What is wrong with the source, and what to do.
    pub async fn next(&mut self, mut progress: impl FnMut(u64, u64)) -> Result<Option<DeadLetter>, String> {
        while self.ready.is_empty() && !self.at_end {
            let Some(record) = self.source.next().await? else {
                self.at_end = true;
                self.ready.extend(self.parts.take_rest());
                break;
            };
            self.read += 1;
            progress(self.read, self.total);
            match parse_record(record) {
                ParsedRecord::DeadLetter(headers, body) if self.filter.matches(&headers) => {
                    self.ready.extend(self.parts.add(*headers, body));
                }
                ParsedRecord::DeadLetter(..) | ParsedRecord::ReplayMarker { .. } => {}
                ParsedRecord::Foreign => self.foreign += 1,
            }
        }
        Ok(self.ready.pop_front())
    }
}
