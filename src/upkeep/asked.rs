//! What can be asked for, as it stands in a request too.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::rendered;
use crate::journal::{Choice, Record};
use crate::message::{Broker, Brokers, Message};
use crate::route::Routes;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// What is owed to a broker goes where the routes of now say; owed to another one, if one is named.
    Reroute {
        /// Whom it is owed to.
        from: Broker,
        /// Whom it is to be owed to; none: as before.
        to: Option<Broker>,
    },
    /// What is owed to a broker is given up.
    Drop {
        /// Whom it is owed to.
        broker: Broker,
    },
    /// What is of an instance or of a chat is deleted.
    Erase {
        /// The instance.
        instance: Option<u64>,
        /// The chat.
        chat: Option<String>,
    },
}

/// What is to be done, to which records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What.
    pub change: Change,
    /// To which of those it is about.
    #[serde(default)]
    pub filter: Choice,
}

/// Records to be brought in: lines of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Whom all are to be owed to; none: as they stand there.
    pub to: Option<Broker>,
    /// The lines.
    pub records: Vec<Box<RawValue>>,
}

impl Change {
    /// Its name in a path.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Reroute { .. } => "reroute",
            Self::Drop { .. } => "drop",
            Self::Erase { .. } => "erase",
        }
    }
}

impl Asked {
    /// The records it is about.
    pub fn choice(&self) -> Choice {
        let mut choice = self.filter.clone();
        match &self.change {
            Change::Reroute { from: broker, .. } | Change::Drop { broker } => choice.owed = Some(*broker),
            // of what is no notification, its text is searched for it
            Change::Erase { instance, .. } => {
                (choice.instance, choice.unknown) = (instance.or(choice.instance), instance.is_some());
            }
        }
        choice
    }

    /// Whether it can be done with these routes.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn possible(&self, routes: &Routes) -> Result<(), String> {
        match &self.change {
            Change::Reroute { from, to } => {
                let (name, to) = (from.as_str(), to.unwrap_or(*from));
                if routes.use_broker(to) {
                    return Ok(());
                }
                let to = to.as_str();
                Err(format!(
                    "{to} is not used by this configuration, so nothing owed to {name} has a way there; name one that is with --to"
                ))
            }
            Change::Erase { instance: None, chat: None } => Err("name an instance or a chat".into()),
            Change::Erase { chat: Some(chat), .. } if !may_be_chat(chat) => {
                Err(format!("chat = {chat:?}: not the id of a chat; give one such as 79990000000@c.us"))
            }
            Change::Drop { .. } | Change::Erase { .. } => Ok(()),
        }
    }
}

/// Whether this is long enough and looks like the id of a chat: what is no notification is searched for it.
fn may_be_chat(id: &str) -> bool {
    let number = id.trim_start_matches('-').bytes().take_while(u8::is_ascii_digit).count();
    // status@broadcast has none
    (number >= 5 || id.len() >= 8 && id.contains('@'))
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@.-_".contains(&byte))
}

/// What a record is here, whom it is owed to, and who may have it all the same.
pub(super) fn imported(
    routes: &Routes,
    record: Record,
    to: Option<Broker>,
) -> Result<(Message, Brokers, Brokers), String> {
    let id = record.message.event.id;
    let Some(to) = to else {
        let unused = record.owed.each().find(|broker| !routes.use_broker(*broker)).map(Broker::as_str);
        let remedy = "name one that is with --to";
        return match unused {
            Some(name) => Err(format!("{id} is owed to {name}, which is not used by this configuration; {remedy}")),
            None => Ok((record.message, record.owed, record.unknown)),
        };
    };
    let mut message = rendered(routes, &record).ok_or_else(|| format!("{id} cannot be read any more"))?;
    let there = message.to[to as usize].take();
    message.to = Default::default();
    message.to[to as usize] =
        Some(there.ok_or_else(|| format!("{id} has no way to {} in this configuration", to.as_str()))?);
    // where it goes elsewhere it was not sent before
    let unknown = if record.unknown.has(to) { Brokers::NONE.with(to) } else { Brokers::NONE };
    Ok((message, Brokers::NONE.with(to), unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_chat_is_no_piece_of_one() {
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
