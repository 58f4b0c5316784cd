//! The clients that publish, one for each way a record travels, and what is done about one that finds the cluster no
//! more.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer as _, ThreadedProducer};

use super::look::is_unreachable;
use super::report::Context;

/// `linger.ms` where records are gathered.
const LINGER: &str = "1";

/// librdkafka's own `batch.num.messages`.
const BATCH: &str = "10000";

/// How long a client may take to answer where another was answered a moment ago. It connects again within a second.
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

    /// Others, as these were at their start.
    pub(super) fn anew(&self) -> Result<Self, KafkaError> {
        Self::new(&self.config, &self.context)
    }

    /// Sends at once.
    pub(super) fn quick(&self) -> &Client {
        &self.quick
    }

    /// Waits a moment for others that go to the same partition.
    pub(super) fn gathering(&self) -> &Client {
        &self.gathering
    }

    /// Sends each record in a batch of its own.
    pub(super) fn alone(&self) -> Result<&Client, KafkaError> {
        if let Some(there) = self.alone.get() {
            return Ok(there);
        }
        let new = client(&self.config, &self.context, "0", "1")?;
        Ok(self.alone.get_or_init(|| new))
    }

    /// Why one of them will never produce again.
    pub(super) fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let all = [&self.quick, &self.gathering].into_iter().chain(self.alone.get());
        all.into_iter().find_map(|client| client.client().fatal_error())
    }

    /// Asks with each for this topic. Where the cluster is there and some find it no more, these are replaced: by those
    /// of `new`, if there are any. None where all find it.
    ///
    /// librdkafka forgets a broker that the cluster does not name, and where it is told of none, as by a cluster of one
    /// that stood still for longer than `broker.session.timeout.ms`, it may forget the last and look for no other:
    /// such a client neither sends nor gives up what it has. <https://github.com/confluentinc/librdkafka/issues/5301>
    /// A connection that something on the way forgot looks the same until `socket.timeout.ms` has passed.
    pub(super) fn mended(&self, topic: &str, new: Option<Self>) -> Result<Option<Self>, KafkaError> {
        let all = [Some(&self.quick), Some(&self.gathering), self.alone.get()];
        let finds = |client: &Arc<Client>| {
            let answer = client.client().fetch_metadata(Some(topic), ANSWERS);
            !answer.is_err_and(|error| is_unreachable(&error))
        };
        let [quick, gathering, alone] = thread::scope(|scope| {
            let asked = all.map(|client| scope.spawn(move || client.is_none_or(finds)));
            asked.map(|asked| asked.join().unwrap_or(true))
        });
        if quick && gathering && alone {
            return Ok(None);
        }
        let mut mended = new.map_or_else(|| self.anew(), Ok)?;
        for (mended, old, finds) in
            [(&mut mended.quick, &self.quick, quick), (&mut mended.gathering, &self.gathering, gathering)]
        {
            if finds {
                mended.clone_from(old);
            }
        }
        if let Some(client) = self.alone.get().filter(|_| alone) {
            mended.alone = client.clone().into();
        }
        Ok(Some(mended))
    }

    /// Drops those that are used no more, and with them what they have not sent: who waits for it learns that its outcome
    /// is unknown. Waits for their threads, and for who is using them right now.
    pub(super) fn retire(mut old: Arc<Self>) {
        while let Err(used) = Arc::try_unwrap(old) {
            old = used;
            thread::sleep(Duration::from_millis(10));
        }
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
