use std::sync::Mutex;

use tokio_util::task::TaskTracker;

use super::super::client::Fault;
use super::super::queue::Queue;
use super::super::source::Shared;
use super::*;

/// What the far end makes of a request: an answer, a fault, or nothing at all.
type Script = Box<dyn FnMut(usize) -> Option<Result<u16, Fault>> + Send>;

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(Duration, String)>>>);

impl Seen {
    fn bodies(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// When each request came, since the first.
    fn times(&self) -> Vec<Duration> {
        let seen = self.0.lock().unwrap();
        seen.iter().map(|(at, _)| *at - seen[0].0).collect()
    }
}

struct FarEnd {
    script: Script,
    seen: Seen,
    begun: Instant,
    /// How long an answer takes.
    takes: Duration,
}

impl Post for FarEnd {
    async fn post(&mut self, _: &Arc<Target>, body: &bytes::Bytes) -> Result<Answer, Fault> {
        let number = {
            let mut seen = self.seen.0.lock().unwrap();
            seen.push((self.begun.elapsed(), String::from_utf8(body.to_vec()).unwrap()));
            seen.len()
        };
        sleep(self.takes).await;
        match (self.script)(number) {
            Some(Ok(status)) => Ok(Answer { status, body: r#"{"stored":"broker"}"#.into() }),
            Some(Err(fault)) => Err(fault),
            None => std::future::pending().await,
        }
    }
}

struct Bench {
    common: Arc<Common>,
    shared: Arc<Shared>,
    target: watch::Sender<Option<Arc<Target>>>,
    seen: Seen,
    workers: TaskTracker,
}

fn some_target() -> Option<Arc<Target>> {
    Some(Arc::new("http://h/".parse().unwrap()))
}

fn bench(config: Config, script: impl FnMut(usize) -> Option<Result<u16, Fault>> + Send + 'static) -> Bench {
    slow_bench(config, Duration::ZERO, script)
}

fn slow_bench(
    config: Config,
    takes: Duration,
    script: impl FnMut(usize) -> Option<Result<u16, Fault>> + Send + 'static,
) -> Bench {
    let shared = Arc::new(Shared::new(Queue::new(config.queue, config.retention)));
    let common = Arc::new(Common {
        tally: Tally::new().unwrap(),
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
        failed: OnceLock::new(),
        config,
    });
    let (target, seen_target) = watch::channel(some_target());
    let (seen, begun, workers) = (Seen::default(), Instant::now(), TaskTracker::new());
    let post = FarEnd { script: Box::new(script), seen: seen.clone(), begun, takes };
    let pace = Pace::new(common.config.gap, begun);
    let worker = Worker { common: common.clone(), instance: 7, target: seen_target, post, pace };
    workers.spawn(worker.run(Source::Queue(shared.clone())));
    Bench { common, shared, target, seen, workers }
}

impl Bench {
    fn push(&self, bodies: &[&'static str]) {
        for body in bodies {
            self.shared.push((*body).into(), &self.common.tally).unwrap();
        }
    }

    /// Everything queued is sent or lost.
    async fn ended(&self) -> super::super::Summary {
        self.shared.close();
        self.workers.close();
        self.workers.wait().await;
        self.common.tally.summary()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test(start_paused = true)]
async fn in_order_and_twenty_milliseconds_apart() {
    let bench = bench(Config::default(), |_| Some(Ok(200)));
    bench.push(&["a", "b", "c"]);
    let summary = bench.ended().await;
    assert_eq!(bench.seen.bodies(), ["a", "b", "c"]);
    assert_eq!(bench.seen.times(), [0, 20, 40].map(Duration::from_millis));
    assert!(summary.is_clean() && summary.taken() == 3, "{summary:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_holds_the_next_back() {
    let bench = slow_bench(Config::default(), Duration::from_millis(50), |_| Some(Ok(200)));
    bench.push(&["a", "b", "c"]);
    bench.ended().await;
    assert_eq!(bench.seen.times(), [0, 50, 100].map(Duration::from_millis));
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_not_made_up_for_by_haste() {
    let bench = bench(Config::default(), |number| Some(Ok(if number == 1 { 503 } else { 200 })));
    bench.push(&["a", "b", "c"]);
    bench.ended().await;
    assert_eq!(bench.seen.times(), [0, 60_000, 60_020, 60_040].map(Duration::from_millis));
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_the_answer_is_all_it_waits_for() {
    let config = Config { gap: Duration::ZERO, ..Config::default() };
    let bench = slow_bench(config, Duration::from_millis(3), |_| Some(Ok(200)));
    bench.push(&["a", "b", "c"]);
    bench.ended().await;
    assert_eq!(bench.seen.times(), [0, 3, 6].map(Duration::from_millis));
}

#[tokio::test(start_paused = true)]
async fn only_200_is_success_and_anything_else_pauses_a_minute_and_repeats_the_same_bytes() {
    let answers = [201, 204, 302, 401, 404, 413, 503];
    let bench = bench(Config::default(), move |number| Some(Ok(answers.get(number - 1).copied().unwrap_or(200))));
    bench.push(&["a", "b"]);
    let summary = bench.ended().await;
    assert_eq!(bench.seen.bodies(), ["a", "a", "a", "a", "a", "a", "a", "a", "b"]);
    let times = bench.seen.times();
    assert_eq!(times[..8], std::array::from_fn::<_, 8, _>(|number| 60 * SECOND * number as u32));
    assert_eq!((summary.sent, summary.repeats, summary.faults, summary.taken()), (2, 7, 0, 2));
    assert!(answers.iter().all(|status| summary.answered[status] == 1), "{summary:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fault_and_no_answer_in_three_minutes_pause_it_too() {
    let bench = bench(Config::default(), |number| match number {
        1 => Some(Err(Fault("refused".into()))),
        2 => None,
        _ => Some(Ok(200)),
    });
    bench.push(&["a"]);
    let summary = bench.ended().await;
    assert_eq!(bench.seen.times(), [Duration::ZERO, 60 * SECOND, (60 + 180 + 60) * SECOND]);
    assert_eq!((summary.sent, summary.repeats, summary.faults, summary.taken()), (1, 2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn after_a_day_of_refusals_it_is_lost_and_the_next_has_its_turn() {
    let bench = bench(Config::default(), |number| Some(Ok(if number <= 24 * 60 { 503 } else { 200 })));
    bench.push(&["old"]);
    sleep(DAY / 2).await;
    bench.push(&["young"]);
    let summary = bench.ended().await;
    let bodies = bench.seen.bodies();
    assert_eq!((bodies.len(), bodies[24 * 60 - 1].as_str(), bodies[24 * 60].as_str()), (24 * 60 + 1, "old", "young"));
    assert_eq!((summary.lost, summary.taken()), (1, 1));
    assert!(!summary.is_clean());
}

#[tokio::test(start_paused = true)]
async fn without_a_url_it_is_held_for_a_day() {
    let bench = bench(Config::default(), |_| Some(Ok(200)));
    bench.target.send_replace(None);
    bench.push(&["old"]);
    sleep(SECOND).await;
    bench.push(&["young"]);
    sleep(DAY - SECOND).await;
    assert_eq!((bench.seen.bodies().len(), bench.shared.len(&bench.common.tally)), (0, 1));
    bench.target.send_replace(some_target());
    let summary = bench.ended().await;
    assert_eq!(bench.seen.bodies(), ["young"]);
    assert_eq!((summary.lost, summary.taken()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_too_often_is_given_up() {
    let config = Config { give_up: Some(2), ..Config::default() };
    let bench = bench(config, |number| Some(Ok(if number <= 3 { 503 } else { 200 })));
    bench.push(&["a", "b"]);
    let summary = bench.ended().await;
    assert_eq!(bench.seen.bodies(), ["a", "a", "a", "b"]);
    assert_eq!((summary.lost, summary.repeats, summary.taken()), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn to_stop_ends_a_pause_and_lets_what_is_in_flight_finish() {
    let slow = slow_bench(Config::default(), SECOND, |_| Some(Ok(200)));
    let pausing = bench(Config::default(), |_| Some(Ok(503)));
    for bench in [&slow, &pausing] {
        bench.push(&["a", "b"]);
    }
    sleep(SECOND / 2).await;
    let asked = Instant::now();
    slow.common.stop.cancel();
    pausing.common.stop.cancel();
    let (slow, pausing) = (slow.ended().await, pausing.ended().await);
    assert_eq!(asked.elapsed(), SECOND / 2);
    assert_eq!((slow.sent, slow.taken(), slow.faults), (1, 1, 0));
    assert_eq!((pausing.sent, pausing.taken(), pausing.faults), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn to_cut_ends_what_is_in_flight_as_a_fault() {
    let bench = bench(Config::default(), |_| None);
    bench.push(&["a"]);
    sleep(SECOND).await;
    bench.common.cut.cancel();
    let summary = bench.ended().await;
    assert_eq!((summary.sent, summary.faults, summary.is_clean()), (1, 1, false));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_down_ends_it() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("no space"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let config = Config { ledger: Some(super::super::Ledger::new(Full)), ..Config::default() };
    let bench = bench(config, |_| Some(Ok(200)));
    bench.push(&["a", "b"]);
    bench.ended().await;
    assert_eq!(bench.seen.bodies(), ["a"]);
    assert_eq!(bench.common.failed.get().map(String::as_str), Some("no space"));
}

#[test]
fn the_word_of_storing_is_read_and_odd_ones_are_not() {
    let read = |body: &'static str| {
        let answer = Answer { status: 200, body: body.into() };
        stored(&answer).map(str::to_owned)
    };
    assert_eq!(read(r#"{"stored":"dead_letter"}"#).as_deref(), Some("dead_letter"));
    for odd in ["", "OK", r#"{"stored":7}"#, r#"{"stored":"a\tb"}"#, "{\"stored\":\"a\tb\"}"] {
        assert_eq!(read(odd), None, "{odd}");
    }
}
