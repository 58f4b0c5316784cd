//! Replays dead letters of the journal: directly, or through the bridge that runs on it.

use std::time::SystemTime;

use crate::cli::journal::{AdminOptions, CommandError, JournalAccess};
use crate::config::Config;
use crate::dead_letter::{DeadLetter, DlqHeaders, ReplayDecision, ReplayMarkers, ReplayOutcome, decide_replay};
use crate::journal_edit::{ReplayRequest, ReplayResult, describe_destinations};
use crate::notification::Validation;
use crate::route::Routes;

/// Replays dead letters of a journal.
pub(super) struct JournalReplayer<'r> {
    routes: &'r Routes,
    validation: Validation,
    /// None means a dry run.
    journal: Option<JournalAccess>,
    markers: ReplayMarkers,
    /// Whether to replay also what was replayed before.
    include_replayed: bool,
}

impl<'r> JournalReplayer<'r> {
    /// Opens the journal, or finds the bridge that runs on it by `admin`. None means a dry run.
    pub(super) async fn open(
        config: &Config,
        routes: &'r Routes,
        validation: Validation,
        admin: Option<&AdminOptions>,
        markers: ReplayMarkers,
        include_replayed: bool,
    ) -> Result<Self, String> {
        let journal = match admin {
            Some(admin) => Some(admin.open(config).await.map_err(CommandError::into_message)?),
            None => None,
        };
        Ok(Self { routes, validation, journal, markers, include_replayed })
    }

    pub(super) fn is_done(&self, headers: &DlqHeaders) -> bool {
        self.markers.replayed_here(headers.id) || self.markers.is_replayed(headers) && !self.include_replayed
    }

    /// Replays dead letters in order. Two with the same bytes are one notification: only the first is replayed.
    pub(super) async fn replay(&mut self, dead_letters: Vec<DeadLetter>) -> Vec<(DlqHeaders, ReplayOutcome)> {
        let (first, same): (Vec<_>, Vec<_>) = dead_letters.into_iter().partition(|DeadLetter { headers, .. }| {
            let first = !self.markers.replayed_here(headers.id);
            self.markers.add_replay(headers.id, headers.received);
            first
        });
        let mut all = self.replay_first(first).await;
        all.extend(same.into_iter().map(|same| (same.headers, ReplayOutcome::AlreadyReplayed)));
        all
    }

    async fn replay_first(&self, dead_letters: Vec<DeadLetter>) -> Vec<(DlqHeaders, ReplayOutcome)> {
        let Some(journal) = &self.journal else {
            return dead_letters.into_iter().map(|dead_letter| self.plan(dead_letter)).collect();
        };
        let seqs = dead_letters.iter().filter_map(|dead_letter| dead_letter.headers.position.parse().ok()).collect();
        let request = ReplayRequest { dead_letters: seqs, include_replayed: self.include_replayed };
        let headers = dead_letters.into_iter().map(|dead_letter| dead_letter.headers);
        match journal.replay(&request).await {
            Ok(all) => headers.zip(all.into_iter().map(outcome)).collect(),
            Err(error) => {
                let why = error.into_message();
                // some of them may be replayed all the same; repeating the command reports them as already replayed
                headers.take(1).map(|headers| (headers, ReplayOutcome::Unreachable(why.clone()))).collect()
            }
        }
    }

    pub(super) async fn close(&self) {
        if let Some(journal) = &self.journal {
            journal.close().await;
        }
    }

    /// The outcome of a dry run.
    fn plan(&self, dead_letter: DeadLetter) -> (DlqHeaders, ReplayOutcome) {
        let earlier_replays = self.markers.times(dead_letter.headers.id);
        let outcome =
            match decide_replay(&dead_letter, self.routes, &self.validation, earlier_replays, SystemTime::now()) {
                ReplayDecision::Replay(message) => {
                    ReplayOutcome::Replayed(describe_destinations(self.routes, &message))
                }
                ReplayDecision::NotReplayable(why) => ReplayOutcome::NotReplayable(why),
            };
        (dead_letter.headers, outcome)
    }
}

fn outcome(result: ReplayResult) -> ReplayOutcome {
    match result {
        ReplayResult::To(to) => ReplayOutcome::Replayed(to),
        ReplayResult::Before => ReplayOutcome::AlreadyReplayed,
        ReplayResult::NotReplayable(why) => ReplayOutcome::NotReplayable(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Id;

    #[tokio::test]
    async fn dead_letters_with_the_same_bytes_are_replayed_once() {
        let routes = Routes::new(&crate::route::Config::default(), &[]).unwrap();
        let dead_letter = |number: u64| {
            let body = format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{number}}}}}"#);
            let headers = DlqHeaders {
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
                all: Vec::new(),
            };
            DeadLetter::whole(headers, body.into())
        };
        let mut replayer = JournalReplayer {
            validation: Validation::default(),
            routes: &routes,
            journal: None,
            markers: ReplayMarkers::default(),
            include_replayed: true,
        };
        let done = replayer.replay([7, 8, 7].map(dead_letter).into()).await;
        let replayed = done.iter().filter(|(_, outcome)| matches!(outcome, ReplayOutcome::Replayed(_))).count();
        assert_eq!((replayed, done.len()), (2, 3), "{done:?}");
        assert!(replayer.is_done(&dead_letter(7).headers) && !replayer.is_done(&dead_letter(9).headers));
    }
}
