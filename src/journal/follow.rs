//! Following a journal: its records in the order of their arrival, from a position that the reader names, page by page.
//!
//! A follower reads a page only after the one before is handed out, and has no transaction open meanwhile: a slow reader
//! costs one page of memory, and delays nothing.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::{EventFilter, JournalReader, PageLimit, ReadError, Record};

/// One page.
const PAGE: PageLimit = PageLimit { records: 500, bytes: 256 * 1024 };

/// Where a follower begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FollowFrom {
    /// At the oldest record: a reader that names no position is to miss nothing.
    #[default]
    Oldest,
    /// After this position: `<journal>-<seq>`, or the sequence number alone; 0 is before all.
    After(String),
    /// At the first record received at this time or later.
    Since(SystemTime),
    /// At this many records before the end.
    Last(usize),
}

/// Why a position is not known. The follower begins at the oldest record instead, and the reader may miss some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionLost {
    /// It is of another journal, or beyond the end of this one.
    Unknown,
    /// Its record was deleted, and later ones may have been.
    Trimmed,
}

impl PositionLost {
    /// The label in events and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Trimmed => "trimmed",
        }
    }
}

/// Follows a journal.
pub struct Follower {
    name: String,
    reader: JournalReader,
    filter: EventFilter,
    after: i64,
    page: VecDeque<Record>,
}

impl Follower {
    /// Starts at this position. If it is lost, starts at the oldest record and says so. `end` is the last sequence number ever
    /// used; `None` means that the caller does not know it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn begin(
        reader: JournalReader,
        filter: EventFilter,
        start: &FollowFrom,
        end: Option<i64>,
    ) -> Result<(Self, Option<PositionLost>), ReadError> {
        let name = reader.name().await?;
        let mut follower = Self { name, reader, filter, after: 0, page: VecDeque::new() };
        let lost = match start {
            FollowFrom::Oldest => None,
            FollowFrom::After(position) => follower.seek(position, end).await?,
            FollowFrom::Since(at) => {
                follower.after = follower.reader.before(*at).await?;
                None
            }
            FollowFrom::Last(wanted) => {
                follower.after = follower.before_last(*wanted).await?;
                None
            }
        };
        Ok((follower, lost))
    }

    /// The name of the journal.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sequence number of the last record examined; before the first one, the number it began after.
    pub fn position(&self) -> i64 {
        self.after
    }

    /// The next record. `None` means there is none yet.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn next(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if let Some(record) = self.page.pop_front() {
                return Ok(Some(record));
            }
            let page = self.reader.page(&self.filter, self.after, PAGE).await?;
            self.after = page.through;
            self.page = page.records.into();
            if self.page.is_empty() && page.at_end {
                return Ok(None);
            }
        }
    }

    /// Goes to a position where a reader was before.
    async fn seek(&mut self, position: &str, end: Option<i64>) -> Result<Option<PositionLost>, ReadError> {
        let Some(seq) = parse_position(&self.name, position) else { return Ok(Some(PositionLost::Unknown)) };
        // after the last record nothing can have been deleted
        if seq == 0 || end == Some(seq) {
            self.after = seq;
            return Ok(None);
        }
        let resume = self.reader.resume(seq).await?;
        if resume.is_complete {
            self.after = seq;
            return Ok(None);
        }
        let last = end.or(resume.range.map(|range| range.last)).unwrap_or(0);
        Ok(Some(if seq > last { PositionLost::Unknown } else { PositionLost::Trimmed }))
    }

    /// The sequence number before the last records, as many as are wanted.
    async fn before_last(&self, wanted: usize) -> Result<i64, ReadError> {
        let (mut before, mut wanted) = (i64::MAX, wanted);
        if wanted == 0 {
            return Ok(self.reader.range().await?.map_or(0, |range| range.last));
        }
        loop {
            let back = self.reader.backwards(&self.filter, before, wanted, PAGE.records).await?;
            wanted -= back.found;
            if wanted == 0 {
                return Ok(back.after);
            }
            if back.at_end {
                return Ok(0);
            }
            before = back.after + 1;
        }
    }
}

/// The sequence number in `<journal>-<seq>`, if it is of this journal, or in a number alone.
pub fn parse_position(journal: &str, position: &str) -> Option<i64> {
    let seq = match position.rsplit_once('-') {
        Some((of, seq)) => Some(seq).filter(|_| of == journal)?,
        None => position,
    };
    is_digits(seq).then(|| seq.parse().ok()).flatten()
}

/// Whether this has the form of a position in any journal.
pub fn is_position(text: &str) -> bool {
    let (of, seq) = text.rsplit_once('-').unwrap_or(("0", text));
    !of.is_empty() && of.bytes().all(|byte| byte.is_ascii_alphanumeric()) && is_digits(seq)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{is_position, parse_position};

    #[test]
    fn a_position_is_a_number_of_this_journal() {
        assert_eq!(parse_position("ab12", "ab12-7"), Some(7));
        assert_eq!(parse_position("ab12", "7"), Some(7));
        for other in ["ab13-7", "-7", "ab12-", "ab12--7", "ab12-+7", "", "x", "ab12-99999999999999999999"] {
            assert_eq!(parse_position("ab12", other), None, "{other}");
        }
        // of another journal, or further on than any: well-formed, though not known
        assert!(["7", "ab12-7", "ab13-7", "99999999999999999999"].iter().all(|position| is_position(position)));
        assert!(["", "x", "-7", "ab12-", "ab12--7", "ab12-+7", "a b-7"].iter().all(|other| !is_position(other)));
    }
}
