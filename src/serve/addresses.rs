//! Open connections by source address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The addresses with open connections; never more entries than there are connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address; no longer counted when dropped.
#[derive(Debug)]
pub(super) struct Counted {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    /// Counts one more connection, unless the address already has `most`. An IPv4 address inside an IPv6 one
    /// counts as itself. Loopback has no such limit: there it is a proxy, and all its clients are one address.
    pub(super) fn enter(&self, address: IpAddr, most: usize) -> Option<Counted> {
        let address = address.to_canonical();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= most && !address.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Counted { addresses: self.clone(), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_places_and_leaves_nothing_behind() {
        let addresses = Addresses::default();
        let enter = |address: &str| addresses.enter(address.parse().unwrap(), 2);
        let both = (enter("192.0.2.7").unwrap(), enter("::ffff:192.0.2.7").unwrap());
        assert!(enter("192.0.2.7").is_none() && enter("::ffff:192.0.2.7").is_none());
        assert!(enter("192.0.2.8").is_some() && enter("2001:db8::7").is_some());
        drop(both.0);
        assert!(enter("192.0.2.7").is_some());
        drop(both.1);
        assert!(addresses.0.lock().unwrap().is_empty());
    }

    #[test]
    fn loopback_is_a_proxy_and_not_limited() {
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.2"] {
            let addresses = Addresses::default();
            let open: Vec<_> = (0..9).map(|_| addresses.enter(address.parse().unwrap(), 2)).collect();
            assert!(open.iter().all(Option::is_some), "{address}");
        }
    }
}
