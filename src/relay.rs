//! Telling many in a runtime from a thread that is not of it.

use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Passes on to tasks of a runtime what a thread outside of it tells them. Waking each of them from there would cost a
/// system call each; here the first of many wakes one task, and that the others.
///
/// Nothing is bounded here: there is as much of it as there is to be told. Cheap to clone.
#[derive(Debug)]
pub struct Relay<T> {
    line: mpsc::UnboundedSender<T>,
    tell: fn(T),
}

impl<T> Clone for Relay<T> {
    fn clone(&self) -> Self {
        Self { line: self.line.clone(), tell: self.tell }
    }
}

impl<T: Send + 'static> Relay<T> {
    /// Tells it in the runtime of this thread; without one, at once and here.
    pub fn new(tell: fn(T)) -> Self {
        const AT_ONCE: usize = 256;
        let (line, mut told) = mpsc::unbounded_channel();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let mut come = Vec::with_capacity(AT_ONCE);
                while told.recv_many(&mut come, AT_ONCE).await > 0 {
                    come.drain(..).for_each(tell);
                }
            });
        }
        Self { line, tell }
    }

    /// Tells it, soon.
    pub fn tell(&self, what: T) {
        // whoever waits may do so in another runtime than one that is over
        if let Err(mpsc::error::SendError(what)) = self.line.send(what) {
            (self.tell)(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    type Waits = (oneshot::Sender<u32>, u32);

    fn relay() -> Relay<Waits> {
        Relay::new(|(waits, what)| waits.send(what).unwrap_or_default())
    }

    /// Who waits for each of these to be told, by another thread.
    fn told_by_a_thread(relay: Relay<Waits>, count: u32) -> Vec<oneshot::Receiver<u32>> {
        let (tell, told): (Vec<_>, Vec<_>) = (0..count).map(|_| oneshot::channel()).unzip();
        std::thread::spawn(move || tell.into_iter().zip(0..).for_each(|waits| relay.tell(waits)));
        told
    }

    #[tokio::test]
    async fn each_is_told_what_is_for_it() {
        for (told, what) in told_by_a_thread(relay(), 1000).into_iter().zip(0..) {
            assert_eq!(told.await, Ok(what));
        }
    }

    #[test]
    fn without_a_runtime_or_after_it_is_over_it_is_told_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let of_runtime = runtime.block_on(async { relay() });
        runtime.shutdown_timeout(Duration::from_secs(5));
        for relay in [relay(), of_runtime] {
            let (tell, mut told) = oneshot::channel();
            relay.tell((tell, 7));
            assert_eq!(told.try_recv(), Ok(7));
        }
    }
}
