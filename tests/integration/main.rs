//! Tests of the whole bridge against real brokers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stderr, reason = "a failed test shows what the bridge said")]

mod answers;
mod check;
mod clients;
mod cluster;
mod connections;
mod creds;
mod harness;
mod house;
mod late;
mod leak;
mod logs;
mod metrics;
mod operators;
mod order;
mod overload;
mod parts;
mod payloads;
mod provision;
mod refusals;
mod server;
mod stop;
mod stored;
