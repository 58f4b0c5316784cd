//! Reading the dead letter subject, from its oldest message to what is there when the reading begins.

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

use super::{Config, admin, stream};
use crate::message::{Broker, Letter};
use crate::units::show;

/// How long the server may be silent while there is something to read.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many bytes are asked for at once, at most, as far as the largest message leaves a choice.
const AT_ONCE: usize = 16 * 1024 * 1024;

/// How many messages are asked for at once, at most.
const MOST: usize = 256;

/// The server forgets a reading of which it hears nothing for so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// The header with the size of a body that was not asked for.
const SIZE: &str = "Nats-Msg-Size";

/// Reads one dead letter subject.
pub struct Reader {
    client: Client,
    config: Config,
    /// What the server complains of: the client does not listen where nobody does.
    events: mpsc::Receiver<Event>,
    pass: Option<Pass>,
}

/// One reading.
struct Pass {
    consumer: Consumer<pull::Config>,
    /// How many are asked for at once.
    batch: usize,
    /// How many are still to come.
    left: u64,
    come: VecDeque<Message>,
}

impl Reader {
    /// Connects.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn open(config: &Config) -> Result<Self, String> {
        let (client, events) = admin::connected(config).await.map_err(|cause| cause.to_string())?;
        Ok(Self { client, config: config.clone(), events, pass: None })
    }

    /// Begins to read from the oldest message, only headers if no `bodies` are wanted; says how many there are.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn begin(&mut self, bodies: bool) -> Result<u64, String> {
        self.pass = None;
        let mut context = stream::context(&self.client, &self.config);
        context.set_timeout(PATIENCE);
        let name = &self.config.stream;
        let stream: Stream<()> = context.get_stream_no_info(name).await.map_err(|error| error.to_string())?;
        // with a name the subject asked for is part of what is asked, and a right can be for that one alone
        let unique = self.client.new_inbox();
        let unique = unique.rsplit('.').next().unwrap_or_default();
        let reading = pull::Config {
            name: Some(format!("greenapi-bridge-{unique}")),
            filter_subject: self.config.dead_letter_subject.clone(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            headers_only: !bodies,
            inactive_threshold: FORGOTTEN_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let created = tokio::select! {
            created = stream.create_consumer(reading) => created.map_err(|error| error.to_string()),
            why = admin::denied(&mut self.events) => Err(why),
        };
        let consumer = created.map_err(|error| format!("stream {name} cannot be read: {error}; {}", self.remedy()))?;
        let left = consumer.cached_info().num_pending;
        let batch = if bodies { (AT_ONCE / self.client.max_payload().max(1)).clamp(1, MOST) } else { MOST };
        self.pass = Some(Pass { consumer, batch, left, come: VecDeque::new() });
        Ok(left)
    }

    /// The next message; none after the last.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn next(&mut self) -> Result<Option<Letter>, String> {
        let Some(pass) = &mut self.pass else { return Ok(None) };
        if pass.come.is_empty() && pass.left > 0 {
            let fetched = tokio::select! {
                fetched = pass.fetch() => fetched,
                why = admin::denied(&mut self.events) => Err(why),
            };
            fetched.map_err(|error| {
                let servers = self.config.servers.join(", ");
                format!("nats.servers = {servers}: {error}; see to the server, and run this again")
            })?;
        }
        let Some(message) = pass.come.pop_front() else { return Ok(None) };
        pass.left = pass.left.saturating_sub(1);
        letter(&message).map(Some)
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
    /// Asks for the next ones. What was taken out of the stream meanwhile does not come.
    async fn fetch(&mut self) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        while self.come.is_empty() && self.left > 0 {
            let batch = self.batch.min(usize::try_from(self.left).unwrap_or(self.batch));
            let silent = || format!("nothing more of the dead letter within {}", show(PATIENCE));
            let asked = self.consumer.batch().max_messages(batch).expires(Duration::from_secs(5)).messages();
            let mut batch = timeout_at(until, asked).await.map_err(|_| silent())?.map_err(|error| error.to_string())?;
            while let Some(message) = timeout_at(until, batch.next()).await.map_err(|_| silent())? {
                self.come.push_back(message.map_err(|error| error.to_string())?);
            }
            if self.come.is_empty() {
                let info = timeout_at(until, self.consumer.info()).await.map_err(|_| silent())?;
                self.left = self.left.min(info.map_err(|error| error.to_string())?.num_pending);
            }
        }
        Ok(())
    }
}

fn letter(message: &Message) -> Result<Letter, String> {
    let info = message.info().map_err(|error| error.to_string())?;
    let each = message.headers.iter().flat_map(|headers| headers.iter());
    let headers: Vec<_> = each
        .flat_map(|(name, values)| values.iter().map(move |value| (name.to_string(), decoded(name.as_ref(), value))))
        .collect();
    let told = headers.iter().find(|(name, _)| name == SIZE).and_then(|(_, size)| size.parse().ok());
    let at = u64::try_from(info.published.unix_timestamp_nanos()).unwrap_or_default();
    Ok(Letter {
        broker: Some(Broker::Nats),
        position: info.stream_sequence.to_string(),
        at: UNIX_EPOCH + Duration::from_nanos(at),
        body: message.payload.clone(),
        size: told.unwrap_or(message.payload.len()),
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
