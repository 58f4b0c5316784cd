//! How a journal is reached: by opening it, or, where a bridge runs on it, through that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::de::DeserializeOwned;

use super::{Failed, failed, impossible, reader, section};
use crate::admit;
use crate::bridge;
use crate::config::Config;
use crate::deliver::Imported;
use crate::journal::store::queries;
use crate::journal::{OpenError, Record, line};
use crate::message::Broker;
use crate::route::Routes;
use crate::sender::{Asker, Target};
use crate::upkeep::{Asked, Counts, Replay, Replayed, Upkeep};

/// Where a bridge is that runs on it.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Reach {
    /// The admin listener of the bridge that runs on the journal. Default: admin.listen of the configuration.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file of tokens: its first that is bound to no instance is sent there. Default: admin.tokens_file.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A journal that can be changed.
pub(in crate::cli) enum Reached {
    /// It is ours for now.
    Here(Box<Upkeep>),
    /// A bridge runs on it: where its admin listener is, a token, and the journal's name.
    There(String, String, String),
}

/// The routes of a configuration.
pub(super) fn routes(config: &Config) -> Result<Arc<Routes>, Failed> {
    Routes::new(&config.route, &config.places()).map(Arc::new).map_err(impossible)
}

impl Reach {
    /// Reaches the journal of a configuration.
    pub(in crate::cli) async fn reach(&self, config: &Config) -> Result<Reached, Failed> {
        let metrics = Arc::new(bridge::metrics(None).map_err(failed)?);
        let opened = Upkeep::at_rest(section(config)?, &config.dead_letter, &config.dedupe, routes(config)?, metrics);
        match opened {
            Ok(upkeep) => Ok(Reached::Here(Box::new(upkeep))),
            Err(OpenError::Taken { .. }) => {
                let name = reader(config)?.read(|db| Ok(queries::name_and_next(db)?.0)).await.map_err(failed)?;
                self.there(config, name)
            }
            Err(error) => Err(impossible(error)),
        }
    }

    fn there(&self, config: &Config, name: String) -> Result<Reached, Failed> {
        let listens = config.admin.as_ref().map(|admin| format!("http://{}", reachable(admin.listen)));
        let remedy = "a bridge runs on this journal, and has no [admin] to reach it by; stop it, or add [admin]";
        let url = self.url.clone().or(listens).ok_or_else(|| impossible(remedy))?;
        let file = self.token_file.as_ref().or(config.admin.as_ref().and_then(|admin| admin.tokens_file.as_ref()));
        let Some(file) = file else { return Ok(Reached::There(url, String::new(), name)) };
        let wrong = |why: &dyn std::fmt::Display| impossible(format!("{}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        let token = admit::first_open(&text).map_err(|error| wrong(&error))?;
        let token = token.ok_or_else(|| wrong(&"every token is bound to an instance; give one that is not"))?;
        Ok(Reached::There(url, token, name))
    }
}

/// An address to connect to.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

impl Reached {
    /// Changes it.
    pub(super) async fn change(&self, asked: Asked) -> Result<std::collections::BTreeMap<String, u64>, Failed> {
        match self {
            Self::Here(upkeep) => {
                let counts: Counts = upkeep.change(asked).await.map_err(failed)?;
                Ok(counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect())
            }
            Self::There(..) => {
                let body = serde_json::to_vec(&asked).map_err(failed)?;
                ask(&mut self.asker(asked.change.as_str())?, body).await
            }
        }
    }

    /// Replays dead letters that it keeps.
    pub(in crate::cli) async fn replay(&self, asked: &Replay) -> Result<Vec<Replayed>, Failed> {
        match self {
            Self::Here(upkeep) => upkeep.replay(asked).await.map_err(failed),
            Self::There(..) => ask(&mut self.asker("replay")?, serde_json::to_vec(asked).map_err(failed)?).await,
        }
    }

    /// Brings in records, some at a time.
    pub(super) fn importer(&self, to: Option<Broker>) -> Result<Importer<'_>, Failed> {
        Ok(match self {
            Self::Here(upkeep) => Importer::Here(upkeep, to),
            Self::There(..) => Importer::There(self.asker("import")?, to),
        })
    }

    fn asker(&self, what: &str) -> Result<Asker, Failed> {
        let Self::There(url, token, name) = self else { return Err(failed("the journal is open here")) };
        let target = format!("{}/journal/{what}?journal={name}", url.trim_end_matches('/'));
        let target = Target::new(&target, token).map_err(|error| impossible(format!("--url: {error}")))?;
        Asker::new(target).map_err(failed)
    }

    /// Lets go of it.
    pub(in crate::cli) async fn close(&self) {
        if let Self::Here(upkeep) = self {
            upkeep.close().await;
        }
    }
}

/// Brings in records.
pub(super) enum Importer<'r> {
    Here(&'r Upkeep, Option<Broker>),
    There(Asker, Option<Broker>),
}

impl Importer<'_> {
    pub(super) async fn import(&mut self, records: Vec<Record>) -> Result<Imported, Failed> {
        match self {
            Self::Here(upkeep, to) => upkeep.import(records, *to).await.map_err(failed),
            Self::There(asker, to) => {
                let to = to.map_or("null".into(), |to| format!("\"{}\"", to.as_str()));
                let mut body = format!("{{\"to\":{to},\"records\":[").into_bytes();
                for (place, record) in records.iter().enumerate() {
                    body.extend_from_slice(if place > 0 { b"," } else { b"" });
                    body.extend(line::write(record));
                }
                body.extend_from_slice(b"]}");
                ask(asker, body).await
            }
        }
    }
}

/// Asks a bridge for something; what it says no to is said here.
async fn ask<T: DeserializeOwned>(asker: &mut Asker, body: Vec<u8>) -> Result<T, Failed> {
    let (status, answer) = asker.post(body.into()).await.map_err(|why| {
        failed(format!(
            "a bridge runs on this journal, but its admin listener does not answer: {why}; stop it, or give --url"
        ))
    })?;
    if status == 200 {
        return serde_json::from_slice(&answer).map_err(|_| failed("no answer of this version; is --url right?"));
    }
    let said: Option<serde_json::Value> = serde_json::from_slice(&answer).ok();
    let error = said.as_ref().and_then(|said| said["error"].as_str());
    let error = error.map_or_else(|| String::from_utf8_lossy(&answer).trim().to_owned(), Into::into);
    Err(failed(format!("the bridge says {status}: {error}")))
}
