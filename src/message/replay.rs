//! What comes out of a dead letter again, and how that is remembered beside it.

use super::Id;

/// How a message has to do with a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// A notification that was replayed so many times before.
    Notification(u32),
    /// Lies in the dead letter, without a body, and says that what has its id and was received before it has been
    /// replayed; so many others say so before it.
    Note(u32),
}

impl Replay {
    /// The header of a note; its value counts the replays.
    pub const HEADER: &'static str = "bridge-replayed";

    pub(super) fn noted(self) -> Option<u32> {
        match self {
            Self::Notification(_) => None,
            Self::Note(before) => Some(before.saturating_add(1)),
        }
    }

    /// Another one than that of the dead letter, and of every replay before, which the stream may remember; and the
    /// same one if this replay was cut off before it was noted, so that the stream drops what it has.
    pub(super) fn dedupe_id(self, id: Id) -> String {
        match self {
            Self::Notification(0) => id.to_string(),
            Self::Notification(before) => format!("again-{before}-{id}"),
            Self::Note(before) => format!("replayed-{before}-{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_replay_and_each_note_has_an_identity_of_its_own_and_keeps_it() {
        let id = Id::from(7);
        let all = [Replay::Notification(0), Replay::Notification(1), Replay::Note(0), Replay::Note(1)];
        let ids: std::collections::HashSet<_> = all.iter().map(|replay| replay.dedupe_id(id)).collect();
        assert_eq!(ids.len(), all.len());
        assert!(ids.contains("00000000000000000000000000000007"), "a first one may be stored already: {ids:?}");
        assert!(!ids.contains(&format!("dl-{id}")));
        assert_eq!([Replay::Note(0).noted(), Replay::Notification(3).noted()], [Some(1), None]);
    }
}
