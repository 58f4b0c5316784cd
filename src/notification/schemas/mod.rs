//! JSON Schemas (draft-07) of what GREEN-API sends: one file for each type, each message type (`messages/`) and each part
//! that several of them share (`shared/`). `notification.json` ties them together. The files are the one source for
//! strict validation, for the command `schema`, and for the types that consumers generate.
//!
//! Written for validators and for generators of code (quicktype, datamodel-code-generator, json-schema-to-typescript,
//! jsonschema2pojo) alike:
//!
//! - The name of a file is the name of its definition, and its title is the name of the generated type. A `$ref` is the
//!   path of another file, and becomes `#/definitions/<name>` in what is printed.
//! - Enums are open: a `string` whose known values stand in `examples`. An `enum` would refuse new values, and an `anyOf`
//!   of `enum` and `string` becomes a useless type in most generators. Only `typeWebhook` and `typeMessage` inside the
//!   schema of their own type are fixed.
//! - Everything is plain `properties`, except for `if` and `then`. These choose the schema of a type or message type,
//!   require one of two fields, and refuse null where a field is required. Generators ignore them, so that `MessageData`
//!   becomes one type with an optional field for each message type. Therefore an unknown message type that gives one of
//!   these fields another kind of value, such as a text as `messageData`, does not pass.
//! - Where a field has several types, the first one is what GREEN-API sends today; the others are published as well.
//!   Optional fields and the items of arrays may be null, as one published sample has it.
//! - Required is what every published sample has, the documentation calls required, and real notifications are not known
//!   to lack. Inside the data of a message that is only what makes no sense without it, such as the `latitude` of a
//!   location: data may be empty where a message could not be decrypted.

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Any notification.
    Root,
    /// A notification of one type.
    Type,
    /// The `messageData` of one message type.
    Message,
    /// A part of these.
    Shared,
}

/// One file.
#[derive(Debug)]
struct Schema {
    /// The name of the file without its folder: unique among all.
    name: &'static str,
    kind: Kind,
    text: &'static str,
}

macro_rules! embedded {
    ($($kind:ident in $folder:literal: $($name:literal)*;)*) => {
        &[$($(Schema {
            name: $name,
            kind: Kind::$kind,
            text: include_str!(concat!($folder, $name, ".json")),
        }),*),*]
    };
}

const SCHEMAS: &[Schema] = embedded! {
    Root in "": "notification";
    Type in "": "incomingMessageReceived" "incomingMessageStatus" "incomingCall" "incomingBlock"
        "outgoingMessageReceived" "outgoingAPIMessageReceived" "outgoingMessageStatus" "outgoingCall"
        "stateInstanceChanged" "statusInstanceChanged" "quotaExceeded" "deviceInfo";
    Message in "messages/": "textMessage" "extendedTextMessage" "quotedMessage" "imageMessage" "videoMessage"
        "documentMessage" "audioMessage" "stickerMessage" "locationMessage" "contactMessage" "contactsArrayMessage"
        "reactionMessage" "pollMessage" "pollUpdateMessage" "editedMessage" "deletedMessage" "groupInviteMessage"
        "buttonsMessage" "listMessage" "templateMessage" "buttonsResponseMessage" "templateButtonsReplyMessage"
        "listResponseMessage" "interactiveButtons" "interactiveButtonsReply" "interactiveButtonsResponse";
    Shared in "shared/": "instanceData" "senderData" "messageData" "textMessageData" "extendedTextMessageData"
        "fileMessageData" "locationMessageData" "contactMessageData" "contact" "contactsArrayData" "pollMessageData"
        "pollCreationData" "pollOption" "pollVote" "editedMessageData" "deletedMessageData" "groupInviteMessageData"
        "buttonsMessageData" "button" "listMessageData" "listSection" "listRow" "templateMessageData"
        "templateButton" "templateUrlButton" "templateCallButton" "templateQuickReplyButton"
        "buttonsResponseMessageData" "templateButtonReplyMessageData" "listResponseMessageData"
        "interactiveButtonsData" "interactiveButton" "interactiveButtonsReplyData" "interactiveButtonsResponseData"
        "statusExtendedTextMessageData" "quote" "quotedExtendedText" "quotedLocation" "callParticipant" "deviceData"
        "avatarInfo" "quotaData";
};

/// A name that is neither a type nor a message type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is neither a type nor a message type{}", listed(nearest))]
pub struct UnknownSchema {
    /// The name.
    pub name: String,
    /// The known names that are most like it, at most three, the nearest first.
    pub nearest: Vec<&'static str>,
}

fn listed(nearest: &[&str]) -> String {
    let names: Vec<_> = nearest.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => String::new(),
        [name] => format!("; the nearest known one is {name}"),
        [names @ .., last] => format!("; the nearest known ones are {} and {last}", names.join(", ")),
    }
}

/// The names of all types (`typeWebhook`) that have a schema.
pub fn types() -> impl Iterator<Item = &'static str> {
    of_kind(Kind::Type).map(|schema| schema.name)
}

/// The names of all message types (`messageData.typeMessage`) that have a schema; of two spellings the usual one.
pub fn message_types() -> impl Iterator<Item = &'static str> {
    of_kind(Kind::Message).map(|schema| schema.name)
}

/// The schema of all notifications, self-contained: every other schema stands in its `definitions`.
pub fn whole() -> String {
    self_contained(root())
}

/// Every schema with its name. A reference to another one is `prefix` and its name.
pub fn with_references(prefix: &str) -> impl Iterator<Item = (&'static str, String)> {
    SCHEMAS.iter().map(move |schema| (schema.name, schema.referring(prefix)))
}

/// The schema of one type or message type, self-contained.
///
/// # Errors
/// [`UnknownSchema`].
pub fn of(name: &str) -> Result<String, UnknownSchema> {
    let mut named = of_kind(Kind::Type).chain(of_kind(Kind::Message));
    if let Some(schema) = named.find(|schema| schema.is_of(name)) {
        return Ok(self_contained(schema));
    }
    let far = |known: &&str| strsim::damerau_levenshtein(known, name);
    let similar = |known: &&str| far(known) * 3 <= name.chars().count();
    let mut nearest: Vec<_> = types().chain(message_types()).filter(similar).collect();
    nearest.sort_by_key(far);
    nearest.truncate(3);
    Err(UnknownSchema { name: name.into(), nearest })
}

fn of_kind(kind: Kind) -> impl Iterator<Item = &'static Schema> {
    SCHEMAS.iter().filter(move |schema| schema.kind == kind)
}

fn root() -> &'static Schema {
    &SCHEMAS[0]
}

impl Schema {
    /// Whether it describes the type or message type `name`, in any spelling.
    fn is_of(&self, name: &str) -> bool {
        self.name == name || self.spellings().any(|spelling| spelling == name)
    }

    /// The other spellings of a message type that GREEN-API publishes: the `enum` of its `typeMessage`.
    fn spellings(&self) -> impl Iterator<Item = &'static str> {
        let list = self.text.split_once("\"enum\": [").and_then(|(_, rest)| rest.split_once(']'));
        list.into_iter().flat_map(|(list, _)| list.split('"').skip(1).step_by(2))
    }

    /// The schemas that it refers to directly.
    fn refers_to(&self) -> impl Iterator<Item = &'static Schema> {
        let names = self.text.split(REF).skip(1).filter_map(|rest| rest.split('"').next()).map(definition);
        names.filter_map(|name| SCHEMAS.iter().find(|schema| schema.name == name))
    }

    /// Its text with local references, as inside one schema.
    fn local(&self) -> String {
        self.referring("#/definitions/")
    }

    /// Its text with references that begin with `prefix`.
    fn referring(&self, prefix: &str) -> String {
        let mut pieces = self.text.trim_end().split(REF);
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (path, rest) in pieces.filter_map(|piece| piece.split_once('"')) {
            text += &format!("{REF}{prefix}{}\"{rest}", definition(path));
        }
        text
    }
}

/// How a reference begins.
const REF: &str = "\"$ref\": \"";

/// The version of JSON Schema. A schema inside another does not name it again.
const DRAFT: &str = "  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n";

/// The name of the definition that a path such as `../shared/contact.json` refers to.
fn definition(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".json").unwrap_or(file)
}

/// A schema with all that it refers to, in the order of the files.
fn self_contained(schema: &Schema) -> String {
    let mut needed: Vec<&str> = Vec::new();
    let mut next: Vec<_> = schema.refers_to().collect();
    while let Some(found) = next.pop() {
        if !needed.contains(&found.name) {
            needed.push(found.name);
            next.extend(found.refers_to());
        }
    }
    let definitions = SCHEMAS.iter().filter(|schema| needed.contains(&schema.name));
    let definitions: Vec<_> = definitions.map(|schema| nested(schema.name, &schema.local())).collect();
    let text = schema.local();
    let open = text.strip_suffix("\n}").unwrap_or(&text);
    format!("{open},\n  \"definitions\": {{\n{}\n  }}\n}}\n", definitions.join(",\n"))
}

/// A schema as a member of `definitions`.
fn nested(name: &str, text: &str) -> String {
    format!("    \"{name}\": {}", text.replacen(DRAFT, "", 1).replace('\n', "\n    "))
}

#[cfg(test)]
#[path = "schemas_tests.rs"]
mod tests;
