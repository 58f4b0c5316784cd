//! Whether we may write. Kafka has no dry run of a produce request, but it settles the right before it looks at the
//! record: a record whose timestamp no topic takes is refused with one error where we may write and with another
//! where we may not, and is stored in neither case.

use futures_util::future::join_all;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use tokio::sync::oneshot;

use super::admin::{Admin, OLDEST, Topic};
use super::report::{Context, fault};
use crate::brokers::{Fault, FaultKind, Finding};

/// The timestamp of the record that asks: the year 2200, in milliseconds.
const FAR: i64 = 7_258_118_400_000;

/// A topic that refuses what is further ahead than this refuses [`FAR`]: a hundred years, in milliseconds.
const SURE: i64 = 100 * 365 * 24 * 3_600_000;

/// What one topic answered.
#[derive(Debug, PartialEq, Eq)]
enum Right {
    Write,
    None,
    /// It cannot be asked without the risk of storing the record that asks.
    NotAsked,
    Unknown(String),
}

/// Asks each topic whether we may write to it. `user` is who we are, where that is known.
pub(super) async fn check(admin: &Admin, user: Option<&str>, topics: &[(&str, Topic)]) -> Vec<Finding> {
    let asked =
        join_all(topics.iter().map(async |(name, topic)| (*name, ask(admin.producer(), name, topic).await))).await;
    if let Some((code, text)) = admin.producer().client().fatal_error() {
        return vec![of_producer(code, &text, user)];
    }
    judge(&asked, user)
}

async fn ask(producer: &ThreadedProducer<Context>, name: &str, topic: &Topic) -> Right {
    if !refuses(topic) {
        return Right::NotAsked;
    }
    let (waiter, report) = oneshot::channel();
    let record: BaseRecord<'_, [u8], [u8], _> =
        BaseRecord::with_opaque_to(name, Box::new(waiter)).payload(b"".as_slice()).timestamp(FAR);
    let sent = producer.send(record).map_err(|(error, _)| fault(&error));
    let settled = match sent {
        Ok(()) => report.await.unwrap_or_else(|_| Err(Fault::unknown("closed", "the client is gone"))),
        Err(fault) => Err(fault),
    };
    right(settled)
}

/// Whether this topic is known to refuse the record that asks.
fn refuses(topic: &Topic) -> bool {
    // before Kafka 3.6 one limit held for both sides
    let ahead = topic.setting("message.timestamp.after.max.ms").or_else(|| topic.setting(OLDEST[1]));
    let ahead = ahead.and_then(|most| most.parse::<i64>().ok());
    topic.is_dated_by_us() && ahead.is_some_and(|most| most < SURE)
}

fn right(settled: Result<(), Fault>) -> Right {
    match settled {
        // not foreseen: then we may
        Ok(()) => Right::Write,
        Err(fault)
            if fault.kind == FaultKind::Record || ["wrong_clock", "too_few_replicas"].contains(&fault.reason) =>
        {
            Right::Write
        }
        Err(fault) if fault.reason == "not_authorized" => Right::None,
        Err(fault) => Right::Unknown(fault.detail),
    }
}

fn judge(asked: &[(&str, Right)], user: Option<&str>) -> Vec<Finding> {
    let those = |wanted: &Right| -> Vec<&str> {
        asked.iter().filter(|(_, right)| right == wanted).map(|(name, _)| *name).collect()
    };
    let (allowed, denied, not_asked) = (those(&Right::Write), those(&Right::None), those(&Right::NotAsked));
    let mut found = Vec::new();
    match allowed.len() {
        0 => {}
        all if all == asked.len() => found.push(Finding::fine("rights", "may write to all of them")),
        _ => found.push(Finding::fine("rights", format!("may write to {}", allowed.join(", ")))),
    }
    let by = user.unwrap_or("NAME");
    for name in denied {
        let allow = format!(
            "`kafka-acls.sh --add --allow-principal User:{by} --operation Write --operation Describe --topic {name}`"
        );
        found.push(Finding::wrong("rights", format!("may not write to {name}"), allow));
    }
    if !not_asked.is_empty() {
        let what = format!("not known for {}: it would store the record that asks", not_asked.join(", "));
        let remedy = "set message.timestamp.after.max.ms to an hour, or send one notification to find out";
        found.push(Finding::note("rights", what, remedy));
    }
    for (name, right) in asked {
        if let Right::Unknown(why) = right {
            found.push(Finding::note(
                "rights",
                format!("not known for {name}: {why}"),
                "see what else is said, and ask again",
            ));
        }
    }
    found
}

/// The producer itself was refused: it gets no id to write with.
fn of_producer(code: RDKafkaErrorCode, text: &str, user: Option<&str>) -> Finding {
    if code == RDKafkaErrorCode::ClusterAuthorizationFailed {
        let by = user.unwrap_or("NAME");
        let what = "may write to none of them, and to no other topic of the cluster";
        let allow = format!(
            "allow User:{by} Write and Describe on the topics; before Kafka 2.8 also IdempotentWrite on the cluster"
        );
        return Finding::wrong("rights", what, allow);
    }
    Finding::wrong("rights", format!("no producer: {text}"), "see what the cluster's own log says")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brokers::Verdict;

    fn topic(settings: &[(&str, &str)]) -> Topic {
        let config = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Topic { config: Some(config.collect()), ..Topic::default() }
    }

    #[test]
    fn only_a_topic_that_surely_refuses_is_asked() {
        let (created, ahead) = ("message.timestamp.type", "message.timestamp.after.max.ms");
        assert!(refuses(&topic(&[(created, "CreateTime"), (ahead, "3600000")])));
        assert!(refuses(&topic(&[(created, "CreateTime"), (OLDEST[1], "3600000")])));
        for settings in [
            vec![(created, "CreateTime"), (ahead, "9223372036854775807"), (OLDEST[1], "3600000")],
            vec![(created, "LogAppendTime"), (ahead, "3600000")],
            vec![(created, "CreateTime"), (ahead, "9223372036854775807")],
            vec![(created, "CreateTime"), (ahead, &SURE.to_string())],
            vec![(created, "CreateTime")],
            vec![(ahead, "3600000")],
        ] {
            assert!(!refuses(&topic(&settings)), "{settings:?}");
        }
        assert!(!refuses(&Topic::default()), "settings that may not be looked at");
        let year_2030 = 1_893_456_000_000;
        assert!(FAR - year_2030 > SURE, "it is far enough while this is in use");
    }

    #[test]
    fn each_answer_has_its_line() {
        let asked =
            [("a", Right::Write), ("b", Right::None), ("c", Right::NotAsked), ("d", Right::Unknown("x".into()))];
        let found = judge(&asked, Some("u"));
        let said: Vec<_> = found.iter().map(|line| (line.verdict, line.found.as_str())).collect();
        let wanted = [
            (Verdict::Fine, "may write to a"),
            (Verdict::Wrong, "may not write to b"),
            (Verdict::Note, "not known for c: it would store the record that asks"),
            (Verdict::Note, "not known for d: x"),
        ];
        assert_eq!(said, wanted);
        assert!(found[1].remedy.contains("User:u --operation Write"), "{}", found[1].remedy);
        assert_eq!(judge(&[("a", Right::Write)], None)[0].found, "may write to all of them");
    }
}
