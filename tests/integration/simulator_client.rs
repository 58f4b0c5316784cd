//! The double of GREEN-API against servers that are no bridge.

use std::future::Future;
use std::time::{Duration, Instant};

use greenapi_bridge::simulator::{NotQueued, Sample, Settings, Simulator, SimulatorConfig, Summary};

use crate::harness::{Act, Request, ScriptedServer, free_port};

/// A minute takes 300 ms.
const PAUSE: Duration = Duration::from_millis(300);

fn compressed() -> SimulatorConfig {
    SimulatorConfig { pause: PAUSE, gap: Duration::ZERO, ..SimulatorConfig::default() }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await.unwrap() })
}

fn body(number: usize) -> String {
    format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"number":{number}}}"#)
}

/// Three notifications of one instance.
fn three(scripted_server: &ScriptedServer, config: SimulatorConfig) -> (Summary, Vec<Request>) {
    let summary = now(async {
        let simulator = Simulator::new(config).unwrap();
        let url = format!("http://{}/hook?k=v", scripted_server.address);
        let instance = simulator.add_instance(7, Settings::all(&url, "t0ken")).unwrap();
        (0..3).for_each(|number| instance.push(body(number)).unwrap());
        drop(instance);
        simulator.finish().await.unwrap()
    });
    (summary, scripted_server.seen())
}

fn bodies(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect()
}

#[test]
fn only_a_200_removes_a_notification_from_the_queue() {
    let answers = [201, 204, 302, 500, 200, 202].map(Act::Answer);
    let scripted_server = ScriptedServer::start(&answers);
    let begun = Instant::now();
    let (summary, seen) = three(&scripted_server, compressed());
    assert_eq!(bodies(&seen), [0, 0, 0, 0, 0, 1, 1, 2].map(body));
    assert!(begun.elapsed() >= 5 * PAUSE, "{:?}", begun.elapsed());
    assert_eq!((summary.sent, summary.repeats, summary.faults, summary.answered_200()), (3, 5, 0, 3));
    assert!(seen.iter().all(|request| request.connection == 0), "one connection is enough");
}

#[test]
fn a_request_is_as_green_api_sends_it() {
    let (_, seen) = three(&ScriptedServer::start(&[]), compressed());
    let lines: Vec<_> = seen[0].head.lines().collect();
    assert_eq!(lines[0], "POST /hook?k=v HTTP/1.1");
    let has = |line: &str| lines.iter().any(|found| found.eq_ignore_ascii_case(line));
    assert!(has("authorization: Bearer t0ken"), "{lines:?}");
    assert!(has("content-type: application/json; charset=utf-8"), "{lines:?}");
}

#[test]
fn an_orderly_close_by_the_server_is_no_fault() {
    let (summary, seen) = three(&ScriptedServer::start(&[Act::Last, Act::Last]), compressed());
    assert_eq!(seen.iter().map(|request| request.connection).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((summary.repeats, summary.faults, summary.answered_200()), (0, 0, 3));
}

#[test]
fn a_broken_connection_and_silence_are_faults_and_are_retried() {
    let config = SimulatorConfig { timeout: Duration::from_millis(200), ..compressed() };
    let scripted_server = ScriptedServer::start(&[Act::Break, Act::Silence]);
    let (summary, seen) = three(&scripted_server, config);
    assert_eq!(bodies(&seen), [0, 0, 0, 1, 2].map(body));
    assert_eq!(seen.iter().map(|request| request.connection).collect::<Vec<_>>(), [0, 1, 2, 2, 2]);
    assert_eq!((summary.sent, summary.repeats, summary.faults, summary.answered_200()), (3, 2, 2, 3));
}

#[test]
fn a_refused_connection_is_a_fault_that_names_the_address() {
    let (port, config) = (free_port(), SimulatorConfig { max_repeats: Some(0), ..compressed() });
    now(async {
        let simulator = Simulator::new(config).unwrap();
        let url = format!("http://127.0.0.1:{port}/");
        let instance = simulator.add_instance(7, Settings::all(&url, "")).unwrap();
        instance.push(body(0)).unwrap();
        drop(instance);
        let summary = simulator.finish().await.unwrap();
        assert_eq!((summary.sent, summary.faults, summary.lost), (1, 1, 1));
        let problem = simulator.take_problem().unwrap();
        assert!(problem.contains("instance 7") && problem.contains(&port.to_string()), "{problem}");
    });
}

#[test]
fn notifications_wait_for_a_url_and_flags_choose_them() {
    let scripted_server = ScriptedServer::start(&[]);
    let mut settings: Settings = serde_json::from_str(r#"{"stateWebhook":"yes"}"#).unwrap();
    now(async {
        let simulator = Simulator::new(compressed()).unwrap();
        let mut instance = simulator.add_instance(7, settings.clone()).unwrap();
        let results: Vec<_> = Sample::all().iter().map(|sample| instance.push_sample(sample)).collect();
        assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(NotQueued::Unwanted))));
        let wanted = results.iter().filter(|result| result.is_ok()).count();
        tokio::time::sleep(PAUSE).await;
        assert_eq!((instance.queued(), scripted_server.seen().len()), (wanted, 0));
        settings.webhook_url = format!("http://{}/", scripted_server.address);
        instance.change_settings(settings).unwrap();
        assert!(instance.change_settings(Settings::all("nats://h", "")).is_err(), "and the old ones stay");
        drop(instance);
        assert_eq!(simulator.finish().await.unwrap().answered_200(), wanted as u64);
    });
    let kinds: std::collections::BTreeSet<_> = scripted_server
        .seen()
        .iter()
        .map(|request| serde_json::from_slice::<serde_json::Value>(&request.body).unwrap()["typeWebhook"].to_string())
        .collect();
    assert_eq!(kinds, ["\"quotaExceeded\"", "\"stateInstanceChanged\""].map(String::from).into());
}

#[test]
fn a_new_url_is_used_from_the_next_notification_on() {
    let ends = [ScriptedServer::start(&[]), ScriptedServer::start(&[])];
    now(async {
        let simulator = Simulator::new(compressed()).unwrap();
        let mut instance = simulator.add_instance(7, Settings::default()).unwrap();
        for (number, end) in ends.iter().enumerate() {
            instance.change_settings(Settings::all(&format!("http://{}/", end.address), "")).unwrap();
            instance.push(body(number)).unwrap();
            while instance.queued() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    assert_eq!(ends.map(|end| bodies(&end.seen())), [[body(0)], [body(1)]]);
}

#[test]
fn each_instance_has_a_connection_and_a_pause_of_its_own() {
    let (good, bad) = (ScriptedServer::start(&[]), ScriptedServer::start(&[Act::Answer(503); 100]));
    now(async {
        let simulator = Simulator::new(SimulatorConfig { pause: Duration::from_secs(3600), ..compressed() }).unwrap();
        let ends = [&bad, &good, &good];
        let instances = ends.map(|end| {
            let instance = simulator.add_instance(7, Settings::all(&format!("http://{}/", end.address), "")).unwrap();
            (0..50).for_each(|number| instance.push(body(number)).unwrap());
            instance
        });
        while instances[1..].iter().any(|instance| instance.queued() > 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(instances[0].queued(), 50);
        simulator.stop();
        assert_eq!(simulator.finish().await.unwrap().answered_200(), 100);
    });
    assert_eq!((bad.seen().len(), good.seen().len()), (1, 100));
    assert!(good.seen().iter().any(|request| request.connection == 1));
}
