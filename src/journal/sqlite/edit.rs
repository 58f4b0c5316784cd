//! Edits of many records, one short transaction after the other.

use std::ops::ControlFlow::{Break, Continue};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, OptionalExtension, Result, ToSql, TransactionBehavior, params};

use super::super::RecordFilter;
use super::super::counts::Matching;
use super::super::record::{Lane, Record, millis, push_id, time};
use super::super::record_edit::{EditBatch, EditPlan, EditScope, IdDelta, LaneDelta, RecordEdit};
use super::damage;
use super::queries::of;
use super::rows::{COLUMNS, bits, record, replace};
use crate::message::{Broker, Brokers, Message};

/// The most records of one transaction, and the bytes of their bodies: other writes wait meanwhile.
const MAX_RECORDS: usize = 500;
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The most records it examines for them.
const MAX_EXAMINED: i64 = 20_000;
/// How long one transaction takes at most, but for what one record takes.
const MAX_TIME: Duration = Duration::from_millis(100);

/// The first records after one number, up to and including another one, that match, in order.
pub(super) fn matching(db: &Connection, filter: &RecordFilter, after: i64, until: i64) -> Result<Matching> {
    let (after, until) = match filter.seq {
        Some(seq) => (after.max(seq.saturating_sub(1)), until.min(seq)),
        None => (after, until),
    };
    let last = first_after(db, after, until)?.map_or(until, |first| until.min(first.saturating_add(MAX_EXAMINED)));
    let sql = format!(
        "SELECT {COLUMNS} FROM record WHERE seq BETWEEN ?1 AND ?2 AND (?3 = 0 OR owed & ?3)
             AND (?4 IS NULL OR instance = ?4 OR ?7 AND instance IS NULL) AND (?5 IS NULL OR class = ?5)
             AND received >= ?6 ORDER BY seq"
    );
    let backlog = filter.broker.map_or(0, |broker| bits(Brokers::NONE.with(broker)));
    let since = i64::try_from(filter.since.unwrap_or(0)).unwrap_or(i64::MAX);
    let instance = filter.instance.map(u64::cast_signed);
    let parameters: &[&dyn ToSql] = &[&backlog, &instance, &filter.class, &since, &filter.or_no_instance];
    let (mut records, mut bytes, mut next) = (Vec::new(), 0, (last < until).then_some(last));
    let mut unreadable = damage::visit(db, &sql, (after.saturating_add(1), last), parameters, |row| {
        let record = record(row)?;
        let seq = record.seq;
        bytes += record.message.body.len();
        records.push(record);
        if records.len() < MAX_RECORDS && bytes < MAX_BYTES {
            return Ok(Continue(()));
        }
        next = Some(seq);
        Ok(Break(()))
    })?;
    let range = after.saturating_add(1)..=next.unwrap_or(until);
    unreadable.extend(damage::unreadable(db)?.into_iter().filter(|seq| range.contains(seq)));
    Ok(Matching { records, unreadable, next })
}

/// The first number after one, up to and including another one.
fn first_after(db: &Connection, after: i64, until: i64) -> Result<Option<i64>> {
    let sql = "SELECT seq FROM record WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq";
    let mut first = None;
    let unreadable = damage::visit(db, sql, (after.saturating_add(1), until), &[], |row| {
        first = Some(row.get(0)?);
        Ok(Break(()))
    })?;
    Ok(unreadable.first().copied().or(first))
}

/// Applies a plan to the first records of a scope. On an error nothing was done.
pub(in crate::journal) fn edit_batch<R: Ord>(
    db: &mut Connection,
    scope: &EditScope,
    plan: &EditPlan<R>,
) -> Result<EditBatch<R>> {
    let begun = Instant::now();
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Matching { records, unreadable, next } = matching(&transaction, &scope.filter, scope.after, scope.until)?;
    let known = damage::unreadable(&transaction)?;
    if unreadable.iter().any(|seq| !known.contains(seq)) {
        return Err(damage::damage_met());
    }
    let mut batch =
        EditBatch { counts: Default::default(), unreadable: 0, lanes: Default::default(), ids: Vec::new(), next };
    for record in records {
        let (result, edit) = plan(&record);
        *batch.counts.entry(result).or_default() += 1;
        batch.apply(&transaction, scope, &record, edit)?;
        if begun.elapsed() > MAX_TIME {
            batch.next = Some(record.seq);
            break;
        }
    }
    let through = batch.next.unwrap_or(i64::MAX);
    for seq in unreadable.into_iter().filter(|seq| *seq <= through) {
        batch.unreadable += 1;
        if scope.delete_unreadable {
            transaction.execute("DELETE FROM unreadable WHERE seq = ?1", [seq])?;
        }
    }
    remember(&transaction, &batch.ids)?;
    transaction.commit()?;
    Ok(batch)
}

impl<R> EditBatch<R> {
    fn apply(&mut self, db: &Connection, scope: &EditScope, record: &Record, edit: RecordEdit) -> Result<()> {
        let (seq, received) = (record.seq, record.message.event.recorded);
        let unacked = |backlog: Brokers| -> Brokers {
            backlog.each().filter(|broker| !scope.acked[*broker].contains(&seq)).collect()
        };
        if matches!(edit, RecordEdit::Keep) {
            return Ok(());
        }
        for broker in unacked(record.backlog).each() {
            self.lane(&record.message, broker, received).records -= 1;
        }
        let before = dedup_brokers(record.backlog, unacked(record.backlog));
        let mut after = Brokers::NONE;
        match edit {
            RecordEdit::Keep => {}
            RecordEdit::Delete => {
                db.prepare_cached("DELETE FROM record WHERE seq = ?1")?.execute([seq])?;
            }
            RecordEdit::Replace { message, backlog, maybe_stored } => {
                after = dedup_brokers(backlog, unacked(backlog));
                replace(db, seq, &message, backlog, maybe_stored)?;
                for broker in unacked(backlog).each() {
                    let lane = self.lane(&message, broker, received);
                    lane.records += 1;
                    lane.last = seq;
                }
            }
        }
        let (removed, added) = (before.without(after), after.without(before));
        if received >= scope.dedup_since && !(removed.is_empty() && added.is_empty()) {
            self.ids.push(IdDelta { id: record.message.event.id, removed, added });
        }
        Ok(())
    }

    fn lane(&mut self, message: &Message, broker: Broker, since: SystemTime) -> &mut LaneDelta {
        let lane = self.lanes[broker].entry(Lane::of(message, broker));
        lane.or_insert(LaneDelta { records: 0, last: 0, since })
    }
}

/// The brokers the dedup window counts as having a record that is in the backlog of `backlog`, of which only `unacked`
/// have not acked it.
fn dedup_brokers(backlog: Brokers, unacked: Brokers) -> Brokers {
    if backlog.is_empty() { Brokers::JOURNAL } else { unacked }
}

fn remember(db: &Connection, changed: &[IdDelta]) -> Result<()> {
    let mut ids = Vec::new();
    for IdDelta { id, removed, added } in changed {
        push_id(&mut ids, *id, removed.and(Brokers::REMOVED));
        if !added.is_empty() {
            push_id(&mut ids, *id, *added);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    db.execute("INSERT INTO seen (at, ids) VALUES (?1, ?2)", params![millis(SystemTime::now()), ids]).map(|_| ())
}

/// When the first record in the backlog of each of these lanes was received. A lane without a backlog is left out.
pub(in crate::journal) fn oldest_of(
    db: &Connection,
    broker: Broker,
    lanes: &[Lane],
) -> Result<Vec<(Lane, SystemTime)>> {
    let (column, bit) = of(broker);
    let select = format!("SELECT received FROM record WHERE {bit} AND {column} = ?1 ORDER BY seq LIMIT 1");
    let mut select = db.prepare_cached(&select)?;
    let mut oldest = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let received: Option<i64> = select.query_row([lane.0], |row| row.get(0)).optional()?;
        oldest.extend(received.map(|received| (*lane, time(received))));
    }
    Ok(oldest)
}

/// Writes the whole database again, unless its content has more than this many bytes: pages that records were moved
/// out of keep pieces of them until something overwrites them. Whether it did so.
pub(in crate::journal) fn rewrite(db: &Connection, max_bytes: u64) -> Result<bool> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
    if pages * number("page_size")? > max_bytes {
        return Ok(false);
    }
    // beside the database, not in the folder for temporary files: VACUUM copies every record
    let folder = db.path().and_then(|path| Path::new(path).parent()).map(|folder| folder.display().to_string());
    db.pragma_update(None, "temp_store_directory", folder.unwrap_or_default())?;
    db.execute_batch("VACUUM").map(|()| true)
}

/// Checkpoints the WAL and truncates it, so that it contains nothing of what was deleted. Whether it did
/// so: a reader prevents it for as long as it reads.
pub(in crate::journal) fn truncate_wal(db: &Connection) -> Result<bool> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}
