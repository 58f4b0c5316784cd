//! Looking up what the stream has, where its window has forgotten.

use std::time::Duration;

use async_nats::Client;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use tracing::warn;

use super::{Config, stream};
use crate::brokers::{Fault, Last};

/// How long one answer may take, and how often it is asked for.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const TRIES: usize = 3;

/// Looks up messages of one stream.
#[derive(Clone)]
pub(super) struct Lookup {
    client: Client,
    config: Config,
}

impl Lookup {
    pub(super) fn new(client: Client, config: &Config) -> Self {
        Self { client, config: config.clone() }
    }

    /// The last message of a subject; none where there is none. Without the right to ask nobody
    /// answers: then it is unknown for ever, and that must not keep what is owed.
    ///
    /// # Errors
    /// [`Fault`]: the connection was lost meanwhile.
    pub(super) async fn last(&self, subject: &str) -> Result<Option<Last>, Fault> {
        let mut context = stream::context(&self.client, &self.config);
        context.set_timeout(ANSWER_WITHIN);
        for _ in 0..TRIES {
            let lost = || Fault::not_sent("disconnected", "the connection was lost");
            if self.client.connection_state() != async_nats::connection::State::Connected {
                return Err(lost());
            }
            let stream: Stream<()> = match context.get_stream_no_info(&self.config.stream).await {
                Ok(stream) => stream,
                Err(error) => return Err(Fault::not_sent("no_stream", error.to_string())),
            };
            match stream.get_last_raw_message_by_subject(subject).await {
                Ok(last) => {
                    let at = last.time.into();
                    return Ok(last.headers.get(NATS_MESSAGE_ID).map(|id| Last { id: id.to_string(), at }));
                }
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
                Err(error) => warn!(%error, "the last message of a subject cannot be looked up"),
            }
        }
        let stream = &self.config.stream;
        let remedy = format!("allow the bridge's user to publish $JS.API.STREAM.MSG.GET.{stream}");
        warn!(remedy, "what was perhaps stored before cannot be told; it is stored again");
        Ok(None)
    }
}
