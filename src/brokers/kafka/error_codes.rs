//! The error codes of Kafka and of librdkafka that a record can get, and the kind of fault that each is.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::brokers::{Fault, FaultReason};

/// The fault that an error means.
pub(super) fn fault(error: &KafkaError) -> Fault {
    let detail = error.to_string();
    let Some(code) = error.rdkafka_error_code() else { return Fault::maybe_stored(FaultReason::Send, detail) };
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            Fault::record(FaultReason::TooLarge, detail)
        }
        Code::InvalidMessage | Code::InvalidRecord => Fault::record(FaultReason::Refused, detail),
        // a clock here or at the broker is wrong: the next record has the same fault
        Code::InvalidTimestamp => Fault::destination(FaultReason::WrongClock, detail),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic => {
            Fault::destination(FaultReason::NoTopic, detail)
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            Fault::destination(FaultReason::NotAuthorized, detail)
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            Fault { maybe_stored: true, ..Fault::destination(FaultReason::TooFewReplicas, detail) }
        }
        Code::PolicyViolation | Code::KafkaStorageError => Fault::destination(FaultReason::Refused, detail),
        Code::QueueFull => Fault::not_sent(FaultReason::QueueFull, detail),
        Code::MessageTimedOut | Code::RequestTimedOut => Fault::maybe_stored(FaultReason::NoReport, detail),
        Code::PurgeQueue | Code::PurgeInflight | Code::Fatal => Fault::maybe_stored(FaultReason::Closed, detail),
        _ => Fault::maybe_stored(FaultReason::Send, detail),
    }
}
