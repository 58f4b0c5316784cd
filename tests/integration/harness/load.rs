//! Concurrent senders, and the check that every 200 they received is true.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Bridge, body};

const SENDERS: usize = 8;

/// What one body was answered.
pub struct Answered {
    pub instance: usize,
    pub body: Vec<u8>,
    pub status: u16,
    pub asked: Instant,
    pub took: Duration,
}

/// Sends until `act` is over. Nothing but 200 and 503 is ever answered.
pub fn under_load(bridge: &Bridge, act: impl FnOnce()) -> Vec<Answered> {
    // a hundred a second of each, far more than an instance has
    under_load_every(Duration::from_millis(10), bridge, act)
}

/// The same, with this pause between two notifications of an instance.
pub fn under_load_every(every: Duration, bridge: &Bridge, act: impl FnOnce()) -> Vec<Answered> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (1..=SENDERS)
            .map(|sender| {
                scope.spawn({
                    let over = &over;
                    move || send(bridge, sender, every, over)
                })
            })
            .collect();
        let end = EndsLoad(&over);
        act();
        drop(end);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}

/// Ends the load also when `act` panics: the test would wait for its senders for ever.
struct EndsLoad<'f>(&'f AtomicBool);

impl Drop for EndsLoad<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One instance: one notification after the other, as GREEN-API does it.
fn send(bridge: &Bridge, instance: usize, every: Duration, over: &AtomicBool) -> Vec<Answered> {
    let mut answers = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let number = answers.len();
        let body =
            format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{instance}}},"number":{number}}}"#);
        let (body, asked) = (body.into_bytes(), Instant::now());
        let (status, _) = bridge.post(&body);
        assert!(status == 200 || status == 503, "{status}");
        answers.push(Answered { instance, body, status, asked, took: asked.elapsed() });
        std::thread::sleep(every);
    }
    answers
}

/// Of each instance the numbers it has, in order.
pub fn numbers(bodies: impl Iterator<Item = Vec<u8>>) -> HashMap<u64, Vec<u64>> {
    let mut seen: HashMap<u64, Vec<u64>> = HashMap::new();
    for body in bodies {
        let body: Value = serde_json::from_slice(&body).unwrap();
        // others ask whether it stores at all
        let Some(number) = body["number"].as_u64() else { continue };
        seen.entry(body["instanceData"]["idInstance"].as_u64().unwrap()).or_default().push(number);
    }
    seen
}

/// All that was answered 200 is there, each instance's in the order it was sent; repeats only where they may be.
pub fn assert_complete_and_in_order(answers: &[Answered], stored: &[Value], repeats: bool) {
    let sent = numbers(answers.iter().filter(|answer| answer.status == 200).map(|answer| answer.body.clone()));
    let came = numbers(stored.iter().map(body));
    for (instance, sent) in sent {
        let mut first = HashSet::new();
        let came = &came[&instance];
        let firsts: Vec<_> = came.iter().copied().filter(|number| first.insert(*number)).collect();
        assert!(repeats || firsts.len() == came.len(), "instance {instance} has some twice: {came:?}");
        // what was answered otherwise, and not sent again, may come late
        let sent_first: HashSet<_> = sent.iter().collect();
        let firsts: Vec<_> = firsts.iter().filter(|number| sent_first.contains(number)).collect();
        assert!(firsts.is_sorted(), "instance {instance}: {firsts:?}");
        let lost: Vec<_> = sent.iter().filter(|number| !first.contains(number)).collect();
        assert!(lost.is_empty(), "instance {instance} lost {lost:?}");
    }
}
