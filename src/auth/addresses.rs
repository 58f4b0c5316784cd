//! The source addresses that may send.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error};

/// GREEN-API's published senders (its Webhook Endpoint page). The list changes, so it is off by default.
const GREEN_API: [IpAddr; 3] = [
    IpAddr::V4(std::net::Ipv4Addr::new(89, 169, 144, 17)),
    IpAddr::V4(std::net::Ipv4Addr::new(158, 160, 195, 0)),
    IpAddr::V4(std::net::Ipv4Addr::new(158, 160, 47, 204)),
];

/// One entry of `auth.allow_from`: an address, a CIDR range, or `green-api` for its published senders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range(Vec<IpNet>);

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "green-api" {
            return Ok(Self(GREEN_API.map(IpNet::from).to_vec()));
        }
        let one = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let wrong = |_| {
            let near = strsim::damerau_levenshtein(&text.to_ascii_lowercase(), "green-api") <= 4;
            let near = if near { "; the nearest is green-api" } else { "" };
            let give = "not an address or a range; give \"10.0.0.0/8\", \"192.0.2.7\" or \"green-api\"";
            D::Error::custom(format!("{give}{near}"))
        };
        Ok(Self(vec![canonical(one.map_err(wrong)?)]))
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        out.write_str(&all.join(", "))
    }
}

/// An IPv4 range written as IPv6 becomes IPv4, because [`AllowList::allows`] does the same with addresses.
fn canonical(range: IpNet) -> IpNet {
    match (range.addr().to_canonical(), range, range.prefix_len().checked_sub(96)) {
        (address @ IpAddr::V4(_), IpNet::V6(_), Some(length)) => IpNet::new(address, length).unwrap_or(range),
        _ => range,
    }
}

/// The addresses that may send. None means any.
#[derive(Debug, Default)]
pub struct AllowList(Option<Vec<IpNet>>);

impl AllowList {
    /// The list of these entries. None means any address.
    pub fn new(ranges: Option<&[Range]>) -> Self {
        Self(ranges.map(|ranges| ranges.iter().flat_map(|range| range.0.clone()).collect()))
    }

    /// Whether an entry of the list contains this address. Without a list, false.
    pub fn lists(&self, address: IpAddr) -> bool {
        self.0.is_some() && self.allows(address)
    }

    /// Whether this address may send. An IPv4 address inside an IPv6 one counts as itself.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.as_ref().is_none_or(|ranges| ranges.iter().any(|range| range.contains(&address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, address: &str) -> bool {
        let ranges: Vec<Range> = serde_json::from_str(list).unwrap();
        AllowList::new(Some(&ranges)).allows(address.parse().unwrap())
    }

    #[test]
    fn addresses_ranges_and_green_api_are_accepted() {
        assert!(allows(r#"["10.0.0.0/8"]"#, "10.9.8.7"));
        assert!(allows(r#"["10.0.0.0/8"]"#, "::ffff:10.9.8.7"));
        assert!(!allows(r#"["10.0.0.0/8"]"#, "11.0.0.1"));
        assert!(allows(r#"["::1", "192.0.2.7"]"#, "192.0.2.7"));
        assert!(allows(r#"["green-api"]"#, "158.160.47.204"));
        assert!(
            allows(r#"["::ffff:127.0.0.0/104"]"#, "127.0.0.1") && !allows(r#"["::ffff:10.0.0.0/104"]"#, "127.0.0.1")
        );
        assert!(!allows(r#"["green-api"]"#, "158.160.47.205"));
        assert!(!allows("[]", "127.0.0.1"));
        assert!(AllowList::new(None).allows([127, 0, 0, 1].into()));
        assert!(serde_json::from_str::<Range>("\"greenapi\"").is_err());
    }
}
