//! Reading a body under one deadline and one limit.

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use tokio::time::timeout;

use super::Config;
use super::permits::Permit;
use crate::telemetry::Refusal;

/// A body read to its end, and the permit that covers its bytes.
pub(super) struct ReadBody {
    pub(super) bytes: Bytes,
    pub(super) permit: Permit,
}

/// The whole body, byte for byte.
pub(super) async fn read(body: Incoming, config: &Config, permit: Permit) -> Result<ReadBody, Refusal> {
    timeout(config.body_time, collect(body, config.max_body, permit)).await.map_err(|_| Refusal::Timeout)?
}

async fn collect(mut body: Incoming, max: usize, mut permit: Permit) -> Result<ReadBody, Refusal> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::BadRequest)?.into_data() else { continue };
        let length = first.len() + all.len() + data.len();
        if length > max {
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

/// The same bytes, without a reference to the much larger read buffer of the connection: that buffer can be reused.
fn detached(data: Bytes) -> Bytes {
    /// Beyond this a copy costs more than it saves.
    const SMALL: usize = 4 * 1024;
    if data.len() > SMALL { data } else { Bytes::copy_from_slice(&data) }
}
