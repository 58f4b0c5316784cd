//! Protected addresses: those of clients that have shown a valid token lately, and those of an allow list. Their connections
//! are evicted last.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::eviction::network_of;

/// How long an address stays protected after a valid token. GREEN-API may pause for a minute, and an instance may have nothing to
/// send for longer.
const PROTECTED_FOR: Duration = Duration::from_secs(60 * 60);

/// The most addresses that are protected by their tokens; GREEN-API has few. Beyond it, the one goes that showed its token
/// the longest ago.
const MAX_PROTECTED: usize = 1024;

/// Whether an address is protected without a token, such as those of an allow list.
pub(super) type IsProtected = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The protected addresses of one listener. Cheap to clone.
#[derive(Clone)]
pub(super) struct ProtectedAddresses {
    by_configuration: Option<IsProtected>,
    /// When each has last shown a valid token.
    seen: Arc<Mutex<HashMap<IpAddr, Instant>>>,
}

impl ProtectedAddresses {
    pub(super) fn new(by_configuration: Option<IsProtected>) -> Self {
        Self { by_configuration, seen: Arc::default() }
    }

    /// A client at this address has shown a valid token.
    pub(super) fn add(&self, address: IpAddr) {
        let (address, now) = (network_of(address), Instant::now());
        let mut seen = self.seen.lock();
        if seen.len() >= MAX_PROTECTED && !seen.contains_key(&address) {
            let oldest = seen.iter().min_by_key(|(_, seen)| **seen).map(|(oldest, _)| *oldest);
            oldest.and_then(|oldest| seen.remove(&oldest));
        }
        seen.insert(address, now);
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let is_recent = |seen: &Instant| seen.elapsed() < PROTECTED_FOR;
        self.seen.lock().get(&network_of(address)).is_some_and(is_recent)
            || self.by_configuration.as_ref().is_some_and(|is_protected| is_protected(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_is_protected_for_an_hour_after_a_valid_token() {
        let protected = ProtectedAddresses::new(None);
        let address = "192.0.2.7".parse().unwrap();
        assert!(!protected.contains(address));
        protected.add("::ffff:192.0.2.7".parse().unwrap());
        assert!(protected.contains(address) && !protected.contains("192.0.2.8".parse().unwrap()));
        tokio::time::advance(PROTECTED_FOR).await;
        assert!(!protected.contains(address));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_protected_addresses_is_limited() {
        let protected = ProtectedAddresses::new(None);
        let address = |number: usize| IpAddr::from([10, 0, (number / 256) as u8, (number % 256) as u8]);
        for number in 0..=MAX_PROTECTED {
            protected.add(address(number));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(protected.seen.lock().len(), MAX_PROTECTED);
        assert!(
            !protected.contains(address(0))
                && protected.contains(address(1))
                && protected.contains(address(MAX_PROTECTED))
        );
    }

    #[test]
    fn an_allowed_address_is_protected_without_a_token() {
        let protected = ProtectedAddresses::new(Some(Arc::new(|address| address == IpAddr::from([192, 0, 2, 1]))));
        assert!(protected.contains([192, 0, 2, 1].into()) && !protected.contains([192, 0, 2, 2].into()));
    }
}
