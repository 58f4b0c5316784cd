//! The way of a notification.
pub mod admit;
pub mod message;
pub mod notification;
pub mod route;
pub mod units;
