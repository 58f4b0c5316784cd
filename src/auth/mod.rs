//! Which requests may send: first by source address ([`AllowList`]), then by token ([`Tokens`]).
//!
//! In: the peer's address, or the header in which a proxy names the sender ([`ForwardingHeader`]), and the `Authorization`
//! header. Out: whether the request may send, and for which instances ([`Binding`]). The webhook checks both before it
//! reads a body; the admin listener has tokens of its own.

mod addresses;
mod forwarded;
mod tokens;

use std::path::PathBuf;

use serde::Deserialize;

pub use addresses::{AllowList, Range};
pub use forwarded::{ForwardingError, ForwardingHeader};
pub use tokens::{Binding, Tokens, TokensError, first_unbound_token};

/// `[auth]`: which requests may send.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file of tokens, one a line. Without it, only a listener on loopback may start.
    pub tokens_file: Option<PathBuf>,
    /// Source addresses that may send: addresses, CIDR ranges, or `"green-api"`. Default: any.
    pub allow_from: Option<Vec<Range>>,
    /// Whether a listener beyond loopback may start without tokens. Default false.
    pub allow_anonymous: bool,
}
