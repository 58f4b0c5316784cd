//! Connecting, and staying connected.

use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::connect_failure::ConnectFailure;
use super::{Config, ConnectError};
use crate::backoff::Backoff;

/// The pauses between tries to connect, after all servers were tried.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// Checks that the client accepts this configuration. Reads the secrets, and connects to no server.
///
/// # Errors
/// The first thing the client does not accept.
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
    pub(super) events: mpsc::Receiver<Event>,
    /// Why there is no connection, once every server was tried. `None` means that this is not known.
    pub(super) failure: watch::Receiver<Option<ConnectFailure>>,
}

/// Begins to connect. A cancelled `stop` ends the attempts; it does not end a connection.
///
/// # Errors
/// A secret file that cannot be read, or servers that are not addresses.
pub(super) async fn connect(config: &Config, stop: &CancellationToken) -> Result<Connecting, ConnectError> {
    let (events, received) = mpsc::channel(1024);
    let (failures, failure) = watch::channel(None);
    let options = authenticate(ConnectOptions::new(), config)?
        .name("greenapi-bridge")
        .retry_on_initial_connect()
        // two missed pings are a lost connection: found out within 15 s, before GREEN-API's repeat after 60 s
        .ping_interval(Duration::from_secs(5))
        .connection_timeout(Duration::from_secs(5))
        .reconnect_delay_callback(|attempt| RECONNECT.pause(u32::try_from(attempt).unwrap_or(u32::MAX)))
        .client_capacity(1024);
    let options = report_failures(options, config, failures.clone(), stop.clone());
    let options = forward_events(options, config, failures, events);
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
    Ok(Connecting { client, events: received, failure })
}

/// Before all servers are tried again, takes the errors of the last attempts: an event would say only "IO error".
fn report_failures(
    options: ConnectOptions,
    config: &Config,
    failures: watch::Sender<Option<ConnectFailure>>,
    stop: CancellationToken,
) -> ConnectOptions {
    let config = config.clone();
    options.reconnect_to_server_callback(move |servers, _| {
        if stop.is_cancelled() {
            // the client has no other way to end its task while it connects; this prints nothing
            std::panic::resume_unwind(Box::new("closed"));
        }
        if let Some(failure) = ConnectFailure::from_attempts(&servers, &config) {
            failures.send_replace(Some(failure));
        }
        std::future::ready(None)
    })
}

fn forward_events(
    options: ConnectOptions,
    config: &Config,
    failures: watch::Sender<Option<ConnectFailure>>,
    events: mpsc::Sender<Event>,
) -> ConnectOptions {
    let unresolved = ConnectFailure::unresolved(config);
    options.event_callback(move |event| {
        match &event {
            Event::Connected => drop(failures.send_replace(None)),
            // the client gives no other sign of a host name without an address
            Event::ClientError(error) if error.to_string().contains("DNS") => {
                failures.send_if_modified(|failure| failure.is_none() && failure.replace(unresolved.clone()).is_none());
            }
            _ => {}
        }
        let events = events.clone();
        async move {
            let _ = events.send(event).await;
        }
    })
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
    if tls.handshake_first {
        options = options.tls_first();
    }
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
