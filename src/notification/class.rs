//! The classes, and which type is of which.

use std::collections::HashMap;

use serde::Deserialize;

/// What a notification is about. A closed set: destinations and metric labels are made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Something came from a chat.
    Incoming,
    /// Something was sent, or its status changed.
    Outgoing,
    /// The account's own state or quota.
    State,
    /// The phone, or a contact's avatar.
    Device,
    /// A type this version does not know.
    Other,
}

impl Class {
    /// Every class, in the order of its labels.
    pub const ALL: [Self; 5] = [Self::Incoming, Self::Outgoing, Self::State, Self::Device, Self::Other];

    /// The name in destinations, headers and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
            Self::State => "state",
            Self::Device => "device",
            Self::Other => "other",
        }
    }

    /// The class of a `typeWebhook`.
    pub fn of(kind: &str) -> Self {
        TYPES.iter().find(|(known, _)| *known == kind).map_or(Self::Other, |(_, class)| *class)
    }

    /// Every `typeWebhook` that has a class of its own.
    pub fn known_types() -> impl Iterator<Item = &'static str> {
        TYPES.iter().map(|(known, _)| *known)
    }
}

/// The types and their classes, after GREEN-API's lists of types (WhatsApp, Telegram, MAX).
const TYPES: [(&str, Class); 12] = [
    ("incomingMessageReceived", Class::Incoming),
    ("incomingMessageStatus", Class::Incoming),
    ("incomingCall", Class::Incoming),
    ("incomingBlock", Class::Incoming),
    ("outgoingMessageReceived", Class::Outgoing),
    ("outgoingAPIMessageReceived", Class::Outgoing),
    ("outgoingMessageStatus", Class::Outgoing),
    ("outgoingCall", Class::Outgoing),
    ("stateInstanceChanged", Class::State),
    ("statusInstanceChanged", Class::State),
    ("quotaExceeded", Class::State),
    ("deviceInfo", Class::Device),
];

/// [`Class::of`] with the operator's additions (`[route.types]`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct TypeTable(HashMap<String, Class>);

impl TypeTable {
    /// The class of a `typeWebhook`: the operator's additions first.
    pub fn class_of(&self, kind: &str) -> Class {
        self.0.get(kind).copied().unwrap_or_else(|| Class::of(kind))
    }

    /// The types that the operator placed, in alphabetical order.
    pub fn added(&self) -> impl Iterator<Item = &str> {
        let mut added: Vec<_> = self.0.keys().map(String::as_str).collect();
        added.sort_unstable();
        added.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_the_order_of_their_labels() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index);
        }
    }

    #[test]
    fn the_operator_can_classify_new_types() {
        let table: TypeTable = toml::from_str("newThing = \"incoming\"").unwrap();
        assert_eq!(table.class_of("newThing"), Class::Incoming);
        assert_eq!(table.class_of("otherThing"), Class::Other);
        assert_eq!(table.class_of("deviceInfo"), Class::Device);
        assert!(toml::from_str::<TypeTable>("newThing = \"inbound\"").is_err());
    }
}
