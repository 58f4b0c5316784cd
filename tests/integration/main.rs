//! Tests of the whole bridge against real brokers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]
#![cfg_attr(not(all(feature = "kafka", feature = "nats")), allow(dead_code, unused_imports))]
#![allow(clippy::print_stderr, reason = "a failed test shows what the bridge said")]

#[cfg(feature = "nats")]
mod acks;
#[cfg(feature = "nats")]
mod admin_access;
#[cfg(all(feature = "journal", feature = "nats"))]
mod admin_page;
#[cfg(all(feature = "journal", feature = "nats", feature = "tls"))]
mod admin_requests;
#[cfg(all(feature = "journal", feature = "nats", feature = "tls"))]
mod admin_tls;
mod architecture;
#[cfg(all(feature = "kafka", feature = "nats"))]
mod asyncapi;
#[cfg(all(feature = "nats", feature = "tls"))]
mod certificate_reload;
#[cfg(feature = "nats")]
mod check;
#[cfg(feature = "nats")]
mod cluster;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod compose;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod config_mended;
#[cfg(all(feature = "kafka", feature = "nats"))]
mod config_refusals;
#[cfg(feature = "nats")]
mod credentials;
#[cfg(feature = "nats")]
mod dead_letter;
#[cfg(all(feature = "journal", feature = "nats"))]
mod dead_letter_journal;
#[cfg(feature = "kafka")]
mod dead_letter_kafka;
#[cfg(feature = "nats")]
mod dead_letter_parts;
#[cfg(feature = "journal")]
mod disk_faults;
#[cfg(all(feature = "journal", feature = "nats"))]
mod disk_hangs;
mod documents;
#[cfg(feature = "journal")]
mod events;
#[cfg(all(feature = "kafka", feature = "nats"))]
mod example_config;
mod harness;
#[cfg(feature = "nats")]
mod http_connections;
#[cfg(feature = "nats")]
mod http_requests;
mod install_certificate;
#[cfg(all(feature = "journal", feature = "nats"))]
mod journal;
#[cfg(all(feature = "journal", feature = "nats"))]
mod journal_backlog;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod journal_cluster;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod journal_commands;
#[cfg(all(feature = "journal", feature = "nats"))]
mod journal_damage;
#[cfg(all(feature = "journal", feature = "nats"))]
mod journal_drain;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod journal_fallback;
#[cfg(all(feature = "journal", feature = "nats"))]
mod journal_full_disk;
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
#[cfg(all(feature = "kafka", feature = "nats"))]
mod kafka_unreachable;
#[cfg(feature = "nats")]
mod late_acks;
#[cfg(all(feature = "journal", feature = "nats"))]
mod log_edits;
#[cfg(feature = "nats")]
mod log_repeats;
#[cfg(feature = "nats")]
mod logs;
#[cfg(feature = "nats")]
mod metrics;
#[cfg(feature = "nats")]
mod nats_leaf;
#[cfg(feature = "nats")]
mod nats_leak;
#[cfg(feature = "nats")]
mod nats_server;
#[cfg(feature = "nats")]
mod nats_stored;
#[cfg(all(feature = "journal", feature = "nats"))]
mod outage_log;
#[cfg(all(feature = "journal", feature = "nats"))]
mod output;
#[cfg(feature = "nats")]
mod overload;
mod payloads;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats", feature = "tls"))]
mod people;
#[cfg(feature = "journal")]
mod power;
#[cfg(feature = "nats")]
mod provision;
#[cfg(feature = "nats")]
mod raw_requests;
#[cfg(all(feature = "journal", feature = "tls"))]
mod ready;
#[cfg(feature = "nats")]
mod reload;
#[cfg(feature = "nats")]
mod reverse_proxies;
#[cfg(feature = "nats")]
mod send;
#[cfg(feature = "nats")]
mod service_manager;
#[cfg(feature = "nats")]
mod shutdown;
#[cfg(feature = "nats")]
mod simulator_client;
mod snapshots;
#[cfg(feature = "nats")]
mod source_addresses;
#[cfg(feature = "journal")]
mod startup;
#[cfg(feature = "nats")]
mod stream_recreated;
#[cfg(all(feature = "journal", feature = "nats", feature = "tls"))]
mod systemd;
#[cfg(feature = "journal")]
mod tail;
#[cfg(all(feature = "nats", feature = "tls"))]
mod tls;
#[cfg(all(feature = "kafka", feature = "nats"))]
mod two_brokers;
#[cfg(feature = "nats")]
mod validation;
