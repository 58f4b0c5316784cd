//! What the publisher and the watcher share: the client, the acks that are due, and what is known of the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_nats::Client;
use async_nats::jetstream::stream::Config as Stream;
use tokio::sync::{Notify, watch};

use super::Config;
use super::ack::AckVerifier;
use super::lookup::Lookup;
use super::pending_acks::PendingAcks;
use super::stream_created::StreamCreated;
use super::unanswered::{Patience, Unanswered};
use crate::brokers::{BrokerState, FaultReason};
use crate::telemetry::Dated;

/// What the publisher and the watcher share.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) config: Config,
    pub(super) pending: Arc<PendingAcks>,
    pub(super) verifier: AckVerifier,
    pub(super) state: watch::Sender<Dated<FaultReason>>,
    pub(super) created: StreamCreated,
    pub(super) limits: StreamLimits,
    /// Notified when a message is larger than the server accepts.
    pub(super) limit_reached: Notify,
    pub(super) lookup: Lookup,
    pub(super) unanswered: Unanswered,
}

impl Shared {
    pub(super) fn new(client: Client, config: &Config, patience: Patience) -> Self {
        Self {
            pending: Arc::default(),
            verifier: AckVerifier::new(config),
            state: watch::Sender::new(Dated::new(BrokerState::down(FaultReason::Connecting), SystemTime::now())),
            created: StreamCreated::default(),
            limits: StreamLimits::default(),
            limit_reached: Notify::new(),
            lookup: Lookup::new(client.clone(), config),
            unanswered: Unanswered::new(patience.too_large),
            config: config.clone(),
            client,
        }
    }

    /// The most bytes of a message, headers included: both the server and the stream have a limit.
    pub(super) fn max_message_bytes(&self) -> usize {
        self.client.max_payload().min(self.limits.max_message_bytes.load(Ordering::Relaxed))
    }
}

/// The settings of the stream that matter to a publisher, as the last inspection found them.
pub(super) struct StreamLimits {
    max_message_bytes: AtomicUsize,
    duplicate_window_ms: AtomicU64,
}

impl Default for StreamLimits {
    /// Of a stream that was created without these settings.
    fn default() -> Self {
        Self { max_message_bytes: AtomicUsize::new(usize::MAX), duplicate_window_ms: AtomicU64::new(120_000) }
    }
}

impl StreamLimits {
    /// Takes what an inspection found.
    pub(super) fn update(&self, stream: &Stream) {
        let max = usize::try_from(stream.max_message_size).ok().filter(|max| *max > 0);
        self.max_message_bytes.store(max.unwrap_or(usize::MAX), Ordering::Relaxed);
        let window = u64::try_from(stream.duplicate_window.as_millis()).unwrap_or(u64::MAX);
        self.duplicate_window_ms.store(window, Ordering::Relaxed);
    }

    /// How long the stream recognises a repeat.
    pub(super) fn duplicate_window(&self) -> Duration {
        Duration::from_millis(self.duplicate_window_ms.load(Ordering::Relaxed))
    }
}
