//! What an edit did, as the bridge answers it and the command reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Edit;
use crate::journal::EditResult;

/// How many records have each result. In JSON a flat object, such as `{"rerouted":3,"unchanged":1}`. It always has the
/// result that the edit is made for, and the others if any record has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditReport {
    #[serde(flatten)]
    counts: BTreeMap<EditResult, u64>,
    /// Whether pieces of erased records may be left in the journal's files. Not in JSON unless true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub traces_left: bool,
}

impl EditReport {
    /// The report of an edit that has changed no record yet.
    pub fn of(edit: &Edit) -> Self {
        Self { counts: [(edit.main_result(), 0)].into(), traces_left: false }
    }

    /// Reads the answer of a bridge to this edit.
    ///
    /// # Errors
    /// The answer has a result that this edit cannot have, or lacks the one it is made for: the bridge is another version.
    pub fn read(edit: &Edit, json: &[u8]) -> Result<Self, serde_json::Error> {
        let report: Self = serde_json::from_slice(json)?;
        let possible = report.counts.keys().all(|result| edit.results().contains(result));
        if possible && report.counts.contains_key(&edit.main_result()) {
            return Ok(report);
        }
        Err(serde::de::Error::custom(format!("not the results of {}", edit.as_str())))
    }

    /// Adds records with this result.
    pub fn add(&mut self, result: EditResult, records: u64) {
        *self.counts.entry(result).or_default() += records;
    }

    /// How many records have this result.
    pub fn count(&self, result: EditResult) -> u64 {
        self.counts.get(&result).copied().unwrap_or_default()
    }

    /// Whether the result is reported, if only as 0.
    pub(super) fn has(&self, result: EditResult) -> bool {
        self.counts.contains_key(&result)
    }

    /// How many records were changed.
    pub fn changed(&self) -> u64 {
        self.counts.iter().filter(|(result, _)| result.is_change()).map(|(_, count)| count).sum()
    }

    /// Whether the edit did all that was asked for: no record lacks a destination or cannot be read,
    /// and no trace is left.
    pub fn is_complete(&self) -> bool {
        let left = [EditResult::NoDestination, EditResult::Unreadable, EditResult::Damaged];
        left.into_iter().all(|result| self.count(result) == 0) && !self.traces_left
    }

    /// Each result with its count, but for those that no record has.
    pub fn results(&self) -> impl Iterator<Item = (EditResult, u64)> {
        self.counts.iter().map(|(result, count)| (*result, *count)).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Broker;

    const DROP: Edit = Edit::Drop { broker: Some(Broker::Nats) };

    #[test]
    fn a_report_comes_back_from_its_json() {
        for edit in
            [DROP, Edit::Reroute { from: Broker::Nats, to: None }, Edit::Erase { instance: Some(7), chat: None }]
        {
            let mut report = EditReport::of(&edit);
            report.add(edit.main_result(), 7);
            report.traces_left = true;
            assert_eq!(EditReport::read(&edit, &serde_json::to_vec(&report).unwrap()).unwrap(), report);
        }
        assert_eq!(serde_json::to_string(&EditReport::of(&DROP)).unwrap(), r#"{"dropped":0}"#);
    }

    #[test]
    fn a_result_that_is_unknown_missing_or_of_another_edit_is_an_error() {
        for answer in [
            r#"{}"#,
            r#"{"traces_left":true}"#,
            r#"{"given_up":3}"#,
            r#"{"dropped":3,"given_up":0}"#,
            r#"{"dropped":3,"erased":0}"#,
            r#"{"erased":3,"unrelated":0}"#,
            r#"{"dropped":"3"}"#,
            "[]",
            "",
        ] {
            assert!(EditReport::read(&DROP, answer.as_bytes()).is_err(), "{answer}");
        }
        assert_eq!(EditReport::read(&DROP, br#"{"dropped":3}"#).unwrap().changed(), 3);
    }

    #[test]
    fn only_changes_are_counted_as_changed_and_what_could_not_be_done_is_not_complete() {
        let mut report = EditReport::of(&Edit::Reroute { from: Broker::Nats, to: Some(Broker::Kafka) });
        report.add(EditResult::Rerouted, 3);
        report.add(EditResult::AlreadyThere, 2);
        report.add(EditResult::Unchanged, 1);
        assert_eq!((report.changed(), report.is_complete()), (5, true));
        report.add(EditResult::NoDestination, 1);
        assert_eq!((report.changed(), report.is_complete()), (5, false));
    }
}
