//! What a bridge reloads while it serves: tokens and the allow list.

use std::path::Path;
use std::sync::Arc;

use tracing::{info, warn};

use crate::auth::{AllowList, Range, Tokens};
use crate::config::{Config, ConfigError, ConfigSource, known_parts, read_tokens};
use crate::reload::{ReloadStatus, Reloader, Watched, WatchedFiles};
use crate::reloadable::Reloadable;
use crate::telemetry::{Metrics, ReloadResult, ReloadTarget};

/// Loads the tokens of `auth.tokens_file`, now and whenever the file changes. The metrics get a series for each instance that
/// has a token of its own. None means that there is no such file.
pub(super) fn webhook_tokens(
    config: &Config,
    reloader: &mut Reloader,
    metrics: &Arc<Metrics>,
) -> Result<Option<Reloadable<Tokens>>, ConfigError> {
    let Some(path) = &config.auth.tokens_file else { return Ok(None) };
    let metrics = metrics.clone();
    let set_instances = move |tokens: &Tokens| metrics.set_instances(&tokens.instances());
    let files = TokensFile { what: ReloadTarget::Tokens, key: "auth.tokens_file", path };
    files.watch(reloader, set_instances).map(Some)
}

/// The same with `admin.tokens_file`.
pub(super) fn admin_tokens(
    config: &Config,
    reloader: &mut Reloader,
) -> Result<Option<Reloadable<Tokens>>, ConfigError> {
    let Some(path) = config.admin.as_ref().and_then(|admin| admin.tokens_file.as_ref()) else { return Ok(None) };
    let file = TokensFile { what: ReloadTarget::AdminTokens, key: "admin.tokens_file", path };
    file.watch(reloader, |_| ()).map(Some)
}

/// A file of tokens.
struct TokensFile<'p> {
    what: ReloadTarget,
    key: &'static str,
    path: &'p Path,
}

impl TokensFile<'_> {
    /// `before_use` gets all new tokens before a request is checked against them.
    fn watch(
        self,
        reloader: &mut Reloader,
        before_use: impl Fn(&Tokens) + Send + 'static,
    ) -> Result<Reloadable<Tokens>, ConfigError> {
        let Self { what, key, path } = self;
        let (files, path) = (WatchedFiles::read([path.to_owned()]), path.to_owned());
        let load = move || read_tokens(key, &path).inspect(&before_use);
        let tokens = Reloadable::new(load()?);
        let reloaded = tokens.clone();
        reloader.watch(Watched::new(what, files, move || {
            let new = load().map_err(|error| error.to_string())?;
            let (all, bound) = new.count();
            reloaded.store(new);
            Ok(format!("tokens: {all}, bound to instances: {bound}"))
        }));
        Ok(tokens)
    }
}

/// Watches the file of the configuration. `allowed` has the addresses of the running one; `status` gets the keys that need a
/// restart, for pages that anyone may read: without names that an operator chose, such as instances.
pub(super) fn configuration(
    source: ConfigSource,
    allow_from: Option<Vec<Range>>,
    allowed: Reloadable<AllowList>,
    metrics: Arc<Metrics>,
    status: ReloadStatus,
) -> Watched {
    let files = source.files();
    let mut applied = allow_from;
    Watched::new(ReloadTarget::Configuration, files, move || {
        let (config, changed) = source.load_again().map_err(|errors| in_one_line(&errors))?;
        check(&config).map_err(|error| error.to_string())?;
        // the new addresses may be those that another way of naming the sender gives
        let is_held_back = changed.iter().any(|key| key.starts_with("http.proxy"));
        let changed: Vec<_> = changed.into_iter().filter(|key| is_held_back || key != "auth.allow_from").collect();
        status.set_needs_restart(known_parts(&changed));
        if !changed.is_empty() {
            warn!(event = "restart_needed", keys = changed.join(", "), "configuration changed: restart needed");
        }
        if !is_held_back && config.auth.allow_from != applied {
            allowed.store(AllowList::new(config.auth.allow_from.as_deref()));
            applied = config.auth.allow_from;
            let detail = describe(applied.as_deref());
            metrics.reloaded(ReloadTarget::AllowList, ReloadResult::Loaded);
            info!(event = "reloaded", what = ReloadTarget::AllowList.as_str(), detail, "reloaded");
        }
        Ok(format!("keys that need a restart: {}", changed.len()))
    })
}

/// Refuses what a start would refuse, beyond the configuration itself.
fn check(config: &Config) -> Result<(), super::BuildError> {
    config.webhook_tokens()?;
    config.admin_tokens()?;
    config.webhook_tls()?;
    config.admin_tls()?;
    super::routes(config).map(drop)
}

/// A log has one line for each failure.
fn in_one_line(errors: &dyn std::fmt::Display) -> String {
    errors.to_string().lines().collect::<Vec<_>>().join(" | ")
}

fn describe(allow_from: Option<&[Range]>) -> String {
    match allow_from {
        None => "auth.allow_from: any address".into(),
        Some(ranges) => format!("auth.allow_from: {} entries", ranges.len()),
    }
}
