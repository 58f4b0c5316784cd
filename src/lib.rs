//! # The way of a notification
//!
//! 1. [`serve`] accepts a connection; [`receive`] checks the request: address, head, path, method, token
//!    ([`admit`]), and only then reads its body.
//! 2. [`notification`] reads the body as far as it must: a type and an instance. What is no notification goes
//!    to the dead letter.
//! 3. [`route`] makes it a [`message`]: a destination, CloudEvents headers, and the body byte for byte.
//! 4. [`deliver`] stores it within the time budget, once: what was stored lately is a duplicate, what is under
//!    way is waited for, what the broker will never take goes to the dead letter.
//! 5. [`brokers`] publish it and hear what became of it.
//! 6. [`receive`] answers: 200 if it is stored, and otherwise a status that makes GREEN-API send it again.
//!
//! A 503 does not promise that it is *not* stored: a report may come later. The repeat is then a duplicate.
//!
//! [`bridge`] builds all of it from a [`config`] and owns start and stop; [`cli`] talks to people; [`observe`],
//! [`relay`], [`shutdown`] and [`units`] serve every room. [`sender`] is the other end: a double of GREEN-API, for trying a
//! bridge out and for its tests.

pub mod serve;

pub mod receive;

pub mod admit;

pub mod notification;

pub mod route;

pub mod message;

pub mod deliver;

pub mod brokers;

pub mod journal;

pub mod dead_letter;
pub mod operate;
#[cfg(feature = "journal")]
pub mod upkeep;

pub mod bridge;
pub mod cli;
pub mod config;
pub mod observe;
pub mod relay;
pub mod sender;
pub mod shutdown;
pub mod units;
