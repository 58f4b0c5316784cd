//! Inspecting the cluster: the state of the routes' topics, and whether the clients in use still reach it.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use tracing::error;

use super::clients::{ANSWER_WITHIN, Batching, Client, Clients, QUICK_ANSWER_WITHIN};
use super::topic_settings::{COMPACTED_REMEDY, UnsafeTopics};
use crate::brokers::{BrokerState, FaultReason};

/// The reason of a state in which no broker was found.
pub(super) const DISCONNECTED: FaultReason = FaultReason::Disconnected;

/// How long all topics may be without a leader before the cluster counts as down: an ordinary failover takes up to
/// 12 s, and what is published meanwhile waits for its end.
const FAILOVER: Duration = Duration::from_secs(15);

/// The health of each topic, or why no topic could be inspected.
pub(super) type Topics = Result<Vec<(String, TopicHealth)>, BrokerState>;

/// What one inspection found. It changes nothing: the watcher applies it.
pub(super) struct Inspection {
    pub(super) topics: Topics,
    /// New clients for those in use that no longer reach the cluster.
    pub(super) replacements: Vec<(Batching, Arc<Client>)>,
}

/// Whether a topic can store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TopicHealth {
    Fine,
    Missing,
    /// The cluster does not show us the topic.
    NotAuthorized,
    /// Some partitions have no leader.
    Leaderless {
        leaderless: usize,
        partitions: usize,
    },
    /// The topic would lose what it acknowledges.
    Unsafe,
    /// A partition has fewer in-sync replicas than are needed.
    UnderReplicated {
        in_sync: usize,
        replicas: usize,
    },
}

impl TopicHealth {
    /// Whether the topic can store nothing.
    fn is_unusable(self) -> bool {
        match self {
            Self::Missing | Self::NotAuthorized | Self::Unsafe => true,
            Self::Leaderless { leaderless, partitions } => leaderless == partitions,
            Self::Fine | Self::UnderReplicated { .. } => false,
        }
    }
}

/// Inspects each topic, and then whether all clients reach the cluster. Blocks the thread.
///
/// `min_in_sync` stands for the topics' `min.insync.replicas`, which only a client with DescribeConfigs may read. If the
/// cluster is `lost`, a new client asks first: those in use may never find the cluster again.
pub(super) fn inspect(clients: &Clients, topics: &[String], min_in_sync: usize, lost: bool) -> Inspection {
    let describe_by = |client: Result<Arc<Client>, KafkaError>, within| match client {
        Ok(client) => describe(&client, topics, min_in_sync, within),
        Err(fault) => Err(no_new_client(&fault)),
    };
    let in_use = || clients.get(Batching::Immediate);
    let mut found = if lost { Err(BrokerState::down(DISCONNECTED)) } else { describe_by(in_use(), ANSWER_WITHIN) };
    let mut fresh = None;
    if is_disconnected(&found) {
        let created = clients.create(Batching::Immediate);
        fresh = created.as_ref().ok().cloned();
        found = describe_by(created, ANSWER_WITHIN);
    }
    if lost && is_disconnected(&found) {
        // a new client may lack what those in use have: a file that was readable, or the brokers' new addresses
        fresh = None;
        found = describe_by(in_use(), QUICK_ANSWER_WITHIN).or(found);
    }
    let replacements = match (&found, topics.first()) {
        (Ok(_), Some(topic)) => clients.stale_replacements(topic, fresh).unwrap_or_else(|fault| {
            error!(broker = "kafka", %fault, "no new client");
            Vec::new()
        }),
        _ => Vec::new(),
    };
    Inspection { topics: found, replacements }
}

/// A topic that stores nothing for another reason keeps that one.
pub(super) fn mark_unsafe(described: &mut [(String, TopicHealth)], unsafe_topics: &UnsafeTopics) {
    for (topic, health) in described {
        if !health.is_unusable() && unsafe_topics.contains(topic) {
            *health = TopicHealth::Unsafe;
        }
    }
}

fn no_new_client(fault: &KafkaError) -> BrokerState {
    BrokerState::down(DISCONNECTED).because(format!("no new client: {fault}"))
}

fn is_disconnected(found: &Topics) -> bool {
    matches!(found, Err(state) if state.reason() == Some(DISCONNECTED))
}

fn describe(client: &Client, topics: &[String], min_in_sync: usize, within: Duration) -> Topics {
    let mut described = Vec::new();
    for topic in topics {
        let found = client.metadata(topic, within).map_err(|error| unreachable(&error))?;
        if found.brokers().is_empty() {
            // a restarted broker may answer before its controller lists it; a client that believes that loses it
            return Err(BrokerState::down(DISCONNECTED).because("the cluster names no broker"));
        }
        let health = found.topics().first().map_or(TopicHealth::Missing, |found| health(found, min_in_sync));
        described.push((topic.clone(), health));
    }
    Ok(described)
}

fn health(topic: &MetadataTopic, min_in_sync: usize) -> TopicHealth {
    match topic.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => return TopicHealth::NotAuthorized,
        Some(_) => return TopicHealth::Missing,
    }
    let partitions = topic.partitions();
    let leaderless = partitions.iter().filter(|partition| partition.leader() < 0).count();
    if leaderless > 0 {
        return TopicHealth::Leaderless { leaderless, partitions: partitions.len() };
    }
    let counts = partitions.iter().map(|partition| (partition.isr().len(), partition.replicas().len()));
    let worst = counts.filter(|(in_sync, replicas)| *in_sync < min_in_sync.min(*replicas)).min();
    worst.map_or(TopicHealth::Fine, |(in_sync, replicas)| TopicHealth::UnderReplicated { in_sync, replicas })
}

/// Whether all topics wait for a leader: so looks a failover, which passes, and a loss, which does not.
pub(super) fn is_leaderless(topics: &[(String, TopicHealth)]) -> bool {
    let leaderless = topics.iter().any(|(_, health)| matches!(health, TopicHealth::Leaderless { .. }));
    leaderless && topics.iter().all(|(_, health)| health.is_unusable())
}

/// The state of the cluster: up while any topic can store; then `reason` and `detail` say what is degraded.
/// `dynamic_topics`: payloads choose further topics. `leaderless`: for how long all topics have had no leader.
pub(super) fn cluster_state(
    topics: &[(String, TopicHealth)],
    dynamic_topics: bool,
    leaderless: Duration,
) -> BrokerState {
    let problems: Vec<_> = PROBLEMS.iter().filter_map(|kind| Some((kind.reason, kind.describe(topics)?))).collect();
    let Some((reason, _)) = problems.first() else { return BrokerState::Up };
    let detail = problems.iter().map(|(_, detail)| detail.as_str()).collect::<Vec<_>>().join("; ");
    let unusable = !dynamic_topics && topics.iter().all(|(_, health)| health.is_unusable());
    if unusable && (!is_leaderless(topics) || leaderless >= FAILOVER) {
        return BrokerState::down(*reason).because(detail);
    }
    // the other topics are unharmed
    BrokerState::degraded(*reason).because(detail)
}

/// A kind of problem that topics can have.
struct ProblemKind {
    reason: FaultReason,
    /// What it is, in front of the topics' names.
    what: &'static str,
    remedy: &'static str,
    has: fn(&TopicHealth) -> bool,
}

/// The first one found gives the state its reason.
const PROBLEMS: [ProblemKind; 5] = [
    ProblemKind {
        reason: FaultReason::NoTopic,
        what: "no topic",
        remedy: "run `greenapi-bridge provision`",
        has: |health| *health == TopicHealth::Missing,
    },
    ProblemKind {
        reason: FaultReason::NotAuthorized,
        what: "not allowed to see",
        remedy: "allow Describe and Write",
        has: |health| *health == TopicHealth::NotAuthorized,
    },
    ProblemKind {
        reason: FaultReason::UnsafeTopic,
        what: "only the last record of each key stays in",
        remedy: COMPACTED_REMEDY,
        has: |health| *health == TopicHealth::Unsafe,
    },
    ProblemKind {
        reason: FaultReason::NoLeader,
        what: "no leader for",
        remedy: "see to the brokers that are down",
        has: |health| matches!(health, TopicHealth::Leaderless { .. }),
    },
    ProblemKind {
        reason: FaultReason::TooFewReplicas,
        what: "too few in-sync replicas of",
        remedy: "where min.insync.replicas is more nothing is stored; see to the brokers that are down",
        has: |health| matches!(health, TopicHealth::UnderReplicated { .. }),
    },
];

impl ProblemKind {
    /// `None` means that no topic has it.
    fn describe(&self, topics: &[(String, TopicHealth)]) -> Option<String> {
        let having = topics.iter().filter(|(_, health)| (self.has)(health));
        let names: Vec<_> = having.map(|(topic, health)| format!("{topic}{}", counts(*health))).collect();
        (!names.is_empty()).then(|| format!("{} {}; {}", self.what, names.join(", "), self.remedy))
    }
}

fn counts(health: TopicHealth) -> String {
    match health {
        TopicHealth::Leaderless { leaderless, partitions } => format!(" ({leaderless} of {partitions} partitions)"),
        TopicHealth::UnderReplicated { in_sync, replicas } => format!(" ({in_sync} of {replicas})"),
        TopicHealth::Fine | TopicHealth::Missing | TopicHealth::NotAuthorized | TopicHealth::Unsafe => String::new(),
    }
}

fn unreachable(error: &KafkaError) -> BrokerState {
    let reason = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Authentication) => FaultReason::NotAuthenticated,
        _ => DISCONNECTED,
    };
    BrokerState::down(reason).because(error.to_string())
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use tokio::sync::mpsc;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::brokers::kafka::Config;
    use crate::brokers::kafka::context::Context;
    use TopicHealth::{Fine, Missing, NotAuthorized, Unsafe};

    const fn leaderless(leaderless: usize, partitions: usize) -> TopicHealth {
        TopicHealth::Leaderless { leaderless, partitions }
    }

    const fn under_replicated(in_sync: usize, replicas: usize) -> TopicHealth {
        TopicHealth::UnderReplicated { in_sync, replicas }
    }

    fn state(healths: &[TopicHealth], dynamic_topics: bool, seconds: u64) -> BrokerState {
        let topics: Vec<_> = ('a'..).map(String::from).zip(healths.iter().copied()).collect();
        cluster_state(&topics, dynamic_topics, Duration::from_secs(seconds))
    }

    /// The configured address may be gone, and so may the files that a new client reads.
    #[tokio::test]
    async fn a_lost_cluster_is_looked_for_by_a_new_client_and_by_those_in_use() {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("topic", 1, 1).unwrap();
        let here = mock.bootstrap_servers();
        let at = |servers: &str| {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", servers);
            config
        };
        for (in_use, new, replaced) in [(&*here, &*here, 0), (&here, "127.0.0.1:1", 0), ("127.0.0.1:1", &here, 2)] {
            let context = Context::new(&Config::default(), mpsc::channel(1).0);
            let mut clients = Clients::start(at(in_use), context, TaskTracker::new()).unwrap();
            clients.config = at(new);
            let inspection = inspect(&clients, &["topic".to_owned()], 1, true);
            assert_eq!(inspection.topics, Ok(vec![("topic".to_owned(), Fine)]));
            assert_eq!(inspection.replacements.len(), replaced);
        }
    }

    #[test]
    fn the_cluster_is_down_only_if_nothing_can_be_stored() {
        for (healths, dynamic_topics, up, reason) in [
            (&[Fine, Fine][..], false, true, None),
            (&[Missing, Fine], false, true, Some(FaultReason::NoTopic)),
            (&[Missing, NotAuthorized], false, false, Some(FaultReason::NoTopic)),
            (&[Unsafe, Fine], false, true, Some(FaultReason::UnsafeTopic)),
            (&[Unsafe, Unsafe], false, false, Some(FaultReason::UnsafeTopic)),
            (&[NotAuthorized], false, false, Some(FaultReason::NotAuthorized)),
            // the dead letter topic alone is known: payloads choose the others
            (&[Missing], true, true, Some(FaultReason::NoTopic)),
            (&[leaderless(6, 6)], true, true, Some(FaultReason::NoLeader)),
            (&[leaderless(6, 6), Fine], false, true, Some(FaultReason::NoLeader)),
            (&[leaderless(5, 6), leaderless(6, 6)], false, true, Some(FaultReason::NoLeader)),
            (&[leaderless(6, 6), leaderless(6, 6)], false, false, Some(FaultReason::NoLeader)),
            (&[leaderless(6, 6), Missing], false, false, Some(FaultReason::NoTopic)),
            (&[under_replicated(1, 3), under_replicated(1, 3)], false, true, Some(FaultReason::TooFewReplicas)),
        ] {
            let state = state(healths, dynamic_topics, 15);
            assert_eq!((state.is_up(), state.reason()), (up, reason), "{healths:?} {dynamic_topics}: {state:?}");
            assert_eq!(state.detail().is_empty(), reason.is_none(), "{state:?}");
        }
    }

    #[test]
    fn a_failover_refuses_nothing() {
        let all = [leaderless(6, 6), leaderless(1, 1)];
        assert!(state(&all, false, 14).is_up());
        assert!(!state(&all, false, 15).is_up());
        assert!(!state(&[Missing, Missing], false, 0).is_up(), "no failover shows missing topics");
    }

    #[test]
    fn each_topic_is_named_with_how_much_of_it_is_missing() {
        let detail = state(&[Missing, leaderless(2, 6), under_replicated(1, 3), Fine], false, 0).detail().to_owned();
        let no_leader = "no leader for b (2 of 6 partitions); see";
        for part in ["no topic a; run", no_leader, "too few in-sync replicas of c (1 of 3);"] {
            assert!(detail.contains(part), "{detail}");
        }
    }
}
