//! Connecting, and staying connected.

use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use super::Config;
use super::cause::Cause;

/// Why no connection could even be tried.
#[derive(Debug, Error)]
#[error("nats.{key} = {value}: {source}")]
pub struct ConnectError {
    /// The key inside `[nats]`.
    pub key: &'static str,
    /// Its value, which is no secret: a path, or servers.
    pub value: String,
    /// What is wrong.
    pub source: std::io::Error,
}

/// Whether the client takes this configuration. Reads the secrets; asks nobody.
///
/// # Errors
/// The first thing it does not take.
pub fn validate(config: &Config) -> Result<(), ConnectError> {
    for server in &config.servers {
        let wrong = |error: std::io::Error| {
            let source = std::io::Error::other(format!("{error}; give it as nats://host:4222, or tls://…"));
            ConnectError { key: "servers", value: server.clone(), source }
        };
        server.parse::<async_nats::ServerAddr>().map_err(wrong)?;
    }
    authenticate(ConnectOptions::new(), config).map(drop)
}

/// A client that connects in the background and for ever.
pub(super) struct Connecting {
    pub(super) client: Client,
    /// What it meets.
    pub(super) events: mpsc::Receiver<Event>,
    /// Why there is no connection, once all servers were tried in vain.
    pub(super) cause: watch::Receiver<Option<Cause>>,
}

/// Begins to connect.
///
/// # Errors
/// A secret file that cannot be read, or servers that are no addresses.
pub(super) async fn connect(config: &Config) -> Result<Connecting, ConnectError> {
    let (events, met) = mpsc::channel(1024);
    let (causes, cause) = watch::channel(None);
    let unresolved = Cause::unresolved(config);
    let (told, ours) = (causes.clone(), config.clone());
    let options = authenticate(ConnectOptions::new(), config)?
        .name("greenapi-bridge")
        .retry_on_initial_connect()
        // two missed pings are a lost connection: found out within 15 s, before GREEN-API's repeat after 60 s
        .ping_interval(Duration::from_secs(5))
        .connection_timeout(Duration::from_secs(5))
        .reconnect_delay_callback(|attempt| Duration::from_millis(100 * (attempt as u64).clamp(1, 20)))
        // asked before all are tried again; an event would tell no more than "IO error"
        .reconnect_to_server_callback(move |servers, _| {
            if let Some(cause) = Cause::of(&servers, &ours) {
                causes.send_replace(Some(cause));
            }
            std::future::ready(None)
        })
        .client_capacity(1024)
        .event_callback(move |event| {
            match &event {
                Event::Connected => drop(told.send_replace(None)),
                // all that is told of a name that is not known
                Event::ClientError(error) if error.to_string().contains("DNS") => {
                    told.send_if_modified(|cause| cause.is_none() && cause.replace(unresolved.clone()).is_none());
                }
                _ => {}
            }
            let events = events.clone();
            async move {
                let _ = events.send(event).await;
            }
        });
    let options = match &config.inbox_prefix {
        Some(prefix) => options.custom_inbox_prefix(prefix),
        None => options,
    };
    let wrong = |error: async_nats::ConnectError| ConnectError {
        key: "servers",
        value: config.servers.join(","),
        source: std::io::Error::other(error.to_string()),
    };
    let client = tls(options, config).connect(config.servers.clone()).await.map_err(wrong)?;
    Ok(Connecting { client, events: met, cause })
}

fn authenticate(options: ConnectOptions, config: &Config) -> Result<ConnectOptions, ConnectError> {
    if let Some(path) = &config.credentials_file {
        // the client's parser wants a newline after the last line too
        let text = secret("credentials_file", path)? + "\n";
        let wrong = |source| ConnectError { key: "credentials_file", value: path.display().to_string(), source };
        return options.credentials(&text).map_err(wrong);
    }
    if let Some(path) = &config.nkey_file {
        return Ok(options.nkey(secret("nkey_file", path)?));
    }
    if let Some(path) = &config.token_file {
        return Ok(options.token(secret("token_file", path)?));
    }
    match (&config.user, &config.password_file) {
        (Some(user), Some(path)) => Ok(options.user_and_password(user.clone(), secret("password_file", path)?)),
        _ => Ok(options),
    }
}

fn tls(mut options: ConnectOptions, config: &Config) -> ConnectOptions {
    let Some(tls) = &config.tls else { return options };
    options = options.require_tls(true);
    if let Some(authority) = &tls.ca_file {
        options = options.add_root_certificates(authority.clone());
    }
    match (&tls.certificate_file, &tls.key_file) {
        (Some(certificate), Some(key)) => options.add_client_certificate(certificate.clone(), key.clone()),
        _ => options,
    }
}

fn secret(key: &'static str, path: &Path) -> Result<String, ConnectError> {
    let read = std::fs::read_to_string(path);
    read.map(|text| text.trim().to_owned()).map_err(|source| ConnectError {
        key,
        value: path.display().to_string(),
        source,
    })
}
