//! Who may send: the source address, then the token, both before a body is read.

mod addresses;
mod tokens;

use std::path::PathBuf;

use serde::Deserialize;

pub use addresses::{AllowList, Range};
pub use tokens::{Binding, Tokens, TokensError, first_open};

/// `[auth]`: who may send.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file of tokens, one a line. Without it only a loopback listener may serve.
    pub tokens_file: Option<PathBuf>,
    /// Source addresses that may send: addresses, CIDR ranges, or `"green-api"`. Default: any.
    pub allow_from: Option<Vec<Range>>,
    /// Whether anyone may send to a listener beyond loopback. Default false.
    pub allow_anonymous: bool,
}
