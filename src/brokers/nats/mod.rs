//! NATS JetStream. Only this module uses `async_nats`.
//!
//! In: a [`Message`](crate::message::Message). Out: whether the stream stored it, or the fault, and at any time whether
//! the stream can store.
//!
//! The data path: the publisher sends a message and awaits its ack (`ack`, `pending_acks`). The watcher follows the
//! connection and inspects the stream (`inspect`): only the ack of a safe one means stored (file storage, limits retention,
//! no mirror, …), and only while it is the stream that was inspected (`stream_continuity`). `lookup` asks the stream what
//! it stored before. `admin` is apart: what the commands ask. Without the feature `nats` there is a stub.

mod config;

pub use config::{Config, ConnectError, ProvisionConfig, Tls};

cfg_if::cfg_if! {
    if #[cfg(feature = "nats")] {
        mod ack;
        mod admin;
        mod advisories;
        mod command_client;
        mod connect;
        mod connect_failure;
        mod error_codes;
        mod headers;
        mod inspect;
        mod lookup;
        mod oversized;
        mod pending_acks;
        mod publisher;
        mod read;
        mod shared;
        mod stream_continuity;
        mod stream_created;
        mod subject_transform;
        mod subjects;
        mod watcher;

        pub use admin::{check, provision};
        pub use connect::validate;
        pub use publisher::{ACK_TIMEOUTS, Publisher};
        pub use oversized::AckTimeouts;
        pub use read::Reader;
    } else {
        mod stub;

        pub use stub::{ACK_TIMEOUTS, AckTimeouts, Publisher, Reader, check, provision, validate};
    }
}
