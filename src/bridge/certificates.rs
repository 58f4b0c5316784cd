//! The certificates of the listeners: loaded at start and when their files change, with a warning before they expire.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::{error, info, warn};

use crate::config::{Config, ConfigError};
use crate::http_server::{CertificateInfo, Tls, TlsConfig, Validity};
use crate::reload::{Reloader, Watched, WatchedFiles};
use crate::telemetry::{Metrics, ReloadTarget};
use crate::units::show;

/// How often a certificate is looked at after it was loaded. Each time it is reported again if it needs renewal.
const INTERVAL: Duration = Duration::from_secs(12 * 60 * 60);

/// Logs what a certificate is for and when it expires. An expired one is used all the same: a restart must not become an
/// outage, and a client that does not check it is still served.
fn log(listener: &str, certificate: &CertificateInfo, validity: Validity) {
    let names = certificate.names.join(", ");
    let time = |at| humantime::format_rfc3339_seconds(at).to_string();
    let not_after = time(certificate.not_after);
    match validity {
        Validity::Valid => info!(event = "certificate_loaded", listener, names, not_after, "certificate loaded"),
        Validity::ExpiresSoon => {
            let left = show(whole_minutes(certificate.time_left(SystemTime::now())));
            warn!(event = "certificate_expires_soon", listener, names, not_after, left, "certificate expires soon");
        }
        Validity::NotYet => {
            let not_before = time(certificate.not_before);
            let remedy =
                "look at the clock of this machine; clients that check the certificate cannot connect until then";
            error!(
                event = "certificate_not_yet_valid",
                listener, names, not_before, remedy, "certificate not yet valid"
            );
        }
        Validity::Expired => {
            let remedy = "renew it; clients that check it cannot connect until then";
            error!(event = "certificate_expired", listener, names, not_after, remedy, "certificate expired");
        }
    }
}

/// Reports certificates that need renewal: at the moment they begin to, and twice a day from then on.
pub(super) async fn report(listeners: Vec<(&'static str, Tls)>) {
    loop {
        let now = SystemTime::now();
        let next = listeners.iter().filter_map(|(_, tls)| tls.certificate().next_change(now)).min();
        let next = next.and_then(|next| next.duration_since(now).ok()).unwrap_or(INTERVAL);
        tokio::time::sleep(next.clamp(Duration::from_secs(1), INTERVAL)).await;
        for (listener, tls) in &listeners {
            let certificate = tls.certificate();
            match certificate.validity(SystemTime::now()) {
                Validity::Valid => {}
                validity => log(listener, &certificate, validity),
            }
        }
    }
}

/// A duration without its seconds, for people.
fn whole_minutes(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs() / 60 * 60)
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
        record(name, &tls.certificate(), metrics);
        let (reloaded, config, metrics) = (tls.clone(), config.clone(), metrics.clone());
        reloader.watch(Watched::new(what, files, move || {
            let wrong = |error| ConfigError::of_certificate(section, &config, error).to_string();
            reloaded.reload(&config).map_err(wrong)?;
            let certificate = reloaded.certificate();
            record(name, &certificate, &metrics);
            Ok(format!("not after {}", humantime::format_rfc3339_seconds(certificate.not_after)))
        }));
        Ok(Some(tls))
    }
}

fn record(listener: &str, certificate: &CertificateInfo, metrics: &Metrics) {
    metrics.set_certificate_not_after(listener, certificate.not_after);
    log(listener, certificate, certificate.validity(SystemTime::now()));
}
