//! What a message is: a notification, a dead letter, or a replay marker.

use super::{DeadLetter, Id};

/// What a message is. It decides the dedup id and the `bridge-` headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageKind {
    /// A notification for its own destination.
    Notification {
        /// How many replays came before this one. None means that it is not a replay: GREEN-API sent it.
        earlier_replays: Option<u32>,
    },
    /// A body for the dead letter destination.
    DeadLetter(DeadLetter),
    /// A record of the dead letter destination without a body. It says that the dead letter with its id, received
    /// before it, has been replayed.
    ReplayMarker {
        /// How many markers of the same dead letter came before this one.
        earlier_replays: u32,
    },
}

impl MessageKind {
    /// The header of a replay marker; its value counts the replays.
    pub const REPLAYED_HEADER: &'static str = "bridge-replayed";

    /// The value of [`Self::REPLAYED_HEADER`]. None means that the message is not a replay marker.
    pub(super) fn replayed(&self) -> Option<u32> {
        match self {
            Self::ReplayMarker { earlier_replays } => Some(earlier_replays.saturating_add(1)),
            Self::Notification { .. } | Self::DeadLetter(_) => None,
        }
    }

    /// The identity the broker dedupes by.
    ///
    /// A replay has another one than its dead letter and than every replay before it, which the stream may still
    /// remember. A replay that is repeated because its marker was not written has the same one again, so the stream
    /// drops the repeat.
    pub(super) fn dedupe_id(&self, id: Id) -> String {
        match self {
            Self::Notification { earlier_replays: None } => id.to_string(),
            Self::Notification { earlier_replays: Some(earlier) } => replay_id(*earlier, id),
            Self::DeadLetter(dead) => {
                let whole = dead.earlier_replays.map_or_else(|| format!("dl-{id}"), |earlier| replay_id(earlier, id));
                dead.part.map_or_else(|| whole.clone(), |part| format!("{whole}-{part}"))
            }
            Self::ReplayMarker { earlier_replays } => format!("replayed-{earlier_replays}-{id}"),
        }
    }
}

fn replay_id(earlier: u32, id: Id) -> String {
    if earlier == 0 { id.to_string() } else { format!("again-{earlier}-{id}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Part, Reason};

    #[test]
    fn every_replay_part_and_marker_has_its_own_dedupe_id() {
        let id = Id::from(7);
        let replay = |earlier_replays| MessageKind::Notification { earlier_replays };
        let marker = |earlier_replays| MessageKind::ReplayMarker { earlier_replays };
        let part = |number, earlier_replays| {
            let whole = DeadLetter::new(Reason::TooLarge, String::new());
            MessageKind::DeadLetter(DeadLetter { part: Some(Part { number, count: 2 }), earlier_replays, ..whole })
        };
        let all = [replay(Some(0)), replay(Some(1)), marker(0), marker(1), part(1, None), part(2, None)];
        let parts_of_replays = [part(1, Some(0)), part(2, Some(0)), part(1, Some(1)), part(2, Some(1))];
        let ids: std::collections::HashSet<_> =
            all.iter().chain(&parts_of_replays).map(|kind| kind.dedupe_id(id)).collect();
        assert_eq!(ids.len(), all.len() + parts_of_replays.len());
        assert_eq!(replay(None).dedupe_id(id), replay(Some(0)).dedupe_id(id), "a first replay may be stored already");
        assert!(!ids.contains(&format!("dl-{id}")));
    }

    #[test]
    fn only_a_marker_counts_replays() {
        let replay = MessageKind::Notification { earlier_replays: Some(3) };
        assert_eq!([MessageKind::ReplayMarker { earlier_replays: 0 }.replayed(), replay.replayed()], [Some(1), None]);
    }
}
