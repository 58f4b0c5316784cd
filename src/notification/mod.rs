//! What GREEN-API sends: one notification, read as far as it must be to place it, and no further.
//!
//! [`Notification::parse`] is the only constructor. It asks for three things, a JSON object, a
//! `typeWebhook` and an `instanceData.idInstance`, because GREEN-API's own samples and real traffic lack or
//! bend every other field. Everything else passes untouched.

mod class;
mod object;
mod parse;
mod refused;

pub use class::{Class, TypeTable};
pub use refused::Refused;

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

/// Fields only some routes ask for: kept as they stand and read when asked, so that an odd one never matters.
#[derive(Debug, Default)]
struct Optional<'a> {
    product: Option<&'a RawValue>,
    sender_data: Option<&'a RawValue>,
    message_data: Option<&'a RawValue>,
    chat: Option<&'a RawValue>,
    from: Option<&'a RawValue>,
}

impl Notification<'_> {
    /// `instanceData.typeInstance`: `whatsapp`, `telegram`, `v3` (MAX), or what comes next.
    pub fn product(&self) -> Option<String> {
        object::string(self.optional.product)
    }

    /// `messageData.typeMessage`.
    pub fn message_type(&self) -> Option<String> {
        object::string_member(self.optional.message_data, "typeMessage")
    }

    /// The chat it belongs to: `senderData.chatId`, the status types' `chatId`, or the calls' `from`.
    pub fn chat(&self) -> Option<String> {
        object::string_member(self.optional.sender_data, "chatId")
            .or_else(|| object::string(self.optional.chat))
            .or_else(|| object::string(self.optional.from))
    }
}
