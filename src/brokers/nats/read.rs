//! Reads the dead letter subject, from its oldest message to the last one that is there when the reading begins.

use std::collections::VecDeque;
use std::time::{Duration, UNIX_EPOCH};

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use async_nats::{Client, Event};
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{Config, command_client, inspect};
use crate::message::{Broker, DlqRecord};
use crate::units::show;

/// How long the server may send nothing while there is something to read.
const MESSAGE_WITHIN: Duration = Duration::from_secs(15);

/// The most bytes of one batch, unless a single message may be larger.
const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// The most messages of one batch.
const MAX_BATCH: usize = 256;

/// The server deletes a consumer that asks for nothing this long.
const INACTIVE_AFTER: Duration = Duration::from_secs(120);

/// The header with the size of the body, where only headers are sent.
const SIZE: &str = "Nats-Msg-Size";

/// Reads one dead letter subject.
pub struct Reader {
    client: Client,
    config: Config,
    /// Needed for denied rights: the client reports them only as events.
    events: mpsc::Receiver<Event>,
    pass: Option<Pass>,
}

/// One reading from the oldest message on.
struct Pass {
    consumer: Consumer<pull::Config>,
    /// How many messages are asked for at once.
    batch: usize,
    /// How many messages are still to come.
    left: u64,
    received: VecDeque<Message>,
}

impl Reader {
    /// Connects.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn open(config: &Config) -> Result<Self, String> {
        let (client, events) = command_client::connect(config).await.map_err(|failure| failure.to_string())?;
        Ok(Self { client, config: config.clone(), events, pass: None })
    }

    /// Begins to read from the oldest message, only headers unless `bodies` are wanted; returns how many messages there are.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn begin(&mut self, bodies: bool) -> Result<u64, String> {
        self.pass = None;
        let mut context = inspect::context(&self.client, &self.config);
        context.set_timeout(MESSAGE_WITHIN);
        let name = &self.config.stream;
        let stream: Stream<()> = context.get_stream_no_info(name).await.map_err(|error| error.to_string())?;
        // with a name the request's subject contains the filter subject, so that a right can be for that one alone
        let unique = self.client.new_inbox();
        let unique = unique.rsplit('.').next().unwrap_or_default();
        let consumer = pull::Config {
            name: Some(format!("greenapi-bridge-{unique}")),
            filter_subject: self.config.dead_letter_subject.clone(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            headers_only: !bodies,
            inactive_threshold: INACTIVE_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let created = tokio::select! {
            created = stream.create_consumer(consumer) => created.map_err(|error| error.to_string()),
            why = command_client::permission_denied(&mut self.events) => Err(why),
        };
        let consumer = created.map_err(|error| format!("stream {name} cannot be read: {error}; {}", self.remedy()))?;
        let left = consumer.cached_info().num_pending;
        let batch =
            if bodies { (MAX_BATCH_BYTES / self.client.max_payload().max(1)).clamp(1, MAX_BATCH) } else { MAX_BATCH };
        self.pass = Some(Pass { consumer, batch, left, received: VecDeque::new() });
        Ok(left)
    }

    /// The next message. `None` means that there is no more.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn next(&mut self) -> Result<Option<DlqRecord>, String> {
        let Some(pass) = &mut self.pass else { return Ok(None) };
        if pass.received.is_empty() && pass.left > 0 {
            let fetched = tokio::select! {
                fetched = pass.fetch() => fetched,
                why = command_client::permission_denied(&mut self.events) => Err(why),
            };
            fetched.map_err(|error| {
                let servers = self.config.servers.join(", ");
                format!("nats.servers = {servers}: {error}; see to the server, and run this again")
            })?;
        }
        let Some(message) = pass.received.pop_front() else { return Ok(None) };
        pass.left = pass.left.saturating_sub(1);
        dlq_record(&message).map(Some)
    }

    fn remedy(&self) -> String {
        let (stream, subject) = (&self.config.stream, &self.config.dead_letter_subject);
        let api = self.config.domain.as_ref().map_or("$JS.API".into(), |domain| format!("$JS.{domain}.API"));
        format!(
            "run `greenapi-bridge check`; to read, its user must be allowed to publish \
             {api}.CONSUMER.CREATE.{stream}.*.{subject} and {api}.CONSUMER.MSG.NEXT.{stream}.*"
        )
    }
}

impl Pass {
    /// Asks for the next messages. Those that were deleted from the stream meanwhile do not come.
    async fn fetch(&mut self) -> Result<(), String> {
        let until = Instant::now() + MESSAGE_WITHIN;
        while self.received.is_empty() && self.left > 0 {
            let batch = self.batch.min(usize::try_from(self.left).unwrap_or(self.batch));
            let silent = || format!("nothing more of the dead letter within {}", show(MESSAGE_WITHIN));
            let asked = self.consumer.batch().max_messages(batch).expires(Duration::from_secs(5)).messages();
            let mut batch = timeout_at(until, asked).await.map_err(|_| silent())?.map_err(|error| error.to_string())?;
            while let Some(message) = timeout_at(until, batch.next()).await.map_err(|_| silent())? {
                self.received.push_back(message.map_err(|error| error.to_string())?);
            }
            if self.received.is_empty() {
                let info = timeout_at(until, self.consumer.info()).await.map_err(|_| silent())?;
                self.left = self.left.min(info.map_err(|error| error.to_string())?.num_pending);
            }
        }
        Ok(())
    }
}

fn dlq_record(message: &Message) -> Result<DlqRecord, String> {
    let info = message.info().map_err(|error| error.to_string())?;
    let each = message.headers.iter().flat_map(|headers| headers.iter());
    let headers: Vec<_> = each
        .flat_map(|(name, values)| values.iter().map(move |value| (name.to_string(), decoded(name.as_ref(), value))))
        .collect();
    let full_size = headers.iter().find(|(name, _)| name == SIZE).and_then(|(_, size)| size.parse().ok());
    let at = u64::try_from(info.published.unix_timestamp_nanos()).unwrap_or_default();
    Ok(DlqRecord {
        broker: Some(Broker::Nats),
        position: info.stream_sequence.to_string(),
        at: UNIX_EPOCH + Duration::from_nanos(at),
        body: message.payload.clone(),
        size: full_size.unwrap_or(message.payload.len()),
        headers,
    })
}

/// Attributes are percent-encoded, other headers are not.
fn decoded(name: &str, value: impl AsRef<str>) -> String {
    match name.starts_with("ce-") {
        true => percent_decode_str(value.as_ref()).decode_utf8_lossy().into_owned(),
        false => value.as_ref().to_owned(),
    }
}
