//! Keys that this version does not read: renamed ones, and sections of later versions. They are refused with the
//! remedy, never ignored.

use toml::Table;

use super::ConfigError;
use super::explain::get;

/// Sections that later versions have.
const NOT_YET: [&str; 2] = ["tracing", "inspector"];

/// Keys that have another name now. Add a key here when it is renamed.
pub(super) const RENAMED: &[Renamed] = &[];

/// A key that was renamed: its full path before and now.
pub(super) struct Renamed {
    pub(super) old: &'static str,
    pub(super) new: &'static str,
}

/// Refuses a table that has such a key.
pub(super) fn refuse(table: &Table, renamed: &[Renamed]) -> Result<(), ConfigError> {
    if let Some(section) = NOT_YET.iter().find(|section| get(table, section).is_some()) {
        let problem = "this version does not have it; remove it".into();
        return Err(ConfigError { key: (*section).into(), value: None, problem });
    }
    if let Some(Renamed { old, new }) = renamed.iter().find(|key| get(table, key.old).is_some()) {
        let problem = format!("was renamed; write {new} instead, with the same value");
        return Err(ConfigError { key: (*old).into(), value: None, problem });
    }
    Ok(())
}
