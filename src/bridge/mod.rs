//! Builds all parts of a bridge from a [`Config`], and owns the order of start and stop.
//!
//! In: a [`Config`], and a future that ends when the process must stop. Out: a bridge that serves, and its [`BridgeExit`].
//! [`Bridge::build`] lists the steps of a start, `Running::stop` those of a stop. How single parts are built is in `parts`,
//! the listeners in `listen`.

pub(crate) mod backlog;
mod certificates;
mod listen;
mod parts;
mod reload;
mod stop;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use crate::admin::{Admin, Guard, JournalPages};
use crate::auth::AllowList;
use crate::brokers::Publisher;
use crate::config::{Config, ConfigError, ConfigSource};
use crate::delivery::Delivery;
use crate::http_server::{self, Limits, Server, Tls, serve};
use crate::journal::{Journal, OpenError};
use crate::notification::Validation;
use crate::reload::{ReloadRequests, Reloader};
use crate::reloadable::Reloadable;
use crate::route::Routes;
use crate::shutdown::{Config as ShutdownConfig, Shutdown};
use crate::telemetry::Metrics;
use crate::webhook::{Endpoint, Permits};
use listen::BoundAddresses;
use parts::{health, limits, open_journal, start_targets};
pub(crate) use parts::{metrics, start_publisher};

/// How a bridge ended. The exit code of the process says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeExit {
    /// All requests were answered within the grace.
    Clean,
    /// It could not continue to serve.
    Failed,
    /// The grace was over before all requests were answered, or before the backlog of an ephemeral journal was forwarded.
    /// Nothing answered 200 is lost, but for what such a journal still has.
    GraceExceeded,
}

/// Why a bridge could not be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A listener could not be opened.
    #[error("{key} = {address}: {}", listen::explain(source))]
    Listen {
        /// Configuration key, such as `http.listen`.
        key: &'static str,
        /// The configured address.
        address: SocketAddr,
        /// Error of bind or listen.
        source: std::io::Error,
    },
    /// The journal cannot be opened now, and a later start may open it: another process has it, or its disk is full.
    #[error("journal.directory: {0}")]
    Journal(OpenError),
}

/// A bridge that is ready to run.
pub struct Bridge {
    listener: TcpListener,
    /// The TLS of the webhook listener. None means plain HTTP.
    tls: Option<Tls>,
    /// The listeners of `[admin]` and `[probes]`, as far as configured.
    admin: Vec<AdminListener>,
    endpoint: Arc<Endpoint>,
    journal: Option<Journal>,
    publishers: Vec<Publisher>,
    tasks: TaskTracker,
    reloader: Reloader,
    config: Config,
}

/// One listener for operators or for probes.
struct AdminListener {
    listener: TcpListener,
    tls: Option<Tls>,
    admin: Admin,
}

impl Bridge {
    /// Starts all parts in order; the listeners accept connections last.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(config: Config) -> Result<Self, BuildError> {
        // what can be refused without any effect: secrets, routes and schemas
        let metrics = Arc::new(metrics().map_err(|error| unusable("metrics", &error))?);
        let mut reloader = Reloader::new(metrics.clone());
        let tokens = reload::webhook_tokens(&config, &mut reloader, &metrics)?;
        let admin_tokens = reload::admin_tokens(&config, &mut reloader)?;
        let routes = routes(&config)?;
        let validation = Validation::new(&config.validation).map_err(|error| unusable("validation.mode", &error))?;
        let (tls, admin_tls) = certificates::load(&config, &mut reloader, &metrics)?;
        // the addresses, if this process may open enough connections
        let bound = BoundAddresses::bind(&config)?;
        // the journal, then the brokers
        let recovered = open_journal(&config, &routes).await?;
        let journal = recovered.as_ref().map(|(journal, _)| journal.clone());
        let targets = start_targets(&config, &routes, &metrics).await?;
        let publishers = targets.iter().map(|target| target.publisher.clone()).collect();
        // delivery, and the pages that show and edit the journal
        let (shutdown, tasks) = (Shutdown::default(), TaskTracker::new());
        let health = health(&shutdown, &targets, journal.as_ref(), &reloader);
        let pages = journal_pages(&config, journal.as_ref(), &shutdown)?;
        let (publish, dedupe) = (&config.publish, &config.dedupe);
        let delivery = Delivery::new(targets, recovered, publish, dedupe, tasks.clone(), metrics.clone());
        delivery.start_forwarding();
        delivery.start_outage_log();
        let pages = with_edits(pages, &config, &delivery, &validation)?;
        // the endpoint
        let endpoint = Endpoint {
            allowed: Reloadable::new(AllowList::new(config.auth.allow_from.as_deref())),
            tokens,
            validation,
            routes,
            delivery,
            permits: Permits::new(&config.http, metrics.clone()),
            metrics: metrics.clone(),
            shutdown,
            config: config.http.clone(),
        };
        // the listeners
        let listener = bound.webhook.listen()?;
        let mut admin = Vec::new();
        if let (Some(address), Some(section)) = (bound.admin, &config.admin) {
            let guard = Guard::new(section, admin_tokens);
            let operators = Admin::operators(guard, health.clone(), metrics.clone(), pages);
            admin.push(AdminListener { listener: address.listen()?, tls: admin_tls, admin: operators });
        }
        if let Some(address) = bound.probes {
            admin.push(AdminListener { listener: address.listen()?, tls: None, admin: Admin::probes(health, metrics) });
        }
        Ok(Self { listener, tls, admin, endpoint: Arc::new(endpoint), journal, publishers, tasks, reloader, config })
    }

    /// Reloads the configuration too, when its file changes. `source` gave the configuration that the bridge was built of.
    #[must_use]
    pub fn reloading_from(mut self, source: ConfigSource) -> Self {
        let (allow_from, allowed) = (self.config.auth.allow_from.clone(), self.endpoint.allowed.clone());
        let (metrics, status) = (self.endpoint.metrics.clone(), self.reloader.status());
        self.reloader.watch(reload::configuration(source, allow_from, allowed, metrics, status));
        self
    }

    /// What asks this bridge to reload its files at once.
    pub fn reload_requests(&self) -> ReloadRequests {
        self.reloader.requests()
    }

    /// The address of the endpoint; tells the port if `http.listen` has port 0.
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`, then stops in order within `shutdown.grace`.
    pub async fn run(self, stop: impl Future<Output = ()>) -> BridgeExit {
        http_server::disable_core_dumps();
        let publishers = self.publishers.clone();
        let mut running = self.serve();
        let ended = tokio::select! {
            () = stop => running.stop().await,
            // a process that runs and does not serve would look healthy
            _ = &mut running.webhook => {
                error!("the webhook listener failed");
                BridgeExit::Failed
            }
            // without its journal the bridge could answer no 200; the next start reads what the journal has
            () = journal_failed(running.journal.as_ref()) => BridgeExit::Failed,
        };
        // delivery has ended, so no message needs a broker any more
        for publisher in publishers {
            publisher.close().await;
        }
        ended
    }

    fn serve(self) -> Running {
        let Self { listener, tls, admin, endpoint, journal, tasks, reloader, config, .. } = self;
        let ShutdownConfig { grace, delay } = config.shutdown;
        let limits = limits(&config.http.limits, grace.saturating_sub(delay));
        let (stop_webhook, stop_admin) = (CancellationToken::new(), CancellationToken::new());
        let admin_tls = admin.iter().find_map(|listener| listener.tls.clone());
        let certificates = tls.clone().map(|tls| ("http", tls)).into_iter().chain(admin_tls.map(|tls| ("admin", tls)));
        let stops_files = watch_files(reloader, certificates.collect());
        let (encrypted, proxy) = (tls.is_some(), config.http.proxy.is_some());
        let shared = endpoint.clone();
        let allow_list = endpoint.allowed.clone();
        let server = Server {
            listener,
            limits,
            tls,
            proxy_protocol: config.http.proxy.as_ref().is_some_and(|proxy| proxy.protocol.is_some()),
            half_close: true,
            is_protected: Some(Arc::new(move |address| allow_list.load().lists(address))),
            metrics: endpoint.metrics.clone(),
            counts_open: true,
        };
        let webhook = tokio::spawn(serve(server, stop_webhook.clone(), move |client, request| {
            shared.clone().handle(client, request)
        }));
        admin.into_iter().for_each(|listener| serve_admin(listener, limits, endpoint.metrics.clone(), &stop_admin));
        info!(listen = %config.http.listen, path = config.http.path, tls = encrypted, proxy, "serving");
        Running {
            webhook,
            stop_webhook,
            stop_admin,
            _stops_files: stops_files,
            endpoint,
            journal,
            is_ephemeral: config.journal.is_some_and(|journal| journal.ephemeral),
            tasks,
            shutdown: config.shutdown,
        }
    }
}

/// Reloads changed files, and reports certificates before they expire, until the guard is dropped.
fn watch_files(reloader: Reloader, certificates: Vec<(&'static str, Tls)>) -> DropGuard {
    let stop = CancellationToken::new();
    tokio::spawn(reloader.run(stop.clone()));
    let stopped = stop.clone();
    tokio::spawn(async move { stopped.run_until_cancelled(certificates::report(certificates)).await });
    stop.drop_guard()
}

/// Serves pages in the background.
fn serve_admin(listener: AdminListener, limits: Limits, metrics: Arc<Metrics>, stop: &CancellationToken) {
    let AdminListener { listener, tls, admin } = listener;
    let admin = Arc::new(admin);
    // probes must always get through: few connections are enough, and idle ones are closed early
    let limits = Limits {
        connections: 256,
        connections_per_address: 16,
        address_wait: Duration::ZERO,
        idle: limits.head,
        ..limits
    };
    let server = Server {
        listener,
        limits,
        tls,
        proxy_protocol: false,
        half_close: false,
        is_protected: None,
        metrics,
        counts_open: false,
    };
    tokio::spawn(serve(server, stop.clone(), move |client, request| {
        let admin = admin.clone();
        async move { Ok(admin.serve(&client, request).await) }
    }));
}

/// A bridge that serves.
struct Running {
    /// The task that accepts webhook connections.
    webhook: JoinHandle<()>,
    stop_webhook: CancellationToken,
    stop_admin: CancellationToken,
    /// Ends the reloads on drop.
    _stops_files: DropGuard,
    endpoint: Arc<Endpoint>,
    journal: Option<Journal>,
    /// Whether the journal may be gone at the next start.
    is_ephemeral: bool,
    tasks: TaskTracker,
    shutdown: ShutdownConfig,
}

impl Running {
    async fn stop(self) -> BridgeExit {
        let ShutdownConfig { grace, delay } = self.shutdown;
        let end = Instant::now() + grace;
        // not ready, while load balancers still send requests
        self.endpoint.shutdown.begin(end);
        if self.is_ephemeral {
            self.endpoint.delivery.end_appends();
        }
        info!(grace = crate::units::show(grace), "stopping");
        tokio::time::sleep(delay).await;
        // no new connections; finish the requests in flight
        self.stop_webhook.cancel();
        let answered = stop::finish_requests(self.webhook, &self.tasks, end).await;
        // the journal: what it has is forwarded later, or now if there may be no later
        let delivery = &self.endpoint.delivery;
        let forwarded = match self.journal.filter(|_| self.is_ephemeral) {
            Some(journal) => stop::drain(delivery, &journal, self.endpoint.shutdown.cap(end)).await,
            None => true,
        };
        let closed = stop::close(delivery, end).await;
        // the admin pages last: they show the stop
        self.stop_admin.cancel();
        if answered && forwarded && closed { BridgeExit::Clean } else { BridgeExit::GraceExceeded }
    }
}

/// Waits until the journal fails. Without a journal it waits forever.
async fn journal_failed(journal: Option<&Journal>) {
    match journal {
        Some(journal) => journal.wait_until_failed().await,
        None => std::future::pending().await,
    }
}

fn routes(config: &Config) -> Result<Routes, BuildError> {
    Ok(Routes::new(&config.route, &config.broker_templates()).map_err(ConfigError::from)?)
}

/// The pages of the journal. None means there is no journal or no admin listener.
fn journal_pages(
    config: &Config,
    journal: Option<&Journal>,
    shutdown: &Shutdown,
) -> Result<Option<JournalPages>, BuildError> {
    let (Some(_), Some(section), Some(journal)) = (&config.admin, &config.journal, journal) else { return Ok(None) };
    let pages = JournalPages::open(journal, &section.directory, shutdown);
    pages.map(Some).map_err(|error| unusable("journal.directory", &error))
}

/// Lets the pages edit the journal.
fn with_edits(
    pages: Option<JournalPages>,
    config: &Config,
    delivery: &Arc<Delivery>,
    validation: &Validation,
) -> Result<Option<JournalPages>, BuildError> {
    let (routes, max_body) = (Arc::new(routes(config)?), config.http.max_body);
    Ok(pages.map(|pages| pages.with_edits(delivery.clone(), routes, validation.clone(), max_body)))
}

fn unusable(key: &str, problem: &dyn std::fmt::Display) -> BuildError {
    BuildError::Config(ConfigError { key: key.into(), value: None, problem: problem.to_string() })
}
