//! Units in configuration values: durations (`"15s"`, `"7d"`) and sizes (`"8MiB"`).

use std::time::Duration;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Takes texts such as `"15s"`; of anything else says which text it wants.
struct WithUnit<T> {
    read: fn(&str) -> Result<T, &'static str>,
    example: &'static str,
    /// What a number without one most likely meant.
    unit: Option<&'static str>,
}

impl<T> Visitor<'_> for WithUnit<T> {
    type Value = T;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "a text with a unit, such as \"{}\"", self.example)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let meant = self.unit.filter(|_| number > 0).map(|unit| format!("{number}{unit}"));
        let example = meant.as_deref().unwrap_or(self.example);
        Err(E::custom(format!("give a text with a unit, such as \"{example}\"")))
    }
}

/// For `#[serde(deserialize_with)]`: a duration with its unit, such as `"15s"`, `"2m 30s"` or `"7d"`.
///
/// # Errors
/// A number without a unit, or text that is no duration; the message shows the form.
pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    from.deserialize_str(WithUnit { read: read_duration, example: "15s", unit: Some("s") })
}

/// As [`duration`], for keys that may be left out.
///
/// # Errors
/// As [`duration`].
pub fn optional_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

/// As [`duration`], for flags.
///
/// # Errors
/// As [`duration`].
pub fn read_duration(text: &str) -> Result<Duration, &'static str> {
    let duration =
        humantime::parse_duration(text).map_err(|_| "not a duration; give a number and a unit, such as \"15s\"")?;
    if duration > LONGEST { Err("longer than ten years; give less") } else { Ok(duration) }
}

/// No time here is meant to be longer, and clocks can be counted on so far ahead.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// For `#[serde(deserialize_with)]`: a size in bytes with its unit, such as `"8MiB"` or `"512KiB"`.
///
/// # Errors
/// Text that is no size, or one beyond the address space; the message shows the form.
pub fn size<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    from.deserialize_str(WithUnit { read: read_size, example: "8MiB", unit: None })
}

/// As [`size`], for keys that may be left out.
///
/// # Errors
/// As [`size`].
pub fn optional_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    size(from).map(Some)
}

/// As [`size`], for flags.
///
/// # Errors
/// As [`size`].
pub fn read_size(text: &str) -> Result<usize, &'static str> {
    const FORM: &str = "not a size; give a number and a unit, such as \"8MiB\"";
    let size: bytesize::ByteSize = text.parse().map_err(|_| FORM)?;
    usize::try_from(size.as_u64()).map_err(|_| FORM)
}

/// So many records, in words: "1 record", "2 records".
pub fn records(count: u64) -> String {
    if count == 1 { "1 record".into() } else { format!("{count} records") }
}

/// A duration as configuration would write it, for errors and tables.
pub fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_longer_than_a_clock_can_count() {
        assert_eq!(read_duration("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        assert!(read_duration("100000000000years").is_err());
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
