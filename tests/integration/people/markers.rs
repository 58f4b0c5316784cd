//! Samples in which everything that is somebody's is a marker, and the search for markers.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use greenapi_bridge::simulator::{Fields, Sample};
use serde_json::{Number, Value};

/// Stands in every text of a person, and in no legitimate text.
pub const TEXT: &str = "Zq7wMark";
/// Begins every number of a person. So many digits that no id in hex has them by chance.
pub const DIGITS: &str = "791634805";
/// Stands in every token, password and other secret.
pub const SECRET: &str = "Zq7wSecr";
/// Whose samples `send` sends, which are no markers.
const SENT: [&str; 3] = ["79990001020", "79990000001", "Nadia"];

/// What the bridge itself reads to find destination and headers: GREEN-API's words, nobody's data.
const WORDS: [&str; 3] = ["typeWebhook", "typeMessage", "typeInstance"];
/// Numbers that are somebody's.
const NUMBERS: [&str; 3] = ["latitude", "longitude", "phoneNumber"];

/// Every marker, by the field that it stands in.
#[derive(Default)]
pub struct Markers(BTreeMap<String, String>);

impl Markers {
    /// One notification of each sample. Every text in it, but for [`WORDS`], is a marker of its field.
    pub fn samples(&mut self) -> Vec<Vec<u8>> {
        self.marked(false)
    }

    /// The same, with a list where a text belongs.
    pub fn samples_of_wrong_kinds(&mut self) -> Vec<Vec<u8>> {
        self.marked(true)
    }

    fn marked(&mut self, is_kind_wrong: bool) -> Vec<Vec<u8>> {
        let sample = |(sequence, sample): (usize, Sample)| {
            let (mut body, sequence) = (Vec::new(), sequence as u64);
            sample.write(&mut body, Fields { instance: 7, time: 1_790_000_000, run: 1, sequence }, 0);
            let mut json: Value = serde_json::from_slice(&body).unwrap();
            self.mark(&mut json, "", "");
            if is_kind_wrong {
                json.as_object_mut().unwrap().values_mut().for_each(spoil);
            }
            // so that no two bodies are the same
            json["sample"] = sequence.into();
            json.to_string().into_bytes()
        };
        Sample::all().into_iter().enumerate().map(sample).collect()
    }

    fn mark(&mut self, json: &mut Value, within: &str, key: &str) {
        match json {
            Value::Object(members) => {
                let within = if key == "quotedMessage" { "quoted " } else { within };
                members.iter_mut().for_each(|(key, value)| self.mark(value, within, key));
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.mark(value, within, key)),
            Value::String(text) if !WORDS.contains(&key) && !text.is_empty() => *text = self.text(within, key, text),
            Value::Number(number) if NUMBERS.contains(&key) => *number = self.number(key),
            _ => {}
        }
    }

    /// The marker of a text: an id keeps its form, so that the bridge takes it for one.
    fn text(&mut self, within: &str, key: &str, text: &str) -> String {
        let (digits, domain) = text.find('@').map_or((text, ""), |at| text.split_at(at));
        let is_id = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let next = self.0.len();
        let marker = || if is_id { format!("{DIGITS}{next:03}{domain}") } else { format!("{TEXT}{next:03}{key}") };
        self.0.entry(format!("{within}{key}{}", if is_id { domain } else { "" })).or_insert_with(marker).clone()
    }

    fn number(&mut self, key: &str) -> Number {
        let whole = format!("{DIGITS}{:03}", self.0.len());
        let marker = if key == "phoneNumber" { whole } else { format!("5.{whole}") };
        self.0.entry(key.into()).or_insert(marker).parse().unwrap()
    }

    /// Another marker, of a body or header that a test writes itself.
    pub fn new_text(&mut self, what: &str) -> String {
        self.text("", what, "a text")
    }

    /// The marker in the field of this name.
    pub fn of(&self, field: &str) -> &str {
        self.0.get(field).unwrap_or_else(|| panic!("no sample has {field}; there are {:?}", self.0.keys()))
    }

    /// The fields whose markers these bodies do not have.
    pub fn missing_in(&self, bodies: &[Vec<u8>]) -> Vec<&str> {
        let bodies: Vec<_> = bodies.iter().map(|body| String::from_utf8_lossy(body)).collect();
        let missing = |(_, marker): &(&String, &String)| !bodies.iter().any(|body| body.contains(marker.as_str()));
        self.0.iter().filter(missing).map(|(field, _)| field.as_str()).collect()
    }
}

/// Puts every text that has a marker into a list.
fn spoil(json: &mut Value) {
    match json {
        Value::Object(members) => members.values_mut().for_each(spoil),
        Value::Array(values) => values.iter_mut().for_each(spoil),
        Value::String(text) if text.contains(TEXT) || text.contains(DIGITS) => *json = vec![text.clone()].into(),
        _ => {}
    }
}

/// Where something of a marker stands in these bytes: as it is, in other case, as base64, in hex, or as a list of bytes.
pub fn found_in(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let lower = text.to_lowercase();
    let within = |text: &str, form: &str| {
        let at = text.find(form)?;
        let around = |range: std::ops::Range<usize>| String::from_utf8_lossy(&text.as_bytes()[range]).into_owned();
        Some(around(at.saturating_sub(300)..text.len().min(at + 200)))
    };
    [TEXT, DIGITS, SECRET].iter().chain(&SENT).find_map(|stem| {
        let plain = stem.to_lowercase();
        let hex: String = stem.bytes().map(|byte| format!("{byte:02x}")).collect();
        let list = stem.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
        let lowered = [plain, hex, list].into_iter().find_map(|form| within(&lower, &form));
        lowered.or_else(|| base64_forms(stem).iter().find_map(|form| within(&text, form)))
    })
}

/// A stem in base64, as it looks wherever in a longer text it begins.
fn base64_forms(stem: &str) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let encoded = STANDARD_NO_PAD.encode([&b"\0\0"[..before], stem.as_bytes()].concat());
        // what depends on the neighbours is left out
        let (from, whole) = ([0, 2, 3][before], (before + stem.len()) * 8 / 6);
        encoded[from..whole].to_owned()
    })
}

#[test]
fn a_marker_is_found_in_every_form() {
    let secret = format!("a {SECRET} of mine");
    let hex: String = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
    let forms = [secret.clone(), secret.to_uppercase(), hex, format!("{:?}", secret.as_bytes())];
    let encoded = ["", "u", "u:"].map(|user| STANDARD_NO_PAD.encode(format!("{user}{secret}")));
    for form in forms.iter().chain(&encoded) {
        assert!(found_in(form.as_bytes()).is_some(), "{form}");
    }
    assert_eq!(found_in(b"a Zq7w of nobody, +7 916 348"), None);
}
