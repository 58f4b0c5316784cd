//! Senders without HTTP: each has one notification in flight, as the load generator has, and the summary is the
//! one it prints.

#[path = "bodies.rs"]
pub mod bodies;

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::time::interval_at;

use crate::program::{Failed, argument};
use bodies::Bodies;

/// Sends from so many instances (second argument), each so often a second (third; 0: as fast as it is answered), for
/// so many seconds (fourth); then prints a summary.
#[allow(dead_code, reason = "one program begins when it is told")]
pub async fn send<P, A>(publish: P) -> Result<(), Failed>
where
    P: Fn(u64, Bytes) -> A + Clone + Send + 'static,
    A: Future<Output = Result<(), Failed>> + Send + 'static,
{
    send_after(|| Ok(()), publish).await
}

/// The same; `begin` runs between the first one of each instance and the measured time.
pub async fn send_after<B, P, A>(begin: B, publish: P) -> Result<(), Failed>
where
    B: FnOnce() -> Result<(), Failed>,
    P: Fn(u64, Bytes) -> A + Clone + Send + 'static,
    A: Future<Output = Result<(), Failed>> + Send + 'static,
{
    let (instances, rate, seconds): (u32, f64, f64) =
        (argument(2)?.parse()?, argument(3)?.parse()?, argument(4)?.parse()?);
    let mut senders: Vec<_> = bodies::of(instances)?.into_iter().map(Sender).collect();
    // a client that has just begun first asks its broker where things are
    for Sender(bodies) in &mut senders {
        publish(bodies.instance, bodies.body()).await?;
    }
    begin()?;
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(seconds);
    let every = (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate));
    let tasks: Vec<_> = (0..instances)
        .zip(senders)
        .map(|(number, sender)| {
            // a rate is spread over the senders, not sent in bursts
            let first = began + every.unwrap_or_default() * number / instances;
            tokio::spawn(sender.send(every.map(|every| (first, every)), until, publish.clone()))
        })
        .collect();
    let mut waited = Vec::new();
    for task in tasks {
        waited.extend(task.await??);
    }
    waited.sort_unstable();
    summary(&waited, began.elapsed());
    Ok(())
}

struct Sender(Bodies);

impl Sender {
    async fn send<P, A>(
        mut self,
        pace: Option<(Instant, Duration)>,
        until: Instant,
        publish: P,
    ) -> Result<Vec<Duration>, Failed>
    where
        P: Fn(u64, Bytes) -> A,
        A: Future<Output = Result<(), Failed>>,
    {
        let mut ticks = pace.map(|(first, every)| interval_at(first.into(), every));
        let mut waited = Vec::new();
        loop {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            let began = Instant::now();
            if began >= until {
                return Ok(waited);
            }
            publish(self.0.instance, self.0.body()).await?;
            waited.push(began.elapsed());
        }
    }
}

#[allow(clippy::print_stdout, reason = "the benchmark reads it")]
fn summary(waited: &[Duration], took: Duration) {
    let count = waited.len();
    let at = |part: f64| waited.get((part * count as f64) as usize).map_or(0.0, |wait| wait.as_secs_f64() * 1000.0);
    let most = waited.last().map_or(0.0, |wait| wait.as_secs_f64() * 1000.0);
    let summary = json!({
        "sent": count,
        "answered": {"200": count},
        "seconds": took.as_secs_f64(),
        "per_second": count as f64 / took.as_secs_f64(),
        "latency_ms": {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": most},
    });
    println!("{summary}");
}
