//! NATS JetStream. Only this room names `async_nats`. Without the feature `nats` its configuration can be read, to
//! say that it is not there.

mod config;

#[cfg(feature = "nats")]
mod ack;
#[cfg(feature = "nats")]
mod admin;
#[cfg(feature = "nats")]
mod advisories;
#[cfg(feature = "nats")]
mod cause;
#[cfg(feature = "nats")]
mod check;
#[cfg(feature = "nats")]
mod connect;
#[cfg(feature = "nats")]
mod headers;
#[cfg(feature = "nats")]
mod judge;
#[cfg(feature = "nats")]
mod last;
#[cfg(feature = "nats")]
mod pending;
#[cfg(feature = "nats")]
mod provision;
#[cfg(feature = "nats")]
mod publish;
#[cfg(feature = "nats")]
mod read;
#[cfg(feature = "nats")]
mod rights;
#[cfg(feature = "nats")]
mod sequence;
#[cfg(feature = "nats")]
mod stream;
#[cfg(feature = "nats")]
mod subjects;
#[cfg(feature = "nats")]
mod watch;
#[cfg(feature = "nats")]
mod widen;

pub use config::{Config, ProvisionConfig, Tls};

#[cfg(feature = "nats")]
pub(crate) use stream::Inspection;
#[cfg(feature = "nats")]
pub use {
    check::check,
    connect::{ConnectError, validate},
    provision::provision,
    publish::{Publisher, REPORT_WITHIN},
    read::Reader,
};
