//! One debug line for each notification: what became of it, and how long that took. Never its body.

use std::time::Instant;

use tracing::{Level, debug, enabled};

use crate::delivery::Outcome;
use crate::message::{Broker, Id, Message};
use crate::notification::Class;
use crate::telemetry::Label;

/// The line of one notification; logged on drop, so also when the sender hangs up.
pub(super) struct NotificationLog(Option<Line>);

struct Line {
    ce_id: Id,
    instance: Option<String>,
    class: Option<Class>,
    kind: Option<String>,
    broker: Option<String>,
    received: Instant,
    /// `None` means that the sender hung up before it was known.
    outcome: Option<Outcome>,
}

impl NotificationLog {
    /// The line of a message whose body is complete now. Costs nothing where it is not logged.
    pub(super) fn begin(message: &Message, class: Option<Class>) -> Self {
        Self(enabled!(Level::DEBUG).then(|| {
            let event = &message.event;
            let brokers: Vec<_> = message.brokers().each().map(Broker::as_str).collect();
            Line {
                ce_id: event.id,
                instance: event.instance_text(),
                class,
                kind: event.kind.clone(),
                broker: (!brokers.is_empty()).then(|| brokers.join(",")),
                received: Instant::now(),
                outcome: None,
            }
        }))
    }

    /// What became of it.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.0.iter_mut().for_each(|line| line.outcome = Some(outcome));
    }
}

impl Drop for NotificationLog {
    fn drop(&mut self) {
        let Some(Line { ce_id, instance, class, kind, broker, received, outcome }) = self.0.take() else { return };
        let ms = u64::try_from(received.elapsed().as_millis()).unwrap_or(u64::MAX);
        let outcome = outcome.map_or("sender_gone", Label::as_str);
        let class = class.as_str();
        debug!(%ce_id, instance, class, "type" = kind, outcome, broker, ms, "notification");
    }
}
