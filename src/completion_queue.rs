//! Hands completions to a runtime from a thread outside it: delivery reports of librdkafka, appends of the journal's writer.
//!
//! In: items, pushed by that thread. Out: a call of the queue's function for each, in a task of the runtime. Waking a task
//! for each item costs a system call; here the first of many wakes one task, which completes the others.

use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// The most items taken from the queue at once.
const BATCH: usize = 256;

/// A queue that completes items in a runtime. It is unbounded: it has at most one item for each message in flight, and
/// those are limited. Cheap to clone.
#[derive(Debug)]
pub struct CompletionQueue<T> {
    items: mpsc::UnboundedSender<T>,
    complete: fn(T),
}

impl<T> Clone for CompletionQueue<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), complete: self.complete }
    }
}

impl<T: Send + 'static> CompletionQueue<T> {
    /// A queue that completes items in the runtime of this thread; without a runtime, inside [`Self::push`].
    pub fn new(complete: fn(T)) -> Self {
        let (items, mut pushed) = mpsc::unbounded_channel();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let mut batch = Vec::with_capacity(BATCH);
                while pushed.recv_many(&mut batch, BATCH).await > 0 {
                    batch.drain(..).for_each(complete);
                }
            });
        }
        Self { items, complete }
    }

    /// Adds an item, to be completed soon.
    pub fn push(&self, item: T) {
        // the runtime has ended: the waiter may belong to another one
        if let Err(mpsc::error::SendError(item)) = self.items.send(item) {
            (self.complete)(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    type Item = (oneshot::Sender<u32>, u32);

    fn queue() -> CompletionQueue<Item> {
        CompletionQueue::new(|(waiter, value)| waiter.send(value).unwrap_or_default())
    }

    /// The waiters of `count` items that another thread pushes.
    fn pushed_by_a_thread(queue: CompletionQueue<Item>, count: u32) -> Vec<oneshot::Receiver<u32>> {
        let (senders, waiters): (Vec<_>, Vec<_>) = (0..count).map(|_| oneshot::channel()).unzip();
        std::thread::spawn(move || senders.into_iter().zip(0..).for_each(|item| queue.push(item)));
        waiters
    }

    #[tokio::test]
    async fn each_waiter_gets_its_own_value() {
        for (waiter, value) in pushed_by_a_thread(queue(), 1000).into_iter().zip(0..) {
            assert_eq!(waiter.await, Ok(value));
        }
    }

    #[test]
    fn without_a_running_runtime_push_completes_the_item_itself() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let of_ended_runtime = runtime.block_on(async { queue() });
        runtime.shutdown_timeout(Duration::from_secs(5));
        for queue in [queue(), of_ended_runtime] {
            let (sender, mut waiter) = oneshot::channel();
            queue.push((sender, 7));
            assert_eq!(waiter.try_recv(), Ok(7));
        }
    }
}
