//! Replaying what a journal keeps: by opening it, or through the bridge that runs on it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::cli::journal::Reached;
use crate::dead_letter::{Again, Head, Notes, Outcome, Whole, again};
use crate::message::Id;
use crate::route::Routes;
use crate::upkeep::{Replay, Replayed, destinations};

/// Replays letters of a journal.
pub(super) struct Letters<'r> {
    pub(super) routes: &'r Routes,
    /// None: nothing is done.
    pub(super) reached: Option<Reached>,
    pub(super) notes: Notes,
    /// Whether also what was replayed before.
    pub(super) once_more: bool,
    /// What was replayed by this process: another letter of the same bytes is the same notification.
    pub(super) here: Mutex<HashSet<Id>>,
}

impl Letters<'_> {
    pub(super) fn is_done(&self, head: &Head) -> bool {
        self.with_here(|here| here.contains(&head.id)) || !self.once_more && self.notes.has(head)
    }

    fn with_here<R>(&self, act: impl FnOnce(&mut HashSet<Id>) -> R) -> R {
        act(&mut self.here.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replays these, in order.
    pub(super) async fn replay(&self, letters: Vec<Whole>) -> Vec<(Head, Outcome)> {
        let (first, same): (Vec<_>, Vec<_>) =
            letters.into_iter().partition(|whole| self.with_here(|here| here.insert(whole.head.id)));
        let mut all = self.replay_first(first).await;
        all.extend(same.into_iter().map(|whole| (whole.head, Outcome::Before)));
        all
    }

    async fn replay_first(&self, letters: Vec<Whole>) -> Vec<(Head, Outcome)> {
        let Some(reached) = &self.reached else {
            return letters.into_iter().map(|whole| self.looked_at(whole)).collect();
        };
        let numbers = letters.iter().filter_map(|whole| whole.head.position.parse().ok()).collect();
        let asked = Replay { letters: numbers, again: self.once_more };
        let heads = letters.into_iter().map(|whole| whole.head);
        match reached.replay(&asked).await {
            Ok(all) => heads.zip(all.into_iter().map(outcome)).collect(),
            Err(failed) => {
                let why = failed.why();
                // some of them may be replayed: who repeats it is told
                heads.take(1).map(|head| (head, Outcome::Unreached(why.clone()))).collect()
            }
        }
    }

    fn looked_at(&self, whole: Whole) -> (Head, Outcome) {
        let before = self.notes.times(whole.head.id);
        let outcome = match again(&whole, self.routes, before, SystemTime::now()) {
            Again::Notification(message) => Outcome::Replayed(destinations(self.routes, &message)),
            Again::Stays(why) => Outcome::Stays(why),
        };
        (whole.head, outcome)
    }
}

fn outcome(replayed: Replayed) -> Outcome {
    match replayed {
        Replayed::To(to) => Outcome::Replayed(to),
        Replayed::Before => Outcome::Before,
        Replayed::Stays(why) => Outcome::Stays(why),
    }
}
