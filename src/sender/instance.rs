//! One instance that is told what happens to it.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::watch;

use super::sample::{Fields, Sample};
use super::source::{self, Shared};
use super::worker::Common;
use super::{Settings, Target, TargetError};
use crate::notification::Notification;

/// One instance. Dropped, it sends what is queued, and then is gone.
pub struct Instance {
    pub(super) id: u64,
    pub(super) common: Arc<Common>,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) target: watch::Sender<Option<Arc<Target>>>,
    pub(super) run: u32,
    pub(super) sequence: u64,
}

/// Why a notification was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotQueued {
    /// No flag asks for it.
    #[error("the settings do not ask for it")]
    Unwanted,
    /// The queue is full; it is lost.
    #[error("the queue is full")]
    Full,
}

impl Instance {
    /// Queues a body, if the settings ask for its type; what is no notification is always queued.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn push(&self, body: impl Into<Bytes>) -> Result<(), NotQueued> {
        let body = body.into();
        if let Ok(notification) = Notification::parse(&body)
            && !self.settings.want(&notification.kind, notification.message_type().as_deref())
        {
            return Err(NotQueued::Unwanted);
        }
        self.shared.push(body, &self.common.tally).map(drop).ok_or(NotQueued::Full)
    }

    /// Queues a sample, as a notification of this instance and of now.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn notify(&mut self, sample: &Sample) -> Result<(), NotQueued> {
        self.sequence += 1;
        let (time, sequence) = (source::unix_seconds(), self.sequence);
        let mut body = Vec::new();
        sample.write(&mut body, Fields { instance: self.id, time, run: self.run, sequence }, 0);
        self.push(body)
    }

    /// Changes the settings; what is queued goes to the new URL, and is held while there is none.
    ///
    /// # Errors
    /// [`TargetError`]; the old settings stay.
    pub fn set(&mut self, settings: Settings) -> Result<(), TargetError> {
        self.target.send_replace(target_of(&settings)?);
        self.settings = settings;
        Ok(())
    }

    /// How many are queued, the one in flight counted.
    pub fn queued(&self) -> usize {
        self.shared.len(&self.common.tally)
    }

    /// Forgets what is queued. What is in flight may still be stored.
    pub fn clear(&self) {
        self.shared.queue().clear();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// None while there is no URL.
pub(super) fn target_of(settings: &Settings) -> Result<Option<Arc<Target>>, TargetError> {
    if settings.webhook_url.is_empty() {
        return Ok(None);
    }
    Target::new(&settings.webhook_url, &settings.webhook_url_token).map(|target| Some(Arc::new(target)))
}
