//! Replaying dead letters that the journal stores.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{JournalEditError, JournalEditor};
use crate::dead_letter::{ReplayDecision, decide_replay, from_journal};
use crate::message::{Broker, Message};
use crate::route::Routes;

/// The most dead letters of one request.
const MAX_DEAD_LETTERS: usize = 100;

/// Which dead letters to replay, by their record numbers in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// The record numbers, in the order of the replay; at most 100.
    #[serde(rename = "letters")]
    pub dead_letters: Vec<i64>,
    /// Whether to replay also those that were replayed before.
    #[serde(default)]
    #[serde(rename = "again")]
    pub include_replayed: bool,
}

/// What became of one dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayResult {
    /// The journal stores it as a notification for these destinations.
    To(String),
    /// It was replayed before; nothing was done.
    Before,
    /// It stays a dead letter, for this reason.
    #[serde(rename = "stays")]
    NotReplayable(String),
}

impl JournalEditor {
    /// Replays dead letters one after the other. A replay that was made before an error is remembered.
    ///
    /// # Errors
    /// [`JournalEditError`].
    pub async fn replay(&self, request: &ReplayRequest) -> Result<Vec<ReplayResult>, JournalEditError> {
        if request.dead_letters.len() > MAX_DEAD_LETTERS {
            let problem = format!("letters: more than {MAX_DEAD_LETTERS} in one request; send several requests");
            return Err(JournalEditError::Invalid(problem));
        }
        let mut results = Vec::new();
        for seq in &request.dead_letters {
            match self.replay_one(*seq, request.include_replayed).await {
                Ok(result) => results.push(result),
                Err(error) => {
                    self.log.replayed(&results);
                    return Err(error);
                }
            }
        }
        self.log.replayed(&results);
        Ok(results)
    }

    async fn replay_one(&self, seq: i64, include_replayed: bool) -> Result<ReplayResult, JournalEditError> {
        let Some(record) = self.delivery.dead_letter(seq).await? else {
            return Ok(ReplayResult::NotReplayable("it is not in the journal any more".into()));
        };
        let times = record.message.as_dead_letter().map_or(0, |dead| dead.replayed);
        if times > 0 && !include_replayed {
            return Ok(ReplayResult::Before);
        }
        let Some(letter) = from_journal(record) else {
            return Ok(ReplayResult::NotReplayable("it cannot be read any more".into()));
        };
        match decide_replay(&letter, &self.routes, &self.validation, times, SystemTime::now()) {
            ReplayDecision::NotReplayable(why) => Ok(ReplayResult::NotReplayable(why)),
            ReplayDecision::Replay(message) => {
                let to = describe_destinations(&self.routes, &message);
                self.delivery.replay(*message, seq).await?;
                Ok(ReplayResult::To(to))
            }
        }
    }
}

/// The destinations of a message, for people.
pub fn describe_destinations(routes: &Routes, message: &Message) -> String {
    let used = Broker::ALL.into_iter().filter(|broker| routes.uses_broker(*broker));
    let all: Vec<_> = used.map(|broker| message.destination(broker)).filter(|to| !to.is_empty()).collect();
    if all.is_empty() { "the journal".into() } else { all.join(" and ") }
}
