//! Tests of the whole bridge against real brokers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod answers;
mod check;
mod cluster;
mod creds;
mod harness;
mod house;
mod leak;
mod payloads;
mod provision;
mod server;
mod stored;
