//! `provision`: creates the stream, or widens it. It never narrows and never deletes.

use std::time::Duration;

use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config as Stream, DiscardPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use serde_json::{Map, Value, json};

use super::super::inspect::{self, Inspection, NO_QUORUM, inspect};
use super::super::subjects::covers;
use super::super::{Config, command_client};
use super::owner;
use super::widen::{Widening, age, bytes, duplicate_window, longer};
use crate::brokers::{Finding, Provisioned, Replicas};
use crate::units::show;

/// One run of `provision`.
struct Job<'c> {
    context: Context,
    config: &'c Config,
    subjects: Vec<&'c String>,
    window: Duration,
    dry_run: bool,
    /// How many servers the cluster announces.
    servers: usize,
    /// True if the server surely is the only one.
    single_server: bool,
}

/// Creates the stream, or widens it: adds subjects and replicas, raises the duplicate window and the limits. `subjects` are
/// the patterns of all that is published. A `dry_run` changes nothing and returns what would be done.
///
/// # Errors
/// No connection, an unsafe stream, a window the stream cannot have, or what the server refuses.
pub async fn provision(
    config: &Config,
    subjects: &[String],
    window: Duration,
    dry_run: bool,
) -> Result<Provisioned, String> {
    let (client, mut events) = command_client::connect(config).await.map_err(|failure| failure.to_string())?;
    // the server refuses subjects that overlap
    let inside = |subject: &String| subjects.iter().any(|wider| wider != subject && covers(wider, subject));
    let subjects = subjects.iter().filter(|subject| !inside(subject)).collect();
    let (context, servers) = (inspect::context(&client, config), command_client::announced_servers(&client));
    // the streams of a domain may be those of other servers
    let single_server = servers == 1 && config.domain.is_none() && client.server_info().cluster.is_none();
    let job = Job { context, config, subjects, window, dry_run, servers, single_server };
    let found = inspect(&client, config).await;
    if let Some(subject) = owner::find_other_stream(&job.context, &config.stream, &job.missing(&found)).await {
        return Err(job.failed(format!("{subject}; {}", owner::REMEDY)));
    }
    // if the question was denied, that is no fault of what follows
    while events.try_recv().is_ok() {}
    if let Inspection::Unknown(why) = &found {
        let Finding { found, remedy, .. } = command_client::not_inspected(&client, config, why, &mut events);
        return Err(format!("stream {found}; {remedy}"));
    }
    tokio::select! {
        done = job.run(found) => done,
        // the server does not answer a request that it denies
        why = command_client::permission_denied(&mut events) => Err(job.failed(why)),
    }
}

impl Job<'_> {
    /// The subjects that the stream does not have yet.
    fn missing(&self, found: &Inspection) -> Vec<String> {
        let there = match found {
            Inspection::Safe { info, .. } => info.config.subjects.as_slice(),
            Inspection::Missing => &[],
            // nothing is added
            _ => return Vec::new(),
        };
        let missing = self.subjects.iter().filter(|subject| !there.iter().any(|pattern| covers(pattern, subject)));
        missing.map(|subject| (*subject).clone()).collect()
    }

    async fn run(&self, found: Inspection) -> Result<Provisioned, String> {
        match found {
            Inspection::Missing => self.create().await,
            Inspection::Safe { info, .. } => self.widen(&info.config).await,
            Inspection::Unsafe(why) => Err(self.failed(why)),
            Inspection::NoQuorum => Err(self.failed(NO_QUORUM)),
            Inspection::Unknown(why) => Err(self.failed(why)),
        }
    }

    async fn create(&self) -> Result<Provisioned, String> {
        let provision = &self.config.provision;
        self.check_window(provision.max_age, "nats.provision.max_age")?;
        let replicas = match provision.replicas {
            Replicas::Count(count) => self.create_with(count).await.map(|()| format!("replicas: {count}")),
            Replicas::Auto => self.create_with_auto_replicas().await,
        };
        let mut changes = vec![replicas.map_err(|error| self.failed(error))?];
        changes.extend(self.subjects.iter().map(|subject| format!("subject {subject}")));
        changes.push("file storage; when full it refuses new messages".into());
        changes.push(format!("max_age {}", age(provision.max_age)));
        changes.extend(provision.max_bytes.map(|bytes| format!("max_bytes {bytes}")));
        changes.push(duplicate_window(self.window));
        let uncertain = self.uncertain(1)?;
        Ok(Provisioned { name: self.name(), created: true, changes, uncertain, ..Provisioned::default() })
    }

    /// `replicas = "auto"`: three replicas if the cluster has three servers, else one.
    async fn create_with_auto_replicas(&self) -> Result<String, Refused> {
        const CHOSEN: &str = "chosen by replicas = \"auto\"";
        // a server alone refuses three replicas by whichever limit comes first, such as that of the account's storage
        let alone = self.single_server || self.dry_run && self.servers < 3;
        let three = if alone { Err(Refused::TooFewServers) } else { self.create_with(3).await };
        match three {
            Ok(()) => Ok(format!("replicas: 3, {CHOSEN}")),
            Err(Refused::TooFewServers) => {
                self.create_with(1).await?;
                let why = match self.dry_run {
                    true => "the cluster announces fewer than 3 servers",
                    false => "for 3 there are too few servers now",
                };
                Ok(format!("replicas: 1, {CHOSEN}; {why}"))
            }
            Err(refused) => Err(refused),
        }
    }

    async fn create_with(&self, replicas: usize) -> Result<(), Refused> {
        if self.dry_run {
            return Ok(());
        }
        let provision = &self.config.provision;
        let stream = Stream {
            name: self.config.stream.clone(),
            subjects: self.subjects.iter().copied().cloned().collect(),
            num_replicas: replicas,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            max_age: provision.max_age,
            max_bytes: provision.max_bytes.map_or(-1, bytes),
            duplicate_window: self.window,
            ..Stream::default()
        };
        let created = self.context.create_stream(stream).await;
        created.map(|_| ()).map_err(|error| match error.kind() {
            CreateStreamErrorKind::JetStream(ref fault) if too_few_servers(fault.error_code()) => {
                Refused::TooFewServers
            }
            CreateStreamErrorKind::JetStream(ref fault) => match fault.error_code() {
                ErrorCode::STREAM_SUBJECT_OVERLAP => Refused::SubjectOverlap,
                ErrorCode::STREAM_MAX_BYTES_REQUIRED => Refused::MaxBytesRequired,
                _ => Refused::Other(error.to_string()),
            },
            _ => Refused::Other(error.to_string()),
        })
    }

    /// What a dry run cannot find out about the configured replicas of a stream that has `have`.
    ///
    /// # Errors
    /// There surely are too few servers for them.
    fn uncertain(&self, have: usize) -> Result<Vec<String>, String> {
        match self.config.provision.replicas {
            Replicas::Count(count) if self.dry_run && count > have.max(self.servers) => {
                if self.single_server {
                    return Err(self.failed(Refused::TooFewServers));
                }
                let announced = format!("the cluster announces {}", self.servers);
                Ok(vec![format!("replicas: {count} are refused if there are fewer servers; {announced}")])
            }
            _ => Ok(Vec::new()),
        }
    }

    async fn widen(&self, stream: &Stream) -> Result<Provisioned, String> {
        let max_age = longer(stream.max_age, self.config.provision.max_age);
        let key = if max_age == stream.max_age { "the stream's max_age" } else { "nats.provision.max_age" };
        self.check_window(max_age, key)?;
        let uncertain = self.uncertain(stream.num_replicas)?;
        let Widening { keys, changes, unchanged } =
            Widening::new(stream, &self.subjects, self.window, &self.config.provision);
        if !keys.is_empty() && !self.dry_run {
            self.update(keys).await.map_err(|error| self.failed(error))?;
        }
        Ok(Provisioned { name: self.name(), created: false, changes, uncertain, unchanged })
    }

    /// Changes these keys and sends back every other as it came: the server may know keys that this client does not, and
    /// would reset those that are left out.
    async fn update(&self, keys: Map<String, Value>) -> Result<(), String> {
        let name = &self.config.stream;
        let mut stream = self.request(format!("STREAM.INFO.{name}"), &json!({})).await?["config"].take();
        for (key, value) in keys {
            stream[key] = value;
        }
        self.request(format!("STREAM.UPDATE.{name}"), &stream).await.map(|_| ())
    }

    async fn request(&self, subject: String, payload: &Value) -> Result<Value, String> {
        match self.context.request(subject, payload).await {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Err { error }) if too_few_servers(error.error_code()) => {
                Err(Refused::TooFewServers.to_string())
            }
            Ok(Response::Err { error }) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The duplicate window cannot be longer than `max_age` (JetStream's error 10052).
    fn check_window(&self, max_age: Duration, key: &str) -> Result<(), String> {
        if max_age.is_zero() || self.window <= max_age {
            return Ok(());
        }
        let (window, age) = (show(self.window), show(max_age));
        Err(format!(
            "dedupe.window = {window}: more than {key} = {age}, and the duplicate window cannot be longer; lower dedupe.window, or raise {key}"
        ))
    }

    fn name(&self) -> String {
        format!("stream {}", self.config.stream)
    }

    fn failed(&self, why: impl std::fmt::Display) -> String {
        format!("{}: {why}", self.name())
    }
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("more replicas than the cluster has servers; start more, or lower nats.provision.replicas")]
    TooFewServers,
    #[error("its subjects belong to another stream; {}", owner::REMEDY)]
    SubjectOverlap,
    #[error("the account wants a limit for every stream; set nats.provision.max_bytes")]
    MaxBytesRequired,
    #[error("{0}")]
    Other(String),
}

/// True if the cluster has fewer servers than replicas; no other refusal would change with fewer replicas.
fn too_few_servers(code: ErrorCode) -> bool {
    [ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED, ErrorCode::CLUSTER_NO_PEERS].contains(&code)
}
