use proptest::prelude::*;

use super::*;

fn sender(header: ForwardingHeader, lines: &[&str], trusted_hops: usize) -> Result<IpAddr, ForwardingError> {
    header.sender(lines.iter().map(|line| line.as_bytes()), trusted_hops)
}

fn x_forwarded_for(lines: &[&str], trusted_hops: usize) -> Result<IpAddr, ForwardingError> {
    sender(ForwardingHeader::XForwardedFor, lines, trusted_hops)
}

fn forwarded(lines: &[&str], trusted_hops: usize) -> Result<IpAddr, ForwardingError> {
    sender(ForwardingHeader::Forwarded, lines, trusted_hops)
}

fn is(address: &str) -> Result<IpAddr, ForwardingError> {
    Ok(address.parse().unwrap())
}

#[test]
fn the_sender_is_counted_from_the_right_over_all_lines() {
    let lines = ["10.0.0.1, 10.0.0.2", "10.0.0.3 ,\t10.0.0.4"];
    for (hops, address) in [(1, "10.0.0.4"), (2, "10.0.0.3"), (3, "10.0.0.2"), (4, "10.0.0.1")] {
        assert_eq!(x_forwarded_for(&lines, hops), is(address));
        let elements = lines.map(|line| line.replace("10.", "by=_x;For=10."));
        assert_eq!(forwarded(&elements.each_ref().map(String::as_str), hops), is(address));
    }
    assert_eq!(x_forwarded_for(&lines, 5), Err(ForwardingError::TooFewHops));
    assert_eq!(forwarded(&["for=10.0.0.1"], 2), Err(ForwardingError::TooFewHops));
}

#[test]
fn a_missing_header_is_an_error_of_its_own() {
    assert_eq!(x_forwarded_for(&[], 1), Err(ForwardingError::Missing));
    assert_eq!(forwarded(&[], 1), Err(ForwardingError::Missing));
}

#[test]
fn what_the_sender_wrote_to_the_left_is_ignored() {
    for spoofed in ["89.169.144.17", "unknown", "", ",", "a b \u{ff}", "::1%eth0", "1.2.3.4:5"] {
        assert_eq!(x_forwarded_for(&[spoofed, "192.0.2.7"], 1), is("192.0.2.7"), "{spoofed:?}");
        assert_eq!(x_forwarded_for(&[&format!("{spoofed}, 192.0.2.7")], 1), is("192.0.2.7"), "{spoofed:?}");
        assert_eq!(forwarded(&[&format!("{spoofed}, for=192.0.2.7")], 1), is("192.0.2.7"), "{spoofed:?}");
    }
    for quoted in [r#"for="a, for=9.9.9.9""#, r#"for="\", for=9.9.9.9""#, r#"x="a;for=9.9.9.9""#] {
        assert_eq!(forwarded(&[&format!("{quoted}, for=192.0.2.7")], 1), is("192.0.2.7"), "{quoted}");
        assert_eq!(forwarded(&[&format!("{quoted}, for=192.0.2.7")], 2), Err(ForwardingError::Malformed), "{quoted}");
    }
}

#[test]
fn a_quote_of_the_sender_cannot_hide_what_the_proxy_adds() {
    for line in [
        r#"for=9.9.9.9, for=", for=192.0.2.7"#,
        r#"for=9.9.9.9, for="a\", for=192.0.2.7"#,
        r#"for=9.9.9.9, for=", for="[2001:db8::1]""#,
    ] {
        assert_eq!(forwarded(&[line], 1), Err(ForwardingError::Malformed), "{line}");
    }
    assert_eq!(forwarded(&["for=\"", "\", for=9.9.9.9"], 1), Err(ForwardingError::Malformed));
    assert_eq!(forwarded(&["for=\"", "for=192.0.2.7"], 1), Err(ForwardingError::Malformed));
}

#[test]
fn an_element_of_a_trusted_proxy_must_be_a_bare_address() {
    for wrong in [
        "",
        " ",
        "unknown",
        "_hidden",
        "192.0.2.7:80",
        "[2001:db8::1]",
        "[2001:db8::1]:80",
        "fe80::1%eth0",
        "fe80::1%25eth0",
        "192.0.2",
        "192.0.2.07",
        "192.0.2.256",
        "\"192.0.2.7\"",
        "192.0.2.7 192.0.2.8",
        "192.0.2.7;",
        "localhost",
        "\u{a0}192.0.2.7",
    ] {
        assert_eq!(x_forwarded_for(&[wrong], 1), Err(ForwardingError::Malformed), "{wrong:?}");
        assert_eq!(
            x_forwarded_for(&["192.0.2.7", wrong], 2),
            Err(ForwardingError::Malformed),
            "{wrong:?} on the right"
        );
        assert_eq!(x_forwarded_for(&[wrong, "192.0.2.7"], 2), Err(ForwardingError::Malformed), "{wrong:?} chosen");
    }
    assert_eq!(x_forwarded_for(&["2001:DB8::1"], 1), is("2001:db8::1"));
}

#[test]
fn the_parameter_for_is_an_address_in_the_form_of_rfc_7239() {
    for (element, address) in [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("FOR=\"192.0.2.60\"", "192.0.2.60"),
        ("For=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17"),
        ("proto=https; for=192.0.2.60 ;", "192.0.2.60"),
        ("by=\"a;for=9.9.9.9\";for=192.0.2.60", "192.0.2.60"),
    ] {
        assert_eq!(forwarded(&[element], 1), is(address), "{element}");
    }
    for wrong in [
        "",
        "proto=https",
        "for",
        "for=",
        "=192.0.2.60",
        "for=unknown",
        "for=_gazonk",
        "for=\"_gazonk\"",
        "for=192.0.2.60:80",
        "for=\"192.0.2.60:80\"",
        "for=\"[2001:db8::1]:80\"",
        "for=\"[2001:db8::1]:_port\"",
        "for=\"[fe80::1%eth0]\"",
        "for=\"[192.0.2.60]\"",
        "for=\"2001:db8::1\"",
        "for=2001:db8::1",
        "for=[2001:db8::1]",
        "for=\"192.0.2.60",
        "for=192.0.2.60\"",
        "for=\"192\\.0.2.60\"",
        "for=\" 192.0.2.60\"",
        "for=\"[ 2001:db8::1]\"",
        "for = 192.0.2.60",
        "for=192.0.2.60 proto=http",
        "for=192.0.2.60;for=192.0.2.60",
        "for=192.0.2.60;FOR=_hidden",
        "for=192.0.2.60;proto",
        "for=192.0.2.60;a b=c",
        "192.0.2.60",
    ] {
        assert_eq!(forwarded(&[wrong], 1), Err(ForwardingError::Malformed), "{wrong}");
        let right = format!("for=192.0.2.7, {wrong}");
        assert_eq!(forwarded(&[&right], 2), Err(ForwardingError::Malformed), "{right}");
    }
}

#[test]
fn an_ipv4_address_inside_an_ipv6_one_becomes_ipv4() {
    assert_eq!(x_forwarded_for(&["::ffff:192.0.2.7"], 1), is("192.0.2.7"));
    assert_eq!(forwarded(&["for=\"[::ffff:c000:207]\""], 1), is("192.0.2.7"));
}

#[test]
fn errors_show_nothing_of_the_header() {
    for error in [ForwardingError::Missing, ForwardingError::TooFewHops, ForwardingError::Malformed] {
        assert!(error.as_str().starts_with("the header of http.proxy "), "{error:?}");
    }
}

fn element(header: ForwardingHeader, address: IpAddr) -> String {
    match (header, address) {
        (ForwardingHeader::XForwardedFor, _) => address.to_string(),
        (ForwardingHeader::Forwarded, IpAddr::V4(_)) => format!("for={address}"),
        (ForwardingHeader::Forwarded, IpAddr::V6(_)) => format!("proto=https;for=\"[{address}]\""),
    }
}

proptest! {
    /// A sender can write anything, in any number of lines: what the proxies add decides, or the request is refused.
    #[test]
    fn what_a_sender_writes_never_chooses_the_address(
        written in prop::collection::vec("[ -~]{0,40}|[,;\"\\\\= for9.]{0,20}", 0..4),
        added in prop::collection::vec(any::<IpAddr>(), 1..4),
        same_line in any::<bool>(),
        header in prop::sample::select(vec![ForwardingHeader::XForwardedFor, ForwardingHeader::Forwarded]),
    ) {
        let mut lines = written;
        for address in &added {
            let element = element(header, *address);
            match lines.last_mut().filter(|_| same_line) {
                Some(line) => *line += &format!(", {element}"),
                None => lines.push(element),
            }
        }
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        match sender(header, &lines, added.len()) {
            Ok(address) => prop_assert_eq!(address, added[0].to_canonical()),
            Err(error) => prop_assert_eq!((header, error), (ForwardingHeader::Forwarded, ForwardingError::Malformed)),
        }
    }
}
