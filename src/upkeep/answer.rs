//! The same, asked for at the admin listener.

use std::sync::Arc;

use hyper::body::Bytes;

use super::{Asked, Import, Upkeep};
use crate::deliver::NotChanged;
use crate::journal::line;
use crate::observe::{Answering, Changes};

impl Changes for Upkeep {
    fn most(&self) -> usize {
        self.most
    }

    fn knows(&self, what: &str) -> bool {
        ["import", "replay", "reroute", "drop", "erase"].contains(&what)
    }

    fn journal(&self) -> &str {
        self.deliver.journal()
    }

    fn answer(self: Arc<Self>, what: String, asked: Bytes) -> Answering {
        Box::pin(async move {
            let Ok(alone) = self.alone.clone().try_lock_owned() else {
                return (409, said("another change is under way; try again when it is done"));
            };
            // who asked may hang up: it goes on to its end, and no other begins before
            let done = tokio::spawn(async move {
                let _alone = alone;
                match what.as_str() {
                    "import" => self.asked_to_import(&asked).await,
                    "replay" => self.asked_to_replay(&asked).await,
                    change => self.asked_to_change(change, &asked).await,
                }
            });
            let done = done.await.unwrap_or_else(|error| Err((500, error.to_string())));
            done.unwrap_or_else(|(status, why)| (status, said(&why)))
        })
    }
}

/// A status, and what is said.
type Answer = Result<(u16, String), (u16, String)>;

impl Upkeep {
    async fn asked_to_change(&self, what: &str, asked: &[u8]) -> Answer {
        let asked: Asked = serde_json::from_slice(asked).map_err(|error| (400, error.to_string()))?;
        if asked.change.as_str() != what {
            return Err((400, format!("this is the way to {what}")));
        }
        asked.possible(&self.routes).map_err(|why| (400, why))?;
        self.change(asked).await.map(|counts| (200, json(&counts))).map_err(failed)
    }

    async fn asked_to_replay(&self, asked: &[u8]) -> Answer {
        let asked = serde_json::from_slice(asked).map_err(|error| (400, error.to_string()))?;
        self.replay(&asked).await.map(|all| (200, json(&all))).map_err(failed)
    }

    async fn asked_to_import(&self, asked: &[u8]) -> Answer {
        let Import { to, records } = serde_json::from_slice(asked).map_err(|error| (400, error.to_string()))?;
        let read = records.iter().map(|one| line::read(one.get().as_bytes()));
        let records = read.collect::<Result<_, _>>().map_err(|error| (400, error.to_string()))?;
        self.import(records, to).await.map(|imported| (200, json(&imported))).map_err(failed)
    }
}

fn failed(why: NotChanged) -> (u16, String) {
    let status = if matches!(why, NotChanged::Otherwise(_)) { 400 } else { 503 };
    (status, why.to_string())
}

fn said(why: &str) -> String {
    serde_json::json!({"error": why}).to_string()
}

/// Names and numbers are always JSON.
fn json(what: &impl serde::Serialize) -> String {
    serde_json::to_string(what).unwrap_or_default()
}
