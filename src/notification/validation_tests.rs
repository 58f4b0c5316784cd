//! The rules of the schemas, tried one by one: for every field of every example, with bodies made from the schemas.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;

fn strict() -> Validation {
    Validation::new(&toml::from_str("mode = \"strict\"").unwrap()).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&schemas::whole()).unwrap()
}

/// Every example as a whole notification: those of the types, and those of the message types inside one.
fn examples(schema: &Value) -> Vec<Value> {
    let of = |name: &str| schema["definitions"][name]["examples"].as_array().unwrap().clone();
    let mut all: Vec<_> = schemas::types().flat_map(of).collect();
    let message = of("incomingMessageReceived").remove(0);
    for data in schemas::message_types().flat_map(of) {
        let mut message = message.clone();
        message["messageData"] = data;
        all.push(message);
    }
    all
}

/// What the schemas say of one field.
#[derive(Debug, Clone, Default)]
struct Rule {
    required: bool,
    /// The kinds of value that it may have. None means any.
    kinds: Option<BTreeSet<String>>,
    /// Whether its known values are listed, and others may come.
    open_enum: bool,
    /// Whether another field is required where this one is absent or null.
    alternative: bool,
}

/// The rules of every field that is in `value`, by its JSON pointer.
struct Rules<'s> {
    root: &'s Value,
    rules: BTreeMap<String, Rule>,
}

impl Rules<'_> {
    fn of(root: &Value, notification: &Value) -> BTreeMap<String, Rule> {
        let mut rules = Rules { root, rules: BTreeMap::new() };
        rules.visit(root, notification, "");
        rules.rules.retain(|pointer, _| notification.pointer(pointer).is_some());
        rules.rules
    }

    fn visit(&mut self, schema: &Value, value: &Value, pointer: &str) {
        if let Some(target) = schema["$ref"].as_str() {
            let root = self.root;
            return self.visit(root.pointer(target.strip_prefix('#').unwrap()).unwrap(), value, pointer);
        }
        let rule = self.rules.entry(pointer.into()).or_default();
        if let Some(kinds) = kinds(schema) {
            let both = |before: BTreeSet<String>| before.intersection(&kinds).cloned().collect();
            rule.kinds = Some(rule.kinds.take().map_or(kinds.clone(), both));
        }
        rule.open_enum |= takes(rule, "string") && schema["examples"][0].is_string();
        for name in schema["required"].as_array().into_iter().flatten() {
            self.rules.entry(format!("{pointer}/{}", name.as_str().unwrap())).or_default().required = true;
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = value.get(name) {
                self.visit(field, value, &format!("{pointer}/{name}"));
            }
        }
        for (index, value) in value.as_array().into_iter().flatten().enumerate() {
            self.visit(&schema["items"], value, &format!("{pointer}/{index}"));
        }
        let own = schema.get("if").map(|_| schema);
        for choice in schema["allOf"].as_array().into_iter().flatten().chain(own) {
            for name in choice["if"]["not"]["required"].as_array().into_iter().flatten() {
                self.rules.entry(format!("{pointer}/{}", name.as_str().unwrap())).or_default().alternative = true;
            }
            if jsonschema::draft7::is_valid(&choice["if"], value) {
                self.visit(&choice["then"], value, pointer);
            }
        }
    }
}

fn takes(rule: &Rule, kind: &str) -> bool {
    rule.kinds.as_ref().is_some_and(|kinds| kinds.contains(kind))
}

fn kinds(schema: &Value) -> Option<BTreeSet<String>> {
    let several = schema["type"].as_array().cloned().or_else(|| Some(vec![schema["type"].as_str()?.into()]));
    several.map(|all| all.iter().map(|kind| kind.as_str().unwrap().to_owned()).collect())
}

/// A value of each kind. The string is one that every string field takes.
fn one_of_each_kind() -> [(&'static str, Value); 7] {
    [
        ("null", json!(null)),
        ("boolean", json!(true)),
        ("integer", json!(7)),
        ("number", json!(7.5)),
        ("string", json!("7")),
        ("array", json!([])),
        ("object", json!({})),
    ]
}

fn without(notification: &Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let mut changed = notification.clone();
    changed.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    changed
}

fn with(notification: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = notification.clone();
    *changed.pointer_mut(pointer).unwrap() = value;
    changed
}

/// The text of the error. None means that it passes.
fn refusal(validation: &Validation, notification: &Value) -> Option<String> {
    let body = serde_json::to_vec(notification).unwrap();
    validation.parse(&body).err().map(|error| error.to_string())
}

fn assert_refused_at(validation: &Validation, notification: &Value, pointer: &str) {
    let refusal = refusal(validation, notification).unwrap_or_else(|| panic!("{pointer} passes: {notification}"));
    assert_eq!(refusal.split(' ').next(), Some(pointer), "{refusal}: {notification}");
}

/// Calls `each` with every example and every field of it that a schema names.
fn for_each_field(mut each: impl FnMut(&Value, &str, &Rule)) {
    let (schema, mut fields) = (schema(), 0);
    for example in examples(&schema) {
        for (pointer, rule) in Rules::of(&schema, &example).iter().filter(|(pointer, _)| !pointer.is_empty()) {
            each(&example, pointer, rule);
            fields += 1;
        }
    }
    assert!(fields > 500, "{fields}");
}

#[test]
fn every_example_passes_and_those_of_the_parts_are_valid() {
    let (strict, schema) = (strict(), schema());
    for example in examples(&schema).iter().chain(schema["examples"].as_array().unwrap()) {
        assert_eq!(refusal(&strict, example), None, "{example}");
    }
    for (name, part) in schema["definitions"].as_object().unwrap() {
        let mut alone = part.clone();
        alone["definitions"] = schema["definitions"].clone();
        let validator = jsonschema::draft7::new(&alone).unwrap();
        for example in part["examples"].as_array().unwrap() {
            assert!(validator.is_valid(example), "{name}: {example}");
        }
    }
}

#[test]
fn a_missing_field_is_refused_at_its_pointer_if_it_is_required_and_passes_if_not() {
    let (strict, mut required) = (strict(), BTreeSet::new());
    for_each_field(|example, pointer, rule| {
        // an element of a list is no field
        if pointer.rsplit('/').next().unwrap().parse::<usize>().is_ok() {
            return;
        }
        let changed = without(example, pointer);
        if rule.required {
            assert_refused_at(&strict, &changed, if pointer == "/instanceData" { ID_INSTANCE } else { pointer });
            required.insert(pointer.to_owned());
        } else {
            assert_eq!(refusal(&strict, &changed).is_some(), rule.alternative, "without {pointer}");
        }
    });
    for pointer in ["/typeWebhook", "/timestamp", "/messageData/typeMessage", "/messageData/textMessageData", "/from"] {
        assert!(required.contains(pointer), "{required:?}");
    }
}

/// What the parser requires inside `instanceData`, whatever that is.
const ID_INSTANCE: &str = "/instanceData/idInstance";

#[test]
fn a_field_takes_the_kinds_of_value_that_its_schema_names_and_no_others() {
    let strict = strict();
    for_each_field(|example, pointer, rule| {
        let Some(kinds) = &rule.kinds else { return };
        for (kind, value) in one_of_each_kind() {
            let taken = kinds.contains(kind) || kind == "integer" && kinds.contains("number");
            let changed = with(example, pointer, value);
            if !taken {
                assert_refused_at(&strict, &changed, if pointer == "/instanceData" { ID_INSTANCE } else { pointer });
            } else if !matches!(kind, "array" | "object") {
                let refused = refusal(&strict, &changed);
                assert_eq!(refused.is_some(), rule.alternative && kind == "null", "{pointer}: {kind}: {refused:?}");
            }
        }
    });
}

#[test]
fn unknown_fields_pass_in_every_object() {
    let strict = strict();
    let mut objects = 0;
    for example in examples(&schema()) {
        let pointers = objects_of(&example, "");
        objects += pointers.len();
        for pointer in pointers {
            for unknown in [json!(null), json!({"a": [1, null, {"b": ""}]}), json!([[]]), json!("x")] {
                let mut changed = example.clone();
                changed.pointer_mut(&pointer).unwrap()["notKnownYet"] = unknown;
                assert_eq!(refusal(&strict, &changed), None, "{pointer} of {example}");
            }
        }
    }
    assert!(objects > 150, "{objects}");
}

fn objects_of(value: &Value, pointer: &str) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let inside = members.iter().flat_map(|(name, value)| objects_of(value, &format!("{pointer}/{name}")));
            std::iter::once(pointer.to_owned()).chain(inside).collect()
        }
        Value::Array(list) => {
            let each = list.iter().enumerate();
            each.flat_map(|(index, value)| objects_of(value, &format!("{pointer}/{index}"))).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn unknown_types_message_types_states_and_statuses_pass() {
    let (strict, mut open) = (strict(), BTreeSet::new());
    for_each_field(|example, pointer, rule| {
        if rule.open_enum {
            assert_eq!(refusal(&strict, &with(example, pointer, json!("notKnownYet"))), None, "{pointer}");
            assert_eq!(refusal(&strict, &with(example, pointer, json!(""))), None, "{pointer}");
            open.insert(pointer.to_owned());
        }
    });
    for pointer in ["/typeWebhook", "/messageData/typeMessage", "/status", "/stateInstance", "/statusInstance"] {
        assert!(open.contains(pointer), "{open:?}");
    }
}

#[test]
fn an_unknown_type_must_have_the_common_fields() {
    let strict = strict();
    let notification = json!({"typeWebhook": "notKnownYet", "instanceData": {"idInstance": 7}, "messageData": "text"});
    assert_eq!(refusal(&strict, &notification), None);
    let mut odd = notification;
    odd["timestamp"] = json!("soon");
    assert_eq!(refusal(&strict, &odd).unwrap(), "/timestamp is a string, an integer or null is needed");
}

#[test]
fn an_error_names_the_field_and_what_is_wrong_and_never_its_value() {
    let strict = strict();
    let message = examples(&schema()).remove(0);
    for (changed, expected) in [
        (with(&message, "/senderData/chatId", json!(790)), "/senderData/chatId is an integer, a string is needed"),
        (with(&message, "/timestamp", json!("secret")), "/timestamp is a string, an integer is needed"),
        (with(&message, "/timestamp", json!(1.5)), "/timestamp is a number, an integer is needed"),
        (with(&message, "/messageData", json!("secret")), "/messageData is a string, an object is needed"),
        (without(&message, "/messageData/typeMessage"), "/messageData/typeMessage is absent, it is required"),
        (without(&message, "/messageData/textMessageData"), "/messageData/textMessageData is absent, it is required"),
        (without(&message, "/typeWebhook"), "/typeWebhook is absent, a string is needed"),
        (without(&message, "/instanceData"), "/instanceData/idInstance is absent, an unsigned integer is needed"),
    ] {
        assert_eq!(refusal(&strict, &changed).as_deref(), Some(expected));
    }
    let body = serde_json::to_vec(&with(&message, "/timestamp", json!("secret"))).unwrap();
    let error = strict.parse(&body).unwrap_err();
    assert_eq!((error.instance(), error.kind()), (Some(1_101_000_001), Some("incomingMessageReceived")));
    assert!(Validation::default().parse(&body).is_ok(), "tolerant");
}

#[test]
fn what_a_json_value_cannot_hold_passes() {
    let notification = r#"{"typeWebhook":"stateInstanceChanged","instanceData":{"idInstance":7},"timestamp":1,
        "stateInstance":"\ud800","\udc00":1e999,"a":"#;
    for deep in [1, 126] {
        let body = format!("{notification}{}{}}}", "[".repeat(deep), "]".repeat(deep));
        assert_eq!(strict().parse(body.as_bytes()).err(), None, "{deep}");
    }
}
