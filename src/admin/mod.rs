//! The listeners for operators (`[admin]`) and for kubelets (`[probes]`: the first three routes, no checks). In: a request
//! with a known `Host` and, where there is a tokens file, a token. Out: the answer. HEAD is answered as GET.
//!
//! | method | path | needs | answer |
//! |---|---|---|---|
//! | GET | `/livez` | nothing | 200: the process runs |
//! | GET | `/readyz` | nothing | 200: a notification sent now would be stored; 503: not; JSON says why |
//! | GET | `/metrics` | a token | the metrics in Prometheus' text format |
//! | GET | `/` | a token | the status page, for people |
//! | GET | `/events` | a token | the journal as server-sent events |
//! | GET | `/events/<seq>` | a token | one notification, byte for byte |
//! | POST | `/journal/` `reroute`, `drop`, `erase`, `import`, `replay` | a token, JSON, own origin | a journal edit's result |

mod config;
mod guard;
mod health;
mod journal_pages;
mod metrics_page;
mod response;
mod router;
mod status_page;

pub use config::{AdminConfig, Host, ProbesConfig};
pub use guard::Guard;
pub use health::Health;
pub use journal_pages::JournalPages;
pub use journal_pages::parse_event_id;
pub use response::{Body, EventBody};
pub use router::Admin;
