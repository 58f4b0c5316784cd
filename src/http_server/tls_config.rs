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
    /// Whether it is signed by its own key: only clients that were given it accept it.
    pub is_self_signed: bool,
    /// The certificates of the file, this one included.
    pub chain_length: usize,
}

/// How a certificate stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Its time has not begun: clients that check it refuse it.
    NotYet,
    /// Valid.
    Valid,
    /// Less than a tenth of its lifetime is left; renewal is usual after two thirds of it.
    ExpiresSoon,
    /// Clients that check it refuse it.
    Expired,
}

impl CertificateInfo {
    /// How it stands at this time.
    pub fn validity(&self, at: SystemTime) -> Validity {
        let lifetime = self.not_after.duration_since(self.not_before).unwrap_or_default();
        if at > self.not_after {
            Validity::Expired
        } else if at < self.not_before {
            Validity::NotYet
        } else if self.time_left(at) < lifetime / 10 {
            Validity::ExpiresSoon
        } else {
            Validity::Valid
        }
    }

    /// When [`Self::validity`] changes next. None means that it has expired.
    pub fn next_change(&self, at: SystemTime) -> Option<SystemTime> {
        let lifetime = self.not_after.duration_since(self.not_before).unwrap_or_default();
        match self.validity(at) {
            Validity::NotYet => Some(self.not_before),
            Validity::Valid => self.not_after.checked_sub(lifetime / 10),
            Validity::ExpiresSoon => Some(self.not_after),
            Validity::Expired => None,
        }
    }

    /// The time until it expires; zero when it has.
    pub fn time_left(&self, at: SystemTime) -> Duration {
        self.not_after.duration_since(at).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_expires_soon_when_a_tenth_of_its_lifetime_is_left() {
        let day = |day: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(day * 24 * 60 * 60);
        let certificate = CertificateInfo {
            not_before: day(100),
            not_after: day(200),
            names: Vec::new(),
            is_self_signed: false,
            chain_length: 2,
        };
        let second = Duration::from_secs(1);
        for (at, validity, next) in [
            (day(99), Validity::NotYet, Some(day(100))),
            (day(100), Validity::Valid, Some(day(190))),
            (day(190) + second, Validity::ExpiresSoon, Some(day(200))),
            (day(200) + second, Validity::Expired, None),
        ] {
            assert_eq!((certificate.validity(at), certificate.next_change(at)), (validity, next));
        }
        assert_eq!(certificate.time_left(day(199)), Duration::from_secs(24 * 60 * 60));
        assert_eq!(certificate.time_left(day(201)), Duration::ZERO);
    }
}
