//! Reading a body under one deadline and one limit.

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use tokio::time::timeout;

use super::slots::Slot;
use super::{Answer, Config};

pub(super) struct Read {
    pub(super) bytes: Bytes,
    pub(super) slot: Slot,
}

/// The whole body, byte for byte.
pub(super) async fn read(body: Incoming, config: &Config, slot: Slot) -> Result<Read, Answer> {
    timeout(config.body_time, collect(body, config.max_body, slot)).await.map_err(|_| Answer::Timeout)?
}

async fn collect(mut body: Incoming, most: usize, mut slot: Slot) -> Result<Read, Answer> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Answer::BadRequest)?.into_data() else { continue };
        let length = first.len() + all.len() + data.len();
        if length > most {
            return Err(Answer::TooLarge);
        }
        slot.grow_to(length)?;
        match (first.is_empty(), all.is_empty()) {
            // most bodies come in one piece
            (true, true) => first = alone(data),
            (_, true) => all = [std::mem::take(&mut first), data].concat(),
            (_, false) => all.extend_from_slice(&data),
        }
    }
    let bytes = if all.is_empty() { first } else { all.into() };
    Ok(Read { bytes, slot })
}

/// A piece that does not keep the much larger buffer of its connection: that one can be read into again.
fn alone(data: Bytes) -> Bytes {
    /// Beyond this a copy costs more than it saves.
    const SMALL: usize = 4 * 1024;
    if data.len() > SMALL { data } else { Bytes::copy_from_slice(&data) }
}
