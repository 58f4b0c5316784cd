use std::sync::Mutex;

use tokio_util::task::TaskTracker;

use super::super::queue::Queue;
use super::super::source::SharedQueue;
use super::*;
use crate::http_client::RequestError;

/// What the server does with a request, by its number: a status, an error, or no answer.
type Script = Box<dyn FnMut(usize) -> Option<Result<u16, RequestError>> + Send>;

/// The requests a server received.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<Vec<(Duration, String)>>>);

impl Requests {
    fn bodies(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// When each request came, since the first.
    fn times(&self) -> Vec<Duration> {
        let requests = self.0.lock().unwrap();
        requests.iter().map(|(at, _)| *at - requests[0].0).collect()
    }
}

struct ScriptedServer {
    script: Script,
    requests: Requests,
    begun: Instant,
    /// How long an answer takes.
    delay: Duration,
}

impl Post for ScriptedServer {
    async fn post(&mut self, _: &Arc<Target>, body: &bytes::Bytes) -> Result<HttpResponse, RequestError> {
        let number = {
            let mut requests = self.requests.0.lock().unwrap();
            requests.push((self.begun.elapsed(), String::from_utf8(body.to_vec()).unwrap()));
            requests.len()
        };
        sleep(self.delay).await;
        match (self.script)(number) {
            Some(Ok(status)) => Ok(HttpResponse { status, body: r#"{"stored":"broker"}"#.into() }),
            Some(Err(fault)) => Err(fault),
            None => std::future::pending().await,
        }
    }
}

/// A worker with its queue and its server.
struct Setup {
    context: Arc<Context>,
    queue: Arc<SharedQueue>,
    target: watch::Sender<Option<Arc<Target>>>,
    requests: Requests,
    workers: TaskTracker,
}

fn some_target() -> Option<Arc<Target>> {
    Some(Arc::new("http://h/".parse().unwrap()))
}

fn start(
    config: SimulatorConfig,
    script: impl FnMut(usize) -> Option<Result<u16, RequestError>> + Send + 'static,
) -> Setup {
    start_slow(config, Duration::ZERO, script)
}

fn start_slow(
    config: SimulatorConfig,
    delay: Duration,
    script: impl FnMut(usize) -> Option<Result<u16, RequestError>> + Send + 'static,
) -> Setup {
    let queue = Arc::new(SharedQueue::new(Queue::new(config.max_queued, config.retention)));
    let context = Arc::new(Context {
        counters: Counters::new().unwrap(),
        stop: CancellationToken::new(),
        abort: CancellationToken::new(),
        ledger_error: OnceLock::new(),
        config,
    });
    let (target, target_changes) = watch::channel(some_target());
    let (requests, begun, workers) = (Requests::default(), Instant::now(), TaskTracker::new());
    let client = ScriptedServer { script: Box::new(script), requests: requests.clone(), begun, delay };
    let pace = Pace::new(context.config.gap, begun);
    let worker = Worker { context: context.clone(), instance: 7, target: target_changes, client, pace };
    workers.spawn(worker.run(Source::Queue(queue.clone())));
    Setup { context, queue, target, requests, workers }
}

impl Setup {
    fn push(&self, bodies: &[&'static str]) {
        for body in bodies {
            self.queue.push((*body).into(), &self.context.counters).unwrap();
        }
    }

    /// Waits until everything queued is sent or lost.
    async fn finish(&self) -> super::super::Summary {
        self.queue.close();
        self.workers.close();
        self.workers.wait().await;
        self.context.counters.summary()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test(start_paused = true)]
async fn requests_are_in_order_and_twenty_milliseconds_apart() {
    let setup = start(SimulatorConfig::default(), |_| Some(Ok(200)));
    setup.push(&["a", "b", "c"]);
    let summary = setup.finish().await;
    assert_eq!(setup.requests.bodies(), ["a", "b", "c"]);
    assert_eq!(setup.requests.times(), [0, 20, 40].map(Duration::from_millis));
    assert!(summary.is_clean() && summary.answered_200() == 3, "{summary:?}");
}

#[tokio::test(start_paused = true)]
async fn slow_answer_delays_the_next_request() {
    let setup = start_slow(SimulatorConfig::default(), Duration::from_millis(50), |_| Some(Ok(200)));
    setup.push(&["a", "b", "c"]);
    setup.finish().await;
    assert_eq!(setup.requests.times(), [0, 50, 100].map(Duration::from_millis));
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_there_is_no_catching_up() {
    let setup = start(SimulatorConfig::default(), |number| Some(Ok(if number == 1 { 503 } else { 200 })));
    setup.push(&["a", "b", "c"]);
    setup.finish().await;
    assert_eq!(setup.requests.times(), [0, 60_000, 60_020, 60_040].map(Duration::from_millis));
}

#[tokio::test(start_paused = true)]
async fn without_a_gap_only_the_answer_is_waited_for() {
    let config = SimulatorConfig { gap: Duration::ZERO, ..SimulatorConfig::default() };
    let setup = start_slow(config, Duration::from_millis(3), |_| Some(Ok(200)));
    setup.push(&["a", "b", "c"]);
    setup.finish().await;
    assert_eq!(setup.requests.times(), [0, 3, 6].map(Duration::from_millis));
}

#[tokio::test(start_paused = true)]
async fn any_status_but_200_pauses_a_minute_and_repeats_the_same_bytes() {
    let answers = [201, 204, 302, 401, 404, 413, 503];
    let setup =
        start(SimulatorConfig::default(), move |number| Some(Ok(answers.get(number - 1).copied().unwrap_or(200))));
    setup.push(&["a", "b"]);
    let summary = setup.finish().await;
    assert_eq!(setup.requests.bodies(), ["a", "a", "a", "a", "a", "a", "a", "a", "b"]);
    let times = setup.requests.times();
    assert_eq!(times[..8], std::array::from_fn::<_, 8, _>(|number| 60 * SECOND * number as u32));
    assert_eq!((summary.sent, summary.repeats, summary.faults, summary.answered_200()), (2, 7, 0, 2));
    assert!(answers.iter().all(|status| summary.answered[status] == 1), "{summary:?}");
}

#[tokio::test(start_paused = true)]
async fn connection_error_and_timeout_pause_too() {
    let setup = start(SimulatorConfig::default(), |number| match number {
        1 => Some(Err(RequestError("refused".into()))),
        2 => None,
        _ => Some(Ok(200)),
    });
    setup.push(&["a"]);
    let summary = setup.finish().await;
    assert_eq!(setup.requests.times(), [Duration::ZERO, 60 * SECOND, (60 + 180 + 60) * SECOND]);
    assert_eq!((summary.sent, summary.repeats, summary.faults, summary.answered_200()), (1, 2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn notification_refused_for_a_day_is_lost_and_the_next_is_sent() {
    let setup = start(SimulatorConfig::default(), |number| Some(Ok(if number <= 24 * 60 { 503 } else { 200 })));
    setup.push(&["old"]);
    sleep(DAY / 2).await;
    setup.push(&["young"]);
    let summary = setup.finish().await;
    let bodies = setup.requests.bodies();
    assert_eq!((bodies.len(), bodies[24 * 60 - 1].as_str(), bodies[24 * 60].as_str()), (24 * 60 + 1, "old", "young"));
    assert_eq!((summary.lost, summary.answered_200()), (1, 1));
    assert!(!summary.is_clean());
}

#[tokio::test(start_paused = true)]
async fn without_a_url_notifications_wait_for_a_day() {
    let setup = start(SimulatorConfig::default(), |_| Some(Ok(200)));
    setup.target.send_replace(None);
    setup.push(&["old"]);
    sleep(SECOND).await;
    setup.push(&["young"]);
    sleep(DAY - SECOND).await;
    assert_eq!((setup.requests.bodies().len(), setup.queue.len(&setup.context.counters)), (0, 1));
    setup.target.send_replace(some_target());
    let summary = setup.finish().await;
    assert_eq!(setup.requests.bodies(), ["young"]);
    assert_eq!((summary.lost, summary.answered_200()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn notification_repeated_too_often_is_lost() {
    let config = SimulatorConfig { max_repeats: Some(2), ..SimulatorConfig::default() };
    let setup = start(config, |number| Some(Ok(if number <= 3 { 503 } else { 200 })));
    setup.push(&["a", "b"]);
    let summary = setup.finish().await;
    assert_eq!(setup.requests.bodies(), ["a", "a", "a", "b"]);
    assert_eq!((summary.lost, summary.repeats, summary.answered_200()), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn stop_ends_a_pause_and_lets_requests_in_flight_finish() {
    let slow = start_slow(SimulatorConfig::default(), SECOND, |_| Some(Ok(200)));
    let pausing = start(SimulatorConfig::default(), |_| Some(Ok(503)));
    for setup in [&slow, &pausing] {
        setup.push(&["a", "b"]);
    }
    sleep(SECOND / 2).await;
    let asked = Instant::now();
    slow.context.stop.cancel();
    pausing.context.stop.cancel();
    let (slow, pausing) = (slow.finish().await, pausing.finish().await);
    assert_eq!(asked.elapsed(), SECOND / 2);
    assert_eq!((slow.sent, slow.answered_200(), slow.faults), (1, 1, 0));
    assert_eq!((pausing.sent, pausing.answered_200(), pausing.faults), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn abort_ends_requests_in_flight_as_faults() {
    let setup = start(SimulatorConfig::default(), |_| None);
    setup.push(&["a"]);
    sleep(SECOND).await;
    setup.context.abort.cancel();
    let summary = setup.finish().await;
    assert_eq!((summary.sent, summary.faults, summary.is_clean()), (1, 1, false));
}

#[tokio::test(start_paused = true)]
async fn ledger_that_cannot_be_written_stops_it() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("no space"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let config = SimulatorConfig { ledger: Some(super::super::Ledger::new(Full)), ..SimulatorConfig::default() };
    let setup = start(config, |_| Some(Ok(200)));
    setup.push(&["a", "b"]);
    setup.finish().await;
    assert_eq!(setup.requests.bodies(), ["a"]);
    assert_eq!(setup.context.ledger_error.get().map(String::as_str), Some("no space"));
}

#[test]
fn only_plain_values_of_stored_are_read() {
    let read = |body: &'static str| {
        let response = HttpResponse { status: 200, body: body.into() };
        stored(&response).map(str::to_owned)
    };
    assert_eq!(read(r#"{"stored":"dead_letter"}"#).as_deref(), Some("dead_letter"));
    for odd in ["", "OK", r#"{"stored":7}"#, r#"{"stored":"a\tb"}"#, "{\"stored\":\"a\tb\"}"] {
        assert_eq!(read(odd), None, "{odd}");
    }
}
