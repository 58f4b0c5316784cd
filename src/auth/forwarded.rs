//! The sender's address as reverse proxies name it in a request header.
//!
//! A proxy appends the address that it was connected from. So the elements on the right were written by the operator's own
//! proxies, and everything left of them by the sender, who can write anything there.

use std::collections::VecDeque;
use std::net::IpAddr;

use serde::Deserialize;

/// A request header in which a reverse proxy names the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`: a list of addresses.
    XForwardedFor,
    /// `Forwarded` (RFC 7239): a list of elements whose parameter `for` is the address.
    Forwarded,
}

/// Why a request's header names no sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardingError {
    /// There is no such header.
    Missing,
    /// The header has fewer elements than there are trusted proxies.
    TooFewHops,
    /// One of the elements that the trusted proxies wrote is no address.
    Malformed,
}

impl ForwardingError {
    /// What is wrong, for the log. It shows nothing of the header's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => {
                "the header of http.proxy is missing: the request came past the proxy, or the proxy does not set it"
            }
            Self::TooFewHops => "the header of http.proxy has fewer addresses than http.proxy.trusted_hops",
            Self::Malformed => {
                "the header of http.proxy has something that is no bare address; the proxy must add no port, zone or name"
            }
        }
    }
}

impl ForwardingHeader {
    /// The name of the header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// The sender's address: the element number `trusted_hops`, counted from the right. `lines` are the values of all
    /// header lines of this name, in order: together they are one list. An IPv4 address inside an IPv6 one becomes IPv4.
    ///
    /// # Errors
    /// [`ForwardingError`]. Elements left of the chosen one are never looked at, but for the quotes of `Forwarded`.
    pub fn sender<'h>(
        self,
        lines: impl DoubleEndedIterator<Item = &'h [u8]>,
        trusted_hops: usize,
    ) -> Result<IpAddr, ForwardingError> {
        let mut lines = lines.peekable();
        if lines.peek().is_none() {
            return Err(ForwardingError::Missing);
        }
        match self {
            Self::XForwardedFor => {
                let elements = lines.rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
                chosen(elements.map(address), trusted_hops)
            }
            Self::Forwarded => {
                let elements = last_elements(lines, trusted_hops)?;
                chosen(elements.into_iter().rev().map(forwarded_for), trusted_hops)
            }
        }
    }
}

/// The element number `trusted_hops` of those given from the right. A trusted proxy wrote each of them, so each must be
/// an address.
fn chosen(
    mut elements: impl Iterator<Item = Result<IpAddr, ForwardingError>>,
    trusted_hops: usize,
) -> Result<IpAddr, ForwardingError> {
    let mut sender = Err(ForwardingError::TooFewHops);
    for _ in 0..trusted_hops {
        sender = Ok(elements.next().ok_or(ForwardingError::TooFewHops)??);
    }
    sender
}

/// A bare address: without brackets, port or zone.
fn address(text: &[u8]) -> Result<IpAddr, ForwardingError> {
    let address = std::str::from_utf8(trim(text)).ok().and_then(|text| text.parse::<IpAddr>().ok());
    address.map(|address| address.to_canonical()).ok_or(ForwardingError::Malformed)
}

/// The last `count` elements of all lines. A quoted string ends in its own line.
fn last_elements<'h>(
    lines: impl Iterator<Item = &'h [u8]>,
    count: usize,
) -> Result<VecDeque<&'h [u8]>, ForwardingError> {
    let mut last = VecDeque::new();
    for element in lines.flat_map(|line| Unquoted::split(line, b',')) {
        if last.len() == count {
            last.pop_front();
        }
        last.push_back(element?);
    }
    Ok(last)
}

/// The address in the parameter `for` of one element.
fn forwarded_for(element: &[u8]) -> Result<IpAddr, ForwardingError> {
    let mut found = None;
    for pair in Unquoted::split(element, b';') {
        let pair = trim(pair?);
        // a semicolon with nothing behind it
        if pair.is_empty() {
            continue;
        }
        let equals = pair.iter().position(|byte| *byte == b'=').ok_or(ForwardingError::Malformed)?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if !is_token(name) {
            return Err(ForwardingError::Malformed);
        }
        if name.eq_ignore_ascii_case(b"for") && found.replace(node(value)?).is_some() {
            return Err(ForwardingError::Malformed);
        }
    }
    found.ok_or(ForwardingError::Malformed)
}

/// A `node` of RFC 7239 that is a bare address: IPv4 as it is or quoted, IPv6 quoted and in brackets. No address needs an
/// escape.
fn node(value: &[u8]) -> Result<IpAddr, ForwardingError> {
    let quoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let bracketed = quoted.and_then(|text| text.strip_prefix(b"[")).and_then(|rest| rest.strip_suffix(b"]"));
    let text = bracketed.or(quoted).unwrap_or(value);
    let is_ipv6 = text.contains(&b':');
    let has_space = trim(text).len() != text.len();
    if is_ipv6 == bracketed.is_some() && !has_space { address(text) } else { Err(ForwardingError::Malformed) }
}

/// A `token` of RFC 9110.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Without the white space that HTTP allows around an element.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The parts of a text between separators that stand outside of quoted strings. A quoted string without an end is an
/// error, and the last part.
struct Unquoted<'t> {
    /// None means that the last part was given.
    rest: Option<&'t [u8]>,
    separator: u8,
}

impl<'t> Unquoted<'t> {
    fn split(text: &'t [u8], separator: u8) -> Self {
        Self { rest: Some(text), separator }
    }
}

impl<'t> Iterator for Unquoted<'t> {
    type Item = Result<&'t [u8], ForwardingError>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        let (mut is_quoted, mut is_escaped) = (false, false);
        for (index, byte) in text.iter().enumerate() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if is_quoted => is_escaped = true,
                b'"' => is_quoted = !is_quoted,
                byte if *byte == self.separator && !is_quoted => {
                    self.rest = Some(&text[index + 1..]);
                    return Some(Ok(&text[..index]));
                }
                _ => {}
            }
        }
        Some(if is_quoted { Err(ForwardingError::Malformed) } else { Ok(text) })
    }
}

#[cfg(test)]
#[path = "forwarded_tests.rs"]
mod tests;
