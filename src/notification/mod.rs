//! What GREEN-API sends.
//!
//! In: a body. Out: a [`Notification`], read as far as routing needs it, or a [`ParseError`].
//! [`Notification::parse`] is the only constructor. It requires three things: a JSON object, a `typeWebhook` and an
//! `instanceData.idInstance`, because GREEN-API's own samples and real traffic lack or bend every other field.
//! Everything else passes untouched. [`Validation`] also checks the other fields, if the operator asks for it.

mod class;
mod json;
mod json_value;
mod parse;
mod parse_error;
pub mod schemas;
mod validation;

pub use class::{Class, TypeTable};
pub use parse_error::ParseError;
pub use validation::{Validation, ValidationConfig, ValidationMode};

use std::borrow::Cow;

use serde_json::value::RawValue;

/// One notification, borrowed from the body it was read from.
#[derive(Debug)]
pub struct Notification<'a> {
    /// `typeWebhook`, as sent.
    pub kind: Cow<'a, str>,
    /// `instanceData.idInstance`.
    pub instance: u64,
    /// `timestamp`, Unix seconds, where it is an integer of the years 2000 to 2100.
    pub time: Option<u64>,
    optional: Optional<'a>,
}

/// Fields that only some routes need: stored as raw JSON and parsed on demand, so that a malformed one never matters.
#[derive(Debug, Default)]
struct Optional<'a> {
    product: Option<&'a RawValue>,
    sender_data: Option<&'a RawValue>,
    message_data: Option<&'a RawValue>,
    chat: Option<&'a RawValue>,
    from: Option<&'a RawValue>,
    avatar_info: Option<&'a RawValue>,
}

impl Notification<'_> {
    /// `instanceData.typeInstance`: `whatsapp`, `telegram`, `v3` (MAX), or a later product.
    pub fn product(&self) -> Option<String> {
        json::string(self.optional.product)
    }

    /// `messageData.typeMessage`.
    pub fn message_type(&self) -> Option<String> {
        json::string_member(self.optional.message_data, "typeMessage")
    }

    /// The chat it belongs to: `senderData.chatId`, the status types' `chatId`, the calls' `from`, or the
    /// `avatarInfo.chatId` of a `deviceInfo`.
    pub fn chat(&self) -> Option<String> {
        json::string_member(self.optional.sender_data, "chatId")
            .or_else(|| json::string(self.optional.chat))
            .or_else(|| json::string(self.optional.from))
            .or_else(|| json::string_member(self.optional.avatar_info, "chatId"))
    }
}
