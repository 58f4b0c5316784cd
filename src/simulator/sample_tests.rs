use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::notification::Validation;
use crate::notification::schemas::message_types;

fn body(sample: &Sample, fields: Fields, size: usize) -> Vec<u8> {
    let mut body = Vec::new();
    sample.write(&mut body, fields, size);
    body
}

const FIELDS: Fields = Fields { instance: 1_101_000_001, time: 1_764_000_000, run: 12_345_678, sequence: 17 };

/// The types of the published list, each with its class.
const KINDS: [(&str, Class); 12] = [
    ("incomingMessageReceived", Class::Incoming),
    ("incomingMessageStatus", Class::Incoming),
    ("incomingCall", Class::Incoming),
    ("incomingBlock", Class::Incoming),
    ("outgoingMessageReceived", Class::Outgoing),
    ("outgoingAPIMessageReceived", Class::Outgoing),
    ("outgoingMessageStatus", Class::Outgoing),
    ("outgoingCall", Class::Outgoing),
    ("stateInstanceChanged", Class::State),
    ("statusInstanceChanged", Class::State),
    ("quotaExceeded", Class::State),
    ("deviceInfo", Class::Device),
];

#[test]
fn every_type_and_every_message_type_in_each_direction_has_a_sample() {
    let all = Sample::all();
    let kinds: HashMap<_, _> = all.iter().map(|sample| (sample.kind.as_str(), sample.class)).collect();
    assert_eq!(kinds, HashMap::from(KINDS));
    let messages: HashSet<_> =
        all.iter().filter_map(|sample| Some((sample.kind.as_str(), sample.message_type.as_deref()?))).collect();
    for kind in MESSAGE_KINDS {
        let of_kind = messages.iter().filter(|(other, _)| *other == kind).map(|(_, message_type)| *message_type);
        assert_eq!(of_kind.collect::<HashSet<_>>(), message_types().collect(), "{kind}");
    }
    let products: HashSet<_> =
        all.iter().map(|sample| Notification::parse(&body(sample, FIELDS, 0)).unwrap().product().unwrap()).collect();
    assert_eq!(products, HashSet::from(["whatsapp".into(), "telegram".into(), "v3".into()]));
}

#[test]
fn every_sample_passes_strict_validation() {
    let strict = Validation::new(&toml::from_str("mode = \"strict\"").unwrap()).unwrap();
    for sample in Sample::all() {
        assert_eq!(strict.parse(&body(&sample, FIELDS, 0)).err(), None, "{} {:?}", sample.kind, sample.message_type);
    }
}

#[test]
fn every_line_is_a_sample() {
    assert_eq!(Sample::all().len(), MESSAGES.lines().count() * MESSAGE_KINDS.len() + EVENTS.lines().count());
}

#[test]
fn names_select_samples_and_an_unknown_name_gets_the_nearest() {
    let named = |words: &[&str]| {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let kinds =
            Sample::named(&words).map(|some| some.into_iter().map(|sample| sample.kind).collect::<HashSet<_>>());
        kinds.map_err(|unknown| unknown.to_string())
    };
    assert_eq!(named(&["device"]), Ok(HashSet::from(["deviceInfo".into()])));
    assert_eq!(named(&["incomingCall", "device"]), Ok(HashSet::from(["deviceInfo".into(), "incomingCall".into()])));
    assert_eq!(named(&["textMessage"]), Ok(MESSAGE_KINDS.map(String::from).into()));
    assert_eq!(named(&[]).unwrap().len(), KINDS.len());
    let refused = named(&["device", "stateInstanceChange"]).unwrap_err();
    assert_eq!(
        refused,
        "`stateInstanceChange` is neither a class nor a type; the nearest known one is `stateInstanceChanged`"
    );
}

#[test]
fn a_padded_body_has_the_size_that_was_asked_for() {
    for sample in Sample::all() {
        let plain = body(&sample, FIELDS, 0);
        assert_eq!(body(&sample, FIELDS, plain.len()), plain);
        for size in [plain.len() + 20, 70_000] {
            let padded = body(&sample, FIELDS, size);
            assert_eq!(padded.len(), size);
            assert_eq!(Notification::parse(&padded).unwrap().kind, sample.kind);
        }
    }
}

proptest! {
    #[test]
    fn samples_are_notifications_of_their_class_and_no_two_are_the_same(
        instance in 1_u64..=9_999_999_999, time in 1_700_000_000_u64..4_000_000_000, run in 0_u32..100_000_000,
        sequence in 1_u64..1_000_000_000, size in 0_usize..4000,
    ) {
        let mut bodies = HashSet::new();
        for sample in Sample::all() {
            for (run, sequence) in [(run, sequence), (run, sequence + 1), (run + 1, sequence)] {
                let body = body(&sample, Fields { instance, time, run, sequence }, size);
                let notification = Notification::parse(&body).unwrap();
                prop_assert_eq!((notification.kind.as_ref(), notification.instance), (sample.kind.as_str(), instance));
                prop_assert_eq!(Class::of(&notification.kind), sample.class);
                prop_assert_eq!(notification.message_type(), sample.message_type.clone());
                let timeless = sample.kind == "quotaExceeded";
                prop_assert_eq!(notification.time, (!timeless).then_some(time));
                prop_assert!(bodies.insert(body));
            }
        }
    }
}
