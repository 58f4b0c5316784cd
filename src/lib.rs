//! The way of a notification.
pub mod admit;
pub mod brokers;
pub mod deliver;
pub mod message;
pub mod notification;
pub mod observe;
pub mod route;
pub mod units;
