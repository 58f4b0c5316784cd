//! Overload: limits on the notifications in flight, and on their bytes.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Config, Limits};
use crate::telemetry::Refusal;

/// The permits for notifications in flight.
pub struct Permits {
    in_flight: Arc<Semaphore>,
    wait_queue: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// The right of one notification to be in flight, with the bytes of its body; given back on drop.
pub struct Permit {
    _in_flight: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
    pool: Arc<Semaphore>,
}

/// Bytes are counted in units of this size, so that their number fits a semaphore.
const UNIT: usize = 1024;

impl Permits {
    /// As many as the limits allow.
    pub fn new(limits: &Limits) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            in_flight: semaphore(limits.in_flight),
            wait_queue: semaphore(limits.waiting),
            bytes: semaphore(limits.in_flight_bytes.div_ceil(UNIT)),
        }
    }

    /// A permit for a request with this body: at once, or after at most half of `answer_within` in the bounded wait
    /// queue.
    pub(super) async fn acquire(&self, body: &Incoming, config: &Config) -> Result<Permit, Refusal> {
        let declared = body.size_hint().exact().unwrap_or(0);
        if declared > config.max_body as u64 {
            return Err(Refusal::TooLarge);
        }
        let units = units(usize::try_from(declared).unwrap_or(usize::MAX));
        match self.try_acquire(units) {
            Some(permit) => Ok(permit),
            // rare, so boxed: the wait's state would make every request's future larger
            None => Box::pin(self.wait(units, config.answer_within / 2)).await,
        }
    }

    /// None means that all are taken. Requests in the wait queue come first.
    fn try_acquire(&self, units: u32) -> Option<Permit> {
        let in_flight = self.in_flight.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(units).ok()?;
        Some(self.permit(in_flight, bytes))
    }

    async fn wait(&self, units: u32, limit: Duration) -> Result<Permit, Refusal> {
        let both = async {
            let in_flight = self.in_flight.clone().acquire_owned().await.ok()?;
            let bytes = self.bytes.clone().acquire_many_owned(units).await.ok()?;
            Some(self.permit(in_flight, bytes))
        };
        let _queued = self.wait_queue.try_acquire().map_err(|_| Refusal::Overloaded)?;
        timeout(limit, both).await.ok().flatten().ok_or(Refusal::Overloaded)
    }

    fn permit(&self, in_flight: OwnedSemaphorePermit, bytes: OwnedSemaphorePermit) -> Permit {
        Permit { _in_flight: in_flight, bytes, pool: self.bytes.clone() }
    }
}

impl Permit {
    /// Takes permits for a body that did not declare its size. It never waits: half-read bodies that wait for each
    /// other's bytes would wait forever.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Refusal> {
        let missing = (units(bytes) as usize).saturating_sub(self.bytes.num_permits());
        if missing > 0 {
            let more = self.pool.clone().try_acquire_many_owned(missing as u32);
            self.bytes.merge(more.map_err(|_| Refusal::Overloaded)?);
        }
        Ok(())
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}
