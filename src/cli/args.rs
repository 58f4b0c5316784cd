//! The grammar of flag values that several commands share: numbers, instances, classes, brokers, points in time.
//!
//! Every parser refuses a wrong value with what to give instead.

use std::fmt::Display;
use std::str::FromStr;
use std::time::SystemTime;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::message::Broker;
use crate::notification::Class;
use crate::units;

/// A broker by its name in the configuration.
pub(super) fn broker() -> impl TypedValueParser<Value = Broker> {
    let find = |name: String| Broker::ALL.into_iter().find(|broker| broker.as_str() == name);
    // clap has refused every other name already
    PossibleValuesParser::new(Broker::ALL.map(Broker::as_str)).map(move |name| find(name).unwrap_or(Broker::Kafka))
}

/// A class by its name.
pub(super) fn class() -> PossibleValuesParser {
    PossibleValuesParser::new(Class::ALL.map(Class::as_str))
}

/// The number of an instance.
pub(super) fn instance(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| "not an instance; give its number, such as 1101000001".into())
}

/// A point in time: how long ago, or an RFC 3339 time.
pub(super) fn since(text: &str) -> Result<SystemTime, String> {
    units::read_since(text, SystemTime::now())
}

/// A count.
pub(super) fn count<T: FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| "not a number, or one too large; give one such as 10".into())
}

/// A number from `min` to `max`.
pub(super) fn within<T: FromStr + PartialOrd + Display>(text: &str, min: T, max: T) -> Result<T, String> {
    let number = text.trim().parse().ok().filter(|number| *number >= min && *number <= max);
    number.ok_or_else(|| format!("give a number from {min} to {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_numbers_are_refused_with_what_to_give() {
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

    #[test]
    fn a_broker_is_given_by_its_name() {
        let parsed = |name: &str| {
            let command = clap::Command::new("test").arg(clap::Arg::new("broker").value_parser(broker()));
            command.try_get_matches_from(["test", name]).map(|found| *found.get_one::<Broker>("broker").unwrap())
        };
        for broker in Broker::ALL {
            assert_eq!(parsed(broker.as_str()).unwrap(), broker);
        }
        assert!(parsed("rabbitmq").unwrap_err().to_string().contains("kafka, nats"));
    }
}
