//! Finds the stream that already has a subject: a subject belongs to one stream only.

use std::time::Duration;

use async_nats::jetstream::Context;
use tokio::time::timeout;

/// How long the answer may take: a server that denies the request does not answer.
const WITHIN: Duration = Duration::from_secs(1);

/// What to do about a subject of another stream.
pub(super) const REMEDY: &str =
    "set nats.stream to that one, or give nats.subject and nats.dead_letter_subject names of their own";

/// Finds one of these subjects that belongs to another stream, and names both in words. `None` means that there is none, or
/// that the user lacks the permission to publish `$JS.API.STREAM.NAMES`.
pub(super) async fn find_other_stream(context: &Context, stream: &str, subjects: &[String]) -> Option<String> {
    for subject in subjects {
        let owner = timeout(WITHIN, context.stream_by_subject(subject.as_str())).await.ok()?.ok();
        if let Some(owner) = owner.filter(|owner| owner != stream) {
            return Some(format!("{subject} belongs to the stream {owner}"));
        }
    }
    None
}
