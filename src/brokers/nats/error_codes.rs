//! The error codes of JetStream that a publish can get, and the kind of fault that each is: nats-server's
//! `server/errors.json` lists them.

use crate::brokers::{Fault, FaultReason};

/// The message expects another stream (`Nats-Expected-Stream`).
pub(super) const WRONG_STREAM: u64 = 10060;

/// The fault that an error code means.
pub(super) fn fault(code: u64, description: &str) -> Fault {
    let detail = format!("{description} ({code})");
    match code {
        10054 => Fault::record(FaultReason::TooLarge, detail),
        10077 => Fault::destination(FaultReason::StreamFull, detail),
        10002 | 10023 | 10028 | 10047 => Fault::destination(FaultReason::NoSpace, detail),
        WRONG_STREAM => Fault::destination(FaultReason::WrongStream, detail),
        10059 => Fault::destination(FaultReason::NoStream, detail),
        10039 | 10076 => Fault::destination(FaultReason::NoJetstream, detail),
        10008 | 10009 | 10158 => Fault { transient: true, ..Fault::destination(FaultReason::Unavailable, detail) },
        _ => Fault::destination(FaultReason::Refused, detail),
    }
}
