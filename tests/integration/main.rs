//! Tests of the whole bridge against real brokers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]
#![cfg_attr(not(all(feature = "kafka", feature = "nats")), allow(dead_code, unused_imports))]
#![allow(clippy::print_stderr, reason = "a failed test shows what the bridge said")]

#[cfg(feature = "nats")]
mod acks;
#[cfg(feature = "nats")]
mod anew;
mod answers;
#[cfg(all(feature = "kafka", feature = "nats"))]
mod both;
#[cfg(feature = "nats")]
mod check;
#[cfg(feature = "nats")]
mod clients;
#[cfg(feature = "nats")]
mod cluster;
#[cfg(feature = "nats")]
mod connections;
#[cfg(feature = "nats")]
mod creds;
#[cfg(feature = "nats")]
mod dead_letter;
#[cfg(all(feature = "journal", feature = "nats"))]
mod dead_letter_journal;
#[cfg(feature = "kafka")]
mod dead_letter_kafka;
#[cfg(feature = "journal")]
mod disk;
#[cfg(all(feature = "journal", feature = "nats"))]
mod draining;
#[cfg(feature = "journal")]
mod events;
#[cfg(all(feature = "kafka", feature = "nats"))]
mod example;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod fallback;
#[cfg(all(feature = "journal", feature = "nats"))]
mod full_disk;
mod harness;
mod house;
#[cfg(all(feature = "journal", feature = "nats"))]
mod journal;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod journal_cluster;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod journal_commands;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod kafka_cluster;
#[cfg(feature = "kafka")]
mod kafka_errors;
#[cfg(feature = "kafka")]
mod kafka_leak;
#[cfg(feature = "kafka")]
mod kafka_limits;
#[cfg(feature = "kafka")]
mod kafka_rights;
#[cfg(feature = "kafka")]
mod kafka_secure;
#[cfg(feature = "nats")]
mod late;
#[cfg(feature = "nats")]
mod leak;
#[cfg(feature = "nats")]
mod logs;
#[cfg(feature = "nats")]
mod metrics;
#[cfg(feature = "nats")]
mod operators;
#[cfg(feature = "nats")]
mod order;
#[cfg(feature = "nats")]
mod overload;
#[cfg(all(feature = "journal", feature = "nats"))]
mod page;
#[cfg(feature = "nats")]
mod parts;
mod payloads;
#[cfg(feature = "journal")]
mod power;
#[cfg(feature = "nats")]
mod provision;
#[cfg(all(feature = "kafka", feature = "nats"))]
mod refusals;
#[cfg(feature = "nats")]
mod send;
#[cfg(feature = "nats")]
mod sender;
#[cfg(feature = "nats")]
mod server;
#[cfg(feature = "journal")]
mod start;
#[cfg(feature = "nats")]
mod stop;
#[cfg(feature = "nats")]
mod stored;
#[cfg(feature = "journal")]
mod tail;
