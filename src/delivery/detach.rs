//! Work that goes on when its request is gone.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

use super::Outcome;
use crate::telemetry::Metrics;

type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A future that goes on in a task of its own once it is dropped. Until then it needs none: a task for each message
/// would cost more than all that is done to it here.
pub(super) struct DetachOnDrop {
    work: Option<Work>,
    runtime: Handle,
    metrics: Arc<Metrics>,
}

impl DetachOnDrop {
    pub(super) fn new(work: Work, runtime: Handle, metrics: Arc<Metrics>) -> Self {
        Self { work: Some(work), runtime, metrics }
    }
}

impl Future for DetachOnDrop {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        // taken out, so that work that panics does not go on
        let Some(mut work) = self.work.take() else { return Poll::Ready(Outcome::NotStored) };
        let outcome = work.as_mut().poll(context);
        if outcome.is_pending() {
            self.work = Some(work);
        }
        outcome
    }
}

impl Drop for DetachOnDrop {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            let counted = self.metrics.detached();
            self.runtime.spawn(async move {
                work.await;
                drop(counted);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::brokers::FaultReason;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new::<Outcome, FaultReason>().unwrap())
    }

    #[tokio::test]
    async fn dropped_work_continues_where_it_was() {
        let (begin, begun) = oneshot::channel();
        let (resume, resumed) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let work = async move {
            begin.send("once").unwrap();
            end.send(resumed.await.unwrap()).unwrap();
            Outcome::Stored
        };
        let mut work = DetachOnDrop::new(Box::pin(work), Handle::current(), metrics());
        assert!(futures_util::poll!(&mut work).is_pending());
        assert_eq!(begun.await, Ok("once"));
        drop(work);
        resume.send("to the end").unwrap();
        assert_eq!(ended.await, Ok("to the end"));
    }

    #[tokio::test]
    async fn work_that_panics_does_not_continue() {
        let work = DetachOnDrop::new(Box::pin(async { panic!("a bug") }), Handle::current(), metrics());
        let failed = tokio::spawn(work).await.unwrap_err();
        assert!(failed.is_panic());
    }
}
