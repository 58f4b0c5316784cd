//! What a sender writes into a forwarding header never chooses its address.
//!
//! The first byte has the header, the number of proxies and where they write; the rest are the sender's header lines.

#![no_main]

use std::net::IpAddr;

use greenapi_bridge::auth::{ForwardingError, ForwardingHeader};
use libfuzzer_sys::fuzz_target;

/// What the proxies add, the first one first.
const ADDED: [&str; 3] = ["198.51.100.1", "2001:db8::2", "::ffff:10.0.0.3"];

fn element(header: ForwardingHeader, address: &str) -> String {
    match header {
        ForwardingHeader::XForwardedFor => address.into(),
        ForwardingHeader::Forwarded if address.contains(':') => format!("for=\"[{address}]\";proto=https"),
        ForwardingHeader::Forwarded => format!("For={address}"),
    }
}

/// The element chosen by splitting the whole list.
fn expected(lines: &[&[u8]], trusted_hops: usize) -> Option<IpAddr> {
    let text = String::from_utf8_lossy(&lines.join(&b',')).into_owned();
    let elements: Vec<_> = text.split(',').map(|element| element.trim_matches([' ', '\t']).parse::<IpAddr>()).collect();
    let trusted = &elements[elements.len().checked_sub(trusted_hops)?..];
    let trusted: Vec<_> = trusted.iter().map(|address| address.clone().ok()).collect::<Option<_>>()?;
    Some(trusted.first()?.to_canonical())
}

fuzz_target!(|input: (u8, &[u8])| {
    let (first, written) = input;
    let header = if first & 1 == 0 { ForwardingHeader::XForwardedFor } else { ForwardingHeader::Forwarded };
    let proxies = 1 + usize::from(first >> 1 & 1) + usize::from(first >> 2 & 1);
    let is_same_line = first >> 3 & 1 == 0;
    let mut lines: Vec<Vec<u8>> = written.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let unchanged: Vec<_> = lines.iter().map(Vec::as_slice).collect();
    let found = header.sender(unchanged.iter().copied(), proxies);
    if header == ForwardingHeader::XForwardedFor {
        assert_eq!(found.ok(), expected(&unchanged, proxies));
    }
    for address in &ADDED[..proxies] {
        let element = element(header, address);
        match lines.last_mut().filter(|_| is_same_line) {
            Some(line) => line.extend(format!(", {element}").bytes()),
            None => lines.push(element.into()),
        }
    }
    match header.sender(lines.iter().map(Vec::as_slice), proxies) {
        Ok(address) => assert_eq!(address, ADDED[0].parse::<IpAddr>().unwrap()),
        // a quoted string without an end
        Err(error) => assert_eq!((header, error), (ForwardingHeader::Forwarded, ForwardingError::Malformed)),
    }
});
