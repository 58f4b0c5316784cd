//! One thing that can be reloaded.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::files::{Contents, WatchedFiles};
use crate::telemetry::ReloadTarget;

/// Loads the files and applies what they hold. `Ok` says for the log what is new, `Err` what is wrong and what to do; neither
/// has a secret in it.
type Load = Box<dyn FnMut() -> Result<String, String> + Send>;

/// One thing that can be reloaded: its files, and how to load them.
pub struct Watched {
    pub(super) what: ReloadTarget,
    files: WatchedFiles,
    /// Another content than the loaded one, which was read once.
    unconfirmed: Option<Contents>,
    failure: Option<Failure>,
    load: Load,
}

/// The last load failed.
struct Failure {
    problem: String,
    /// How many polls ago, without a new content.
    polls: u32,
}

/// After so many polls, so about once a minute, a failed content is tried again: what was wrong may be outside of the files,
/// such as another file that a configuration names.
const RETRY_POLLS: u32 = 60;

/// Why the files are polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// The time has come.
    Interval,
    /// An operator wants it, so everything is written.
    Request,
}

/// What a poll of the files led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// There is nothing to load, or not yet.
    None,
    /// The new content is in use; the text says what is new.
    Loaded(String),
    /// The new content cannot be used, so the old one stays; the text says why, and what to do.
    Failed(String),
}

impl Watched {
    /// `files` were read before what they hold was loaded for the first time. `load` runs in a thread that may wait.
    pub fn new(
        what: ReloadTarget,
        files: WatchedFiles,
        load: impl FnMut() -> Result<String, String> + Send + 'static,
    ) -> Self {
        Self { what, files, unconfirmed: None, failure: None, load: Box::new(load) }
    }

    /// Reads the files, and loads them if their content is new. On the interval it must be the same in two polls: tools write
    /// file after file, and one may be half written.
    pub(super) fn poll(&mut self, trigger: Trigger) -> Change {
        let contents = self.files.contents();
        if contents == self.files.loaded {
            self.unconfirmed = None;
            return self.retry(trigger);
        }
        if trigger == Trigger::Interval && self.unconfirmed.as_ref() != Some(&contents) {
            self.unconfirmed = Some(contents);
            return Change::None;
        }
        self.unconfirmed = None;
        self.files.loaded = contents;
        self.load()
    }

    /// Tries a failed content again, now and then or when it is requested. Unless it is, the same problem is no news.
    fn retry(&mut self, trigger: Trigger) -> Change {
        let Some(failure) = &mut self.failure else { return Change::None };
        failure.polls += 1;
        if trigger == Trigger::Interval && failure.polls < RETRY_POLLS {
            return Change::None;
        }
        let known = failure.problem.clone();
        match self.load() {
            Change::Failed(problem) if problem == known && trigger == Trigger::Interval => Change::None,
            change => change,
        }
    }

    fn load(&mut self) -> Change {
        // a library that panics over one content must not end all reloads; the panic is in the log
        let load = || self.files.problem().map_or_else(&mut self.load, Err);
        let loaded = catch_unwind(AssertUnwindSafe(load));
        let loaded = loaded.unwrap_or_else(|_| Err("a library panicked over it; put the old content back".into()));
        self.failure = loaded.as_ref().err().map(|problem| Failure { problem: problem.clone(), polls: 0 });
        loaded.map_or_else(Change::Failed, Change::Loaded)
    }
}
