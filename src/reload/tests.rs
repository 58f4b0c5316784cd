//! The reloader, driven poll by poll.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::reloadable::Reloadable;

/// A thing whose file has one number; it counts how often it is loaded.
struct Number {
    watched: Watched,
    value: Reloadable<u32>,
    loads: Arc<AtomicUsize>,
}

fn number_in(path: &Path) -> Result<u32, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    text.trim().parse().map_err(|_| format!("number_file = {}: not a number; give one", path.display()))
}

/// Loads the number in this file, and watches it.
fn watch_number(path: &Path) -> Number {
    let (files, value) = (WatchedFiles::read([path.to_owned()]), Reloadable::new(number_in(path).unwrap()));
    let (path, stored, loads) = (path.to_owned(), value.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = loads.clone();
    let watched = Watched::new(ReloadTarget::Tokens, files, move || {
        counted.fetch_add(1, Relaxed);
        let number = number_in(&path)?;
        stored.store(number);
        Ok(format!("number: {number}"))
    });
    Number { watched, value, loads }
}

impl Number {
    fn poll(&mut self) -> Change {
        self.watched.poll(Trigger::Interval)
    }

    /// Polls twice, after which a new content is loaded.
    fn poll_twice(&mut self) -> Change {
        assert_eq!(self.poll(), Change::None);
        self.poll()
    }

    fn loads(&self) -> usize {
        self.loads.load(Relaxed)
    }
}

fn file_with(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("number");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn loaded(number: u32) -> Change {
    Change::Loaded(format!("number: {number}"))
}

#[test]
fn a_file_that_does_not_change_is_not_loaded_again() {
    let (_folder, path) = file_with("1");
    let mut number = watch_number(&path);
    // the same content in another file, of another time
    let other = path.with_extension("other");
    fs::write(&other, "1").unwrap();
    fs::rename(&other, &path).unwrap();
    for _ in 0..5 {
        assert_eq!(number.poll(), Change::None);
    }
    assert_eq!(number.watched.poll(Trigger::Request), Change::None);
    assert_eq!(number.loads(), 0);
}

#[test]
fn a_new_content_is_loaded_once_it_is_the_same_in_two_polls() {
    let (_folder, path) = file_with("1");
    let mut number = watch_number(&path);
    for half_written in ["2", "22", "222"] {
        fs::write(&path, half_written).unwrap();
        assert_eq!(number.poll(), Change::None);
    }
    assert_eq!((number.poll(), *number.value.load()), (loaded(222), 222));
    assert_eq!((number.poll_twice(), number.loads()), (Change::None, 1));
}

#[test]
fn a_content_that_was_there_for_one_poll_is_never_loaded() {
    let (_folder, path) = file_with("1");
    let mut number = watch_number(&path);
    for text in ["half", "1", "half", "1", "1"] {
        fs::write(&path, text).unwrap();
        assert_eq!(number.poll(), Change::None, "{text}");
    }
    assert_eq!(number.loads(), 0);
}

#[test]
fn a_request_loads_a_new_content_at_once() {
    let (_folder, path) = file_with("1");
    let mut number = watch_number(&path);
    fs::write(&path, "2").unwrap();
    assert_eq!((number.watched.poll(Trigger::Request), *number.value.load()), (loaded(2), 2));
    assert_eq!((number.poll_twice(), number.loads()), (Change::None, 1));
}

#[test]
fn a_change_before_the_first_poll_is_not_missed() {
    let (_folder, path) = file_with("1");
    let files = WatchedFiles::read([path.clone()]);
    fs::write(&path, "2").unwrap();
    let mut watched = Watched::new(ReloadTarget::Tokens, files, || Ok(String::new()));
    watched.poll(Trigger::Interval);
    assert_eq!(watched.poll(Trigger::Interval), Change::Loaded(String::new()));
}

#[test]
fn each_bad_content_fails_once_and_the_old_value_stays() {
    let (_folder, path) = file_with("1");
    let mut number = watch_number(&path);
    for bad in ["bad", "worse"] {
        fs::write(&path, bad).unwrap();
        let problem = format!("number_file = {}: not a number; give one", path.display());
        assert_eq!(number.poll_twice(), Change::Failed(problem), "{bad}");
        assert_eq!((number.poll_twice(), *number.value.load()), (Change::None, 1), "{bad}");
    }
    // the content that is in use is loaded too: only that ends the failure
    fs::write(&path, "1").unwrap();
    assert_eq!((number.poll_twice(), number.loads()), (loaded(1), 3));
}

#[test]
fn a_file_that_vanishes_fails_once_and_is_loaded_when_it_is_back() {
    let (_folder, path) = file_with("1");
    let mut number = watch_number(&path);
    fs::remove_file(&path).unwrap();
    assert!(matches!(number.poll_twice(), Change::Failed(_)));
    assert_eq!((number.poll_twice(), *number.value.load()), (Change::None, 1));
    fs::write(&path, "2").unwrap();
    assert_eq!((number.poll_twice(), *number.value.load()), (loaded(2), 2));
}

#[test]
fn a_pipe_in_the_place_of_a_file_fails_and_stops_nothing() {
    let (_folder, path) = file_with("1");
    let mut number = watch_number(&path);
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    assert!(matches!(number.poll_twice(), Change::Failed(problem) if problem.contains("put a file there")));
    assert_eq!((number.loads(), *number.value.load()), (0, 1));
    fs::remove_file(&path).unwrap();
    fs::write(&path, "2").unwrap();
    assert_eq!(number.poll_twice(), loaded(2));
}

#[test]
fn a_request_tries_a_failed_content_again() {
    let (_folder, path) = file_with("1");
    let other = path.with_extension("other");
    let (files, named) = (WatchedFiles::read([path.clone()]), other.clone());
    let mut watched = Watched::new(ReloadTarget::Tokens, files, move || {
        fs::read_to_string(&named).map_err(|_| "a file that is not watched is missing".to_owned())
    });
    fs::write(&path, "2").unwrap();
    assert!(matches!(watched.poll(Trigger::Request), Change::Failed(_)));
    assert!(matches!(watched.poll(Trigger::Request), Change::Failed(_)));
    fs::write(&other, "there").unwrap();
    assert_eq!(watched.poll(Trigger::Interval), Change::None, "not before its time");
    assert_eq!(watched.poll(Trigger::Request), Change::Loaded("there".into()));
    assert_eq!(watched.poll(Trigger::Request), Change::None);
}

#[test]
fn a_failed_content_is_tried_again_and_only_a_new_problem_is_reported() {
    let (_folder, path) = file_with("1");
    let (files, other) = (WatchedFiles::read([path.clone()]), path.with_extension("other"));
    let (named, loads) = (other.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = loads.clone();
    let mut watched = Watched::new(ReloadTarget::Tokens, files, move || {
        counted.fetch_add(1, Relaxed);
        let text = fs::read_to_string(&named).unwrap_or_default();
        if text == "good" { Ok(text) } else { Err(format!("the other file says {text:?}")) }
    });
    let mut poll_often = || -> Vec<_> {
        let changes = (0..125).map(|_| watched.poll(Trigger::Interval));
        changes.filter(|change| *change != Change::None).collect()
    };
    fs::write(&path, "2").unwrap();
    assert_eq!(poll_often(), [Change::Failed("the other file says \"\"".into())]);
    assert_eq!(loads.load(Relaxed), 3, "about once a minute, not in every poll");
    fs::write(&other, "bad").unwrap();
    assert_eq!(poll_often(), [Change::Failed("the other file says \"bad\"".into())]);
    fs::write(&other, "good").unwrap();
    assert_eq!(poll_often(), [Change::Loaded("good".into())]);
}

/// Kubernetes mounts `number -> ..data/number` and `..data -> ..one`, and replaces `..data` as a whole.
#[test]
fn a_swap_of_the_link_above_the_file_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, text) in [("..one", "1"), ("..two", "2")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("number"), text).unwrap();
    }
    symlink("..one", at("..data")).unwrap();
    symlink("..data/number", at("number")).unwrap();
    let mut number = watch_number(&at("number"));
    symlink("..two", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    fs::remove_dir_all(at("..one")).unwrap();
    assert_eq!((number.poll_twice(), *number.value.load()), (loaded(2), 2));
}

/// As a certificate and its key: one is written after the other.
#[test]
fn two_files_that_must_match_are_loaded_once_both_are_new() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["certificate", "key"].map(|name| folder.path().join(name));
    let write = |path: &Path, text: &str| fs::write(path, text).unwrap();
    write(&certificate, "1");
    write(&key, "1");
    let files = WatchedFiles::read([certificate.clone(), key.clone()]);
    let pair = [certificate.clone(), key.clone()];
    let mut watched = Watched::new(ReloadTarget::Certificate, files, move || {
        let [certificate, key] = pair.each_ref().map(|path| fs::read_to_string(path).unwrap());
        if certificate == key { Ok(certificate) } else { Err("the key is another certificate's".into()) }
    });
    write(&certificate, "2");
    assert_eq!(watched.poll(Trigger::Interval), Change::None);
    write(&key, "2");
    assert_eq!(watched.poll(Trigger::Interval), Change::None);
    assert_eq!(watched.poll(Trigger::Interval), Change::Loaded("2".into()));
    // the pair stays apart for longer
    write(&key, "3");
    assert_eq!(watched.poll(Trigger::Interval), Change::None);
    assert_eq!(watched.poll(Trigger::Interval), Change::Failed("the key is another certificate's".into()));
    write(&certificate, "3");
    assert_eq!(watched.poll(Trigger::Interval), Change::None);
    assert_eq!(watched.poll(Trigger::Interval), Change::Loaded("3".into()));
}

fn reloader(watched: Watched) -> (Reloader, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new::<ReloadResult, ReloadResult>().unwrap());
    let mut reloader = Reloader::new(metrics.clone());
    reloader.watch(watched);
    (reloader, metrics)
}

/// How many reloads of the tokens had this result.
fn count(metrics: &Metrics, result: &str) -> u32 {
    let text = String::from_utf8(metrics.text()).unwrap();
    let series = format!("greenapi_bridge_reloads_total{{result=\"{result}\",what=\"tokens\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

#[test]
fn a_failure_is_shown_since_its_first_time_until_a_good_content_is_loaded() {
    let (_folder, path) = file_with("1");
    let (mut reloader, metrics) = reloader(watch_number(&path).watched);
    let failures = reloader.failures();
    let mut load = |text: &str| {
        fs::write(&path, text).unwrap();
        (0..3).for_each(|_| reloader.poll(Trigger::Interval));
    };
    load("bad");
    let first = failures.all();
    assert_eq!(first.iter().map(|(what, _)| *what).collect::<Vec<_>>(), [ReloadTarget::Tokens]);
    load("worse");
    assert_eq!(failures.all(), first, "it has failed since the first");
    assert_eq!((count(&metrics, "failed"), count(&metrics, "loaded")), (2, 0));
    load("2");
    assert_eq!((failures.all(), count(&metrics, "failed"), count(&metrics, "loaded")), (Vec::new(), 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_polls_at_once_and_a_stop_ends_the_reloader() {
    let (_folder, path) = file_with("1");
    let number = watch_number(&path);
    let (value, stop) = (number.value.clone(), CancellationToken::new());
    let (reloader, _metrics) = reloader(number.watched);
    let requests = reloader.requests();
    fs::write(&path, "2").unwrap();
    // before it runs: such a request is not lost
    let asked = tokio::spawn(async move { requests.reload().await });
    tokio::task::yield_now().await;
    let running = tokio::spawn(reloader.run(stop.clone()));
    asked.await.unwrap();
    assert_eq!(*value.load(), 2, "a reload that has ended is in use");
    stop.cancel();
    running.await.unwrap();
}

#[test]
fn a_panic_over_a_content_is_a_failure_like_any_other() {
    let (_folder, path) = file_with("1");
    let (files, read) = (WatchedFiles::read([path.clone()]), path.clone());
    let mut watched = Watched::new(ReloadTarget::Tokens, files, move || {
        Ok(number_in(&read).unwrap_or_else(|_| panic!("over this content")).to_string())
    });
    fs::write(&path, "bad").unwrap();
    assert!(matches!(watched.poll(Trigger::Request), Change::Failed(_)));
    fs::write(&path, "2").unwrap();
    assert_eq!(watched.poll(Trigger::Request), Change::Loaded("2".into()));
}
