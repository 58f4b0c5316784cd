//! Senders without HTTP: each has one notification in flight, as the load generator has, and the summary is the
//! one it prints.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::program::{Failed, argument};

const SAMPLE: &str = include_str!("../payloads/valid/incomingMessageReceived__textMessage__plain.json");
const INSTANCE: &str = "1101990001";
const MESSAGE: &str = "CDD1CDBD7D835AED52A9F3DE593445C8";

/// Sends from so many instances (third argument), each so often a second (fourth, 0: as fast as it is answered),
/// for so many seconds (fifth); then prints a summary.
pub async fn send<P, A>(publish: P) -> Result<(), Failed>
where
    P: Fn(u64, Bytes) -> A + Clone + Send + 'static,
    A: Future<Output = Result<(), Failed>> + Send + 'static,
{
    let (instances, rate, seconds): (u32, f64, f64) =
        (argument(2)?.parse()?, argument(3)?.parse()?, argument(4)?.parse()?);
    let began = Instant::now();
    let senders: Vec<_> = (0..instances)
        .map(|number| {
            // a rate is spread over the senders, not sent in bursts
            let every = (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate));
            let first = every.unwrap_or_default() * number / instances;
            let until = began + Duration::from_secs_f64(seconds);
            tokio::spawn(sender(number, every.map(|every| (began + first, every)), until, publish.clone()))
        })
        .collect();
    let mut waited = Vec::new();
    for sender in senders {
        waited.extend(sender.await??);
    }
    waited.sort_unstable();
    summary(&waited, began.elapsed());
    Ok(())
}

async fn sender<P, A>(
    number: u32,
    pace: Option<(Instant, Duration)>,
    until: Instant,
    publish: P,
) -> Result<Vec<Duration>, Failed>
where
    P: Fn(u64, Bytes) -> A,
    A: Future<Output = Result<(), Failed>>,
{
    let mut ticks = pace.map(|(first, every)| interval_at(first.into(), every));
    if let Some(ticks) = &mut ticks {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let instance = 1_101_000_000 + u64::from(number);
    let sample = SAMPLE.replace(INSTANCE, &instance.to_string());
    let (before, after) = sample.split_once(MESSAGE).ok_or("the sample has another id")?;
    let unique = std::process::id();
    let mut waited = Vec::new();
    loop {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let began = Instant::now();
        if began >= until {
            return Ok(waited);
        }
        let body = format!("{before}{unique:08X}{number:08X}{:016X}{after}", waited.len());
        publish(instance, body.into()).await?;
        waited.push(began.elapsed());
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
