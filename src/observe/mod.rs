//! What operators see.

mod changes;
mod family;
mod guard;
mod health;
mod journal;
pub mod logging;
mod metrics;
mod operators;

pub use changes::{Answering, Changes};
pub use guard::{AdminConfig, Guard, Host};
pub use health::{BrokerState, Health};
pub use journal::JournalMetrics;
pub use metrics::{Counted, Labels, Metrics};
pub use operators::{Operators, ProbesConfig};
