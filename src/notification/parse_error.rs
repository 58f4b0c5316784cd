//! Why a body is not a notification.

use thiserror::Error;

use super::Notification;

/// Why a body is not a notification, with what could still be read of it.
///
/// The text is for people and never repeats a piece of the body. What is about one field begins with its JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Not a JSON text.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON, but not an object.
    #[error("a JSON text, but not an object")]
    NotObject,
    /// Nested deeper than 128 levels.
    #[error("nested more than {} levels deep", super::parse::MAX_DEPTH)]
    TooDeep {
        /// The instance, where it could be read.
        instance: Option<u64>,
    },
    /// A key that routing needs is repeated.
    #[error("the key {key} is repeated")]
    Ambiguous {
        /// The key.
        key: &'static str,
        /// The instance, where no key that names it is repeated.
        instance: Option<u64>,
    },
    /// No `typeWebhook` that is a string.
    #[error("/typeWebhook is {found}, a string is needed")]
    NoType {
        /// What is there instead.
        found: &'static str,
        /// The instance, where it could be read.
        instance: Option<u64>,
    },
    /// No `instanceData.idInstance` that names an instance.
    #[error("/instanceData/idInstance is {found}, an unsigned integer is needed")]
    NoInstance {
        /// What is there instead.
        found: &'static str,
        /// The type as sent.
        kind: String,
    },
    /// Sent with a `Content-Encoding`, which the bridge does not undo.
    #[error("it was sent with Content-Encoding: {encoding}")]
    Encoded {
        /// The encoding.
        encoding: String,
        /// The instance, where it could be read all the same.
        instance: Option<u64>,
        /// The type as sent, where it could be read all the same.
        kind: Option<String>,
    },
    /// A field breaks the schema of its type; only with strict validation.
    #[error("{pointer} {problem}")]
    BreaksSchema {
        /// The JSON pointer of the field.
        pointer: String,
        /// What is wrong with it.
        problem: String,
        /// The instance.
        instance: u64,
        /// The type as sent.
        kind: String,
    },
}

impl ParseError {
    /// The error of a body that was sent with this `Content-Encoding`, whatever its bytes are.
    pub fn encoded(encoding: String, parsed: &Result<Notification<'_>, Self>) -> Self {
        let (instance, kind) = match parsed {
            Ok(notification) => (Some(notification.instance), Some(notification.kind.as_ref())),
            Err(error) => (error.instance(), error.kind()),
        };
        Self::Encoded { encoding, instance, kind: kind.map(str::to_owned) }
    }

    /// The instance, where it could be read unambiguously.
    pub fn instance(&self) -> Option<u64> {
        match self {
            Self::NoType { instance, .. }
            | Self::TooDeep { instance }
            | Self::Ambiguous { instance, .. }
            | Self::Encoded { instance, .. } => *instance,
            Self::BreaksSchema { instance, .. } => Some(*instance),
            Self::NotJson(_) | Self::NotObject | Self::NoInstance { .. } => None,
        }
    }

    /// The type as sent, where it could be read unambiguously.
    pub fn kind(&self) -> Option<&str> {
        match self {
            Self::NoInstance { kind, .. } | Self::BreaksSchema { kind, .. } => Some(kind),
            Self::Encoded { kind, .. } => kind.as_deref(),
            _ => None,
        }
    }
}
