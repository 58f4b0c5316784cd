//! `provision`: creates the stream, or widens it. It never narrows and never deletes.

use std::time::Duration;

use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config as Stream, DiscardPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use serde_json::{Map, Value, json};

use super::subjects::covers;
use super::widen::{Widening, age, bytes, duplicate_window, longest};
use super::{Config, Inspection, admin, stream};
use crate::brokers::{Finding, Provisioned, Replicas};
use crate::units::show;

struct Job<'c> {
    context: Context,
    config: &'c Config,
    subjects: Vec<&'c String>,
    window: Duration,
    dry_run: bool,
    /// How many servers it is told of.
    servers: usize,
    /// Whether there are surely no more of them.
    alone: bool,
}

/// Creates the stream, or widens it: adds subjects and copies, raises the duplicate window and the limits. `subjects` are
/// the patterns of all that is published. With `dry_run` it only says what it would do.
///
/// # Errors
/// No connection, an unsafe stream, a window the stream cannot have, or what the server refuses.
pub async fn provision(
    config: &Config,
    subjects: &[String],
    window: Duration,
    dry_run: bool,
) -> Result<Provisioned, String> {
    let (client, mut events) = admin::connected(config).await.map_err(|cause| cause.to_string())?;
    // the server refuses subjects that overlap
    let inside = |subject: &String| subjects.iter().any(|wider| wider != subject && covers(wider, subject));
    let subjects = subjects.iter().filter(|subject| !inside(subject)).collect();
    let (context, servers) = (stream::context(&client, config), admin::servers(&client));
    // the streams of a domain may be those of other servers
    let alone = servers == 1 && config.domain.is_none() && client.server_info().cluster.is_none();
    let job = Job { context, config, subjects, window, dry_run, servers, alone };
    let found = stream::inspect(&client, config).await;
    if let Inspection::Unknown(why) = &found {
        let Finding { found, remedy, .. } = admin::unknown(&client, config, why, &mut events);
        return Err(format!("stream {found}; {remedy}"));
    }
    tokio::select! {
        done = job.done(found) => done,
        // what the server denies it does not answer
        right = admin::denied(&mut events) => Err(job.failed(right)),
    }
}

impl Job<'_> {
    async fn done(&self, found: Inspection) -> Result<Provisioned, String> {
        match found {
            Inspection::Missing => self.create().await,
            Inspection::Safe { info, .. } => self.widen(&info.config).await,
            Inspection::Unsafe(why) => Err(self.failed(why)),
            Inspection::NoQuorum => Err(self.failed(stream::NO_QUORUM)),
            Inspection::Unknown(why) => Err(self.failed(why)),
        }
    }

    async fn create(&self) -> Result<Provisioned, String> {
        let provision = &self.config.provision;
        self.window_fits(provision.max_age, "nats.provision.max_age")?;
        let replicas = match provision.replicas {
            Replicas::Count(count) => self.create_with(count).await.map(|()| format!("replicas: {count}")),
            Replicas::Auto => self.create_with_most().await,
        };
        let mut changes = vec![replicas.map_err(|error| self.failed(error))?];
        changes.extend(self.subjects.iter().map(|subject| format!("subject {subject}")));
        changes.push("file storage; full, it refuses what is new".into());
        changes.push(format!("max_age {}", age(provision.max_age)));
        changes.extend(provision.max_bytes.map(|bytes| format!("max_bytes {bytes}")));
        changes.push(duplicate_window(self.window));
        let doubts = self.doubts(1)?;
        Ok(Provisioned { what: self.what(), created: true, changes, doubts, ..Provisioned::default() })
    }

    /// `"auto"`: three copies where the cluster has them, else one.
    async fn create_with_most(&self) -> Result<String, Refused> {
        const CHOSEN: &str = "chosen by replicas = \"auto\"";
        let three = if self.dry_run && self.servers < 3 { Err(Refused::TooFew) } else { self.create_with(3).await };
        match three {
            Ok(()) => Ok(format!("replicas: 3, {CHOSEN}")),
            Err(Refused::TooFew) => {
                self.create_with(1).await?;
                let why = match self.dry_run {
                    true => "the server tells of fewer than 3",
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
            CreateStreamErrorKind::JetStream(ref fault) if too_few(fault.error_code()) => Refused::TooFew,
            _ => Refused::Other(error.to_string()),
        })
    }

    /// What a dry run cannot find out of the copies that are asked for, where there are so many already.
    ///
    /// # Errors
    /// It is sure that there are too few servers for them.
    fn doubts(&self, have: usize) -> Result<Vec<String>, String> {
        match self.config.provision.replicas {
            Replicas::Count(count) if self.dry_run && count > have.max(self.servers) => {
                if self.alone {
                    return Err(self.failed(Refused::TooFew));
                }
                let told = format!("as far as the server tells there are {}", self.servers);
                Ok(vec![format!("replicas: {count} are refused if there are fewer servers; {told}")])
            }
            _ => Ok(Vec::new()),
        }
    }

    async fn widen(&self, stream: &Stream) -> Result<Provisioned, String> {
        let asked = self.config.provision.max_age;
        let max_age = longest(stream.max_age, asked);
        let key = if max_age == stream.max_age { "the stream's max_age" } else { "nats.provision.max_age" };
        self.window_fits(max_age, key)?;
        let doubts = self.doubts(stream.num_replicas)?;
        let Widening { keys, changes, kept } =
            Widening::new(stream, &self.subjects, self.window, &self.config.provision);
        if !keys.is_empty() && !self.dry_run {
            self.update(keys).await.map_err(|error| self.failed(error))?;
        }
        Ok(Provisioned { what: self.what(), created: false, changes, doubts, kept })
    }

    /// Changes these keys, and hands back every other as it came: the server may know keys this client does not,
    /// and those left out would be reset.
    async fn update(&self, keys: Map<String, Value>) -> Result<(), String> {
        let name = &self.config.stream;
        let mut stream = self.ask(format!("STREAM.INFO.{name}"), &json!({})).await?["config"].take();
        for (key, value) in keys {
            stream[key] = value;
        }
        self.ask(format!("STREAM.UPDATE.{name}"), &stream).await.map(|_| ())
    }

    async fn ask(&self, subject: String, payload: &Value) -> Result<Value, String> {
        match self.context.request(subject, payload).await {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Err { error }) if too_few(error.error_code()) => Err(Refused::TooFew.to_string()),
            Ok(Response::Err { error }) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// JetStream knows repeats no longer than it keeps messages (its error 10052).
    fn window_fits(&self, max_age: Duration, key: &str) -> Result<(), String> {
        if max_age.is_zero() || self.window <= max_age {
            return Ok(());
        }
        let (window, age) = (show(self.window), show(max_age));
        Err(format!(
            "dedupe.window = {window}: more than {key} = {age}, and repeats are known no longer than messages are kept; lower dedupe.window, or raise {key}"
        ))
    }

    fn what(&self) -> String {
        format!("stream {}", self.config.stream)
    }

    fn failed(&self, why: impl std::fmt::Display) -> String {
        format!("{}: {why}", self.what())
    }
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("more copies than the cluster has servers; start more, or lower nats.provision.replicas")]
    TooFew,
    #[error("{0}")]
    Other(String),
}

/// Fewer servers than copies; any other refusal does not change with fewer.
fn too_few(code: ErrorCode) -> bool {
    [ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED, ErrorCode::CLUSTER_NO_PEERS].contains(&code)
}
