//! What operators see.

mod health;

pub use health::BrokerState;
