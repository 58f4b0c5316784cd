//! Apache Kafka. Only this room names `rdkafka`. Without the feature `kafka` its configuration can be read, to say
//! that it is not there.

mod config;
mod properties;

#[cfg(feature = "kafka")]
mod admin;
#[cfg(feature = "kafka")]
mod check;
#[cfg(feature = "kafka")]
mod client;
#[cfg(feature = "kafka")]
mod headers;
#[cfg(feature = "kafka")]
mod judge;
#[cfg(feature = "kafka")]
mod look;
#[cfg(feature = "kafka")]
mod producers;
#[cfg(feature = "kafka")]
mod provision;
#[cfg(feature = "kafka")]
mod publish;
#[cfg(feature = "kafka")]
mod read;
#[cfg(feature = "kafka")]
mod report;
#[cfg(feature = "kafka")]
mod rights;
#[cfg(feature = "kafka")]
mod token;
#[cfg(feature = "kafka")]
mod watch;

pub use config::{Config, ProvisionConfig};
pub use properties::{ClientError, may_be_set};

#[cfg(feature = "kafka")]
pub use {
    check::check, client::validate, producers::let_clients_end, provision::provision, publish::Publisher,
    publish::REPORT_WITHIN, read::Reader,
};
