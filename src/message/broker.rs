//! The brokers a message can go to.

/// A broker. Its place in [`Self::ALL`] is its place among labels, and its bit in [`Brokers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Broker {
    /// Apache Kafka.
    Kafka,
    /// NATS JetStream.
    Nats,
}

impl Broker {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Kafka, Self::Nats];

    /// Its name in configuration, labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Nats => "nats",
        }
    }
}

/// Some of the brokers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Brokers(u8);

impl Brokers {
    /// None.
    pub const NONE: Self = Self(0);

    /// In the place of brokers, where there is none: the journal, which keeps the message for its own sake.
    pub const JOURNAL: Self = Self(1 << 7);

    /// Beside brokers, in what is written down: these no longer.
    pub const NO_LONGER: Self = Self(1 << 6);

    /// As bits that never change their meaning, for what is written down.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// What [`Self::bits`] gave.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// These and this one.
    #[must_use]
    pub const fn with(self, broker: Broker) -> Self {
        Self(self.0 | 1 << broker as u8)
    }

    /// Each of these brokers.
    pub fn each(self) -> impl Iterator<Item = Broker> {
        Broker::ALL.into_iter().filter(move |broker| self.has(*broker))
    }

    /// All of both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These, without the others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether any of the others is among them.
    pub const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
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
    fn sets_are_put_together_and_taken_apart() {
        let (kafka, nats) = (Brokers::NONE.with(Broker::Kafka), Brokers::NONE.with(Broker::Nats));
        assert_eq!(kafka.and(nats), Broker::ALL.into_iter().collect());
        assert_eq!(kafka.and(nats).without(kafka), nats);
        assert!(kafka.without(kafka).is_empty());
        assert!(nats.has(Broker::Nats) && !nats.has(Broker::Kafka));
    }
}
