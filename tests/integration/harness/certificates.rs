//! Certificates of an authority of our own.

use std::os::unix::fs::PermissionsExt;

/// A folder with `ca`, and with `server` and `client` and the key of each, PEM.
pub struct Certificates(tempfile::TempDir);

impl Certificates {
    pub fn new() -> Self {
        Self::valid_for(&["localhost", "127.0.0.1"])
    }

    /// Certificates of servers with these names and addresses.
    pub fn valid_for(names: &[&str]) -> Self {
        let (folder, authority_key) = (tempfile::tempdir().unwrap(), rcgen::KeyPair::generate().unwrap());
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let all = Self(folder);
        std::fs::write(all.at("ca"), root.pem()).unwrap();
        for name in ["server", "client"] {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut parameters =
                rcgen::CertificateParams::new(names.iter().map(|name| (*name).into()).collect::<Vec<_>>()).unwrap();
            // one named as its authority is would count as signed by itself
            parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
            parameters.extended_key_usages =
                vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            std::fs::write(all.at(name), parameters.signed_by(&key, &issuer).unwrap().pem()).unwrap();
            std::fs::write(all.at(&format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        all
    }

    /// The folder they are in; its user may put more there.
    pub fn folder(&self) -> String {
        self.0.path().display().to_string()
    }

    /// The path of one of them.
    pub fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
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
