//! Requests for edits, in the form they have in the body of an HTTP request.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::plan::rendered;
use crate::delivery::ImportedRecord;
use crate::journal::{EditResult, Record, RecordFilter};
use crate::message::{Broker, Brokers, PerBroker};
use crate::route::Routes;

/// An edit of records that are in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// Gives the backlog of a broker the destinations of the current routes, or moves it to another broker.
    Reroute {
        /// The broker whose backlog it is.
        from: Broker,
        /// The broker that gets it. None means the same broker.
        to: Option<Broker>,
    },
    /// Removes records from the backlog of a broker, or one record from the journal.
    Drop {
        /// The broker. `None` means that the filter names the one record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        broker: Option<Broker>,
    },
    /// Deletes every record of an instance or of a chat.
    Erase {
        /// The instance.
        instance: Option<u64>,
        /// The chat.
        chat: Option<String>,
    },
}

/// An edit, and the records it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditRequest {
    /// The edit.
    #[serde(rename = "change")]
    pub edit: Edit,
    /// Limits the edit to some of its records.
    #[serde(default)]
    pub filter: RecordFilter,
}

/// Records to import: lines of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The broker whose backlog gets all of them. None means the brokers that each line names.
    pub to: Option<Broker>,
    /// The lines.
    pub records: Vec<Box<RawValue>>,
}

impl Edit {
    /// Its name in a path and in a command.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Reroute { .. } => "reroute",
            Self::Drop { .. } => "drop",
            Self::Erase { .. } => "erase",
        }
    }

    /// The result that it is made for.
    pub fn main_result(&self) -> EditResult {
        match self {
            Self::Reroute { .. } => EditResult::Rerouted,
            Self::Drop { .. } => EditResult::Dropped,
            Self::Erase { .. } => EditResult::Erased,
        }
    }

    /// Every result that it can have for a record.
    pub fn results(&self) -> &'static [EditResult] {
        use EditResult::{
            AlreadyThere, Damaged, Dropped, Erased, NoDestination, Rerouted, Unchanged, Unreadable, Unrelated,
        };
        match self {
            Self::Reroute { .. } => &[Rerouted, AlreadyThere, Unchanged, NoDestination, Unreadable, Damaged],
            Self::Drop { .. } => &[Dropped, Damaged],
            Self::Erase { .. } => &[Erased, Unrelated, Damaged],
        }
    }
}

impl EditRequest {
    /// The records that the edit is applied to.
    pub fn record_filter(&self) -> RecordFilter {
        let mut filter = self.filter.clone();
        match &self.edit {
            Edit::Reroute { from: broker, .. } => filter.broker = Some(*broker),
            Edit::Drop { broker } => filter.broker = *broker,
            // a body that is not a notification has no instance: its text is searched
            Edit::Erase { instance, .. } => {
                (filter.instance, filter.or_no_instance) = (instance.or(filter.instance), instance.is_some());
            }
        }
        filter
    }

    /// Whether the edit deletes a record that cannot be read: only one that is named.
    pub fn deletes_unreadable(&self) -> bool {
        matches!(self.edit, Edit::Drop { .. }) && self.filter.seq.is_some()
    }

    /// Checks whether these routes allow the edit.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn check(&self, routes: &Routes) -> Result<(), String> {
        match &self.edit {
            Edit::Reroute { from, to } => {
                let (name, to) = (from.as_str(), to.unwrap_or(*from));
                if routes.uses_broker(to) {
                    return Ok(());
                }
                let to = to.as_str();
                Err(format!(
                    "{to} is not used by this configuration, so the backlog of {name} has no destination there; name a broker that is used with --to"
                ))
            }
            Edit::Erase { instance: None, chat: None } => Err("name an instance or a chat".into()),
            Edit::Erase { chat: Some(chat), .. } if !may_be_chat(chat) => {
                Err(format!("chat = {chat:?}: not the id of a chat; give one such as 79990000000@c.us"))
            }
            Edit::Drop { broker: None } if self.filter.seq.is_none() => {
                Err("name a broker or a sequence number".into())
            }
            Edit::Drop { .. } | Edit::Erase { .. } => Ok(()),
        }
    }
}

/// Whether a text is long enough for the id of a chat and looks like one. Bodies that are not notifications are searched
/// for it, so a short text would match bodies of others.
fn may_be_chat(id: &str) -> bool {
    let digits = id.trim_start_matches('-').bytes().take_while(u8::is_ascii_digit).count();
    // status@broadcast has none
    (digits >= 5 || id.len() >= 8 && id.contains('@'))
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@.-_".contains(&byte))
}

/// What an imported record becomes in this journal: in the backlog it was exported from, or in that of the broker `to`.
pub(super) fn imported(routes: &Routes, record: Record, to: Option<Broker>) -> Result<ImportedRecord, String> {
    let id = record.message.event.id;
    let Some(to) = to else {
        let unused = record.backlog.each().find(|broker| !routes.uses_broker(*broker)).map(Broker::as_str);
        let remedy = "name a broker that is used with --to";
        return match unused {
            Some(name) => {
                Err(format!("{id} is in the backlog of {name}, which is not used by this configuration; {remedy}"))
            }
            None => {
                let Record { message, backlog, maybe_stored, .. } = record;
                Ok(ImportedRecord { message, backlog, maybe_stored })
            }
        };
    };
    let mut message = rendered(routes, &record).ok_or_else(|| format!("{id} cannot be read any more"))?;
    let destination = message.to[to].take();
    let destination =
        destination.ok_or_else(|| format!("{id} has no destination at {} in this configuration", to.as_str()))?;
    message.to = PerBroker::only(to, destination);
    // it was not sent to a broker that it was not exported for
    let maybe_stored = if record.maybe_stored.has(to) { Brokers::NONE.with(to) } else { Brokers::NONE };
    Ok(ImportedRecord { message, backlog: Brokers::NONE.with(to), maybe_stored })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_chat_id_is_refused() {
        let known = [
            "79990000000@c.us",
            "79001234567-1581234048@g.us",
            "123456789012345@lid",
            "status@broadcast",
            "-1001234567890",
            "10000",
        ];
        assert!(known.iter().all(|id| may_be_chat(id)));
        assert!(
            ["", "@", "a", "7999", "@c.us", "-", "a chat of mine", "79990000000@c.us\""]
                .iter()
                .all(|id| !may_be_chat(id))
        );
    }
}
