//! Overload: how many notifications, and how many bytes of them, are in flight at once.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Answer, Config, Limits};

/// The places for notifications in flight.
pub struct Slots {
    places: Arc<Semaphore>,
    line: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// One place; given back when dropped.
pub struct Slot {
    _place: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
    pool: Arc<Semaphore>,
}

/// Bytes are counted in units of this, so that their number fits a semaphore.
const UNIT: usize = 1024;

impl Slots {
    /// Places as the limits say.
    pub fn new(limits: &Limits) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            places: semaphore(limits.in_flight),
            line: semaphore(limits.waiting),
            bytes: semaphore(limits.in_flight_bytes.div_ceil(UNIT)),
        }
    }

    /// A place for a request with this body: at once, or after a wait in a bounded line of at most half of
    /// `answer_within`.
    pub(super) async fn enter(&self, body: &Incoming, config: &Config) -> Result<Slot, Answer> {
        let declared = body.size_hint().exact().unwrap_or(0);
        if declared > config.max_body as u64 {
            return Err(Answer::TooLarge);
        }
        let units = units(usize::try_from(declared).unwrap_or(usize::MAX));
        match self.at_once(units) {
            Some(slot) => Ok(slot),
            // rare: what the wait needs room for is apart
            None => Box::pin(self.in_line(units, config.answer_within / 2)).await,
        }
    }

    /// None while there are none; whoever waits comes first.
    fn at_once(&self, units: u32) -> Option<Slot> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(units).ok()?;
        Some(self.slot(place, bytes))
    }

    async fn in_line(&self, units: u32, wait: Duration) -> Result<Slot, Answer> {
        let both = async {
            let place = self.places.clone().acquire_owned().await.ok()?;
            let bytes = self.bytes.clone().acquire_many_owned(units).await.ok()?;
            Some(self.slot(place, bytes))
        };
        let _in_line = self.line.try_acquire().map_err(|_| Answer::Overloaded)?;
        timeout(wait, both).await.ok().flatten().ok_or(Answer::Overloaded)
    }

    fn slot(&self, place: OwnedSemaphorePermit, bytes: OwnedSemaphorePermit) -> Slot {
        Slot { _place: place, bytes, pool: self.bytes.clone() }
    }
}

impl Slot {
    /// Makes room for a body that did not say its size. Without a wait: bodies that wait for each other's
    /// room, half read, would wait for ever.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Answer> {
        let missing = (units(bytes) as usize).saturating_sub(self.bytes.num_permits());
        if missing > 0 {
            let more = self.pool.clone().try_acquire_many_owned(missing as u32);
            self.bytes.merge(more.map_err(|_| Answer::Overloaded)?);
        }
        Ok(())
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}
