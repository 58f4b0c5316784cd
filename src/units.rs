//! Units in configuration values: durations (`"15s"`, `"7d"`) and sizes (`"8MiB"`).

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// For `#[serde(deserialize_with)]`: a duration with its unit, such as `"15s"`, `"2m 30s"` or `"7d"`.
///
/// # Errors
/// A number without a unit, or text that is no duration; the message shows the form.
pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    read_duration(&text).map_err(D::Error::custom)
}

/// As [`duration`], for flags.
///
/// # Errors
/// As [`duration`].
pub fn read_duration(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "not a duration; give a number and a unit, such as \"15s\"")
}

/// For `#[serde(deserialize_with)]`: a size in bytes with its unit, such as `"8MiB"` or `"512KiB"`.
///
/// # Errors
/// Text that is no size, or one beyond the address space; the message shows the form.
pub fn size<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let text = String::deserialize(from)?;
    read_size(&text).map_err(D::Error::custom)
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

/// A duration as configuration would write it, for errors and tables.
pub fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

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
