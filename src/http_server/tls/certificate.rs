//! A certificate chain and its key, read from two PEM files.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error as RustlsError, InconsistentKeys};
use x509_cert::Certificate as X509;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::http_server::tls_config::{CertificateError, CertificateInfo, TlsConfig, TlsFile};

/// A certificate chain with its private key.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) info: CertificateInfo,
}

/// The largest file that is read. A chain has a few KiB.
const MAX_FILE: u64 = 1024 * 1024;

impl Certificate {
    /// Reads both files, and checks that they fit. An expired certificate is loaded too.
    pub(super) fn load(config: &TlsConfig) -> Result<Self, CertificateError> {
        let chain = chain(&read(config, TlsFile::Certificate)?)?;
        let key = private_key(&read(config, TlsFile::Key)?)?;
        let end_entity = X509::from_der(&chain[0]).map_err(|error| {
            CertificateError::new(TlsFile::Certificate, format!("its first certificate cannot be read: {error}"))
        })?;
        let validity = end_entity.tbs_certificate().validity();
        let info = CertificateInfo {
            not_before: UNIX_EPOCH + validity.not_before.to_unix_duration(),
            not_after: UNIX_EPOCH + validity.not_after.to_unix_duration(),
            names: names(&end_entity),
        };
        Ok(Self { key: Arc::new(certified(chain, key)?), info })
    }
}

/// Reads a file. A key file must not be open to every user; its group may read it, because Kubernetes mounts secrets so.
fn read(config: &TlsConfig, file: TlsFile) -> Result<Vec<u8>, CertificateError> {
    let read = || -> io::Result<(u32, Vec<u8>)> {
        let opened = File::open(file.path(config))?;
        let mode = opened.metadata()?.permissions().mode();
        let mut bytes = Vec::new();
        opened.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok((mode, bytes))
    };
    let (mode, bytes) = read().map_err(|error| CertificateError::new(file, unreadable(&error)))?;
    if file == TlsFile::Key && mode & 0o007 != 0 {
        let problem = format!(
            "every user of this machine can read or change it (mode {:03o}); `chmod o-rwx` it, or with a Kubernetes \
             secret set `defaultMode: 0440` and `fsGroup`",
            mode & 0o777
        );
        return Err(CertificateError::new(file, problem));
    }
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "put the file there, or correct its name",
        io::ErrorKind::PermissionDenied => "let the user that runs this read it, and enter the folders above it",
        _ => "name a file that can be read",
    };
    format!("{error}; {remedy}")
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let wrong = |problem: String| CertificateError::new(TlsFile::Certificate, problem);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain =
        chain.map_err(|error| wrong(format!("not PEM: {error}; give the chain as PEM, such as fullchain.pem")))?;
    if chain.is_empty() {
        let der =
            if pem.starts_with(&[0x30]) { " (it looks like DER; `openssl x509 -inform der` converts it)" } else { "" };
        return Err(wrong(format!("has no certificate{der}; give the chain as PEM, such as fullchain.pem")));
    }
    Ok(chain)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let is_encrypted = pem.windows(9).any(|part| part == b"ENCRYPTED");
        let problem = if is_encrypted {
            "the key is encrypted, and nobody could type its password; `openssl pkey -in KEY -out PLAIN` decrypts it"
                .into()
        } else {
            format!("has no private key: {error}; give it as PEM, such as privkey.pem")
        };
        CertificateError::new(TlsFile::Key, problem)
    })
}

/// The chain with its key, which must be that of the first certificate.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, CertificateError> {
    let key = ring::sign::any_supported_type(&key).map_err(|_| {
        let problem =
            "a kind of key that is not supported; give RSA of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519";
        CertificateError::new(TlsFile::Key, problem)
    })?;
    let is_of = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], key.clone()).keys_match().is_ok()
    };
    let is_behind = chain.iter().skip(1).any(is_of);
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) if is_behind => {
            let problem = "the certificate of the key must be the first of the file, before those of its authorities";
            Err(CertificateError::new(TlsFile::Certificate, problem))
        }
        Err(RustlsError::InconsistentKeys(_)) => {
            let problem = "not the key of the certificate in certificate_file; give the two files of one certificate";
            Err(CertificateError::new(TlsFile::Key, problem))
        }
        Err(error) => {
            let problem = format!("cannot be used: {error}; give an X.509 version 3 certificate");
            Err(CertificateError::new(TlsFile::Certificate, problem))
        }
    }
}

/// The names and addresses of a certificate, as a client compares them.
fn names(certificate: &X509) -> Vec<String> {
    let Ok(Some((_, names))) = certificate.tbs_certificate().get_extension::<SubjectAltName>() else {
        return Vec::new();
    };
    let shown = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(address) => match address.as_bytes().len() {
            4 => <[u8; 4]>::try_from(address.as_bytes()).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(address.as_bytes()).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
        },
        _ => None,
    };
    names.0.iter().filter_map(shown).collect()
}
