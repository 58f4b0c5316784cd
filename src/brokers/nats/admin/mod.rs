//! What the commands ask of a server, apart from the data path.
//!
//! In: `[nats]` and the subjects of the routes. Out: the findings of `check` (`audit`, `permissions`), and the stream
//! that `provision` creates or widens (`widen`).

mod audit;
mod check;
mod owner;
mod permissions;
mod provision;
mod widen;

pub use {check::check, provision::provision};
