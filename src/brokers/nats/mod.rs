//! NATS JetStream. Only this room names `async_nats`.

mod ack;
mod admin;
mod config;
mod connect;
mod headers;
mod pending;
mod publish;
mod stream;
mod watch;

pub use admin::{Finding, check, provision};
pub use config::{Config, ProvisionConfig, Replicas, Tls};
pub use connect::ConnectError;
pub use publish::{Publisher, REPORT_WITHIN};
pub(crate) use stream::Inspection;
pub use stream::Provisioned;
