//! Which records of a journal a command or a reader asks for.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::message::{Broker, Brokers};

/// The records that an edit or an export covers. A field that is not set matches every record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordFilter {
    /// Only in the backlog of this broker.
    #[serde(rename = "owed")]
    pub broker: Option<Broker>,
    /// Only of this instance.
    pub instance: Option<u64>,
    /// With `instance`: also bodies that name no instance.
    #[serde(skip)]
    pub or_no_instance: bool,
    /// Only of this class.
    pub class: Option<String>,
    /// Only what was received since: Unix milliseconds.
    pub since: Option<u64>,
    /// Only the record with this sequence number.
    pub seq: Option<i64>,
}

/// The records that a reader of events asks for. An empty list matches every record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only of these classes.
    pub classes: Vec<String>,
    /// Only of these instances.
    pub instances: Vec<u64>,
    /// Only of these types, as in `ce_type` without its prefix.
    pub types: Vec<String>,
    /// True: only dead letters. False: everything but dead letters.
    pub dead_letters: bool,
}

impl EventFilter {
    /// Whether the reader asks for this record.
    pub fn matches(&self, record: &Record) -> bool {
        let event = &record.message.event;
        let class = || event.class.as_deref().is_some_and(|class| self.classes.iter().any(|one| one == class));
        let kind = || event.kind.as_deref().is_some_and(|kind| self.types.iter().any(|one| one == kind));
        self.dead_letters == record.message.is_dead_letter()
            && (self.classes.is_empty() || class())
            && (self.instances.is_empty() || event.instance.is_some_and(|one| self.instances.contains(&one)))
            && (self.types.is_empty() || kind())
    }
}

/// The names of brokers, with commas between.
pub(super) fn broker_names(brokers: Brokers) -> String {
    brokers.each().map(Broker::as_str).collect::<Vec<_>>().join(",")
}

/// The brokers of these names.
pub(super) fn brokers_named(names: &str) -> Option<Brokers> {
    let names = names.split(',').filter(|name| !name.is_empty());
    names.map(|name| Broker::ALL.into_iter().find(|broker| broker.as_str() == name)).collect()
}
