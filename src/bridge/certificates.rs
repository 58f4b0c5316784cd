//! What the log and the metrics tell of the certificates of the listeners.

use std::time::SystemTime;

use tracing::{error, info, warn};

use crate::http_server::{CertificateInfo, Tls};
use crate::telemetry::Metrics;
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

/// Logs and counts the certificates of listeners, `http` or `admin`, after they were loaded.
pub(super) fn loaded(metrics: &Metrics, listeners: [(&str, &Option<Tls>); 2]) {
    for (listener, tls) in listeners {
        if let Some(tls) = tls {
            let certificate = tls.certificate();
            metrics.set_certificate_not_after(listener, certificate.not_after);
            log(listener, &certificate);
        }
    }
}
