//! One sample notification of each type, written for this project after GREEN-API's published fields.
//!
//! A sample is text with a few placeholders for what differs from one notification to the next, so that making a body
//! copies text and serializes no JSON.

use std::collections::BTreeSet;
use std::io::Write;

use crate::notification::{Class, Notification};

/// The `messageData` of each message type, one a line.
const MESSAGES: &str = include_str!("samples/messages.txt");

/// Whole notifications: those that are not messages, and those of Telegram and MAX instances.
const EVENTS: &str = include_str!("samples/events.txt");

/// The types that carry messages. Each has a sample of every message type.
const MESSAGE_KINDS: [&str; 3] = ["incomingMessageReceived", "outgoingMessageReceived", "outgoingAPIMessageReceived"];

const MESSAGE_HEAD: &str = r#""instanceData":{"idInstance":<instance>,"wid":"79990000001@c.us","typeInstance":"whatsapp"},"timestamp":<time>,"idMessage":"3EB0<id>","senderData":{"chatId":"79990001020@c.us","sender":"79990001020@c.us","chatName":"Nadia","senderName":"Nadia","senderContactName":""}"#;

/// A template of notifications.
#[derive(Debug)]
pub struct Sample {
    /// Its `typeWebhook`.
    pub kind: String,
    /// Its `messageData.typeMessage`.
    pub message_type: Option<String>,
    /// Its class, by its type.
    pub class: Class,
    parts: Vec<Part>,
    max_unpadded_size: usize,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

#[derive(Debug, Clone, Copy)]
enum Placeholder {
    Instance,
    Time,
    Id,
    Sequence,
}

const PLACEHOLDERS: [(&str, Placeholder); 4] = [
    ("<instance>", Placeholder::Instance),
    ("<time>", Placeholder::Time),
    ("<id>", Placeholder::Id),
    ("<sequence>", Placeholder::Sequence),
];

/// The values of the placeholders.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// `instanceData.idInstance`.
    pub instance: u64,
    /// `timestamp`, Unix seconds.
    pub time: u64,
    /// A number that differs from one run to the next, at most eight digits.
    pub run: u32,
    /// Its number among those of its instance, at most ten digits.
    pub sequence: u64,
}

impl Sample {
    /// All samples: every type GREEN-API documents, and every message type in each direction.
    pub fn all() -> Vec<Self> {
        let messages = MESSAGE_KINDS.iter().flat_map(|kind| {
            MESSAGES
                .lines()
                .map(move |data| format!(r#"{{"typeWebhook":"{kind}",{MESSAGE_HEAD},"messageData":{data}}}"#))
        });
        messages.chain(EVENTS.lines().map(str::to_owned)).filter_map(|template| Self::read(&template)).collect()
    }

    /// The samples with these names: classes, types, or message types. All samples if `names` is empty.
    ///
    /// # Errors
    /// The first unknown name, and the nearest known one.
    pub fn named<'n>(names: &'n [String]) -> Result<Vec<Self>, UnknownName<'n>> {
        let all = Self::all();
        let known = Self::known_names();
        if let Some(name) = names.iter().find(|name| !known.contains(*name)) {
            let distance = |known: &String| strsim::damerau_levenshtein(known, name);
            return Err(UnknownName { name, nearest: known.into_iter().min_by_key(distance).unwrap_or_default() });
        }
        let wanted =
            |sample: &Self| names.is_empty() || sample.names().any(|name| names.iter().any(|wanted| wanted == name));
        Ok(all.into_iter().filter(wanted).collect())
    }

    /// Every name of a sample: classes, types, and message types.
    pub fn known_names() -> BTreeSet<String> {
        Self::all().iter().flat_map(Self::names).map(str::to_owned).collect()
    }

    /// The size of the longest body without padding.
    pub(super) fn max_unpadded_size(&self) -> usize {
        self.max_unpadded_size
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        [self.class.as_str(), &self.kind].into_iter().chain(self.message_type.as_deref())
    }

    /// Appends one notification to `body`, at least `min_size` bytes long: a shorter one gets a member `padding`.
    pub fn write(&self, body: &mut Vec<u8>, fields: Fields, min_size: usize) {
        let start = body.len();
        for part in &self.parts {
            match part {
                Part::Text(text) => body.extend_from_slice(text.as_bytes()),
                Part::Placeholder(placeholder) => fields.write(*placeholder, body),
            }
        }
        const MEMBER: &[u8] = br#","padding":""}"#;
        let written = body.len() - start;
        if written < min_size {
            body.pop();
            body.extend_from_slice(&MEMBER[..MEMBER.len() - 2]);
            body.resize(body.len() + min_size.saturating_sub(written - 1 + MEMBER.len()), b'x');
            body.extend_from_slice(b"\"}");
        }
    }

    fn read(template: &str) -> Option<Self> {
        let mut sample = Self {
            kind: String::new(),
            message_type: None,
            class: Class::Other,
            parts: parts(template),
            max_unpadded_size: 0,
        };
        let mut body = Vec::new();
        sample.write(&mut body, Fields { instance: u64::MAX, time: 1, run: 1, sequence: u64::MAX }, 0);
        let notification = Notification::parse(&body).ok()?;
        sample.max_unpadded_size = body.len();
        sample.message_type = notification.message_type();
        sample.kind = notification.kind.into_owned();
        sample.class = Class::of(&sample.kind);
        Some(sample)
    }
}

impl Fields {
    fn write(self, placeholder: Placeholder, body: &mut Vec<u8>) {
        // writing to a `Vec` does not fail
        let _ = match placeholder {
            Placeholder::Instance => write!(body, "{}", self.instance),
            Placeholder::Time => write!(body, "{}", self.time),
            Placeholder::Id => write!(body, "{:08}{:010}", self.run, self.sequence),
            Placeholder::Sequence => write!(body, "{}", self.sequence),
        };
    }
}

fn parts(mut template: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    while let Some((at, (mark, placeholder))) =
        PLACEHOLDERS.iter().filter_map(|known| Some((template.find(known.0)?, known))).min_by_key(|(at, _)| *at)
    {
        parts.extend([Part::Text(template[..at].into()), Part::Placeholder(*placeholder)]);
        template = &template[at + mark.len()..];
    }
    parts.push(Part::Text(template.into()));
    parts
}

/// A name that no sample has.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is neither a class nor a type; the nearest known one is `{nearest}`")]
pub struct UnknownName<'n> {
    /// The name.
    pub name: &'n str,
    /// The known name that is most like it.
    pub nearest: String,
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
