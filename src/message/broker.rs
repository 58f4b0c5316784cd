//! The brokers that a message can go to.

/// A broker. Its index in [`Self::ALL`] is its index among labels, and its bit in [`Brokers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Broker {
    /// Apache Kafka.
    Kafka,
    /// NATS JetStream.
    Nats,
}

impl Broker {
    /// Every broker.
    pub const ALL: [Self; 2] = [Self::Kafka, Self::Nats];

    /// Its name in configuration, labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Nats => "nats",
        }
    }
}

/// A set of brokers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Brokers(u8);

impl Brokers {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Flag: stored in the journal only, for no broker.
    pub const JOURNAL: Self = Self(1 << 7);

    /// Persisted flag: removes these brokers from a dedup entry instead of adding them.
    pub const REMOVED: Self = Self(1 << 6);

    /// As bits that never change their meaning, for the journal.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From the result of [`Self::bits`].
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// This set with one more broker.
    #[must_use]
    pub const fn with(self, broker: Broker) -> Self {
        Self(self.0 | 1 << broker as u8)
    }

    /// Each broker of the set.
    pub fn each(self) -> impl Iterator<Item = Broker> {
        Broker::ALL.into_iter().filter(move |broker| self.has(*broker))
    }

    /// The union.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The difference.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether the sets share a broker or a flag.
    pub const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the set has this broker.
    pub const fn has(self, broker: Broker) -> bool {
        self.0 & 1 << broker as u8 != 0
    }
}

impl FromIterator<Broker> for Brokers {
    fn from_iter<I: IntoIterator<Item = Broker>>(brokers: I) -> Self {
        brokers.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_unions_and_differences() {
        let (kafka, nats) = (Brokers::NONE.with(Broker::Kafka), Brokers::NONE.with(Broker::Nats));
        assert_eq!(kafka.and(nats), Broker::ALL.into_iter().collect());
        assert_eq!(kafka.and(nats).without(kafka), nats);
        assert!(kafka.without(kafka).is_empty());
        assert!(nats.has(Broker::Nats) && !nats.has(Broker::Kafka));
    }
}
