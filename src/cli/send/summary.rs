//! The output of `send`: its progress, the remedy for answers that repeating does not mend, and the summary.

use std::collections::BTreeSet;

use crate::cli::progress::Progress;
use crate::simulator::{Latency, Summary};

/// Shows the progress of `send`.
pub(super) struct SendProgress {
    progress: Progress,
    count: Option<u64>,
    with_token: bool,
    /// The statuses whose remedy was printed.
    advised: BTreeSet<u16>,
}

impl SendProgress {
    /// `count` is the number of notifications; None means it is unknown. `with_token`: a token is sent.
    pub(super) fn new(count: Option<u64>, with_token: bool) -> Self {
        Self { progress: Progress::new("sending", count), count, with_token, advised: BTreeSet::new() }
    }

    /// Whether it is time to show something again.
    pub(super) fn is_due(&self) -> bool {
        self.progress.is_due()
    }

    /// Shows the progress, the last problem, and remedies that were not printed before.
    pub(super) fn show(&mut self, summary: &Summary, problem: Option<String>) {
        let Summary { per_second, repeats, lost, .. } = summary;
        let answered = summary.answered_200();
        let of = self.count.map(|count| format!(" of {count}")).unwrap_or_default();
        let problem = problem.map(|problem| format!("; {problem}")).unwrap_or_default();
        self.progress.show(answered, None, || {
            format!("{answered}{of} answered 200, {per_second:.0}/s, {repeats} sent again, {lost} lost{problem}")
        });
        self.advise(summary);
    }

    fn advise(&mut self, summary: &Summary) {
        for status in summary.answered.keys() {
            if let Some(remedy) = remedy(*status, self.with_token)
                && self.advised.insert(*status)
            {
                self.progress.remark(&format!("answered {status}: {remedy}"));
            }
        }
    }

    /// Prints the last problem, and remedies that were not printed before.
    pub(super) fn end(mut self, summary: &Summary, problem: Option<String>) {
        self.advise(summary);
        problem.iter().for_each(|problem| self.progress.remark(problem));
    }
}

fn remedy(status: u16, with_token: bool) -> Option<&'static str> {
    Some(match status {
        401 if with_token => "the bridge does not accept this token; give one of its own with --config or --token-file",
        401 => "the bridge requires a token; give --config or --token-file",
        403 => "the bridge does not accept this source address; add it to its auth.allow_from",
        404 => "this path accepts no notifications; correct --url, or give --config",
        300..=399 => "this address sends elsewhere; correct --url",
        400 => {
            "this is another server, or a bridge that requires https:// or the proxy of its http.proxy in between; correct --url"
        }
        405 | 411 | 415 | 501 | 505 => "this is no bridge, or another of its listeners; correct --url",
        413 => "a body is larger than the bridge accepts; lower --size, or raise http.max_body",
        _ => return None,
    })
}

/// Prints the summary, as text or as JSON.
pub(super) fn print(summary: &Summary, as_json: bool) {
    if as_json {
        // numbers with strings as keys: serializing them cannot fail
        println!("{}", serde_json::to_string(summary).unwrap_or_default());
        return;
    }
    let Summary { sent, answered, stored, repeats, faults, lost, seconds, per_second, latency_ms } = summary;
    println!("{sent} notifications sent in {seconds:.1} s, {per_second:.0} a second answered 200");
    for (status, count) in answered {
        let stored = stored.iter().filter(|_| *status == 200).map(|(word, count)| format!("{word} {count}"));
        println!("  answered {status}    {count:>9}  {}", stored.collect::<Vec<_>>().join(", "));
    }
    let left = sent - summary.answered_200().min(*sent);
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
