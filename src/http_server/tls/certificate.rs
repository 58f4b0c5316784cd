//! A certificate chain and its key, read from two PEM files.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error as RustlsError, InconsistentKeys};
use x509_cert::Certificate as X509;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::http_server::tls_config::{CertificateError, CertificateInfo, TlsConfig, TlsFile};
use crate::units::{open_to_every_user, unreadable};

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
        let chain = chain(&read(config, TlsFile::Certificate)?.1)?;
        let (mode, key) = read(config, TlsFile::Key)?;
        // what is no key may be public
        let key = private_key(&key)?;
        check_mode(mode)?;
        let end_entity = X509::from_der(&chain[0]).map_err(|error| {
            CertificateError::new(TlsFile::Certificate, format!("its first certificate cannot be read: {error}"))
        })?;
        let tbs = end_entity.tbs_certificate();
        let validity = tbs.validity();
        let info = CertificateInfo {
            not_before: UNIX_EPOCH + validity.not_before.to_unix_duration(),
            not_after: UNIX_EPOCH + validity.not_after.to_unix_duration(),
            names: names(&end_entity),
            is_self_signed: tbs.issuer() == tbs.subject(),
            chain_length: chain.len(),
        };
        Ok(Self { key: Arc::new(pair_with_key(chain, key)?), info })
    }
}

/// Reads a file of a few KiB, and returns its mode and its bytes.
fn read(config: &TlsConfig, file: TlsFile) -> Result<(u32, Vec<u8>), CertificateError> {
    let read = || -> io::Result<(u32, Vec<u8>)> {
        let path = file.path(config);
        // to open a pipe, or to read a device, may take for ever
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() || metadata.len() > MAX_FILE {
            return Err(io::Error::other("not a file of a few KiB"));
        }
        Ok((metadata.permissions().mode(), std::fs::read(path)?))
    };
    read().map_err(|error| CertificateError::new(file, unreadable(&error)))
}

/// A key file must not be open to every user.
fn check_mode(mode: u32) -> Result<(), CertificateError> {
    let refused = |(problem, remedy)| Err(CertificateError::new(TlsFile::Key, format!("{problem}; {remedy}")));
    open_to_every_user(mode).map_or(Ok(()), refused)
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let wrong = |problem: String| CertificateError::new(TlsFile::Certificate, problem);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain =
        chain.map_err(|error| wrong(format!("not PEM: {}; give the chain, such as fullchain.pem", shown(&error))))?;
    if chain.is_empty() {
        let hint = if contains(pem, b"PRIVATE KEY-----") {
            "holds a private key and no certificate: are certificate_file and key_file swapped?"
        } else if is_der(pem) {
            "has no PEM certificate: it looks like DER (`openssl x509 -inform der -in FILE` converts it) or PKCS#12 \
             (`openssl pkcs12 -nodes -in FILE`)"
        } else {
            "has no certificate"
        };
        return Err(wrong(format!("{hint}; give the chain as PEM, such as fullchain.pem")));
    }
    Ok(chain)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let problem = if contains(pem, b"ENCRYPTED") {
            "the key is encrypted, and the bridge cannot ask for its password; `openssl pkey -in KEY -out PLAIN` decrypts it"
                .into()
        } else if contains(pem, b"BEGIN CERTIFICATE-----") {
            "holds a certificate and no private key: are certificate_file and key_file swapped?".into()
        } else if is_der(pem) {
            "has no PEM key: it looks like DER; `openssl pkey -inform der -in KEY -out NEW` converts it".into()
        } else {
            format!("has no private key ({}); give it as PEM, such as privkey.pem", shown(&error))
        };
        CertificateError::new(TlsFile::Key, problem)
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Whether a file begins as an ASN.1 sequence.
fn is_der(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30)
}

/// The library shows a missing line as numbers.
fn shown(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { end_marker } => {
            format!("the line -----END {}----- is missing", String::from_utf8_lossy(end_marker))
        }
        PemError::NoItemsFound => "nothing in it is PEM".into(),
        other => other.to_string(),
    }
}

/// The chain with its key, which must be that of the first certificate.
fn pair_with_key(
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
    let is_key_of_later_certificate = chain.iter().skip(1).any(is_of);
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) if is_key_of_later_certificate => {
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
