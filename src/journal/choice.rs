//! Which records of a journal are meant.

use serde::{Deserialize, Serialize};

use crate::message::{Broker, Brokers};

/// Which records are meant; what is not said does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Choice {
    /// Only what is owed to this broker.
    pub owed: Option<Broker>,
    /// Only of this instance.
    pub instance: Option<u64>,
    /// And those of which it is not known whose they are.
    #[serde(skip)]
    pub unknown: bool,
    /// Only of this class.
    pub class: Option<String>,
    /// Only what was received since: Unix milliseconds.
    pub since: Option<u64>,
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
