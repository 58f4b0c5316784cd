//! Whether a notification sent now would be stored.

/// Whether one broker stores now, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerState {
    /// Whether it stores now.
    pub up: bool,
    /// A bounded tag; `up` where it does.
    pub reason: &'static str,
    /// For people; may be empty.
    pub detail: String,
}

impl BrokerState {
    /// It stores.
    pub fn up() -> Self {
        Self { up: true, reason: "up", detail: String::new() }
    }

    /// It does not.
    pub fn down(reason: &'static str) -> Self {
        Self { up: false, reason, detail: String::new() }
    }

    /// With words for people.
    #[must_use]
    pub fn because(self, detail: String) -> Self {
        Self { detail, ..self }
    }
}
