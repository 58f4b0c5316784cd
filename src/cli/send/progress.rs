//! What people see of a sender: a bar on a terminal, lines elsewhere, and the summary.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::sender::{Latency, Summary};

/// Tells how far it is, on stderr.
pub(super) struct Progress {
    count: Option<u64>,
    /// None where stderr is no terminal.
    bar: Option<ProgressBar>,
    /// Whether a token is sent.
    with_token: bool,
    /// Statuses whose remedy was told.
    told: BTreeSet<u16>,
}

impl Progress {
    /// For so many notifications; none: nobody knows.
    pub(super) fn new(count: Option<u64>, with_token: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let form = if count.is_some() { "{bar:30} {pos}/{len}  {msg}" } else { "{spinner} {pos}  {msg}" };
            let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
            count.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style)
        });
        Self { count, bar, with_token, told: BTreeSet::new() }
    }

    /// When to show something: often on a terminal, every few seconds elsewhere.
    pub(super) fn interval(&self) -> Interval {
        let period = if self.bar.is_some() { Duration::from_millis(200) } else { Duration::from_secs(5) };
        let mut interval = interval_at(Instant::now() + period, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    }

    pub(super) fn show(&mut self, summary: &Summary, trouble: Option<String>) {
        let Summary { per_second, repeats, lost, .. } = summary;
        let rest = format!("{per_second:.0}/s, {repeats} sent again, {lost} lost");
        match &self.bar {
            Some(bar) => {
                bar.set_position(summary.taken());
                bar.set_message(rest);
                bar.tick();
                if let Some(trouble) = trouble {
                    bar.println(trouble);
                }
            }
            None => {
                let of = self.count.map(|count| format!(" of {count}")).unwrap_or_default();
                let trouble = trouble.map(|trouble| format!("; {trouble}")).unwrap_or_default();
                eprintln!("greenapi-bridge: {}{of} answered 200, {rest}{trouble}", summary.taken());
            }
        }
    }

    /// What to do about each answer that time alone does not mend, once.
    pub(super) fn advise(&mut self, summary: &Summary) {
        for status in summary.answered.keys() {
            if let Some(remedy) = remedy(*status, self.with_token)
                && self.told.insert(*status)
            {
                let line = format!("greenapi-bridge: answered {status}: {remedy}");
                match &self.bar {
                    Some(bar) => bar.println(line),
                    None => eprintln!("{line}"),
                }
            }
        }
    }

    /// Takes the bar away; says what went wrong and was not said yet.
    pub(super) fn end(mut self, trouble: Option<String>, summary: &Summary) {
        self.advise(summary);
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        if let Some(trouble) = trouble {
            eprintln!("greenapi-bridge: {trouble}");
        }
    }
}

fn remedy(status: u16, with_token: bool) -> Option<&'static str> {
    Some(match status {
        401 if with_token => "not with this token; give the bridge's own with --config or --token-file",
        401 => "not without a token; give --config or --token-file",
        403 => "not from this address; add it to auth.allow_from of the bridge",
        404 => "nothing takes notifications at this path; correct --url, or give --config",
        413 => "a body is larger than the bridge takes; lower --size, or raise http.max_body",
        _ => return None,
    })
}

/// The summary, for people or for programs.
pub(super) fn print(summary: &Summary, as_json: bool) {
    if as_json {
        // numbers, and words as keys: that cannot fail
        println!("{}", serde_json::to_string(summary).unwrap_or_default());
        return;
    }
    let Summary { sent, answered, stored, repeats, faults, lost, seconds, per_second, latency_ms } = summary;
    println!("{sent} notifications sent in {seconds:.1} s, {per_second:.0} a second answered 200");
    for (status, count) in answered {
        let words = stored.iter().filter(|_| *status == 200).map(|(word, count)| format!("{word} {count}"));
        println!("  answered {status}    {count:>9}  {}", words.collect::<Vec<_>>().join(", "));
    }
    let left = sent - summary.taken().min(*sent);
    for (what, count) in
        [("sent again", repeats), ("without answer", faults), ("lost", lost), ("not answered 200", &left)]
    {
        if *count > 0 {
            println!("  {what:<16}{count:>9}");
        }
    }
    if answered.is_empty() {
        return;
    }
    let Latency { p50, p90, p99, max } = latency_ms;
    println!("  latency, ms      p50 {p50:.2}, p90 {p90:.2}, p99 {p99:.2}, max {max:.2}");
}
