//! One notification of each kind, written for this project after GREEN-API's published fields.
//!
//! A sample is kept as pieces of text between the few places that differ from one notification to the next, so
//! that a body costs a copy and no JSON.

use std::collections::BTreeSet;
use std::io::Write;

use crate::notification::{Class, Notification};

/// `messageData` of each message type, one a line.
const MESSAGES: &str = include_str!("samples/messages.txt");

/// Whole notifications: what is no message, and what Telegram and MAX instances send.
const EVENTS: &str = include_str!("samples/events.txt");

/// Every type of a message is sent by each of these.
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
    usual_size: usize,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Place(Place),
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Instance,
    Time,
    Id,
    Sequence,
}

const PLACES: [(&str, Place); 4] =
    [("<instance>", Place::Instance), ("<time>", Place::Time), ("<id>", Place::Id), ("<sequence>", Place::Sequence)];

/// What differs from one notification to the next.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// `instanceData.idInstance`.
    pub instance: u64,
    /// `timestamp`, Unix seconds.
    pub time: u64,
    /// What differs from one run to the next: at most eight digits.
    pub run: u32,
    /// The place among those of its instance, at most ten digits.
    pub sequence: u64,
}

impl Sample {
    /// All there are; every type GREEN-API documents, and every type of message in each direction.
    pub fn all() -> Vec<Self> {
        let messages = MESSAGE_KINDS.iter().flat_map(|kind| {
            MESSAGES
                .lines()
                .map(move |data| format!(r#"{{"typeWebhook":"{kind}",{MESSAGE_HEAD},"messageData":{data}}}"#))
        });
        messages.chain(EVENTS.lines().map(str::to_owned)).filter_map(|template| Self::read(&template)).collect()
    }

    /// Those that `words` name: classes, types, or types of messages; all of them if there are none.
    ///
    /// # Errors
    /// The first word that names nothing, and the nearest that does.
    pub fn named<'w>(words: &'w [String]) -> Result<Vec<Self>, Unnamed<'w>> {
        let all = Self::all();
        let known = Self::known();
        if let Some(unknown) = words.iter().find(|word| !known.contains(*word)) {
            let far = |known: &String| strsim::damerau_levenshtein(known, unknown);
            return Err(Unnamed { word: unknown, nearest: known.into_iter().min_by_key(far).unwrap_or_default() });
        }
        let wanted =
            |sample: &Self| words.is_empty() || sample.names().any(|name| words.iter().any(|word| word == name));
        Ok(all.into_iter().filter(wanted).collect())
    }

    /// Every word that names some: classes, types, and types of messages.
    pub fn known() -> BTreeSet<String> {
        Self::all().iter().flat_map(Self::names).map(str::to_owned).collect()
    }

    /// No body is longer, unless it is padded.
    pub(super) fn usual_size(&self) -> usize {
        self.usual_size
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        [self.class.as_str(), &self.kind].into_iter().chain(self.message_type.as_deref())
    }

    /// Writes one notification to the end of `body`, at least `size` bytes long: a shorter one gets a member
    /// `padding`.
    pub fn write(&self, body: &mut Vec<u8>, fields: Fields, size: usize) {
        let start = body.len();
        for part in &self.parts {
            match part {
                Part::Text(text) => body.extend_from_slice(text.as_bytes()),
                Part::Place(place) => fields.write(*place, body),
            }
        }
        const MEMBER: &[u8] = br#","padding":""}"#;
        let written = body.len() - start;
        if written < size {
            body.pop();
            body.extend_from_slice(&MEMBER[..MEMBER.len() - 2]);
            body.resize(body.len() + size.saturating_sub(written - 1 + MEMBER.len()), b'x');
            body.extend_from_slice(b"\"}");
        }
    }

    fn read(template: &str) -> Option<Self> {
        let mut sample = Self {
            kind: String::new(),
            message_type: None,
            class: Class::Other,
            parts: parts(template),
            usual_size: 0,
        };
        let mut body = Vec::new();
        sample.write(&mut body, Fields { instance: u64::MAX, time: 1, run: 1, sequence: u64::MAX }, 0);
        let notification = Notification::parse(&body).ok()?;
        sample.usual_size = body.len();
        sample.message_type = notification.message_type();
        sample.kind = notification.kind.into_owned();
        sample.class = Class::of(&sample.kind);
        Some(sample)
    }
}

impl Fields {
    fn write(self, place: Place, body: &mut Vec<u8>) {
        // a `Vec` takes all that is written to it
        let _ = match place {
            Place::Instance => write!(body, "{}", self.instance),
            Place::Time => write!(body, "{}", self.time),
            Place::Id => write!(body, "{:08}{:010}", self.run, self.sequence),
            Place::Sequence => write!(body, "{}", self.sequence),
        };
    }
}

fn parts(mut template: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    while let Some((at, (mark, place))) =
        PLACES.iter().filter_map(|place| Some((template.find(place.0)?, place))).min_by_key(|(at, _)| *at)
    {
        parts.extend([Part::Text(template[..at].into()), Part::Place(*place)]);
        template = &template[at + mark.len()..];
    }
    parts.push(Part::Text(template.into()));
    parts
}

/// A word that names no sample.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no class and no type; the nearest known one is `{nearest}`")]
pub struct Unnamed<'w> {
    /// The word.
    pub word: &'w str,
    /// The known one that is most like it.
    pub nearest: String,
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
