//! Following a journal: what is in it in the order it came, from a place that was asked for, a page at a time.
//!
//! Nothing is read ahead of the page whose records are handed out, and no transaction is open meanwhile: whoever reads
//! slowly costs one page of memory, and holds up nobody.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::Record;
use super::store::queries::{self, Filter};
use super::store::{ReadError, Reader, find};

/// The most records one page looks at, and the most bytes of bodies it holds, but for its last one.
const PAGE: (usize, usize) = (500, 256 * 1024);

/// Where to begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest there is. Whoever names no place wants to lose nothing.
    #[default]
    Oldest,
    /// Behind this one: `<journal>-<seq>`, or its number alone; 0 is before all.
    After(String),
    /// At the first that came then or later.
    Since(SystemTime),
    /// With so many that are there already.
    Last(usize),
}

/// Why a place is not known, so that something may be missing: it begins with the oldest there is instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Of another journal, of no journal, or further on than this one is.
    Unknown,
    /// It was deleted, and what came behind it may have been.
    Trimmed,
}

impl Lost {
    /// A word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Trimmed => "trimmed",
        }
    }
}

/// Goes through a journal.
pub struct Follower {
    name: String,
    reader: Reader,
    filter: Filter,
    after: i64,
    page: VecDeque<Record>,
}

impl Follower {
    /// Begins at a place, and says so where it is not known. `end` is the number of the last record there ever was, for
    /// whoever knows.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn begin(
        reader: Reader,
        filter: Filter,
        start: &Start,
        end: Option<i64>,
    ) -> Result<(Self, Option<Lost>), ReadError> {
        let name = reader.read(find::name).await?;
        let mut follower = Self { name, reader, filter, after: 0, page: VecDeque::new() };
        let lost = match start {
            Start::Oldest => None,
            Start::After(place) => follower.after(place, end).await?,
            Start::Since(at) => {
                let at = *at;
                follower.after = follower.reader.read(move |db| find::since(db, at)).await?;
                None
            }
            Start::Last(wanted) => {
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

    /// The last number that was looked at; before the first record, the place it began at.
    pub fn looked_at(&self) -> i64 {
        self.after
    }

    /// The next record; none where there is none yet.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn next(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if let Some(record) = self.page.pop_front() {
                return Ok(Some(record));
            }
            let (filter, after) = (self.filter.clone(), self.after);
            let page = self.reader.read(move |db| queries::page(db, &filter, after, PAGE.0, PAGE.1)).await?;
            self.after = page.last;
            self.page = page.records.into();
            if self.page.is_empty() && page.end {
                return Ok(None);
            }
        }
    }

    /// Goes to a place that a reader was at.
    async fn after(&mut self, place: &str, end: Option<i64>) -> Result<Option<Lost>, ReadError> {
        let Some(seq) = number(&self.name, place) else { return Ok(Some(Lost::Unknown)) };
        // nothing can have been deleted behind the last one
        if seq == 0 || end == Some(seq) {
            self.after = seq;
            return Ok(None);
        }
        // with either of the two all that came later is there, if nothing later was deleted for its age: what stands there
        // may be a dead letter, which is kept for another time
        let known = move |db: &_| {
            let there = find::is_there(db, seq)? || find::is_there(db, seq + 1)?;
            Ok((there && find::trimmed(db)? <= seq, queries::ends(db)?))
        };
        let (there, last) = self.reader.read(known).await?;
        if there {
            self.after = seq;
            return Ok(None);
        }
        let last = end.or(last.map(|(_, last)| last)).unwrap_or(0);
        Ok(Some(if seq > last { Lost::Unknown } else { Lost::Trimmed }))
    }

    /// The place before the last so many.
    async fn before_last(&self, wanted: usize) -> Result<i64, ReadError> {
        let (mut before, mut wanted) = (i64::MAX, wanted);
        if wanted == 0 {
            let ends = self.reader.read(queries::ends).await?;
            return Ok(ends.map_or(0, |(_, last)| last));
        }
        loop {
            let filter = self.filter.clone();
            let back = self.reader.read(move |db| find::back(db, &filter, before, wanted, PAGE.0)).await?;
            wanted -= back.found;
            if wanted == 0 {
                return Ok(back.after);
            }
            if back.end {
                return Ok(0);
            }
            before = back.after + 1;
        }
    }
}

/// The number in `<journal>-<seq>`, if it is of this journal, or in a number alone.
pub fn number(name: &str, place: &str) -> Option<i64> {
    let seq = match place.rsplit_once('-') {
        Some((of, seq)) => Some(seq).filter(|_| of == name)?,
        None => place,
    };
    is_digits(seq).then(|| seq.parse().ok()).flatten()
}

/// Whether this has the form of a place, of whichever journal.
pub fn is_place(text: &str) -> bool {
    let (of, seq) = text.rsplit_once('-').unwrap_or(("0", text));
    !of.is_empty() && of.bytes().all(|byte| byte.is_ascii_alphanumeric()) && is_digits(seq)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{is_place, number};

    #[test]
    fn a_place_is_a_number_of_this_journal() {
        assert_eq!(number("ab12", "ab12-7"), Some(7));
        assert_eq!(number("ab12", "7"), Some(7));
        for other in ["ab13-7", "-7", "ab12-", "ab12--7", "ab12-+7", "", "x", "ab12-99999999999999999999"] {
            assert_eq!(number("ab12", other), None, "{other}");
        }
        // of another journal, or further on than any: well-formed, though not known
        assert!(["7", "ab12-7", "ab13-7", "99999999999999999999"].iter().all(|place| is_place(place)));
        assert!(["", "x", "-7", "ab12-", "ab12--7", "ab12-+7", "a b-7"].iter().all(|other| !is_place(other)));
    }
}
