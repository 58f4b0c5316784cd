//! NATS JetStream. Only this room names `async_nats`.

mod ack;
mod config;
mod connect;
mod headers;
mod pending;
mod publish;
mod stream;

pub use config::{Config, ProvisionConfig, Replicas, Tls};
pub use publish::{Publisher, REPORT_WITHIN};
pub use stream::{Inspection, Provisioned, inspect, provision};
