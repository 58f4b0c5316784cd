//! Notifications that are being stored.

use super::{Deliver, Outcome};
use crate::message::{Brokers, Id};

/// A notification under way; when dropped, it is not, and whoever waits for it is told.
pub(super) struct UnderWay<'d> {
    deliver: &'d Deliver,
    id: Id,
    pub(super) stored: Brokers,
    /// Those of them that acknowledged it: of the others the journal knows itself.
    pub(super) direct: Brokers,
    pub(super) outcome: Outcome,
}

impl<'d> UnderWay<'d> {
    pub(super) fn new(deliver: &'d Deliver, id: Id) -> Self {
        Self { deliver, id, stored: Brokers::NONE, direct: Brokers::NONE, outcome: Outcome::NotStored }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let now = std::time::Instant::now();
        let evicted = self.deliver.with_seen(|seen| seen.end(self.id, self.stored, self.outcome, now));
        self.deliver.metrics.evicted(evicted);
        if let Some(keeper) = self.deliver.keeper.as_ref().filter(|_| !self.direct.is_empty()) {
            keeper.saw(self.id, self.direct);
        }
    }
}
