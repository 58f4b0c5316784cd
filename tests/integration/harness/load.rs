//! Senders that do not wait for each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Bridge;

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
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (1..=SENDERS)
            .map(|sender| {
                scope.spawn({
                    let over = &over;
                    move || send(bridge, sender, over)
                })
            })
            .collect();
        act();
        over.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}

/// One instance: one notification after the other, as GREEN-API does it.
fn send(bridge: &Bridge, instance: usize, over: &AtomicBool) -> Vec<Answered> {
    let mut answers = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let number = answers.len();
        let body =
            format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{instance}}},"number":{number}}}"#);
        let (body, asked) = (body.into_bytes(), Instant::now());
        let (status, _) = bridge.post(&body);
        assert!(status == 200 || status == 503, "{status}");
        answers.push(Answered { instance, body, status, asked, took: asked.elapsed() });
        std::thread::sleep(Duration::from_millis(2));
    }
    answers
}
