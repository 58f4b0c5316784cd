use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::notification::Class;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Calls `each` with every object in a schema.
fn walk(value: &Value, each: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            each(object);
            object.values().for_each(|value| walk(value, each));
        }
        Value::Array(list) => list.iter().for_each(|value| walk(value, each)),
        _ => {}
    }
}

#[test]
fn every_file_is_embedded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/notification/schemas");
    let mut files = BTreeSet::new();
    for (inside, kinds) in
        [("", [Kind::Root, Kind::Type]), ("messages", [Kind::Message; 2]), ("shared", [Kind::Shared; 2])]
    {
        let entries = std::fs::read_dir(folder.join(inside)).unwrap().map(|entry| entry.unwrap().path());
        let jsons = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let names: BTreeSet<_> = jsons.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        let embedded = SCHEMAS.iter().filter(|schema| kinds.contains(&schema.kind));
        assert_eq!(names, embedded.map(|schema| schema.name.to_owned()).collect(), "{inside}");
        files.extend(names);
    }
    assert_eq!(files.len(), SCHEMAS.len(), "two files have the same name");
}

#[test]
fn the_types_are_those_that_have_a_class() {
    let types: Vec<_> = types().collect();
    assert_eq!(types, Class::known_types().collect::<Vec<_>>());
}

#[test]
fn every_schema_has_a_title_a_description_and_an_example() {
    for schema in SCHEMAS {
        let value = parsed(schema.text);
        let name = schema.name;
        let title = name[..1].to_uppercase() + &name[1..];
        assert_eq!(value["title"], title);
        assert!(value["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}");
        assert!(value["examples"].as_array().is_some_and(|examples| !examples.is_empty()), "{name}");
        assert_eq!(value["$schema"], "http://json-schema.org/draft-07/schema#", "{name}");
    }
}

#[test]
fn a_schema_is_fixed_to_its_own_type_alone() {
    for schema in SCHEMAS {
        let value = parsed(schema.text);
        let own = &value["properties"][if schema.kind == Kind::Type { "typeWebhook" } else { "typeMessage" }];
        match schema.kind {
            Kind::Type => assert_eq!(own["const"], schema.name),
            Kind::Message => {
                let spellings: Vec<_> = schema.spellings().collect();
                assert_eq!(own["const"] == schema.name, spellings.is_empty(), "{}", schema.name);
                assert_eq!(own["enum"] == Value::from(spellings.clone()), !spellings.is_empty(), "{}", schema.name);
                assert!(spellings.is_empty() || spellings[0] == schema.name);
            }
            Kind::Root | Kind::Shared => {}
        }
    }
}

/// The names that the `if`s of a schema choose by, and the schema that each chooses.
fn choices(schema: &str, member: &str) -> BTreeSet<(String, String)> {
    let value = parsed(&SCHEMAS.iter().find(|known| known.name == schema).unwrap().local());
    let mut found = BTreeSet::new();
    for choice in value["allOf"].as_array().unwrap() {
        let own = &choice["if"]["properties"][member];
        let names = own["enum"].as_array().cloned().unwrap_or_else(|| vec![own["const"].clone()]);
        // an absent member would be any type
        assert_eq!(choice["if"]["required"], Value::from(vec![member]));
        let chosen = choice["then"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        found.extend(names.iter().map(|name| (name.as_str().unwrap().to_owned(), chosen.clone())));
    }
    found
}

#[test]
fn every_type_and_every_spelling_of_a_message_type_chooses_its_schema() {
    let types = types().map(|name| (name.to_owned(), name.to_owned())).collect();
    assert_eq!(choices("notification", "typeWebhook"), types);
    let spelled = of_kind(Kind::Message).flat_map(|schema| {
        let spellings = schema.spellings().chain([schema.name]);
        spellings.map(|spelling| (spelling.to_owned(), schema.name.to_owned())).collect::<Vec<_>>()
    });
    assert_eq!(choices("messageData", "typeMessage"), spelled.collect());
}

#[test]
fn what_is_printed_is_self_contained_and_names_every_schema_once() {
    let one = types().chain(message_types()).map(|name| of(name).unwrap());
    for text in one.chain([whole()]) {
        let value = parsed(&text);
        let (mut referred, mut drafts) = (BTreeSet::new(), 0);
        walk(&value, &mut |object| {
            drafts += usize::from(object.contains_key("$schema"));
            if let Some(target) = object.get("$ref") {
                // a validator of draft-07 ignores what stands beside a reference
                assert_eq!(object.len(), 1, "{object:?}");
                referred.insert(target.as_str().unwrap().strip_prefix("#/definitions/").unwrap().to_owned());
            }
        });
        let defined = value["definitions"].as_object().unwrap();
        assert_eq!((referred, drafts), (defined.keys().cloned().collect(), 1), "{}", value["title"]);
    }
    let all: HashSet<_> = parsed(&whole())["definitions"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(all.len(), SCHEMAS.len() - 1, "a file is not referred to");
}

#[test]
fn an_unknown_name_gets_the_nearest_known_ones() {
    let refused = |name: &str| of(name).unwrap_err().to_string();
    let unknown = |name: &str, rest: &str| format!("`{name}` is neither a type nor a message type{rest}");
    for (name, rest) in [
        ("textMesage", "; the nearest known one is `textMessage`"),
        (
            "outgoingMessageReceive",
            "; the nearest known ones are `outgoingMessageReceived`, `outgoingAPIMessageReceived` and `incomingMessageReceived`",
        ),
        ("deviceinfos", "; the nearest known one is `deviceInfo`"),
        ("zzz", ""),
        // a part is no type
        ("instanceData", ""),
    ] {
        assert_eq!(refused(name), unknown(name, rest));
    }
    for (spelled, title) in [
        ("ContactsArrayMessage", "ContactsArrayMessage"),
        ("templateButtonReplyMessage", "TemplateButtonsReplyMessage"),
        ("deviceInfo", "DeviceInfo"),
    ] {
        assert_eq!(parsed(&of(spelled).unwrap())["title"], title);
    }
}
