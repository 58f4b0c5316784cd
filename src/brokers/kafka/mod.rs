//! Apache Kafka. Only this module uses `rdkafka`.
//!
//! In: a [`Message`](crate::message::Message). Out: whether the cluster stored it, or the fault, and at any time whether
//! the cluster can store.
//!
//! The data path: the publisher hands records to librdkafka's clients (`clients`), which report on their own threads
//! (`context`); the watcher inspects the cluster and replaces a client that no longer reaches it. `admin` is apart: what
//! the commands ask of a cluster. A build without the feature `kafka` has a stub of the same API, and reads only the
//! configuration.

mod config;
mod properties;

pub use config::{Config, ProvisionConfig};
pub use properties::{ClientError, check_properties};

cfg_if::cfg_if! {
    if #[cfg(feature = "kafka")] {
        mod admin;
        mod batching;
        mod client_config;
        mod clients;
        mod context;
        mod error_codes;
        mod headers;
        mod inspect;
        mod publisher;
        mod read;
        mod token;
        mod topic_settings;
        mod watcher;

        pub use admin::{check, provision};
        pub use client_config::validate;
        pub use publisher::{Publisher, REPORT_WITHIN};
        pub use read::Reader;
    } else {
        mod stub;

        pub use stub::{Publisher, REPORT_WITHIN, Reader, check, provision, validate};
    }
}
