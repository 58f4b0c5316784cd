//! `[http.tls]` and `[admin.tls]`: the two files, what they hold, and why they cannot be used.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use thiserror::Error;

/// The certificate of a listener. Both files are watched, and a new certificate applies to new connections.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM: the certificate of this server first, then those of its authorities up to the root, which may be left out.
    pub certificate_file: PathBuf,
    /// PEM: the private key of that certificate, as PKCS#8, PKCS#1 (RSA) or SEC1 (EC), not encrypted. The file must not be
    /// readable by every user of this machine.
    pub key_file: PathBuf,
}

/// One of the two files of a [`TlsConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// `certificate_file`.
    Certificate,
    /// `key_file`.
    Key,
}

impl TlsFile {
    /// Its key below `[http.tls]` or `[admin.tls]`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Certificate => "certificate_file",
            Self::Key => "key_file",
        }
    }

    /// Its path.
    pub fn path(self, config: &TlsConfig) -> &Path {
        match self {
            Self::Certificate => &config.certificate_file,
            Self::Key => &config.key_file,
        }
    }
}

/// Why a certificate cannot be used: which file, what is wrong, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {problem}", file.key())]
pub struct CertificateError {
    /// The file to change.
    pub file: TlsFile,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl CertificateError {
    pub(super) fn new(file: TlsFile, problem: impl Into<String>) -> Self {
        Self { file, problem: problem.into() }
    }
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// From when it is valid.
    pub not_before: SystemTime,
    /// When it expires.
    pub not_after: SystemTime,
    /// The names and addresses it is for.
    pub names: Vec<String>,
}

impl CertificateInfo {
    /// Whether it has expired at this time.
    pub fn is_expired(&self, at: SystemTime) -> bool {
        at > self.not_after
    }

    /// Whether less than a tenth of its lifetime is left: renewal is usual after two thirds of it.
    pub fn is_about_to_expire(&self, at: SystemTime) -> bool {
        let lifetime = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.time_left(at) < lifetime / 10
    }

    /// The time until it expires; zero when it has.
    pub fn time_left(&self, at: SystemTime) -> Duration {
        self.not_after.duration_since(at).unwrap_or_default()
    }
}
