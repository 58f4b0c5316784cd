//! Work that goes on when nobody waits for it any more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

use crate::observe::Metrics;

/// A future that is carried on by a task of its own once it is dropped, and until then needs none: a task for every
/// message would cost more than all that is done to it here.
pub(super) struct CarriedOn<F: Future<Output = ()> + Send + 'static> {
    rest: Option<Pin<Box<F>>>,
    on: Handle,
    metrics: Arc<Metrics>,
}

impl<F: Future<Output = ()> + Send + 'static> CarriedOn<F> {
    pub(super) fn new(work: F, on: Handle, metrics: Arc<Metrics>) -> Self {
        Self { rest: Some(Box::pin(work)), on, metrics }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Future for CarriedOn<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // taken out, so that what panics is not carried on
        if let Some(mut rest) = self.rest.take()
            && rest.as_mut().poll(context).is_pending()
        {
            self.rest = Some(rest);
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl<F: Future<Output = ()> + Send + 'static> Drop for CarriedOn<F> {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            let counted = self.metrics.carried_on();
            self.on.spawn(async move {
                rest.await;
                drop(counted);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::observe::Labels;

    fn metrics() -> Arc<Metrics> {
        let none = Labels {
            classes: &[],
            stored: &[],
            statuses: &[],
            refusals: &[],
            reasons: &[],
            brokers: &[],
            faults: &[],
            instances: &[],
        };
        Arc::new(Metrics::new(&none).unwrap())
    }

    #[tokio::test]
    async fn what_is_dropped_goes_on_from_where_it_was() {
        let (begin, begun) = oneshot::channel();
        let (go_on, gone_on) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let work = async move {
            begin.send("once").unwrap();
            end.send(gone_on.await.unwrap()).unwrap();
        };
        let mut work = CarriedOn::new(work, Handle::current(), metrics());
        assert!(futures_util::poll!(&mut work).is_pending());
        assert_eq!(begun.await, Ok("once"));
        drop(work);
        go_on.send("to the end").unwrap();
        assert_eq!(ended.await, Ok("to the end"));
    }

    #[tokio::test]
    async fn what_panics_is_not_begun_again() {
        let work = CarriedOn::new(async { panic!("a bug") }, Handle::current(), metrics());
        let failed = tokio::spawn(work).await.unwrap_err();
        assert!(failed.is_panic());
    }
}
