//! Overload: limits on the notifications in flight, and on the bytes of their bodies.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Config, Limits};
use crate::telemetry::{Metrics, Refusal};

/// The permits for notifications in flight.
pub struct Permits {
    in_flight: Arc<Semaphore>,
    wait_queue: Arc<Semaphore>,
    bytes: BytePool,
    metrics: Arc<Metrics>,
}

/// The right of one notification to be in flight, with the bytes of its body; given back on drop.
pub struct Permit {
    _in_flight: OwnedSemaphorePermit,
    taken: TakenBytes,
    bytes: BytePool,
    metrics: Arc<Metrics>,
}

/// The bytes of all bodies in flight.
#[derive(Clone)]
struct BytePool {
    all: Arc<Semaphore>,
    /// The part of them that large bodies may have together. The rest is for small ones: however many large bodies there
    /// are, and however slowly they come, most notifications are small and pass.
    large: Arc<Semaphore>,
}

/// The bytes that one body has taken.
struct TakenBytes {
    all: OwnedSemaphorePermit,
    /// Of a large body alone.
    large: Option<OwnedSemaphorePermit>,
}

/// Bytes are counted in units of this size, so that their number fits a semaphore.
const UNIT: usize = 1024;

/// A body of more units, so above 64 KiB, is large. Published samples have less than 20 KiB, but for previews of media.
const SMALL_UNITS: u32 = 64;

/// An eighth of all bytes is reserved for small bodies.
const SMALL_SHARE: usize = 8;

impl Permits {
    /// As many as the limits allow. The largest body always fits.
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        let Limits { in_flight, waiting, in_flight_bytes, .. } = config.limits;
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let all = in_flight_bytes.div_ceil(UNIT);
        let large = (all - all / SMALL_SHARE).max(config.max_body.div_ceil(UNIT));
        let bytes = BytePool { all: semaphore(all), large: semaphore(large) };
        Self { in_flight: semaphore(in_flight), wait_queue: semaphore(waiting), bytes, metrics }
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
        Some(self.permit(in_flight, self.bytes.try_take(units)?))
    }

    async fn wait(&self, units: u32, limit: Duration) -> Result<Permit, Refusal> {
        let both = async {
            // the bytes first: a large body that waits for them must not hold a permit that a small one could use
            let taken = self.bytes.take(units).await?;
            let in_flight = self.in_flight.clone().acquire_owned().await.ok()?;
            Some(self.permit(in_flight, taken))
        };
        let _queued = self.wait_queue.try_acquire().map_err(|_| Refusal::Overloaded)?;
        timeout(limit, both).await.ok().flatten().ok_or(Refusal::Overloaded)
    }

    fn permit(&self, in_flight: OwnedSemaphorePermit, taken: TakenBytes) -> Permit {
        self.metrics.add_in_flight_bytes(taken.bytes());
        Permit { _in_flight: in_flight, taken, bytes: self.bytes.clone(), metrics: self.metrics.clone() }
    }
}

impl BytePool {
    fn try_take(&self, units: u32) -> Option<TakenBytes> {
        let take = |from: &Arc<Semaphore>| from.clone().try_acquire_many_owned(units).ok();
        let large = if units > SMALL_UNITS { Some(take(&self.large)?) } else { None };
        Some(TakenBytes { large, all: take(&self.all)? })
    }

    async fn take(&self, units: u32) -> Option<TakenBytes> {
        let take = |from: &Arc<Semaphore>| from.clone().acquire_many_owned(units);
        // a large body waits in a queue of its own, in which no small one is behind it
        let large = if units > SMALL_UNITS { Some(take(&self.large).await.ok()?) } else { None };
        Some(TakenBytes { large, all: take(&self.all).await.ok()? })
    }
}

impl TakenBytes {
    fn bytes(&self) -> usize {
        self.all.num_permits() * UNIT
    }

    /// Takes more, up to `units`; None means that not enough are free.
    fn grow_to(&mut self, units: u32, pool: &BytePool) -> Option<()> {
        if units > SMALL_UNITS {
            let taken = self.large.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = pool.large.clone().try_acquire_many_owned(units.saturating_sub(taken as u32)).ok()?;
            match &mut self.large {
                Some(large) => large.merge(more),
                None => self.large = Some(more),
            }
        }
        let missing = units.saturating_sub(self.all.num_permits() as u32);
        self.all.merge(pool.all.clone().try_acquire_many_owned(missing).ok()?);
        Some(())
    }
}

impl Permit {
    /// Takes permits for a body that did not declare its size. It never waits: half-read bodies that wait for each
    /// other's bytes would wait forever.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Refusal> {
        let before = self.taken.bytes();
        if bytes > before {
            self.taken.grow_to(units(bytes), &self.bytes).ok_or(Refusal::Overloaded)?;
            self.metrics.add_in_flight_bytes(self.taken.bytes() - before);
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.metrics.remove_in_flight_bytes(self.taken.bytes());
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Outcome;

    const LARGE: u32 = 1024;

    /// 8 MiB for all bodies, of which 1 MiB is for small ones.
    fn bytes() -> BytePool {
        let config = Config {
            max_body: 1024 * 1024,
            limits: Limits { in_flight_bytes: 8 * 1024 * 1024, ..Limits::default() },
            ..Config::default()
        };
        let metrics = Metrics::new::<Outcome, Outcome>().unwrap();
        Permits::new(&config, Arc::new(metrics)).bytes
    }

    #[tokio::test(start_paused = true)]
    async fn small_bodies_pass_large_ones_that_wait() {
        let bytes = bytes();
        let _large: Vec<_> = (0..7).map(|_| bytes.try_take(LARGE).unwrap()).collect();
        assert!(bytes.try_take(LARGE).is_none());
        let waiting = timeout(Duration::from_secs(9), bytes.take(LARGE));
        let small = async {
            tokio::task::yield_now().await;
            (0..1024 / SMALL_UNITS).map(|_| bytes.try_take(SMALL_UNITS)).collect::<Vec<_>>()
        };
        let (waiting, small) = tokio::join!(waiting, small);
        assert!(waiting.is_err(), "a large body found bytes");
        assert!(small.iter().all(Option::is_some), "a small body found none");
    }

    #[test]
    fn a_body_that_grows_becomes_large() {
        let bytes = bytes();
        let mut growing = bytes.try_take(0).unwrap();
        for units in [1, SMALL_UNITS, SMALL_UNITS + 1, LARGE] {
            growing.grow_to(units, &bytes).unwrap();
            assert_eq!(growing.bytes(), units as usize * UNIT);
            assert_eq!(growing.large.is_some(), units > SMALL_UNITS);
        }
        let _others: Vec<_> = (0..6).map(|_| bytes.try_take(LARGE).unwrap()).collect();
        assert!(growing.grow_to(LARGE + 1, &bytes).is_none());
        drop(growing);
        assert!(bytes.try_take(LARGE).is_some());
    }
}
