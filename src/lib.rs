//! The way of a notification.
pub mod admit;
pub mod bridge;
pub mod brokers;
pub mod cli;
pub mod config;
pub mod deliver;
pub mod message;
pub mod notification;
pub mod observe;
pub mod receive;
pub mod route;
pub mod serve;
pub mod shutdown;
pub mod units;
