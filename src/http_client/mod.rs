//! The HTTP client of the commands and of the simulator: HTTP/1.1, one request at a time on a keep-alive connection.
//!
//! In: a [`Target`] (a URL and a token) and a body. Out: the status and the response body, or the reason why there
//! is none. Redirects are not followed. TLS by rustls, checked as [`Trust`] says; a build without the feature `tls` has a stub
//! of it, and refuses https.

mod admin_client;
mod connection;
mod event_stream;
mod target;

use std::path::PathBuf;

use thiserror::Error;

pub use admin_client::AdminClient;
#[cfg(test)]
pub(crate) use connection::RequestError;
pub(crate) use connection::{Client, Connector, HttpResponse, Post};
pub use event_stream::{EventSource, EventStream};
pub use target::{Target, TargetError};

cfg_if::cfg_if! {
    if #[cfg(feature = "tls")] {
        mod tls;
    } else {
        mod tls_stub;

        use tls_stub as tls;
    }
}

/// Whose certificates a client accepts.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Those signed by the authorities of this system.
    #[default]
    System,
    /// Those signed by the authorities in this PEM file, and no others.
    File(PathBuf),
    /// The first certificate in this PEM file alone, whatever name it is for: that of a bridge on this machine.
    Certificate(PathBuf),
    /// Any certificate.
    Any,
}

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The CA file cannot be used.
    #[error("--ca-file = {path}: {problem}")]
    CaFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file of the bridge's own certificate cannot be used.
    #[error("{path}: {problem}")]
    Certificate {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// rustls refuses its configuration.
    #[error("no TLS: {0}")]
    Setup(String),
}
