//! One value for each broker.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use super::Broker;

/// One value for each broker, indexed by [`Broker`]. On disk it is a list in the order of [`Broker::ALL`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerBroker<T>([T; Broker::ALL.len()]);

impl<T> PerBroker<T> {
    /// The value that `value` gives for each broker.
    pub fn from_fn(value: impl FnMut(Broker) -> T) -> Self {
        Self(Broker::ALL.map(value))
    }

    /// The same with `change` applied to each value.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> PerBroker<U> {
        PerBroker(self.0.map(change))
    }

    /// References to the values.
    pub fn each_ref(&self) -> PerBroker<&T> {
        PerBroker(self.0.each_ref())
    }

    /// Each broker with its value.
    pub fn iter(&self) -> impl Iterator<Item = (Broker, &T)> {
        Broker::ALL.into_iter().zip(&self.0)
    }

    /// The values alone.
    pub fn values(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<T> PerBroker<Option<T>> {
    /// A value for one broker; None for all others.
    pub fn only(broker: Broker, value: T) -> Self {
        let mut value = Some(value);
        Self::from_fn(|other| if other == broker { value.take() } else { None })
    }

    /// All values; None if one of them is missing.
    pub fn transpose(self) -> Option<PerBroker<T>> {
        let [kafka, nats] = self.0;
        Some(PerBroker([kafka?, nats?]))
    }
}

impl<T> Index<Broker> for PerBroker<T> {
    type Output = T;

    fn index(&self, broker: Broker) -> &T {
        &self.0[broker as usize]
    }
}

impl<T> IndexMut<Broker> for PerBroker<T> {
    fn index_mut(&mut self, broker: Broker) -> &mut T {
        &mut self.0[broker as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broker_has_its_own_value() {
        let mut names = PerBroker::from_fn(Broker::as_str);
        assert_eq!(names.iter().collect::<Vec<_>>(), [(Broker::Kafka, &"kafka"), (Broker::Nats, &"nats")]);
        names[Broker::Nats] = "other";
        assert_eq!((names[Broker::Kafka], names[Broker::Nats]), ("kafka", "other"));
    }

    #[test]
    fn values_are_complete_only_if_none_is_missing() {
        let mut some = PerBroker::only(Broker::Nats, 2);
        assert_eq!((some[Broker::Kafka], some[Broker::Nats], some.transpose()), (None, Some(2), None));
        some[Broker::Kafka] = Some(1);
        assert_eq!(some.transpose(), Some(PerBroker::from_fn(|broker| broker as i32 + 1)));
    }

    #[test]
    fn on_disk_it_is_a_list() {
        let text = serde_json::to_string(&PerBroker::only(Broker::Nats, "s")).unwrap();
        assert_eq!(text, r#"[null,"s"]"#);
        assert!(serde_json::from_str::<PerBroker<Option<String>>>("[null]").is_err());
    }
}
