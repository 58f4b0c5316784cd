//! Finds rows on sound leaf pages below a damaged interior page. SQLite cannot reach them from the root of their table, so
//! this reads a copy of the database page by page. The format: <https://www.sqlite.org/fileformat2.html>.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Result};

/// The name of the copy, beside the database, for as long as it is searched.
const COPY: &str = "journal.db-search";

/// The type of a page with rows of a table.
const TABLE_LEAF: u8 = 0x0d;

/// What comes before the first page's own header.
const FILE_HEADER: usize = 100;

/// A copy of the database, page by page, with what is in the WAL. Removed when this is dropped.
pub(super) struct DatabaseCopy {
    path: PathBuf,
    file: File,
    page_size: usize,
}

impl DatabaseCopy {
    /// Copies the database beside itself. The copy is a file of its own: to open and close the database itself would release
    /// the locks of this process.
    ///
    /// # Errors
    /// What SQLite reports, for example a page that the disk does not read.
    pub(super) fn of(db: &Connection) -> Result<Self> {
        let path = PathBuf::from(db.path().unwrap_or_default()).with_file_name(COPY);
        let unusable = |_| rusqlite::Error::InvalidPath(path.clone());
        let _ = std::fs::remove_file(&path);
        let file = super::directory::private(&path).map_err(unusable)?;
        let page_size: i64 = db.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let copy = Self { path: path.clone(), file, page_size: usize::try_from(page_size).unwrap_or(4096) };
        let mut target = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let backup = Backup::new(db, &mut target)?;
        match backup.step(-1)? {
            StepResult::Done => Ok(copy),
            _ => Err(super::damage::damage_met()),
        }
    }

    /// Visits every row with one of these numbers, of tables with as many columns as a record has.
    ///
    /// # Errors
    /// Those of `visit`, and of reading the copy.
    pub(super) fn visit_rows(
        &self,
        seqs: &BTreeSet<i64>,
        mut visit: impl FnMut(i64, Vec<Value>) -> Result<()>,
    ) -> Result<()> {
        let bytes = self.file.metadata().map_or(0, |file| file.len());
        let pages = bytes / self.page_size as u64;
        for number in 1..=pages {
            let Some(page) = self.page(number) else { continue };
            let start = if number == 1 { FILE_HEADER } else { 0 };
            if page.get(start) != Some(&TABLE_LEAF) {
                continue;
            }
            for cell in cells(&page, start) {
                if let Some((seq, values)) = self.row(&page, cell, seqs) {
                    visit(seq, values)?;
                }
            }
        }
        Ok(())
    }

    fn page(&self, number: u64) -> Option<Vec<u8>> {
        let mut page = vec![0; self.page_size];
        let at = number.checked_sub(1)? * self.page_size as u64;
        self.file.read_exact_at(&mut page, at).ok().map(|()| page)
    }

    /// The row of a cell, if it is one of those that are looked for. `None` also means that the cell is no sound row.
    fn row(&self, page: &[u8], at: usize, seqs: &BTreeSet<i64>) -> Option<(i64, Vec<Value>)> {
        let mut cell = page.get(at..)?;
        let length = usize::try_from(varint(&mut cell)?).ok()?;
        let seq = varint(&mut cell)?;
        if !seqs.contains(&seq) {
            return None;
        }
        let payload = self.payload(cell, length)?;
        Some((seq, values(&payload)?))
    }

    /// The bytes of a row: those in its cell, and those on its overflow pages.
    fn payload(&self, cell: &[u8], length: usize) -> Option<Vec<u8>> {
        let most = self.page_size - 35;
        if length <= most {
            return cell.get(..length).map(<[u8]>::to_vec);
        }
        let least = (self.page_size - 12) * 32 / 255 - 23;
        let wanted = least + (length - least) % (self.page_size - 4);
        let local = if wanted <= most { wanted } else { least };
        let mut payload = cell.get(..local)?.to_vec();
        let mut next = big_endian(cell.get(local..local + 4)?);
        while payload.len() < length {
            let page = self.page(next)?;
            next = big_endian(&page[..4]);
            let here = (length - payload.len()).min(self.page_size - 4);
            payload.extend_from_slice(&page[4..4 + here]);
        }
        Some(payload)
    }
}

impl Drop for DatabaseCopy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where the cells of a page begin.
fn cells(page: &[u8], start: usize) -> Vec<usize> {
    let number = |at: usize| page.get(at..at + 2).map_or(0, big_endian);
    let count = number(start + 3);
    (0..count).filter_map(|index| usize::try_from(number(start + 8 + 2 * usize::try_from(index).ok()?)).ok()).collect()
}

/// The values of a row. `None` means that the bytes are no row.
fn values(payload: &[u8]) -> Option<Vec<Value>> {
    let mut header = payload;
    let header_length = usize::try_from(varint(&mut header)?).ok()?;
    let first = payload.len() - header.len();
    let mut types = payload.get(first..header_length)?;
    let mut body = payload.get(header_length..)?;
    let mut values = Vec::new();
    while !types.is_empty() {
        let kind = varint(&mut types)?;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            12.. => usize::try_from((kind - 12) / 2).ok()?,
            _ => return None,
        };
        let (bytes, rest) = body.split_at_checked(length)?;
        body = rest;
        values.push(match kind {
            0 => Value::Null,
            8 | 9 => Value::Integer(kind - 8),
            1..=6 => Value::Integer(signed(bytes)),
            7 => Value::Real(f64::from_bits(big_endian(bytes))),
            text if text % 2 == 1 => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
            _ => Value::Blob(bytes.to_vec()),
        });
    }
    Some(values)
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn signed(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * u32::try_from(bytes.len()).unwrap_or(8);
    (big_endian(bytes) << unused).cast_signed() >> unused
}

/// Reads a SQLite varint, and advances `bytes` past it.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut number: u64 = 0;
    for index in 0..9 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        if index == 8 {
            return Some((number << 8 | u64::from(*first)).cast_signed());
        }
        number = number << 7 | u64::from(first & 0x7f);
        if first & 0x80 == 0 {
            break;
        }
    }
    Some(number.cast_signed())
}
