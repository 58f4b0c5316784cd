//! What operators see.

mod family;
mod guard;
mod health;
pub mod logging;
mod metrics;
mod operators;

pub use guard::{AdminConfig, Guard, Host};
pub use health::{BrokerState, Health};
pub use metrics::{Counted, Labels, Metrics};
pub use operators::{Operators, ProbesConfig};
