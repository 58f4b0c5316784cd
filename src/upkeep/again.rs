//! Sending dead letters that are kept on their way again.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Upkeep;
use crate::dead_letter::{Again, again, kept};
use crate::deliver::NotChanged;
use crate::message::{Broker, Message};
use crate::route::Routes;

/// The most letters that are asked for at once.
const AT_ONCE: usize = 100;

/// Which letters are to be replayed, by their numbers in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// These, in this order; 100 at most.
    pub letters: Vec<i64>,
    /// Also those that were replayed before.
    #[serde(default)]
    pub again: bool,
}

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replayed {
    /// It is kept as a notification, on its way there.
    To(String),
    /// It was replayed before.
    Before,
    /// It stays what it is, and why.
    Stays(String),
}

impl Upkeep {
    /// Replays letters, one after the other. What was done before an error is remembered.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub async fn replay(&self, asked: &Replay) -> Result<Vec<Replayed>, NotChanged> {
        if asked.letters.len() > AT_ONCE {
            return Err(NotChanged::Otherwise(format!("ask for {AT_ONCE} letters at most at once")));
        }
        let mut all = Vec::new();
        for letter in &asked.letters {
            all.push(self.replay_one(*letter, asked.again).await?);
        }
        Ok(all)
    }

    async fn replay_one(&self, letter: i64, once_more: bool) -> Result<Replayed, NotChanged> {
        let Some(record) = self.deliver.kept_letter(letter).await? else {
            return Ok(Replayed::Stays("it is not in the journal any more".into()));
        };
        let before = record.message.dead_letter.as_ref().map_or(0, |dead| dead.replayed);
        if before > 0 && !once_more {
            return Ok(Replayed::Before);
        }
        let Some(whole) = kept(record) else {
            return Ok(Replayed::Stays("it cannot be read any more".into()));
        };
        match again(&whole, &self.routes, before, SystemTime::now()) {
            Again::Stays(why) => Ok(Replayed::Stays(why)),
            Again::Notification(message) => {
                let to = destinations(&self.routes, &message);
                self.deliver.replay(*message, letter).await.map(|()| Replayed::To(to))
            }
        }
    }
}

/// Where a message goes, for people.
pub fn destinations(routes: &Routes, message: &Message) -> String {
    let used = Broker::ALL.into_iter().filter(|broker| routes.use_broker(*broker));
    let all: Vec<_> = used.map(|broker| message.destination(broker)).filter(|to| !to.is_empty()).collect();
    if all.is_empty() { "the journal".into() } else { all.join(" and ") }
}
