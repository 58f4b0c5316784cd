//! The shortest program that keeps what many send in the journal's own tables: one writer takes all that wait, one
//! commit, one sync. No HTTP, no limits, nothing is forwarded. `bench-bare-journal CONFIG INSTANCES RATE SECONDS`

#[path = "messages.rs"]
mod messages;
#[path = "program.rs"]
mod program;
#[path = "senders.rs"]
mod senders;

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use greenapi_bridge::message::{Brokers, Id};
use messages::{Messages, owed};
use program::Failed;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

/// The most of one commit, as in the bridge.
const MOST: usize = 2048;

/// A notification that waits for its commit.
type Waiting = (u64, Bytes, oneshot::Sender<()>);

/// What the bridge writes beside a body.
struct Like {
    seq: i64,
    owed: u8,
    class: String,
    lanes: [Option<i64>; 2],
    rest: String,
    by: u8,
}

fn main() -> Result<(), Failed> {
    let runtime = program::runtime()?;
    let messages = Messages::new(&program::argument(1)?)?;
    let like = runtime.block_on(like(&messages))?;
    let folder = messages.config.journal.ok_or("the configuration has no [journal]")?.directory;
    let connection = opened(&folder)?;
    let (sender, waiting) = channel::<Waiting>();
    std::thread::spawn(move || write(&connection, like, &waiting));
    runtime.block_on(senders::send(move |instance, body| {
        let (done, kept) = oneshot::channel();
        // a writer that is gone ends the wait too
        let _ = sender.send((instance, body, done));
        async { Ok(kept.await?) }
    }))
}

/// Lets the bridge make its tables, and keep one message there.
async fn like(messages: &Messages) -> Result<Like, Failed> {
    let body = senders::bodies::of(1)?.remove(0).body();
    let message = messages.of(body)?;
    let (journal, owed) = (messages.journal()?, owed(&message));
    let seq = journal.append(message, owed, Brokers::NONE).await?;
    journal.close();
    let folder = &messages.config.journal.as_ref().ok_or("the configuration has no [journal]")?.directory;
    let select = "SELECT owed, class, kafka, nats, rest FROM record WHERE seq = ?1";
    let like = opened(folder)?.query_row(select, [seq], |row| {
        let (lanes, by) = ([row.get(2)?, row.get(3)?], owed.bits());
        Ok(Like { seq, owed: row.get(0)?, class: row.get(1)?, lanes, rest: row.get(4)?, by })
    })?;
    Ok(like)
}

/// With the settings of the bridge.
fn opened(folder: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(folder.join("journal.db"))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "wal_autocheckpoint", 1024)?;
    Ok(connection)
}

/// Ends when nobody sends any more, or when it cannot write.
fn write(connection: &Connection, mut like: Like, waiting: &Receiver<Waiting>) -> rusqlite::Result<()> {
    while let Ok(first) = waiting.recv() {
        let all: Vec<_> = std::iter::once(first).chain(waiting.try_iter().take(MOST - 1)).collect();
        commit(connection, &mut like, &all)?;
        for (.., done) in all {
            let _ = done.send(());
        }
    }
    Ok(())
}

fn commit(connection: &Connection, like: &mut Like, all: &[Waiting]) -> rusqlite::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    let mut ids = Vec::with_capacity(17 * all.len());
    let transaction = connection.unchecked_transaction()?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO record (seq, owed, unknown, id, received, instance, class, reason, kafka, nats, rest, body)
         VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, NULL, ?7, ?8, ?9, ?10)",
    )?;
    for (instance, body, _) in all {
        like.seq += 1;
        let (instance, id) = (*instance as i64, Id::of(body).as_u128().to_be_bytes());
        // each instance has a lane of its own
        let [kafka, nats] = like.lanes.map(|lane| lane.map(|lane| lane + instance));
        insert.execute(params![
            like.seq,
            like.owed,
            id,
            now,
            instance,
            like.class,
            kafka,
            nats,
            like.rest,
            &body[..]
        ])?;
        ids.extend(id);
        ids.push(like.by);
    }
    transaction.prepare_cached("INSERT INTO seen (at, ids) VALUES (?1, ?2)")?.execute(params![now, ids])?;
    drop(insert);
    transaction.commit()
}
