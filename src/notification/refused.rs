//! A body that is no notification, and why.

use thiserror::Error;

/// Why a body is no notification, with what could still be read of it.
///
/// The text is for people and never repeats a piece of the body.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
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
    /// A key that decides where it goes stands there twice.
    #[error("the key {key} is repeated")]
    Ambiguous {
        /// The key.
        key: &'static str,
        /// The instance, where it is not that which is repeated.
        instance: Option<u64>,
    },
    /// No `typeWebhook` that is a string.
    #[error("typeWebhook is {found}, a string is needed")]
    NoType {
        /// What stands there instead.
        found: &'static str,
        /// The instance, where it could be read.
        instance: Option<u64>,
    },
    /// No `instanceData.idInstance` that names an instance.
    #[error("instanceData.idInstance is {found}, an unsigned integer is needed")]
    NoInstance {
        /// What stands there instead.
        found: &'static str,
        /// The type as sent.
        kind: String,
    },
}

impl Refused {
    /// The instance, where it could be read beyond doubt.
    pub fn instance(&self) -> Option<u64> {
        match self {
            Self::NoType { instance, .. } | Self::TooDeep { instance } | Self::Ambiguous { instance, .. } => *instance,
            Self::NotJson(_) | Self::NotObject | Self::NoInstance { .. } => None,
        }
    }

    /// The type as sent, where it could be read beyond doubt.
    pub fn kind(&self) -> Option<&str> {
        match self {
            Self::NoInstance { kind, .. } => Some(kind),
            _ => None,
        }
    }
}
