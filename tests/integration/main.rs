//! Tests of the whole bridge against real brokers.

mod payloads;
