//! Stores GREEN-API webhooks in NATS JetStream and Apache Kafka: a 200 means stored, any other answer is repeated.
//!
//! The path of a notification: [`http_server`] accepts the connection. [`webhook`] checks address, head and token
//! ([`auth`]), reads the body, and answers. [`notification`] finds type and instance, [`route`] makes a [`message`] with
//! a destination at each broker, and [`delivery`] stores it in time: at the [`brokers`], else on disk in the [`journal`],
//! whose backlog it forwards in order. A body that is not a notification, or that a broker never accepts, is a dead
//! letter. A 503 does not promise that it is *not* stored: an ack may come late; the repeat is then a duplicate.
//!
//! Around it: [`bridge`] builds all parts from a [`config`]; [`cli`] is the command line; [`admin`] serves operators;
//! [`journal_edit`] and [`dead_letter`] do what they ask for; [`reload`] applies changed files without a restart;
//! [`telemetry`] counts and logs; [`simulator`] plays
//! GREEN-API; [`http_client`] serves the simulator and the commands; [`asyncapi`] describes what is published.

pub mod http_server;

pub mod webhook;

pub mod auth;

pub mod notification;

pub mod route;

pub mod message;

pub mod delivery;

pub mod brokers;

pub mod journal;

pub mod journal_edit;

pub mod dead_letter;

pub mod admin;

pub mod reload;

pub mod telemetry;

pub mod asyncapi;

pub mod bridge;

pub mod config;

pub mod cli;

pub mod http_client;

pub mod simulator;

pub mod backoff;
pub mod completion_queue;
pub mod reloadable;
pub mod service_manager;
pub mod shutdown;
pub mod units;
