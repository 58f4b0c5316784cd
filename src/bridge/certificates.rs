//! The certificates of the listeners: loaded at start and when their files change, and told of before they expire.

use std::sync::Arc;
use std::time::SystemTime;

use tracing::{error, info, warn};

use crate::config::{Config, ConfigError};
use crate::http_server::{CertificateInfo, Tls, TlsConfig};
use crate::reload::{Reloader, Watched, WatchedFiles};
use crate::telemetry::{Metrics, ReloadTarget};
use crate::units::show;

/// Logs what a certificate is for and when it expires. An expired one is used all the same: a restart must not become an
/// outage, and a client that does not check it is still served.
fn log(listener: &str, certificate: &CertificateInfo) {
    let now = SystemTime::now();
    let names = certificate.names.join(", ");
    let not_after = humantime::format_rfc3339_seconds(certificate.not_after).to_string();
    if certificate.is_expired(now) {
        let remedy = "renew it; clients that check it cannot connect until then";
        error!(event = "certificate_expired", listener, names, not_after, remedy, "certificate expired");
    } else if certificate.is_about_to_expire(now) {
        let left = show(certificate.time_left(now));
        warn!(event = "certificate_expires_soon", listener, names, not_after, left, "certificate expires soon");
    } else {
        info!(event = "certificate_loaded", listener, names, not_after, "certificate loaded");
    }
}

/// One listener with a certificate.
struct Listener {
    /// Its name in log and metrics.
    name: &'static str,
    /// Its section of the configuration.
    section: &'static str,
    what: ReloadTarget,
}

/// Loads the certificates of the webhook listener and of the admin listener, now and whenever their files change. None means
/// that the listener has no TLS.
pub(super) fn load(
    config: &Config,
    reloader: &mut Reloader,
    metrics: &Arc<Metrics>,
) -> Result<(Option<Tls>, Option<Tls>), ConfigError> {
    let webhook = Listener { name: "http", section: "http.tls", what: ReloadTarget::Certificate };
    let admin = Listener { name: "admin", section: "admin.tls", what: ReloadTarget::AdminCertificate };
    let admin_config = config.admin.as_ref().and_then(|admin| admin.tls.as_ref());
    Ok((webhook.load(config.http.tls.as_ref(), reloader, metrics)?, admin.load(admin_config, reloader, metrics)?))
}

impl Listener {
    fn load(
        self,
        config: Option<&TlsConfig>,
        reloader: &mut Reloader,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Tls>, ConfigError> {
        let Some(config) = config else { return Ok(None) };
        let Self { name, section, what } = self;
        let files = WatchedFiles::read([config.certificate_file.clone(), config.key_file.clone()]);
        let tls = Tls::load(config).map_err(|error| ConfigError::of_certificate(section, config, error))?;
        loaded(name, &tls.certificate(), metrics);
        let (reloaded, config, metrics) = (tls.clone(), config.clone(), metrics.clone());
        reloader.watch(Watched::new(what, files, move || {
            let wrong = |error| ConfigError::of_certificate(section, &config, error).to_string();
            reloaded.reload(&config).map_err(wrong)?;
            let certificate = reloaded.certificate();
            loaded(name, &certificate, &metrics);
            Ok(format!("not after {}", humantime::format_rfc3339_seconds(certificate.not_after)))
        }));
        Ok(Some(tls))
    }
}

fn loaded(listener: &str, certificate: &CertificateInfo, metrics: &Metrics) {
    metrics.set_certificate_not_after(listener, certificate.not_after);
    log(listener, certificate);
}
