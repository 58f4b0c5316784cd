//! `check --ready`: asks a running bridge whether it is ready, for a health check without a shell.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::{endpoint, output};
use crate::http_client::{AdminClient, Target};

/// How long the bridge may take. A health check that ends for its own timeout can still say why.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Exit code 0: the bridge says that it is ready, 1: it says otherwise or nothing, 2: the URL or the file cannot be used.
pub(super) fn check(url: &str, ca_file: Option<&PathBuf>) -> ExitCode {
    let shown = url.split('?').next().filter(|shown| !shown.contains('@')).unwrap_or("…");
    let target = match Target::new(url, "") {
        Ok(target) => target,
        Err(error) => return super::refuse(&format!("--ready = {shown}: {error}")),
    };
    let client = match AdminClient::new(target, &endpoint::trust(Some(url), ca_file, None)) {
        Ok(client) => client,
        Err(error) => return super::refuse(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime.inspect_err(super::no_runtime) else { return ExitCode::FAILURE };
    let answer = runtime.block_on(async { tokio::time::timeout(TIMEOUT, client.get()).await });
    // a thread may still wait for the name to be resolved
    runtime.shutdown_background();
    let problem = match answer {
        Ok(Ok((200, body))) if is_ready(&body) => {
            println!("ready");
            return ExitCode::SUCCESS;
        }
        Ok(Ok((200, _))) => "200, but not as /readyz of a bridge answers; give that URL".into(),
        Ok(Ok((status, body))) => format!("{status} {}", output::beginning(&body)),
        Ok(Err(problem)) => problem,
        Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
    };
    eprintln!("greenapi-bridge: not ready: {shown}: {problem}");
    ExitCode::FAILURE
}

/// Any server answers 200 somewhere.
fn is_ready(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|readyz| readyz["ready"] == true)
}
