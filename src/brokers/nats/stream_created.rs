//! When the stream was created: a stream with another creation time has nothing of what an earlier one stored.

use parking_lot::Mutex;

/// Acts on a creation time, in Unix nanoseconds.
type Listener = Box<dyn Fn(i64) + Send>;

/// The creation time of the stream, and the listener that learns it before an ack of that stream counts.
#[derive(Default)]
pub(super) struct StreamCreated {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// In Unix nanoseconds. `None` means that the stream was not inspected yet.
    created: Option<i64>,
    listener: Option<Listener>,
}

impl StreamCreated {
    /// Takes the creation time that an inspection found. When this returns, the listener has acted on it.
    pub(super) fn set(&self, created: i64) {
        let mut known = self.known.lock();
        if known.created.replace(created) != Some(created) {
            known.listener.iter().for_each(|act| act(created));
        }
    }

    /// Calls `act` with each new creation time, and at once if one is known already. It replaces an earlier listener.
    pub(super) fn listen(&self, act: impl Fn(i64) + Send + 'static) {
        let mut known = self.known.lock();
        known.created.into_iter().for_each(&act);
        known.listener = Some(Box::new(act));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn listener_learns_each_creation_time_once_and_the_known_one_at_once() {
        let (stream, calls) = (StreamCreated::default(), Arc::new(Mutex::new(Vec::new())));
        stream.set(7);
        let list = calls.clone();
        stream.listen(move |created| list.lock().push(created));
        [7, 8, 8, 7].into_iter().for_each(|created| stream.set(created));
        assert_eq!(*calls.lock(), [7, 8, 7]);
    }
}
