//! Reading a body within its time, its least rate and its size.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use tokio::time::{Instant, timeout_at};

use super::Config;
use super::permits::Permit;
use crate::telemetry::Refusal;

/// A body read to its end, and the permit that covers its bytes.
pub(super) struct ReadBody {
    pub(super) bytes: Bytes,
    pub(super) permit: Permit,
}

/// How many bytes of a body the server can discard behind an answer: what it reads at once.
const DISCARDED: u64 = 8 * 1024;

/// Whether a body is longer than what the server discards behind an answer. One in chunks does not say its length.
pub(super) fn is_long(body: &Incoming) -> bool {
    body.size_hint().upper().is_some_and(|length| length > DISCARDED)
}

/// How much longer than `http.limits.min_body_rate` allows a body may take.
const RATE_GRACE: Duration = Duration::from_secs(5);

/// The whole body, byte for byte.
pub(super) async fn read(mut body: Incoming, config: &Config, mut permit: Permit) -> Result<ReadBody, Refusal> {
    let begun = Instant::now();
    let mut first = Bytes::new();
    let mut all = Vec::new();
    loop {
        let received = first.len() + all.len();
        let frame = timeout_at(begun + time_for(received, config), body.frame()).await;
        let Some(frame) = frame.map_err(|_| Refusal::Timeout)? else { break };
        let Ok(data) = frame.map_err(|_| Refusal::BadRequest)?.into_data() else { continue };
        let length = received + data.len();
        if length > config.max_body {
            return Err(Refusal::TooLarge);
        }
        permit.grow_to(length)?;
        match (first.is_empty(), all.is_empty()) {
            // most bodies come in one piece
            (true, true) => first = detached(data),
            (_, true) => all = [std::mem::take(&mut first), data].concat(),
            (_, false) => all.extend_from_slice(&data),
        }
    }
    let bytes = if all.is_empty() { first } else { all.into() };
    Ok(ReadBody { bytes, permit })
}

/// The time limit for the next piece of a body of which `received` bytes have come.
fn time_for(received: usize, config: &Config) -> Duration {
    let seconds = received as f64 / config.limits.min_body_rate as f64;
    config.body_time.min(RATE_GRACE + Duration::from_secs_f64(seconds))
}

/// The same bytes, without a reference to the much larger read buffer of the connection: that buffer can be reused.
fn detached(data: Bytes) -> Bytes {
    /// Beyond this a copy costs more than it saves.
    const SMALL: usize = 4 * 1024;
    if data.len() > SMALL { data } else { Bytes::copy_from_slice(&data) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_body_has_less_time_than_one_that_keeps_the_rate() {
        let config = Config { body_time: Duration::from_secs(10), ..Config::default() };
        assert_eq!(config.limits.min_body_rate, 1024);
        let seconds = |received| time_for(received, &config).as_secs();
        assert_eq!((seconds(0), seconds(2048), seconds(1024 * 1024)), (5, 7, 10));
    }
}
