//! The configuration: each part's own, put together, read from a file and the environment, and checked for
//! what only shows across parts.

mod check;
mod load;

use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error;

use crate::{admit, brokers::nats, deliver, observe, receive, route, shutdown};

/// All of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[http]`.
    pub http: receive::Config,
    /// `[auth]`.
    pub auth: admit::Config,
    /// `[route]`.
    pub route: route::Config,
    /// `[nats]`; absent: no NATS.
    pub nats: Option<nats::Config>,
    /// `[publish]`.
    pub publish: deliver::PublishConfig,
    /// `[dedupe]`.
    pub dedupe: deliver::DedupeConfig,
    /// `[admin]`; absent: no such listener.
    pub admin: Option<observe::AdminConfig>,
    /// `[probes]`; absent: no such listener.
    pub probes: Option<observe::ProbesConfig>,
    /// `[shutdown]`.
    pub shutdown: shutdown::Config,
}

/// A configuration that cannot be used: which key, its value, and what to do.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{key}{}: {problem}", value.as_ref().map(|value| format!(" = {value}")).unwrap_or_default())]
pub struct ConfigError {
    /// The key, with its section.
    pub key: String,
    /// Its value, unless it is a secret or there is none.
    pub value: Option<String>,
    /// What is wrong, and the remedy.
    pub problem: String,
}

impl ConfigError {
    fn new(key: &str, value: impl ToString, problem: impl Into<String>) -> Self {
        Self { key: key.into(), value: Some(value.to_string()), problem: problem.into() }
    }
}

impl Config {
    /// Reads, puts together and checks: the file, then `BRIDGE_<SECTION>__<KEY>` from `environment`. Relative
    /// paths in the file are relative to its folder.
    ///
    /// # Errors
    /// [`ConfigError`], for the first thing that is wrong.
    pub fn load(
        file: Option<&std::path::Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut config = load::read(file, environment)?;
        let folder = file.and_then(std::path::Path::parent).unwrap_or(std::path::Path::new("")).to_owned();
        config.paths().into_iter().for_each(|path| *path = folder.join(&path));
        check::check(&config)?;
        Ok(config)
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let admin = self.admin.as_mut().and_then(|admin| admin.tokens_file.as_mut());
        let mut paths: Vec<_> = self.auth.tokens_file.as_mut().into_iter().chain(admin).collect();
        if let Some(nats) = &mut self.nats {
            let secrets =
                [&mut nats.credentials_file, &mut nats.nkey_file, &mut nats.password_file, &mut nats.token_file];
            paths.extend(secrets.into_iter().flatten());
            if let Some(tls) = &mut nats.tls {
                let files = [&mut tls.ca_file, &mut tls.certificate_file, &mut tls.key_file];
                paths.extend(files.into_iter().flatten());
            }
        }
        paths
    }
}
