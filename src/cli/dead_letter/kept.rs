//! Replaying what a journal keeps: by opening it, or through the bridge that runs on it.

use std::time::SystemTime;

use crate::cli::journal::Reached;
use crate::dead_letter::{Again, Head, Notes, Outcome, Whole, again};
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
}

impl Letters<'_> {
    pub(super) fn is_done(&self, head: &Head) -> bool {
        self.notes.has_here(head.id) || self.notes.has(head) && !self.once_more
    }

    /// Replays these, in order; another letter of the same bytes is the same notification.
    pub(super) async fn replay(&mut self, letters: Vec<Whole>) -> Vec<(Head, Outcome)> {
        let (first, same): (Vec<_>, Vec<_>) = letters.into_iter().partition(|Whole { head, .. }| {
            let first = !self.notes.has_here(head.id);
            self.notes.enter(head.id, head.received, true);
            first
        });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Id;

    #[tokio::test]
    async fn letters_of_the_same_bytes_are_one_notification() {
        let routes = Routes::new(&crate::route::Config::default(), &[]).unwrap();
        let whole = |number: u64| {
            let body = format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{number}}}}}"#);
            let head = Head {
                broker: None,
                position: "1".into(),
                id: Id::of(body.as_bytes()),
                received: SystemTime::UNIX_EPOCH,
                reason: "no_type".into(),
                detail: String::new(),
                instance: Some(number),
                kind: None,
                part: None,
                size: body.len(),
                headers: Vec::new(),
            };
            Whole { head, body: body.into(), count: 1, missing: Vec::new() }
        };
        let mut letters = Letters { routes: &routes, reached: None, notes: Notes::default(), once_more: true };
        let done = letters.replay([7, 8, 7].map(whole).into()).await;
        let replayed = done.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Replayed(_))).count();
        assert_eq!((replayed, done.len()), (2, 3), "{done:?}");
        assert!(letters.is_done(&whole(7).head) && !letters.is_done(&whole(9).head));
    }
}
