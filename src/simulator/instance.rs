//! One instance, as a test drives it: with a queue it can push to, and settings it can change.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::watch;

use super::sample::{Fields, Sample};
use super::source::{self, SharedQueue};
use super::worker::Context;
use super::{Settings, Target, TargetError};
use crate::notification::Notification;

/// One instance. After it is dropped, it sends what is queued and ends.
pub struct Instance {
    pub(super) id: u64,
    pub(super) context: Arc<Context>,
    pub(super) queue: Arc<SharedQueue>,
    pub(super) settings: Settings,
    pub(super) target: watch::Sender<Option<Arc<Target>>>,
    pub(super) run: u32,
    pub(super) sequence: u64,
}

/// Why a notification was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotQueued {
    /// The flag of its type is off.
    #[error("the settings do not ask for it")]
    Unwanted,
    /// The queue is full; it is lost.
    #[error("the queue is full")]
    Full,
}

impl Instance {
    /// Queues a body if the settings ask for its type. A body that is not a notification is always queued.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn push(&self, body: impl Into<Bytes>) -> Result<(), NotQueued> {
        let body = body.into();
        if let Ok(notification) = Notification::parse(&body)
            && !self.settings.includes(&notification.kind, notification.message_type().as_deref())
        {
            return Err(NotQueued::Unwanted);
        }
        self.queue.push(body, &self.context.counters).map(drop).ok_or(NotQueued::Full)
    }

    /// Queues a sample as a notification of this instance with the current time.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn push_sample(&mut self, sample: &Sample) -> Result<(), NotQueued> {
        self.sequence += 1;
        let (time, sequence) = (source::unix_seconds(), self.sequence);
        let mut body = Vec::new();
        sample.write(&mut body, Fields { instance: self.id, time, run: self.run, sequence }, 0);
        self.push(body)
    }

    /// Changes the settings. What is queued goes to the new URL, and waits while there is none.
    ///
    /// # Errors
    /// [`TargetError`]; the settings are not changed.
    pub fn change_settings(&mut self, settings: Settings) -> Result<(), TargetError> {
        self.target.send_replace(target_of(&settings)?);
        self.settings = settings;
        Ok(())
    }

    /// How many are queued, including the one in flight.
    pub fn queued(&self) -> usize {
        self.queue.len(&self.context.counters)
    }

    /// Empties the queue. The notification in flight may still be stored.
    pub fn clear(&self) {
        self.queue.lock().clear();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The target of the settings. None means they have no URL.
pub(super) fn target_of(settings: &Settings) -> Result<Option<Arc<Target>>, TargetError> {
    if settings.webhook_url.is_empty() {
        return Ok(None);
    }
    Target::new(&settings.webhook_url, &settings.webhook_url_token).map(|target| Some(Arc::new(target)))
}
