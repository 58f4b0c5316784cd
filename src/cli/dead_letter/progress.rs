//! How far a long reading is: a bar on a terminal, lines elsewhere; on stderr.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::SAID_EVERY;

pub(super) struct Progress {
    what: String,
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Progress {
    /// Of something that is done to records.
    pub(super) fn new(what: String) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix}  {bar:30} {pos}/{len}  {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style).with_prefix(what.clone())
        });
        Self { what, bar, said: Instant::now() }
    }

    /// So many of so many; `more` is asked for only where it is shown.
    pub(super) fn show(&mut self, done: u64, all: u64, more: impl FnOnce() -> String) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(all);
                bar.set_position(done);
                bar.set_message(more());
            }
            None if self.said.elapsed() >= SAID_EVERY => {
                self.said = Instant::now();
                eprintln!("greenapi-bridge: {}: {done} of {all} records read {}", self.what, more());
            }
            None => {}
        }
    }

    /// Prints a line of the result, above the bar.
    pub(super) fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
