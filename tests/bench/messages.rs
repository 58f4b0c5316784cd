//! Messages as a bridge with this configuration makes them.

use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use greenapi_bridge::config::Config;
use greenapi_bridge::journal::{DedupLimits, Journal, Recovered};
use greenapi_bridge::message::{Brokers, Message, TraceContext};
use greenapi_bridge::notification::Notification;
use greenapi_bridge::route::{Received, Routes};

use crate::program::Failed;

/// A configuration, and its routes.
pub struct Messages {
    pub config: Config,
    routes: Routes,
}

impl Messages {
    /// Of this file.
    pub fn new(config: &str) -> Result<Self, Failed> {
        let config = Config::load(Some(Path::new(config)), std::iter::empty())?;
        let routes = Routes::new(&config.route, &config.broker_templates())?;
        Ok(Self { config, routes })
    }

    /// What becomes of a body.
    pub fn of(&self, body: Bytes) -> Result<Message, Failed> {
        let notification = Notification::parse(&body).map_err(|refused| refused.to_string())?;
        let received = Received { body: body.clone(), at: SystemTime::now(), trace: TraceContext::default() };
        Ok(self.routes.message_for(&notification, &received))
    }

    /// Its journal, for this process alone.
    pub fn journal(&self) -> Result<Journal, Failed> {
        let journal = self.config.journal.as_ref().ok_or("the configuration has no [journal]")?;
        let (journal, Recovered { .. }) = Journal::open(
            journal,
            &self.config.dead_letter,
            DedupLimits { max_ids: 0, ..self.config.dedupe.limits() },
        )?;
        Ok(journal)
    }
}

/// Whom a message is owed to when no broker has it.
pub fn owed(message: &Message) -> Brokers {
    let brokers = message.brokers();
    if brokers.is_empty() { Brokers::JOURNAL } else { brokers }
}
