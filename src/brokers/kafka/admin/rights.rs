//! Whether the bridge may write to a topic. Kafka has no dry run of a produce request, but it checks the access control
//! list before it reads the record. So a probe record whose timestamp every topic refuses gets one error where writing
//! is allowed and another where it is not, and is never stored.

use futures_util::future::join_all;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use tokio::sync::oneshot;

use super::{ClusterAdmin, MAX_AGE_SETTINGS, Topic};
use crate::brokers::kafka::context::Context;
use crate::brokers::kafka::error_codes::fault;
use crate::brokers::{Fault, FaultKind, FaultReason, Finding};

/// The timestamp of the probe record: the year 2200, in milliseconds.
const PROBE_TIMESTAMP: i64 = 7_258_118_400_000;

/// A topic whose limit is at most this far ahead refuses [`PROBE_TIMESTAMP`]: a hundred years, in milliseconds.
const MAX_AHEAD: i64 = 100 * 365 * 24 * 3_600_000;

/// Whether the bridge may write to one topic.
#[derive(Debug, PartialEq, Eq)]
enum WriteAccess {
    Allowed,
    Denied,
    /// The topic might store the probe record, so none was sent.
    NotProbed,
    Unknown(String),
}

/// Probes each topic for write access. `user` is the name the cluster knows the bridge by, if known.
pub(super) async fn audit_write_access(
    admin: &ClusterAdmin,
    user: Option<&str>,
    topics: &[(&str, Topic)],
) -> Vec<Finding> {
    let probed =
        join_all(topics.iter().map(async |(name, topic)| (*name, probe(admin.producer(), name, topic).await))).await;
    if let Some((code, text)) = admin.producer().client().fatal_error() {
        return vec![producer_refused(code, &text, user)];
    }
    acl_findings(&probed, user)
}

async fn probe(producer: &ThreadedProducer<Context>, name: &str, topic: &Topic) -> WriteAccess {
    if !refuses_probe(topic) {
        return WriteAccess::NotProbed;
    }
    let (sender, report) = oneshot::channel();
    let record: BaseRecord<'_, [u8], [u8], _> =
        BaseRecord::with_opaque_to(name, Box::new(sender)).payload(b"".as_slice()).timestamp(PROBE_TIMESTAMP);
    let sent = producer.send(record).map_err(|(error, _)| fault(&error));
    let answer = match sent {
        Ok(()) => report.await.unwrap_or_else(|_| Err(Fault::maybe_stored(FaultReason::Closed, "the client is gone"))),
        Err(fault) => Err(fault),
    };
    write_access(answer)
}

/// Whether this topic certainly refuses the probe record.
fn refuses_probe(topic: &Topic) -> bool {
    // before Kafka 3.6 one setting limited both past and future
    let ahead = topic.setting("message.timestamp.after.max.ms").or_else(|| topic.setting(MAX_AGE_SETTINGS[1]));
    let ahead = ahead.and_then(|limit| limit.parse::<i64>().ok());
    topic.uses_create_time() && ahead.is_some_and(|limit| limit < MAX_AHEAD)
}

fn write_access(answer: Result<(), Fault>) -> WriteAccess {
    match answer {
        // not expected, but it proves the access
        Ok(()) => WriteAccess::Allowed,
        Err(fault)
            if fault.kind == FaultKind::Record
                || matches!(fault.reason, FaultReason::WrongClock | FaultReason::TooFewReplicas) =>
        {
            WriteAccess::Allowed
        }
        Err(fault) if fault.reason == FaultReason::NotAuthorized => WriteAccess::Denied,
        Err(fault) => WriteAccess::Unknown(fault.detail),
    }
}

fn acl_findings(probed: &[(&str, WriteAccess)], user: Option<&str>) -> Vec<Finding> {
    let topics_with = |wanted: &WriteAccess| -> Vec<&str> {
        probed.iter().filter(|(_, access)| access == wanted).map(|(name, _)| *name).collect()
    };
    let allowed = topics_with(&WriteAccess::Allowed);
    let denied = topics_with(&WriteAccess::Denied);
    let not_probed = topics_with(&WriteAccess::NotProbed);
    let mut found = Vec::new();
    match allowed.len() {
        0 => {}
        all if all == probed.len() => found.push(Finding::fine("rights", "may write to all of them")),
        _ => found.push(Finding::fine("rights", format!("may write to {}", allowed.join(", ")))),
    }
    let by = user.unwrap_or("NAME");
    for name in denied {
        let allow = format!(
            "`kafka-acls.sh --add --allow-principal User:{by} --operation Write --operation Describe --topic {name}`"
        );
        found.push(Finding::wrong("rights", format!("may not write to {name}"), allow));
    }
    if !not_probed.is_empty() {
        let what = format!("not known for {}: it would store the probe record", not_probed.join(", "));
        let remedy = "set message.timestamp.after.max.ms to an hour, or send one notification to find out";
        found.push(Finding::note("rights", what, remedy));
    }
    for (name, access) in probed {
        if let WriteAccess::Unknown(why) = access {
            found.push(Finding::note(
                "rights",
                format!("not known for {name}: {why}"),
                "correct the other findings, and run this again",
            ));
        }
    }
    found
}

/// The cluster refused the producer itself: it gets no producer id.
fn producer_refused(code: RDKafkaErrorCode, text: &str, user: Option<&str>) -> Finding {
    if code == RDKafkaErrorCode::ClusterAuthorizationFailed {
        let by = user.unwrap_or("NAME");
        let what = "may write to none of them, and to no other topic of the cluster";
        let allow = format!(
            "allow User:{by} Write and Describe on the topics; before Kafka 2.8 also IdempotentWrite on the cluster"
        );
        return Finding::wrong("rights", what, allow);
    }
    Finding::wrong("rights", format!("no producer: {text}"), "read the cluster's own log")
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
    fn only_a_topic_that_certainly_refuses_the_probe_is_probed() {
        let (created, ahead) = ("message.timestamp.type", "message.timestamp.after.max.ms");
        assert!(refuses_probe(&topic(&[(created, "CreateTime"), (ahead, "3600000")])));
        assert!(refuses_probe(&topic(&[(created, "CreateTime"), (MAX_AGE_SETTINGS[1], "3600000")])));
        for settings in [
            vec![(created, "CreateTime"), (ahead, "9223372036854775807"), (MAX_AGE_SETTINGS[1], "3600000")],
            vec![(created, "LogAppendTime"), (ahead, "3600000")],
            vec![(created, "CreateTime"), (ahead, "9223372036854775807")],
            vec![(created, "CreateTime"), (ahead, &MAX_AHEAD.to_string())],
            vec![(created, "CreateTime")],
            vec![(ahead, "3600000")],
        ] {
            assert!(!refuses_probe(&topic(&settings)), "{settings:?}");
        }
        assert!(!refuses_probe(&Topic::default()), "settings that the cluster does not show");
        let year_2030 = 1_893_456_000_000;
        assert!(PROBE_TIMESTAMP - year_2030 > MAX_AHEAD, "it is far enough while this is in use");
    }

    #[test]
    fn each_write_access_has_its_line() {
        let probed = [
            ("a", WriteAccess::Allowed),
            ("b", WriteAccess::Denied),
            ("c", WriteAccess::NotProbed),
            ("d", WriteAccess::Unknown("x".into())),
        ];
        let found = acl_findings(&probed, Some("u"));
        let lines: Vec<_> = found.iter().map(|line| (line.verdict, line.found.as_str())).collect();
        let wanted = [
            (Verdict::Fine, "may write to a"),
            (Verdict::Wrong, "may not write to b"),
            (Verdict::Note, "not known for c: it would store the probe record"),
            (Verdict::Note, "not known for d: x"),
        ];
        assert_eq!(lines, wanted);
        assert!(found[1].remedy.contains("User:u --operation Write"), "{}", found[1].remedy);
        assert_eq!(acl_findings(&[("a", WriteAccess::Allowed)], None)[0].found, "may write to all of them");
    }
}
