//! Certificates of an authority of our own.

use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// A folder with `ca`, and with `server` and `client` and the key of each, PEM.
pub struct Certificates {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    names: Vec<String>,
}

impl Certificates {
    pub fn new() -> Self {
        Self::valid_for(&["localhost", "127.0.0.1"])
    }

    /// Certificates of servers with these names and addresses.
    pub fn valid_for(names: &[&str]) -> Self {
        let (folder, authority_key) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap());
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let all = Self { folder, issuer, names: names.iter().map(|name| (*name).into()).collect() };
        std::fs::write(all.at("ca"), root.pem()).unwrap();
        for name in ["server", "client"] {
            all.issue(name);
        }
        all
    }

    /// The folder they are in; its user may put more there.
    pub fn folder(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Writes a new certificate, and its new key, which every user may read. Returns the certificate, DER.
    pub fn issue(&self, name: &str) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(self.names.clone()).unwrap();
        // one named as its authority is would count as signed by itself
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.at(name), certificate.pem()).unwrap();
        std::fs::write(self.at(&format!("{name}.key")), key.serialize_pem()).unwrap();
        certificate.der().to_vec()
    }

    /// The path of one of them.
    pub fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The section of a listener that has the certificate of the server.
    pub fn section(&self, name: &str) -> String {
        let (certificate, key) = (self.at("server"), self.at("server.key"));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        format!("[{name}]\ncertificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n")
    }

    /// Some of them in one file, as Java wants it.
    pub fn joined(&self, names: &[&str]) -> String {
        let texts: String = names.iter().map(|name| std::fs::read_to_string(self.at(name)).unwrap()).collect();
        let path = self.at(&names.join("+"));
        std::fs::write(&path, texts).unwrap();
        path
    }
}
