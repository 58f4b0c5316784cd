use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn parse(body: &str) -> Result<Notification<'_>, ParseError> {
    Notification::parse(body.as_bytes())
}

fn reason(body: &str) -> String {
    parse(body).err().map(|error| format!("{error:?}")).unwrap_or_else(|| "parsed".into())
}

#[test]
fn only_type_and_instance_are_required() {
    let parsed = parse(r#"{"typeWebhook":"x","instanceData":{"idInstance":4100000001}}"#).unwrap();
    assert_eq!((parsed.kind.as_ref(), parsed.instance, parsed.time), ("x", 4_100_000_001, None));
    assert_eq!((parsed.chat(), parsed.message_type(), parsed.product()), (None, None, None));
}

#[test]
fn escapes_are_decoded() {
    let parsed = parse(r#"{"type\u0057ebhook":"in\u0063oming","instanceData":{"\u0069dInstance":7}}"#).unwrap();
    assert_eq!((parsed.kind.as_ref(), parsed.instance), ("incoming", 7));
    let twice = r#"{"typeWebhook":"a","type\u0057ebhook":"a","instanceData":{"idInstance":7}}"#;
    assert_eq!(reason(twice), "Ambiguous { key: \"typeWebhook\", instance: Some(7) }");
}

#[test]
fn malformed_optional_fields_are_ignored() {
    for odd in ["null", "7", "[]", "{}", "true", r#""\ud800""#, "1e999", "-0.0"] {
        let body = format!(
            r#"{{"timestamp":{odd},"senderData":{odd},"messageData":{odd},"chatId":{odd},"from":{odd},"\ud800":{odd},
               "typeWebhook":"x","instanceData":{{"typeInstance":{odd},"wid":{odd},"idInstance":7}}}}"#
        );
        let parsed = parse(&body).unwrap();
        assert_eq!(
            (parsed.time, parsed.chat(), parsed.message_type(), parsed.product()),
            (None, None, None, None),
            "{odd}"
        );
    }
}

#[test]
fn the_chat_is_read_from_every_place_it_is_sent_in() {
    let with = |fields: &str| format!(r#"{{"typeWebhook":"x","instanceData":{{"idInstance":7}},{fields}}}"#);
    let chat = |fields: &str| parse(&with(fields)).unwrap().chat();
    assert_eq!(chat(r#""senderData":{"chatId":"1@c.us"},"from":"2@c.us""#).as_deref(), Some("1@c.us"));
    assert_eq!(chat(r#""chatId":"3@g.us""#).as_deref(), Some("3@g.us"));
    assert_eq!(chat(r#""avatarInfo":{"chatId":"4@c.us","existsWhatsapp":true}"#).as_deref(), Some("4@c.us"));
    assert_eq!(chat(r#""senderData":null,"from":"2@c.us""#).as_deref(), Some("2@c.us"));
}

#[test]
fn an_instance_is_an_unsigned_integer_or_digits() {
    let with = |id: &str| format!(r#"{{"typeWebhook":"x","instanceData":{{"idInstance":{id}}}}}"#);
    for (id, instance) in
        [("7", 7), (r#""7""#, 7), ("18446744073709551615", u64::MAX), (r#""007""#, 7), (r#""\u0037""#, 7)]
    {
        assert_eq!(parse(&with(id)).unwrap().instance, instance, "{id}");
    }
    for id in
        ["null", "true", "-7", "7.0", "7e0", "[7]", r#""""#, r#""+7""#, r#"" 7""#, r#""7x""#, "18446744073709551616"]
    {
        assert!(reason(&with(id)).starts_with("NoInstance"), "{id}");
    }
}

#[test]
fn implausible_times_are_ignored() {
    let time = |at: &str| {
        let body = format!(r#"{{"timestamp":1,"timestamp":{at},"typeWebhook":"x","instanceData":{{"idInstance":7}}}}"#);
        parse(&body).unwrap().time
    };
    assert_eq!(time("946684799"), None); // 1999-12-31T23:59:59Z
    assert_eq!(time("946684800"), Some(946_684_800));
    assert_eq!(time("4133980799"), Some(4_133_980_799)); // 2100-12-31T23:59:59Z
    assert_eq!(time("4133980800"), None);
    assert_eq!(time(r#""1588091580""#), None);
    assert_eq!(time("1588091580.0"), None);
    assert_eq!(time("-1588091580"), None);
}

#[test]
fn every_parse_error_has_its_reason() {
    for (body, expected) in [
        ("", "NotJson(\"EOF while parsing a value at line 1 column 0\")"),
        ("\u{feff}{}", "NotJson(\"starts with a byte-order mark\")"),
        ("[1,2", "NotJson"),
        ("[1,2]", "NotObject"),
        ("null", "NotObject"),
        (r#"{"typeWebhook":"x","instanceData":{"idInstance":7}} x"#, "NotJson"),
        (r#"{"typeWebhook":"x","typeWebhook":"x""#, "NotJson"),
        (r#"{"instanceData":{"idInstance":7,"idInstance":7}}"#, "Ambiguous { key: \"idInstance\", instance: None }"),
        (r#"{"instanceData":null,"instanceData":{}}"#, "Ambiguous { key: \"instanceData\", instance: None }"),
        (
            r#"{"instanceData":{"idInstance":7},"instanceData":{"idInstance":7},"typeWebhook":"a","typeWebhook":"a"}"#,
            "Ambiguous { key: \"instanceData\", instance: None }",
        ),
        (r#"{"typeWebhook":null,"instanceData":{"idInstance":7}}"#, "NoType { found: \"null\", instance: Some(7) }"),
        (r#"{"typeWebhook":"\ud800","instanceData":{}}"#, "NotJson(\"typeWebhook holds half"),
        (r#"{"typeWebhook":"x","instanceData":[7]}"#, "NoInstance { found: \"absent\", kind: \"x\" }"),
    ] {
        assert!(reason(body).starts_with(expected), "{body}: {}", reason(body));
    }
    assert_eq!(
        Notification::parse(b"{\"a\":\"\xff\"}").unwrap_err(),
        ParseError::NotJson("not UTF-8 from byte 6 on".into())
    );
}

#[test]
fn nesting_is_limited_and_brackets_in_strings_do_not_count() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"typeWebhook":"x","instanceData":{{"idInstance":7}},"deep":{open}{close}}}"#)
    };
    assert_eq!(reason(&nested(MAX_DEPTH - 1)), "parsed");
    assert_eq!(reason(&nested(MAX_DEPTH)), "TooDeep { instance: Some(7) }");
    assert_eq!(reason(&nested(1_000_000)), "TooDeep { instance: Some(7) }");
    let text = "[\\\"{".repeat(200);
    let body = format!(r#"{{"typeWebhook":"x","instanceData":{{"idInstance":7}},"text":"{text}"}}"#);
    assert_eq!(reason(&body), "parsed");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(".*", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn a_control_character_in_a_name_is_json_only_as_an_escape() {
    let parsed = |name: &str| {
        let body = format!(r#"{{"typeWebhook":"a","instanceData":{{"idInstance":7}},"{name}":1}}"#);
        Notification::parse(body.as_bytes()).map(|notification| notification.instance)
    };
    for name in ["a\nb", "\0", "\\n\n"] {
        assert!(matches!(parsed(name), Err(ParseError::NotJson(_))), "{name:?}");
    }
    for name in ["a\\nb", "\\u0000", "\u{7f}"] {
        assert_eq!(parsed(name), Ok(7), "{name:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Notification::parse(&body);
    }

    #[test]
    fn a_mutated_notification_never_panics(position in 0_usize..90, byte: u8) {
        let mut body = br#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":7},"timestamp":1588091580,"a":[]}"#.to_vec();
        body[position] = byte;
        let _ = Notification::parse(&body);
    }

    #[test]
    fn type_and_instance_are_read_beside_any_other_member(kind: String, instance: u64, extra in any_json()) {
        let body = json!({"z": extra, "typeWebhook": kind, "instanceData": {"idInstance": instance, "x": extra}});
        let body = serde_json::to_vec(&body).unwrap();
        let parsed = Notification::parse(&body).unwrap();
        prop_assert_eq!(parsed.kind.as_ref(), kind.as_str());
        prop_assert_eq!(parsed.instance, instance);
    }

    #[test]
    fn it_never_accepts_what_a_full_parser_refuses(body in r#"[\{\}\[\]",:a0\\ue\-\.]{0,24}"#) {
        let body = format!(r#"{{"typeWebhook":"x","instanceData":{{"idInstance":7}},"rest":{body}}}"#);
        if Notification::parse(body.as_bytes()).is_ok() {
            let checked: Result<serde::de::IgnoredAny, _> = serde_json::from_str(&body);
            prop_assert!(checked.is_ok());
        }
    }
}
