//! Builds every part from a configuration, and owns the order of start and stop.

mod parts;

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use crate::admit::AllowList;
use crate::config::{Config, ConfigError};
use crate::deliver::Deliver;
use crate::journal::Journal;
use crate::message::Broker;
use crate::observe::{Changes, Guard, Health, Operators};
use crate::operate::{Admin, Contents};
use crate::receive::{Endpoint, Slots};
use crate::route::Routes;
use crate::serve::{self, Limits, serve};
use crate::shutdown::Shutdown;
use crate::units::records;
#[cfg(feature = "journal")]
use crate::upkeep::Upkeep;
use parts::{limits, open_journal, targets};
pub(crate) use parts::{metrics, owing};

/// How a bridge ended, as the process says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing was left.
    Clean,
    /// It could not go on serving.
    Failed,
    /// The grace was over first; nothing that was answered 200 is lost.
    GraceExceeded,
}

/// Why a bridge could not be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A listener could not be opened.
    #[error("{key} = {address}: {}", no_listener(source))]
    Listen {
        /// The key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A bridge that is ready to run.
pub struct Bridge {
    listener: TcpListener,
    watched: Vec<(TcpListener, Guard)>,
    contents: Option<Contents>,
    endpoint: Arc<Endpoint>,
    health: Health,
    journal: Option<Journal>,
    tasks: TaskTracker,
    config: Config,
}

impl Bridge {
    /// Reads the secrets, opens the listeners, and starts to connect.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(config: Config) -> Result<Self, BuildError> {
        let [tokens, operators] = config.tokens()?;
        let routes = Routes::new(&config.route, &config.places()).map_err(ConfigError::from)?;
        let taken = Taken::address("http.listen", config.http.listen)?;
        let mut watched = Vec::new();
        if let Some(admin) = &config.admin {
            watched.push((Taken::address("admin.listen", admin.listen)?, Guard::new(admin, operators)));
        }
        if let Some(probes) = &config.probes {
            watched.push((Taken::address("probes.listen", probes.listen)?, Guard::default()));
        }
        let metrics = Arc::new(metrics(tokens.as_ref()).map_err(|error| unusable("metrics", &error))?);
        let journal = open_journal(&config, &routes).await?;
        let targets = targets(&config, &routes, &metrics).await?;
        let (shutdown, tasks) = (Shutdown::default(), TaskTracker::new());
        let states = targets.iter().map(|target| (target.publisher.broker().as_str(), target.publisher.state()));
        let keeps = journal.as_ref().map(|(journal, _)| journal.state());
        let health = Health::new(shutdown.clone(), states.collect(), keeps);
        let kept = journal.as_ref().map(|(journal, _)| journal.clone());
        let shown = config.admin.as_ref().map(|_| kept.as_ref().zip(config.journal.as_ref()));
        let contents = shown.map(|journal| Contents::open(journal, &shutdown)).transpose();
        let contents = contents.map_err(|error| unusable("journal.directory", &error))?;
        let (publish, dedupe) = (&config.publish, &config.dedupe);
        let deliver = Deliver::new(targets, journal, publish, dedupe, tasks.clone(), metrics.clone());
        deliver.forward();
        let endpoint = Arc::new(Endpoint {
            allowed: AllowList::new(config.auth.allow_from.as_deref()),
            tokens,
            routes,
            deliver,
            slots: Slots::new(&config.http.limits),
            metrics,
            shutdown,
            config: config.http.clone(),
        });
        let listener = taken.listen()?;
        let watched = watched.into_iter().map(|(taken, guard)| Ok((taken.listen()?, guard)));
        let watched = watched.collect::<Result<_, BuildError>>()?;
        Ok(Self { listener, watched, contents, endpoint, health, journal: kept, tasks, config })
    }

    /// Where the endpoint listens, for those who asked for port 0.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`, then stops in order: not ready, serve for `shutdown.delay`, accept no more, finish
    /// what is begun, listeners for operators last; all inside `shutdown.grace`.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Ended {
        serve::no_core_dumps();
        let grace = self.config.shutdown.grace;
        let served = limits(&self.config.http.limits, grace.saturating_sub(self.config.shutdown.delay));
        let (no_more, over) = (CancellationToken::new(), CancellationToken::new());
        let endpoint = self.endpoint.clone();
        let counted = Some(endpoint.metrics.clone());
        let mut serving = tokio::spawn(serve(self.listener, served, counted, no_more.clone(), move |peer, request| {
            endpoint.clone().handle(peer, request)
        }));
        // the first of them is [admin], where there is one; [probes] shows no contents, and changes nothing
        let (mut contents, mut changes) = (self.contents, changes(&self.config, &self.endpoint));
        for (listener, guard) in self.watched {
            let operators = Operators::new(self.health.clone(), self.endpoint.metrics.clone(), guard);
            let admin = Arc::new(Admin::new(operators.with_changes(changes.take()), contents.take()));
            // health must be heard of: no one address takes all places, and none is kept by who says nothing
            let limits = Limits { connections: 256, connections_per_address: 16, idle: served.head, ..served };
            tokio::spawn(serve(listener, limits, None, over.clone(), move |_, request| {
                let admin = admin.clone();
                async move { Ok(admin.serve(request).await) }
            }));
        }
        info!(listen = %self.config.http.listen, path = self.config.http.path, "serving");
        tokio::select! {
            () = stop => {}
            // a process that lives and does not serve would look healthy
            _ = &mut serving => {
                error!("the listener has failed");
                return Ended::Failed;
            }
            // what it answered now would mean nothing; what it has is read again at the next start
            () = broken(self.journal.as_ref()) => return Ended::Failed,
        }
        let end = Instant::now() + grace;
        self.endpoint.shutdown.begin(end);
        info!(grace = crate::units::show(grace), "stopping");
        tokio::time::sleep(self.config.shutdown.delay).await;
        no_more.cancel();
        let ended = finish(serving, &self.tasks, &self.endpoint.deliver, end).await;
        over.cancel();
        ended
    }
}

/// What the admin listener changes, where there is one and a journal.
#[cfg(feature = "journal")]
fn changes(config: &Config, endpoint: &Endpoint) -> Option<Arc<dyn Changes>> {
    config.journal.as_ref().and(config.admin.as_ref())?;
    let routes = Arc::new(Routes::new(&config.route, &config.places()).ok()?);
    Some(Arc::new(Upkeep::new(endpoint.deliver.clone(), routes, config.http.max_body)))
}

#[cfg(not(feature = "journal"))]
fn changes(_: &Config, _: &Endpoint) -> Option<Arc<dyn Changes>> {
    None
}

/// Finishes what is begun until `end`, and lets go of the journal.
async fn finish(serving: JoinHandle<()>, tasks: &TaskTracker, deliver: &Deliver, end: Instant) -> Ended {
    let finished = async {
        let _ = serving.await;
        tasks.close();
        tasks.wait().await;
        deliver.close().await;
    };
    if timeout_at(end, finished).await.is_ok() {
        match stays(&deliver.owed()) {
            None => info!("stopped; nothing is left"),
            Some(stays) => info!("stopped; {stays}"),
        }
        return Ended::Clean;
    }
    error!(left = tasks.len(), "the grace is over; connections are cut, and what is left was not answered 200");
    Ended::GraceExceeded
}

/// What is still owed, if anything is: the next start forwards it.
fn stays(owed: &[(Broker, u64)]) -> Option<String> {
    let each = owed.iter().filter(|(_, count)| *count > 0);
    let each = each.map(|(broker, count)| format!("{} for {}", records(*count), broker.as_str()));
    each.reduce(|before, one| format!("{before}, {one}")).map(|all| format!("in the journal stay {all}"))
}

async fn broken(journal: Option<&Journal>) {
    match journal {
        Some(journal) => journal.broken().await,
        None => std::future::pending().await,
    }
}

fn unusable(key: &str, problem: &dyn std::fmt::Display) -> BuildError {
    BuildError::Config(ConfigError { key: key.into(), value: None, problem: problem.to_string() })
}

fn no_listener(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "address already in use; stop what listens there or choose another port".into()
        }
        std::io::ErrorKind::AddrNotAvailable => "this machine has no such address; give one of its own".into(),
        std::io::ErrorKind::PermissionDenied => format!("{error}; choose a port from 1024 on"),
        _ => error.to_string(),
    }
}

/// An address that nobody else can have, and that nobody can connect to yet: who connected before all is built would
/// wait for it, and in vain if that fails.
struct Taken(&'static str, SocketAddr, TcpSocket);

impl Taken {
    fn address(key: &'static str, address: SocketAddr) -> Result<Self, BuildError> {
        let taken = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.and_then(|socket| {
            // connections of the process before may still be ending
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(Self(key, address, socket))
        });
        taken.map_err(|source| BuildError::Listen { key, address, source })
    }

    fn listen(self) -> Result<TcpListener, BuildError> {
        let Self(key, address, socket) = self;
        socket.listen(1024).map_err(|source| BuildError::Listen { key, address, source })
    }
}
