//! How far it is: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is written.
const EVERY: Duration = Duration::from_secs(5);

/// Tells on stderr how far it is.
pub(super) struct Progress {
    what: &'static str,
    /// None where stderr is no terminal.
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Progress {
    /// Of so many steps, which nobody is shown.
    pub(super) fn new(what: &'static str, of: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {percent} %  {msg}");
            ProgressBar::new(of).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { what, bar, said: Instant::now() }
    }

    /// So many steps are done, and so many records.
    pub(super) fn show(&mut self, steps: u64, records: u64) {
        let line = format!("{} {}", crate::units::records(records), self.what);
        match &self.bar {
            Some(bar) => {
                bar.set_position(steps);
                bar.set_message(line);
            }
            None if self.said.elapsed() >= EVERY => {
                self.said = Instant::now();
                eprintln!("greenapi-bridge: {line}");
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
