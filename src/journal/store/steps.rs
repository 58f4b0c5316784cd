//! Looking at many records, and changing them, one short transaction after the other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, OptionalExtension, Result, TransactionBehavior, params};

use super::super::record::{Columns, Lane, Record, millis, seen_as, time};
use super::super::{Choice, Fate, Moved};
use super::queries::{COLUMNS, of, record};
use super::rows::bits;
use crate::message::{Broker, Brokers, Id, Message};

/// The most records of one step, and their bytes: others wait meanwhile.
const AT_ONCE: usize = 500;
const BYTES: usize = 4 * 1024 * 1024;
/// The most that are looked at for them.
const LOOKED_AT: i64 = 20_000;
/// How long others wait for one step at most, but for what one record takes.
const AT_MOST: Duration = Duration::from_millis(100);

/// Some of the chosen records, and after which number to go on; none: there are no more.
pub type Chosen = (Vec<Record>, Option<i64>);

/// The first chosen records after a number, up to another one, in order.
///
/// # Errors
/// What SQLite says.
pub fn chosen(db: &Connection, choice: &Choice, after: i64, until: i64) -> Result<Chosen> {
    let first: Option<i64> =
        db.query_row("SELECT min(seq) FROM record WHERE seq > ?1 AND seq <= ?2", [after, until], |row| row.get(0))?;
    let Some(first) = first else { return Ok((Vec::new(), None)) };
    let last = until.min(first.saturating_add(LOOKED_AT));
    let select = format!(
        "SELECT {COLUMNS} FROM record WHERE seq BETWEEN ?1 AND ?2 AND (?3 = 0 OR owed & ?3)
             AND (?4 IS NULL OR instance = ?4 OR ?7 AND instance IS NULL) AND (?5 IS NULL OR class = ?5)
             AND received >= ?6 ORDER BY seq"
    );
    let owed = choice.owed.map_or(0, |broker| bits(Brokers::NONE.with(broker)));
    let since = i64::try_from(choice.since.unwrap_or(0)).unwrap_or(i64::MAX);
    let mut select = db.prepare_cached(&select)?;
    let instance = choice.instance.map(u64::cast_signed);
    let mut rows = select.query(params![first, last, owed, instance, choice.class, since, choice.unknown])?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let record = record(row)?;
        let seq = record.seq;
        bytes += record.message.body.len();
        records.push(record);
        if records.len() >= AT_ONCE || bytes >= BYTES {
            return Ok((records, Some(seq)));
        }
    }
    Ok((records, (last < until).then_some(last)))
}

/// What one step did.
#[derive(Debug, Default)]
pub struct Step {
    /// How many records became what, by the names [`Fate`]s were given.
    pub counts: BTreeMap<&'static str, u64>,
    /// What became of lanes, at each broker.
    pub moved: [HashMap<Lane, Moved>; Broker::ALL.len()],
    /// Who has or is owed what no longer, and who now.
    pub ids: Vec<(Id, Brokers, Brokers)>,
    /// After which number to go on; none: it was the last.
    pub next: Option<i64>,
}

/// Does to the first chosen records after a number, up to another one, what `fate` says. What a broker has `taken`, it
/// is not owed, though the table may still say so. What came since then may be remembered as seen, which changes with it.
///
/// # Errors
/// What SQLite says; then nothing was done.
pub fn step(
    db: &mut Connection,
    choice: &Choice,
    [after, until]: [i64; 2],
    (taken, young): (&[HashSet<i64>; Broker::ALL.len()], SystemTime),
    fate: &dyn Fn(&Record) -> (&'static str, Fate),
) -> Result<Step> {
    let begun = Instant::now();
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (records, next) = chosen(&transaction, choice, after, until)?;
    let mut step = Step { next, ..Step::default() };
    for record in records {
        let (name, fate) = fate(&record);
        *step.counts.entry(name).or_default() += 1;
        let (seq, received) = (record.seq, record.message.event.recorded);
        let still = |owed: Brokers| -> Brokers {
            owed.each().filter(|broker| !taken[*broker as usize].contains(&seq)).collect()
        };
        if !matches!(fate, Fate::Stays) {
            for broker in still(record.owed).each() {
                step.lane(&record.message, broker, received).records -= 1;
            }
        }
        let (id, before) = (record.message.event.id, whose(still(record.owed), record.owed));
        match fate {
            Fate::Stays => {}
            Fate::Goes => {
                transaction.prepare_cached("DELETE FROM record WHERE seq = ?1")?.execute([seq])?;
                step.moved_from(id, before, Brokers::NONE, received >= young);
            }
            Fate::Becomes { message, owed, unknown } => {
                step.moved_from(id, before, whose(still(owed), owed), received >= young);
                become_(&transaction, seq, &message, owed, unknown)?;
                for broker in still(owed).each() {
                    let moved = step.lane(&message, broker, received);
                    (moved.records, moved.last) = (moved.records + 1, seq);
                }
            }
        }
        if begun.elapsed() > AT_MOST {
            step.next = Some(seq);
            break;
        }
    }
    seen(&transaction, &step.ids)?;
    transaction.commit()?;
    Ok(step)
}

/// Whom a record stands for as seen, of which some are still owed it.
fn whose(still: Brokers, owed: Brokers) -> Brokers {
    if owed.is_empty() { Brokers::JOURNAL } else { still }
}

fn seen(db: &Connection, moved: &[(Id, Brokers, Brokers)]) -> Result<()> {
    let mut ids = Vec::new();
    for (id, from, to) in moved {
        seen_as(&mut ids, *id, from.and(Brokers::NO_LONGER));
        if !to.is_empty() {
            seen_as(&mut ids, *id, *to);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    db.execute("INSERT INTO seen (at, ids) VALUES (?1, ?2)", params![millis(SystemTime::now()), ids]).map(|_| ())
}

impl Step {
    fn moved_from(&mut self, id: Id, before: Brokers, after: Brokers, young: bool) {
        let (from, to) = (before.without(after), after.without(before));
        if young && !(from.is_empty() && to.is_empty()) {
            self.ids.push((id, from, to));
        }
    }

    fn lane(&mut self, message: &Message, broker: Broker, since: SystemTime) -> &mut Moved {
        let moved = self.moved[broker as usize].entry(Lane::of(message, broker));
        moved.or_insert(Moved { records: 0, last: 0, since })
    }
}

fn become_(db: &Connection, seq: i64, message: &Message, owed: Brokers, unknown: Brokers) -> Result<()> {
    let columns = Columns::of(message);
    let lane = |broker| owed.has(broker).then(|| Lane::of(message, broker).0);
    let mut update = db.prepare_cached(
        "UPDATE record SET owed = ?2, unknown = ?3, instance = ?4, class = ?5, reason = ?6, kafka = ?7, nats = ?8,
             rest = ?9 WHERE seq = ?1",
    )?;
    let lanes = Broker::ALL.map(lane);
    let Columns { instance, class, reason, rest, .. } = columns;
    update.execute(params![seq, bits(owed), bits(unknown), instance, class, reason, lanes[0], lanes[1], rest])?;
    Ok(())
}

/// When the first record of a lane came.
///
/// # Errors
/// What SQLite says.
pub fn since(db: &Connection, broker: Broker, lane: Lane) -> Result<Option<SystemTime>> {
    let (column, bit) = of(broker);
    let select = format!("SELECT received FROM record WHERE {bit} AND {column} = ?1 ORDER BY seq LIMIT 1");
    let received: Option<i64> = db.prepare_cached(&select)?.query_row([lane.0], |row| row.get(0)).optional()?;
    Ok(received.map(time))
}

/// Writes the whole database anew, unless what is in it has more than so many bytes: pages that records were moved out
/// of keep pieces of them where nothing overwrites them. Whether that was done.
///
/// # Errors
/// What SQLite says.
pub fn rewrite(db: &Connection, most: u64) -> Result<bool> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
    if pages * number("page_size")? > most {
        return Ok(false);
    }
    // beside the database, not where temporary files lie: all that stays is copied
    let folder = db.path().and_then(|path| Path::new(path).parent()).map(|folder| folder.display().to_string());
    db.pragma_update(None, "temp_store_directory", folder.unwrap_or_default())?;
    db.execute_batch("VACUUM").map(|()| true)
}

/// Brings the log into the database and cuts it off, so that nothing of what was deleted is left in it. Whether that
/// was done: a reader keeps it from being done for as long as it reads.
///
/// # Errors
/// What SQLite says.
pub fn empty_log(db: &Connection) -> Result<bool> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}
