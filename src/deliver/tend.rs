//! Changing by hand what is in the journal, also while it is forwarded.
//!
//! All lanes are held meanwhile: what is on its way is waited for, nothing else begins, and what comes is kept behind.
//! A record that is moved can therefore neither be sent to both places, nor overtake or be overtaken by one that is in
//! the journal. The journal itself is held only for the moments that one step takes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::keep::Keeper;
use super::seen::Standing;
use super::{Deliver, Outcome, UnderWay};
use crate::journal::store::steps;
use crate::journal::{ChangeError, Choice, Fate, Held, Kept, Lane, Record};
use crate::message::{Broker, Brokers, Message};

/// How long what is on its way is waited for: longer than any broker takes to report.
const QUIET_WITHIN: Duration = Duration::from_secs(40);
/// The most bytes that are written anew while notifications wait for it: about a second.
const REWRITTEN: u64 = 64 * 1024 * 1024;
/// How long a reader of the log is waited for.
const EMPTY_WITHIN: Duration = Duration::from_secs(10);

/// Says what becomes of a record, and what that is called.
pub type Judge = dyn Fn(&Record) -> (&'static str, Fate) + Send + Sync;

/// Why the journal was not changed, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotChanged {
    /// There is none.
    #[error("this bridge has no journal")]
    NoJournal,
    /// A broker has not reported.
    #[error("a broker has not said yet what became of what was sent to it; nothing was changed, try again")]
    OnItsWay,
    /// The journal.
    #[error(transparent)]
    Journal(#[from] ChangeError),
    /// It has no room, or cannot be written.
    #[error("not kept: {reason}; raise journal.max_bytes or mend its disk, then try again")]
    Refused {
        /// A bounded tag.
        reason: &'static str,
    },
    /// Something else.
    #[error("{0}")]
    Otherwise(String),
}

/// Why it went no further after some became what they were to.
fn ended_after(counts: &BTreeMap<&'static str, u64>, error: ChangeError) -> NotChanged {
    let done: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if done.is_empty() {
        return error.into();
    }
    NotChanged::Otherwise(format!("{error}; by then: {}; see to that, and do it again for the rest", done.join(", ")))
}

/// What became of records that were brought in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Imported {
    /// They are kept.
    pub added: u64,
    /// They were stored before.
    pub skipped: u64,
}

impl Deliver {
    /// Does to every record that is chosen what `judge` says; returns how many became what. What comes after this has
    /// begun is not looked at. Once begun it goes on, whoever waits for it.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub async fn change(&self, choice: Choice, judge: Arc<Judge>) -> Result<BTreeMap<&'static str, u64>, NotChanged> {
        let keeper = self.keeper.clone().ok_or(NotChanged::NoJournal)?;
        let this = self.clone();
        let changed = self.runtime.spawn(async move { this.change_all(&keeper, choice, judge).await });
        changed.await.unwrap_or_else(|error| Err(NotChanged::Otherwise(error.to_string())))
    }

    /// Makes sure that nothing of what was deleted is left in the journal's files; false if it is too large for others to
    /// wait meanwhile, or if a reader keeps it from that.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub async fn leave_no_trace(&self, at_rest: bool) -> Result<bool, NotChanged> {
        let keeper = self.keeper.as_ref().ok_or(NotChanged::NoJournal)?;
        let most = if at_rest { u64::MAX } else { REWRITTEN };
        let rewritten = match keeper.journal.try_change(move |db| steps::rewrite(db, most)).await {
            // it is deleted all the same; there may be no room for all that is left twice
            Err(ChangeError::Sqlite(_)) => false,
            rewritten => rewritten?,
        };
        let end = Instant::now() + EMPTY_WITHIN;
        loop {
            let empty = keeper.journal.try_change(|db| steps::empty_log(db)).await?;
            if empty || Instant::now() > end {
                return Ok(empty && rewritten);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Keeps messages that are owed to these brokers, of which those may have it all the same; not those that were
    /// stored lately. They are on disk when this returns.
    ///
    /// # Errors
    /// [`NotChanged`]: some may be kept already; to bring the same ones again is safe.
    pub async fn import(&self, all: Vec<(Message, Brokers, Brokers)>) -> Result<Imported, NotChanged> {
        let keeper = self.keeper.clone().ok_or(NotChanged::NoJournal)?;
        let this = self.clone();
        let imported = self.runtime.spawn(async move { this.bring_in(&keeper, all).await });
        imported.await.unwrap_or_else(|error| Err(NotChanged::Otherwise(error.to_string())))
    }

    /// The name of the journal; empty where there is none.
    pub fn journal(&self) -> &str {
        self.keeper.as_ref().map_or("", |keeper| keeper.journal.name())
    }

    /// A dead letter that is kept, if it is there.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub async fn kept_letter(&self, seq: i64) -> Result<Option<Record>, NotChanged> {
        let keeper = self.keeper.as_ref().ok_or(NotChanged::NoJournal)?;
        let record = keeper.journal.record(seq).await.map_err(|error| NotChanged::Otherwise(error.to_string()))?;
        Ok(record.filter(|record| record.owed.is_empty() && record.message.dead_letter.is_some()))
    }

    /// Keeps what comes out of a dead letter that is kept, behind what is owed; it is on disk when this returns, and so
    /// is that the letter was replayed.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub async fn replay(&self, message: Message, letter: i64) -> Result<(), NotChanged> {
        let keeper = self.keeper.clone().ok_or(NotChanged::NoJournal)?;
        let replayed = self.runtime.spawn(async move { keeper.replay(message, letter).await });
        replayed.await.unwrap_or_else(|error| Err(NotChanged::Otherwise(error.to_string())))
    }

    async fn change_all(
        &self,
        keeper: &Keeper,
        choice: Choice,
        judge: Arc<Judge>,
    ) -> Result<BTreeMap<&'static str, u64>, NotChanged> {
        let held = keeper.lanes.each_ref().map(Held::new);
        let (until, taken) = keeper.quiet(&held).await?;
        let taken = Arc::new(taken);
        let window = self.with_seen(|seen| seen.window());
        let young = SystemTime::now().checked_sub(window).unwrap_or(SystemTime::UNIX_EPOCH);
        let (mut counts, mut after) = (BTreeMap::new(), 0);
        let mut lanes: [HashSet<Lane>; Broker::ALL.len()] = Default::default();
        loop {
            let (choice, taken, judge) = (choice.clone(), taken.clone(), judge.clone());
            let step = move |db: &mut _| steps::step(db, &choice, [after, until], (&taken, young), &*judge);
            let step = keeper.journal.try_change(step).await.map_err(|error| ended_after(&counts, error))?;
            self.with_seen(|seen| step.ids.iter().for_each(|(id, from, to)| seen.moved(*id, *from, *to)));
            for (name, count) in step.counts {
                *counts.entry(name).or_default() += count;
            }
            for broker in Broker::ALL {
                for (lane, moved) in &step.moved[broker as usize] {
                    held[broker as usize].moved(*lane, *moved);
                    lanes[broker as usize].insert(*lane);
                }
            }
            match step.next {
                Some(next) => after = next,
                None => break,
            }
        }
        keeper.since(&held, lanes).await?;
        Ok(counts)
    }

    async fn bring_in(&self, keeper: &Keeper, all: Vec<(Message, Brokers, Brokers)>) -> Result<Imported, NotChanged> {
        let (mut imported, mut kept) = (Imported::default(), Vec::new());
        for (message, owed, unknown) in all {
            let (id, said) = (message.event.id, Outcome::kept(&message));
            let wanted = if owed.is_empty() { Brokers::JOURNAL } else { owed };
            // what came out of a replay is stored also where its letter is
            let (missing, begun) = if message.replay.is_some() {
                (wanted, None)
            } else if let Standing::New(_, missing) = self.standing(id, wanted) {
                (missing, Some(UnderWay::new(self, id)))
            } else {
                imported.skipped += 1;
                continue;
            };
            // all of them before the first is waited for, so that they share transactions
            let append = move |message| keeper.journal.append(message, missing, unknown);
            kept.push((keeper.behind(message, missing, append), begun, said, missing));
        }
        let mut refused = None;
        for (record, begun, said, missing) in kept {
            match record.await {
                Ok(_) => {
                    begun.into_iter().for_each(|begun| begun.ended(missing, said));
                    imported.added += 1;
                }
                Err(why) => refused = Some(NotChanged::Refused { reason: why.reason }),
            }
        }
        refused.map_or(Ok(imported), Err)
    }
}

impl UnderWay<'_> {
    /// These have it now.
    fn ended(mut self, stored: Brokers, outcome: Outcome) {
        (self.stored, self.outcome) = (stored, outcome);
    }
}

impl Keeper {
    async fn replay(&self, message: Message, letter: i64) -> Result<(), NotChanged> {
        let wanted = message.brokers();
        let owed = if wanted.is_empty() { Brokers::JOURNAL } else { wanted };
        let kept = self.behind(message, wanted, |message| self.journal.replay(message, owed, letter)).await;
        kept.map(|_| ()).map_err(|why| NotChanged::Refused { reason: why.reason })
    }

    /// Keeps a message behind what is owed to these brokers; `append`, which writes it, is begun when this returns.
    fn behind<F: Future<Output = Kept>>(
        &self,
        message: Message,
        to: Brokers,
        append: impl FnOnce(Message) -> F,
    ) -> impl Future<Output = Kept> {
        let lanes: Vec<_> = to.each().map(|broker| (self.lanes(broker).clone(), Lane::of(&message, broker))).collect();
        lanes.iter().for_each(|(of, lane)| of.enter(*lane, false, SystemTime::now()));
        let kept = append(message);
        async move {
            let kept = kept.await;
            for (of, lane) in lanes {
                match kept {
                    Ok(seq) => of.kept(lane, seq, None::<fn() -> Record>),
                    Err(_) => of.refused(lane, false),
                }
            }
            kept
        }
    }

    /// Waits until nothing is on its way. The last record there is then, and those that were taken and may be on disk.
    async fn quiet(&self, held: &[Held; Broker::ALL.len()]) -> Result<(i64, [HashSet<i64>; 2]), NotChanged> {
        let end = Instant::now() + QUIET_WITHIN;
        loop {
            // first: what is kept later may be on its way again
            let until = *self.journal.appended().borrow();
            if let [Some(kafka), Some(nats)] = held.each_ref().map(Held::quiet) {
                return Ok((until, [kafka, nats]));
            }
            if Instant::now() > end {
                return Err(NotChanged::OnItsWay);
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Says since when lanes are owed what they are owed now.
    async fn since(
        &self,
        held: &[Held; Broker::ALL.len()],
        lanes: [HashSet<Lane>; Broker::ALL.len()],
    ) -> Result<(), NotChanged> {
        for broker in Broker::ALL {
            let all: Vec<_> = lanes[broker as usize].iter().copied().collect();
            for some in all.chunks(500) {
                let some = some.to_vec();
                let asked = self.journal.try_change(move |db| {
                    some.into_iter()
                        .map(|lane| Ok((lane, steps::since(db, broker, lane)?)))
                        .collect::<Result<Vec<_>, _>>()
                });
                for (lane, since) in asked.await? {
                    since.into_iter().for_each(|since| held[broker as usize].since(lane, since));
                }
            }
        }
        Ok(())
    }
}
