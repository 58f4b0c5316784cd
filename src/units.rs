//! Values with units, in configuration and options: durations (`"15s"`, `"7d"`), sizes (`"8MiB"`) and points in time. And what
//! errors say of files.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::de::{Error, Visitor};
use serde::{Deserialize as _, Deserializer};

/// Accepts texts such as `"15s"`; for anything else the error shows the form.
struct WithUnit<T> {
    parse: fn(&str) -> Result<T, &'static str>,
    example: &'static str,
    /// The unit that a number without one most likely has.
    unit: Option<&'static str>,
}

impl<T> Visitor<'_> for WithUnit<T> {
    type Value = T;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "a text with a unit, such as \"{}\"", self.example)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let guess = self.unit.filter(|_| number > 0).map(|unit| format!("{number}{unit}"));
        let example = guess.as_deref().unwrap_or(self.example);
        Err(E::custom(format!("give a text with a unit, such as \"{example}\"")))
    }
}

/// For `#[serde(deserialize_with)]`: a duration with its unit, such as `"15s"`, `"2m 30s"` or `"7d"`.
///
/// # Errors
/// A number without a unit, or text that is not a duration; the message shows the form.
pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    from.deserialize_str(WithUnit { parse: read_duration, example: "15s", unit: Some("s") })
}

/// An address to listen on: `"127.0.0.1:3000"`, `"[::1]:3000"`, `"localhost:3000"`, or `":3000"` for every IPv4 address of
/// this machine.
///
/// # Errors
/// Anything else, another name too: which of its addresses is meant would be chosen elsewhere.
pub fn listen_address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(from)?;
    let address = match text.rsplit_once(':') {
        Some(("", port)) => format!("0.0.0.0:{port}"),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        _ => text,
    };
    let wrong = "not an address to listen on; give address and port, such as \"127.0.0.1:3000\" or \":3000\"";
    address.parse().map_err(|_| D::Error::custom(wrong))
}

/// As [`duration`], for optional keys.
///
/// # Errors
/// As [`duration`].
pub fn optional_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

/// As [`duration`], for options.
///
/// # Errors
/// As [`duration`].
pub fn read_duration(text: &str) -> Result<Duration, &'static str> {
    let duration =
        humantime::parse_duration(text).map_err(|_| "not a duration; give a number and a unit, such as \"15s\"")?;
    if duration > LONGEST { Err("longer than ten years; give less") } else { Ok(duration) }
}

/// A point in time: how long before `now` (`"2h"`), or an RFC 3339 time (`"2026-01-31T12:00:00Z"`).
///
/// # Errors
/// Text that is neither; the message shows both forms.
pub fn read_since(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    if let Ok(ago) = read_duration(text) {
        return Ok(now.checked_sub(ago).map_or(SystemTime::UNIX_EPOCH, |at| at.max(SystemTime::UNIX_EPOCH)));
    }
    humantime::parse_rfc3339_weak(text).map_err(|_| {
        format!("{text}: not a time; give how long ago, such as 10m, or a time such as 2026-01-31T12:00:00Z")
    })
}

/// Longer durations are mistakes, and could overflow a point in time.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// For `#[serde(deserialize_with)]`: a size in bytes with its unit, such as `"8MiB"` or `"512KiB"`.
///
/// # Errors
/// Text that is not a size, or one beyond the address space; the message shows the form.
pub fn size<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    from.deserialize_str(WithUnit { parse: read_size, example: "8MiB", unit: None })
}

/// As [`size`], for optional keys.
///
/// # Errors
/// As [`size`].
pub fn optional_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    size(from).map(Some)
}

/// As [`size`], for options.
///
/// # Errors
/// As [`size`].
pub fn read_size(text: &str) -> Result<usize, &'static str> {
    const FORM: &str = "not a size; give a number and a unit, such as \"8MiB\"";
    let size: bytesize::ByteSize = text.parse().map_err(|_| FORM)?;
    usize::try_from(size.as_u64()).map_err(|_| FORM)
}

/// A count of records in words: "1 record", "2 records".
pub fn records(count: u64) -> String {
    if count == 1 { "1 record".into() } else { format!("{count} records") }
}

/// A duration as in the configuration, for errors and tables.
pub fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Why a file cannot be read, and what to do about it.
pub fn unreadable(error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        std::io::ErrorKind::NotFound => "put the file there, or correct its name",
        std::io::ErrorKind::PermissionDenied => "let the user that runs this read it, and enter the folders above it",
        _ => "name a file that can be read",
    };
    format!("{error}; {remedy}")
}

/// Who beside its owner and group may use a file of this mode, and what to do about it. None means nobody. A group may read,
/// because Kubernetes mounts secrets with group access.
pub fn open_to_every_user(mode: u32) -> Option<(String, &'static str)> {
    let problem = format!("every user of this machine can read or change it (mode {:03o})", mode & 0o777);
    let remedy = "`chmod o-rwx` it, or with a Kubernetes secret set `defaultMode: 0440` and `fsGroup`";
    (mode & 0o007 != 0).then_some((problem, remedy))
}

/// Sequence numbers of records in words: the first 20 of them, and how many more.
pub fn sequence_numbers<'s>(numbers: impl IntoIterator<Item = &'s i64>) -> String {
    const LISTED: usize = 20;
    let mut numbers = numbers.into_iter();
    let first: Vec<_> = numbers.by_ref().take(LISTED).map(|seq| format!("seq {seq}")).collect();
    let more = numbers.count();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;

    use super::*;

    #[test]
    fn an_address_to_listen_on_may_leave_out_the_host_or_be_localhost() {
        let read = |text: &str| {
            let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
            listen_address(text).map(|address| address.to_string()).map_err(|error| error.to_string())
        };
        for (text, address) in [
            ("127.0.0.1:3000", "127.0.0.1:3000"),
            ("[::1]:3000", "[::1]:3000"),
            (":3000", "0.0.0.0:3000"),
            ("localhost:3000", "127.0.0.1:3000"),
        ] {
            assert_eq!(read(text), Ok(address.into()));
        }
        for wrong in ["3000", "example.com:3000", ":", ":70000", "localhost", "127.0.0.1"] {
            assert!(read(wrong).unwrap_err().contains("\":3000\""), "{wrong}");
        }
    }

    #[test]
    fn durations_beyond_ten_years_are_refused() {
        assert_eq!(read_duration("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        assert!(read_duration("100000000000years").is_err());
    }

    #[test]
    fn a_point_in_time_is_a_date_or_an_age() {
        let hour = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
        assert_eq!(read_since("59m", hour), Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(60)));
        assert_eq!(read_since("2h", hour), Ok(SystemTime::UNIX_EPOCH));
        assert_eq!(read_since("1970-01-01T00:00:01Z", hour), Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(1)));
        assert!(read_since("noon", hour).unwrap_err().contains("give how long ago"));
    }

    #[test]
    fn sizes_are_binary_or_decimal_as_written() {
        assert_eq!(read_size("8MiB"), Ok(8 * 1024 * 1024));
        assert_eq!(read_size("1MB"), Ok(1_000_000));
        assert_eq!(read_size("1000"), Ok(1000));
        assert!(read_size("8 potatoes").is_err());
        assert!(read_size("").is_err());
        assert!(read_size("-1MiB").is_err());
    }
}
