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
    /// How many looks ago, without a new content.
    looks: u32,
}

/// After so many looks, so about once a minute, a failed content is tried again: what was wrong may be outside of the files,
/// such as another file that a configuration names.
const RETRY_LOOKS: u32 = 60;

/// Why the files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// The time has come.
    Interval,
    /// An operator wants it, so everything is written.
    Request,
}

/// What a look at the files led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Looked {
    /// There is nothing to load, or not yet.
    Unchanged,
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

    /// Loads the files if their content is new. On the interval it must be the same in two looks: tools write file after
    /// file, and one may be half written.
    pub(super) fn look(&mut self, trigger: Trigger) -> Looked {
        let contents = self.files.contents();
        if contents == self.files.loaded {
            self.unconfirmed = None;
            return self.retry(trigger);
        }
        if trigger == Trigger::Interval && self.unconfirmed.as_ref() != Some(&contents) {
            self.unconfirmed = Some(contents);
            return Looked::Unchanged;
        }
        self.unconfirmed = None;
        self.files.loaded = contents;
        self.load()
    }

    /// Tries a failed content again, now and then or when it is requested. Unless it is, the same problem is no news.
    fn retry(&mut self, trigger: Trigger) -> Looked {
        let Some(failure) = &mut self.failure else { return Looked::Unchanged };
        failure.looks += 1;
        if trigger == Trigger::Interval && failure.looks < RETRY_LOOKS {
            return Looked::Unchanged;
        }
        let known = failure.problem.clone();
        match self.load() {
            Looked::Failed(problem) if problem == known && trigger == Trigger::Interval => Looked::Unchanged,
            looked => looked,
        }
    }

    fn load(&mut self) -> Looked {
        // a library that panics over one content must not end all reloads; the panic is in the log
        let loaded = catch_unwind(AssertUnwindSafe(&mut self.load));
        let loaded = loaded.unwrap_or_else(|_| Err("a library panicked over it; put the old content back".into()));
        self.failure = loaded.as_ref().err().map(|problem| Failure { problem: problem.clone(), looks: 0 });
        loaded.map_or_else(Looked::Failed, Looked::Loaded)
    }
}
