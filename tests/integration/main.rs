//! Tests of the whole bridge against real brokers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod answers;
mod connections;
mod harness;
mod house;
mod leak;
mod operators;
mod payloads;
mod server;
mod stored;
