//! The addresses of clients that have shown a valid token lately.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::eviction::counted_as;

/// How long an address stays known after a valid token. GREEN-API may pause for a minute, and an instance may have nothing to
/// send for longer.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);

/// The most addresses that are known. GREEN-API has few.
const MAX_KNOWN: usize = 1024;

/// Decides about addresses that are known without a token, such as those of an allow list.
pub(super) type IsAllowed = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Addresses whose connections are the last to be evicted. Cheap to clone.
#[derive(Clone)]
pub(super) struct KnownAddresses {
    allowed: Option<IsAllowed>,
    /// When each has last shown a valid token.
    seen: Arc<Mutex<HashMap<IpAddr, Instant>>>,
}

impl KnownAddresses {
    pub(super) fn new(allowed: Option<IsAllowed>) -> Self {
        Self { allowed, seen: Arc::default() }
    }

    /// A client at this address has shown a valid token.
    pub(super) fn add(&self, address: IpAddr) {
        let (address, now) = (counted_as(address), Instant::now());
        let mut seen = self.seen.lock();
        if seen.len() >= MAX_KNOWN && !seen.contains_key(&address) {
            let oldest = seen.iter().min_by_key(|(_, seen)| **seen).map(|(oldest, _)| *oldest);
            oldest.and_then(|oldest| seen.remove(&oldest));
        }
        seen.insert(address, now);
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let is_recent = |seen: &Instant| seen.elapsed() < KNOWN_FOR;
        self.seen.lock().get(&counted_as(address)).is_some_and(is_recent)
            || self.allowed.as_ref().is_some_and(|is_allowed| is_allowed(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_is_known_for_an_hour_after_a_valid_token() {
        let known = KnownAddresses::new(None);
        let address = "192.0.2.7".parse().unwrap();
        assert!(!known.contains(address));
        known.add("::ffff:192.0.2.7".parse().unwrap());
        assert!(known.contains(address) && !known.contains("192.0.2.8".parse().unwrap()));
        tokio::time::advance(KNOWN_FOR).await;
        assert!(!known.contains(address));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_known_addresses_is_limited() {
        let known = KnownAddresses::new(None);
        let address = |number: usize| IpAddr::from([10, 0, (number / 256) as u8, (number % 256) as u8]);
        for number in 0..=MAX_KNOWN {
            known.add(address(number));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(known.seen.lock().len(), MAX_KNOWN);
        assert!(!known.contains(address(0)) && known.contains(address(1)) && known.contains(address(MAX_KNOWN)));
    }

    #[test]
    fn an_allowed_address_is_known_without_a_token() {
        let known = KnownAddresses::new(Some(Arc::new(|address| address == IpAddr::from([192, 0, 2, 1]))));
        assert!(known.contains([192, 0, 2, 1].into()) && !known.contains([192, 0, 2, 2].into()));
    }
}
