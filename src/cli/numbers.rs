//! Numbers in flags: what is none is refused with what to give.

use std::str::FromStr;

/// An instance.
pub(super) fn instance(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| "not an instance; give its number, such as 1101000001".into())
}

/// How many.
pub(super) fn count<T: FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| "not a number, or one too large; give one such as 10".into())
}

/// How many, at least and at most.
pub(super) fn within<T: FromStr + PartialOrd + std::fmt::Display>(text: &str, least: T, most: T) -> Result<T, String> {
    let number = text.trim().parse().ok().filter(|number| *number >= least && *number <= most);
    number.ok_or_else(|| format!("give a number from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_refused_with_what_to_give() {
        assert_eq!((instance("7"), count::<u32>("0"), within("9", 1, 9)), (Ok(7), Ok(0), Ok(9)));
        assert!(instance("abc").unwrap_err().contains("such as 1101000001"));
        for wrong in ["", "x", "-1", "1.5", "4294967296"] {
            assert!(count::<u32>(wrong).unwrap_err().contains("such as 10"), "{wrong}");
            assert_eq!(within::<u32>(wrong, 1, 9), Err("give a number from 1 to 9".into()), "{wrong}");
        }
        assert_eq!(
            [within("0", 1, 9), within("10", 1, 9)],
            [const { Err(()) }; 2].map(|_: Result<u32, ()>| Err("give a number from 1 to 9".into()))
        );
    }
}
