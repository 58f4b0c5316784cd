//! The clients that publish, one for each way a record travels, and what is done about one that finds the cluster no
//! more.

use std::ptr;
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer as _, ThreadedProducer};

use super::report::Context;

/// `linger.ms` where records are gathered.
const LINGER: &str = "1";

/// librdkafka's own `batch.num.messages`.
const BATCH: &str = "10000";

/// How long a client may take to answer. It connects again within a second, unless the operator chose
/// `reconnect.backoff.max.ms`.
const ANSWERS: Duration = Duration::from_secs(2);

pub(super) type Client = ThreadedProducer<Context>;

/// The same client up to three times: two differ in linger; the third, which is rarely needed, sends every record in a
/// batch of its own. No order is lost between them: GREEN-API has one notification of an instance in flight.
pub(super) struct Producers {
    config: ClientConfig,
    context: Context,
    quick: Arc<Client>,
    gathering: Arc<Client>,
    alone: OnceLock<Arc<Client>>,
}

impl Producers {
    pub(super) fn new(config: &ClientConfig, context: &Context) -> Result<Self, KafkaError> {
        let [quick, gathering] = ["0", LINGER].map(|linger| client(config, context, linger, BATCH));
        let (config, context) = (config.clone(), context.clone());
        Ok(Self { config, context, quick: quick?, gathering: gathering?, alone: OnceLock::new() })
    }

    /// Others, as these were at their start. What they say of themselves is not heard before they are used.
    pub(super) fn anew(&self) -> Result<Self, KafkaError> {
        Self::new(&self.config, &self.context.unheard())
    }

    /// From now on records go through these.
    pub(super) fn take_over(&self) {
        self.context.hear();
    }

    /// Sends at once.
    pub(super) fn quick(&self) -> &Arc<Client> {
        &self.quick
    }

    /// Waits a moment for others that go to the same partition.
    pub(super) fn gathering(&self) -> &Arc<Client> {
        &self.gathering
    }

    /// Sends each record in a batch of its own.
    pub(super) fn alone(&self) -> Result<&Arc<Client>, KafkaError> {
        if let Some(there) = self.alone.get() {
            return Ok(there);
        }
        let new = client(&self.config, &self.context, "0", "1")?;
        Ok(self.alone.get_or_init(|| new))
    }

    fn all(&self) -> [Option<&Arc<Client>>; 3] {
        [Some(&self.quick), Some(&self.gathering), self.alone.get()]
    }

    /// Why one of them will never produce again.
    pub(super) fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.all().into_iter().flatten().find_map(|client| client.client().fatal_error())
    }

    /// Asks with each for this topic. Where the cluster is there and some find it no more, these are replaced: by those
    /// of `new`, if there are any. None where all find it.
    pub(super) fn mended(&self, topic: &str, new: Option<Self>) -> Result<Option<Self>, KafkaError> {
        let finds = thread::scope(|scope| {
            let ask = |client: Option<&Arc<Client>>| {
                let client = client.cloned();
                thread::Builder::new().spawn_scoped(scope, move || client.is_none_or(|client| finds(&client, topic)))
            };
            // where it could not be asked nothing is known against it
            self.all().map(ask).map(|asked| asked.map_or(true, |asked| asked.join().unwrap_or(true)))
        });
        if finds == [true; 3] { Ok(None) } else { self.keeping(finds, new).map(Some) }
    }

    /// The same without this client. None where it is not one of these.
    pub(super) fn without(&self, client: &Weak<Client>) -> Result<Option<Self>, KafkaError> {
        let others = self.all().map(|one| one.is_none_or(|one| !ptr::eq(Arc::as_ptr(one), client.as_ptr())));
        if others == [true; 3] { Ok(None) } else { self.keeping(others, None).map(Some) }
    }

    /// Those of these that are kept, and for the rest those of `new`.
    fn keeping(&self, [quick, gathering, alone]: [bool; 3], new: Option<Self>) -> Result<Self, KafkaError> {
        let mut kept = new.map_or_else(|| self.anew(), Ok)?;
        for (place, old, keep) in
            [(&mut kept.quick, &self.quick, quick), (&mut kept.gathering, &self.gathering, gathering)]
        {
            if keep {
                place.clone_from(old);
            }
        }
        if let Some(client) = self.alone.get().filter(|_| alone) {
            kept.alone = client.clone().into();
        }
        Ok(kept)
    }

    /// Drops those that are used no more, and gives up what they have: who waits for a report learns that the outcome is
    /// unknown. Waits for their threads, and for who is using them right now.
    pub(super) fn retire(mut old: Arc<Self>) {
        while let Err(used) = Arc::try_unwrap(old) {
            old = used;
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whether a client finds the cluster, which another found a moment ago.
///
/// librdkafka forgets a broker that the cluster does not name, and where it is told of none, as by a cluster of one
/// that stood still for longer than `broker.session.timeout.ms`, it may forget the last and look for no other:
/// such a client neither sends nor gives up what it has. <https://github.com/confluentinc/librdkafka/issues/5301>
/// A connection that something on the way forgot gives no answer either, but nor does one that is busy: there, what is
/// on its way is left to librdkafka, which gives it up in time and connects again.
fn finds(client: &Client, topic: &str) -> bool {
    match client.client().fetch_metadata(Some(topic), ANSWERS) {
        Ok(answer) => !answer.brokers().is_empty(),
        Err(error) => match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::BrokerTransportFailure) => false,
            Some(RDKafkaErrorCode::OperationTimedOut) => client.in_flight_count() > 0,
            _ => true,
        },
    }
}

fn client(config: &ClientConfig, context: &Context, linger: &str, batch: &str) -> Result<Arc<Client>, KafkaError> {
    let mut config = config.clone();
    config.set("linger.ms", linger).set("batch.num.messages", batch);
    Client::from_config_and_context(&config, context.clone()).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use tokio::sync::mpsc;

    use super::*;
    use crate::brokers::kafka::Config;

    #[tokio::test]
    async fn only_who_finds_the_cluster_no_more_is_replaced() {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("topic", 1, 1).unwrap();
        let mut properties = ClientConfig::new();
        properties.set("bootstrap.servers", mock.bootstrap_servers());
        let context = Context::new(&Config::default(), mpsc::channel(1).0);
        let mut producers = Producers::new(&properties, &context).unwrap();
        producers.alone().unwrap();
        assert!(producers.mended("topic", None).unwrap().is_none(), "all find it");
        properties.set("bootstrap.servers", "127.0.0.1:1");
        producers.gathering = client(&properties, &context, LINGER, BATCH).unwrap();
        let mended = producers.mended("topic", None).unwrap().unwrap();
        assert!(Arc::ptr_eq(&mended.quick, &producers.quick));
        assert!(Arc::ptr_eq(mended.alone.get().unwrap(), producers.alone.get().unwrap()));
        assert!(!Arc::ptr_eq(&mended.gathering, &producers.gathering));
        assert!(mended.mended("topic", None).unwrap().is_none(), "the new one finds it");
        producers.quick = client(&properties, &context, "0", BATCH).unwrap();
        let new = mended.anew().unwrap();
        let quick = new.quick.clone();
        assert!(Arc::ptr_eq(&producers.mended("topic", Some(new)).unwrap().unwrap().quick, &quick), "the one at hand");
    }
}
