//! What the cluster says of the topics of the routes, and what that means for who publishes.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use tracing::error;

use super::producers::{BRIEFLY, PATIENCE, Producers};
use crate::observe::BrokerState;

/// The reason of a state in which no broker was found.
pub(super) const LOST: &str = "disconnected";

/// How long all topics may be without a leader before the cluster counts as down: an ordinary failover takes up to
/// 12 s, and what is published meanwhile waits for its end.
const FAILOVER: Duration = Duration::from_secs(15);

/// What one look found: how each topic is, or why none could be looked at.
pub(super) type Look = Result<Vec<(String, Standing)>, BrokerState>;

/// What was found, and the clients to go on with where some of those in use find the cluster no more.
pub(super) struct Looked {
    pub(super) found: Look,
    pub(super) mended: Option<Producers>,
}

/// How a topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Fine,
    Missing,
    Hidden,
    /// So many partitions that nobody leads, of how many.
    Leaderless(usize, usize),
    /// So few copies are up to date, of how many.
    Behind(usize, usize),
}

impl Standing {
    /// Whether nothing of it can be stored.
    fn is_useless(self) -> bool {
        match self {
            Self::Missing | Self::Hidden => true,
            Self::Leaderless(without, all) => without == all,
            Self::Fine | Self::Behind(..) => false,
        }
    }
}

/// Looks at each topic, and then whether all clients find the cluster. It waits for the answers in the thread that asks.
/// `needed` is how many copies are taken to be needed: what a topic has set is known only to who has the right to look
/// at it. Where the cluster was `lost`, a new client is asked first: those in use may never find it again.
pub(super) fn look(in_use: &Producers, topics: &[String], needed: usize, lost: bool) -> Looked {
    let mut found = if lost { Err(BrokerState::down(LOST)) } else { ask(in_use, topics, needed, PATIENCE) };
    let mut new = None;
    if is_lost(&found) {
        found = match in_use.unheard() {
            Ok(made) => ask(new.insert(made), topics, needed, PATIENCE),
            Err(fault) => Err(BrokerState::down(LOST).because(format!("no new client: {fault}"))),
        };
    }
    if lost && is_lost(&found) {
        // a new one may lack what those in use have: a file that was readable, or the brokers' new addresses
        new = None;
        found = ask(in_use, topics, needed, BRIEFLY).or(found);
    }
    let mended = match (&found, topics.first()) {
        (Ok(_), Some(topic)) => in_use.mended(topic, new).unwrap_or_else(|fault| {
            error!(broker = "kafka", %fault, "no new client");
            None
        }),
        _ => None,
    };
    Looked { found, mended }
}

fn is_lost(found: &Look) -> bool {
    matches!(found, Err(state) if state.reason == LOST)
}

fn ask(producers: &Producers, topics: &[String], needed: usize, patience: Duration) -> Look {
    let mut seen = Vec::new();
    for topic in topics {
        let found = producers.quick().metadata(topic, patience);
        let found = found.map_err(|error| unreachable(&error))?;
        if found.brokers().is_empty() {
            // one that comes back may answer before its controller counts it in; who goes on with that loses it
            return Err(BrokerState::down(LOST).because("the cluster names no broker".to_owned()));
        }
        seen.push((topic.clone(), found.topics().first().map_or(Standing::Missing, |found| standing(found, needed))));
    }
    Ok(seen)
}

fn standing(topic: &MetadataTopic, needed: usize) -> Standing {
    match topic.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => return Standing::Hidden,
        Some(_) => return Standing::Missing,
    }
    let partitions = topic.partitions();
    let without = partitions.iter().filter(|partition| partition.leader() < 0).count();
    if without > 0 {
        return Standing::Leaderless(without, partitions.len());
    }
    let copies = partitions.iter().map(|partition| (partition.isr().len(), partition.replicas().len()));
    let behind = copies.filter(|(in_sync, all)| *in_sync < needed.min(*all)).min();
    behind.map_or(Standing::Fine, |(in_sync, all)| Standing::Behind(in_sync, all))
}

/// Whether all topics wait for a leader: what a failover looks like, and what may last.
pub(super) fn is_leaderless(seen: &[(String, Standing)]) -> bool {
    let leaderless = seen.iter().any(|(_, standing)| matches!(standing, Standing::Leaderless(..)));
    leaderless && seen.iter().all(|(_, standing)| standing.is_useless())
}

/// What it means: while anything can be stored, the broker is up and the rest is said. `open`: payloads choose other
/// topics besides. `leaderless` is for how long all of them have been without a leader.
pub(super) fn judge(seen: &[(String, Standing)], open: bool, leaderless: Duration) -> BrokerState {
    let those = |wanted: fn(&Standing) -> bool| -> Vec<String> {
        let found = seen.iter().filter(|(_, standing)| wanted(standing));
        found.map(|(topic, standing)| format!("{topic}{}", counted(*standing))).collect()
    };
    let lines = [
        ("no_topic", "no topic", those(|is| *is == Standing::Missing), "run `greenapi-bridge provision`"),
        ("not_authorized", "not allowed to see", those(|is| *is == Standing::Hidden), "allow Describe and Write"),
        (
            "no_leader",
            "no leader for",
            those(|is| matches!(is, Standing::Leaderless(..))),
            "see to the brokers that are down",
        ),
        (
            "too_few_replicas",
            "too few copies up to date of",
            those(|is| matches!(is, Standing::Behind(..))),
            "where min.insync.replicas is more nothing is stored; see to the brokers that are down",
        ),
    ];
    let said: Vec<_> = lines.iter().filter(|(.., topics, _)| !topics.is_empty()).collect();
    let Some((reason, ..)) = said.first() else { return BrokerState::up() };
    let line = |(_, what, topics, remedy): &&(_, _, Vec<String>, _)| format!("{what} {}; {remedy}", topics.join(", "));
    let detail = said.iter().map(line).collect::<Vec<_>>().join("; ");
    let useless = !open && seen.iter().all(|(_, standing)| standing.is_useless());
    if useless && (!is_leaderless(seen) || leaderless >= FAILOVER) {
        return BrokerState::down(reason).because(detail);
    }
    // the others are unharmed
    BrokerState::up_but(reason).because(detail)
}

fn counted(standing: Standing) -> String {
    match standing {
        Standing::Leaderless(few, all) => format!(" ({few} of {all} partitions)"),
        Standing::Behind(few, all) => format!(" ({few} of {all})"),
        Standing::Fine | Standing::Missing | Standing::Hidden => String::new(),
    }
}

fn unreachable(error: &KafkaError) -> BrokerState {
    let reason = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Authentication) => "not_authenticated",
        _ => LOST,
    };
    BrokerState::down(reason).because(error.to_string())
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use tokio::sync::mpsc;

    use super::*;
    use crate::brokers::kafka::Config;
    use crate::brokers::kafka::report::Context;
    use Standing::{Behind, Fine, Hidden, Leaderless, Missing};

    fn judged(standings: &[Standing], open: bool, seconds: u64) -> (bool, &'static str, String) {
        let seen: Vec<_> = ('a'..).map(String::from).zip(standings.iter().copied()).collect();
        let state = judge(&seen, open, Duration::from_secs(seconds));
        (state.up, state.reason, state.detail)
    }

    /// The address that was configured may be gone, and the files of a client too.
    #[tokio::test]
    async fn where_the_cluster_was_lost_those_in_use_are_asked_as_well_as_a_new_one() {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("topic", 1, 1).unwrap();
        let context = Context::new(&Config::default(), mpsc::channel(1).0);
        let [here, nowhere] = [mock.bootstrap_servers(), "127.0.0.1:1".to_owned()].map(|servers| {
            let mut properties = ClientConfig::new();
            properties.set("bootstrap.servers", servers);
            Producers::new(&properties, &context).unwrap()
        });
        let topics = ["topic".to_owned()];
        for (in_use, anew) in [(&here, &here), (&here, &nowhere), (&nowhere, &here)] {
            let looked = look(&in_use.that_make(anew), &topics, 1, true);
            assert_eq!(looked.found, Ok(vec![("topic".to_owned(), Fine)]));
            assert_eq!(looked.mended.is_some(), std::ptr::eq(in_use, &raw const nowhere));
        }
    }

    #[test]
    fn it_is_down_only_where_nothing_could_be_stored() {
        for (standings, open, up, reason) in [
            (&[Fine, Fine][..], false, true, "up"),
            (&[Missing, Fine], false, true, "no_topic"),
            (&[Missing, Hidden], false, false, "no_topic"),
            (&[Hidden], false, false, "not_authorized"),
            // only the dead letter is known: payloads choose the others
            (&[Missing], true, true, "no_topic"),
            (&[Leaderless(6, 6)], true, true, "no_leader"),
            (&[Leaderless(6, 6), Fine], false, true, "no_leader"),
            (&[Leaderless(5, 6), Leaderless(6, 6)], false, true, "no_leader"),
            (&[Leaderless(6, 6), Leaderless(6, 6)], false, false, "no_leader"),
            (&[Leaderless(6, 6), Missing], false, false, "no_topic"),
            (&[Behind(1, 3), Behind(1, 3)], false, true, "too_few_replicas"),
        ] {
            let (is_up, why, detail) = judged(standings, open, 15);
            assert_eq!((is_up, why), (up, reason), "{standings:?} {open}: {detail}");
            assert_eq!(detail.is_empty(), reason == "up", "{detail}");
        }
    }

    #[test]
    fn a_failover_refuses_nothing() {
        let all = [Leaderless(6, 6), Leaderless(1, 1)];
        assert!(judged(&all, false, 14).0);
        assert!(!judged(&all, false, 15).0);
        assert!(!judged(&[Missing, Missing], false, 0).0, "no failover looks like that");
    }

    #[test]
    fn each_topic_is_named_with_how_much_of_it_is_missing() {
        let (.., said) = judged(&[Missing, Leaderless(2, 6), Behind(1, 3), Fine], false, 0);
        for part in ["no topic a; run", "no leader for b (2 of 6 partitions); see", "copies up to date of c (1 of 3);"]
        {
            assert!(said.contains(part), "{said}");
        }
    }
}
