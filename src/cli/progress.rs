//! Progress of long work, on stderr: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is printed where stderr is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How often the bar is drawn.
const BAR_EVERY: Duration = Duration::from_millis(200);

/// Shows the progress of one piece of work; dropping it removes the bar.
pub(super) struct Progress {
    label: String,
    /// None means stderr is not a terminal.
    bar: Option<ProgressBar>,
    shown: Instant,
}

impl Progress {
    /// `label` says what is done; `total` is the number of steps, if it is known.
    pub(super) fn new(label: impl Into<String>, total: Option<u64>) -> Self {
        let label = label.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let template =
                if total.is_some() { "{prefix}  {bar:30} {percent} %  {msg}" } else { "{spinner} {prefix}  {msg}" };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            bar.with_style(style).with_prefix(label.clone())
        });
        Self { label, bar, shown: Instant::now() }
    }

    /// Whether enough time has passed to show something again.
    pub(super) fn is_due(&self) -> bool {
        self.shown.elapsed() >= if self.bar.is_some() { BAR_EVERY } else { LINE_EVERY }
    }

    /// Shows `done` steps of `total`, if it is due; `message` has the numbers in words.
    pub(super) fn show(&mut self, done: u64, total: Option<u64>, message: impl FnOnce() -> String) {
        if !self.is_due() {
            return;
        }
        self.shown = Instant::now();
        match &self.bar {
            Some(bar) => {
                total.into_iter().for_each(|total| bar.set_length(total));
                bar.set_position(done);
                bar.set_message(message());
                bar.tick();
            }
            None => eprintln!("greenapi-bridge: {}: {}", self.label, message()),
        }
    }

    /// Prints a line of the result to stdout, above the bar.
    pub(super) fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// Prints a remark to stderr, above the bar.
    pub(super) fn remark(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("greenapi-bridge: {line}")),
            None => eprintln!("greenapi-bridge: {line}"),
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
