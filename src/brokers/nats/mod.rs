//! NATS JetStream. Only this room names `async_nats`.

mod ack;
mod admin;
mod check;
mod config;
mod connect;
mod headers;
mod judge;
mod leader;
mod pending;
mod provision;
mod publish;
mod rights;
mod stream;
mod subjects;
mod watch;

pub use check::check;
pub use config::{Config, ProvisionConfig, Replicas, Tls};
pub use connect::ConnectError;
pub use provision::{Provisioned, provision};
pub use publish::{Publisher, REPORT_WITHIN};
pub(crate) use stream::Inspection;
