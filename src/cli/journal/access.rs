//! Access to a journal that a command changes: its files if no bridge runs on it, else the admin listener of that bridge.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::de::DeserializeOwned;

use super::{CommandError, failure, open_reader, section, unusable};
use crate::auth;
use crate::bridge;
use crate::cli::endpoint;
use crate::config::Config;
use crate::delivery::ImportCounts;
use crate::http_client::{AdminClient, Target, Trust};
use crate::journal::{OpenError, Record, line};
use crate::journal_edit::{EditReport, EditRequest, JournalEditor, ReplayRequest, ReplayResult};
use crate::message::Broker;
use crate::notification::Validation;
use crate::route::Routes;

/// How to reach the bridge that runs on the journal.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct AdminOptions {
    /// The admin listener of the bridge that runs on the journal. Default: admin.listen of the configuration.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Trust the authorities in this PEM file, and no others, as those of --url.
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    /// A tokens file: its first token that is bound to no instance is sent. Default: admin.tokens_file.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A journal that can be changed.
pub(in crate::cli) enum JournalAccess {
    /// No bridge runs on it: this process has opened it.
    Opened(Box<JournalEditor>),
    /// A bridge runs on it.
    ViaBridge(RunningBridge),
}

/// The admin listener of the bridge that runs on a journal.
pub(in crate::cli) struct RunningBridge {
    url: String,
    token: String,
    trust: Trust,
    /// The name of the journal, so that a bridge on another journal refuses.
    journal: String,
}

/// The routes of a configuration.
pub(super) fn routes(config: &Config) -> Result<Arc<Routes>, CommandError> {
    Routes::new(&config.route, &config.broker_templates()).map(Arc::new).map_err(unusable)
}

impl AdminOptions {
    /// Opens the journal of a configuration, or finds the bridge that has opened it.
    pub(in crate::cli) async fn open(&self, config: &Config) -> Result<JournalAccess, CommandError> {
        let metrics = Arc::new(bridge::metrics().map_err(failure)?);
        let opened = JournalEditor::open_offline(
            section(config)?,
            &config.dead_letter,
            &config.dedupe,
            routes(config)?,
            Validation::new(&config.validation).map_err(unusable)?,
            metrics,
        );
        match opened {
            Ok(editor) => Ok(JournalAccess::Opened(Box::new(editor))),
            Err(OpenError::InUse { .. }) => {
                let journal = open_reader(config)?.name().await.map_err(failure)?;
                self.running_bridge(config, journal).map(JournalAccess::ViaBridge)
            }
            Err(error) => Err(unusable(error)),
        }
    }

    fn running_bridge(&self, config: &Config, journal: String) -> Result<RunningBridge, CommandError> {
        let configured = config
            .admin
            .as_ref()
            .map(|admin| format!("{}://{}", endpoint::scheme(admin.tls.as_ref()), endpoint::connectable(admin.listen)));
        let tls = config.admin.as_ref().and_then(|admin| admin.tls.as_ref());
        let trust = endpoint::trust(self.url.as_ref(), self.ca_file.as_ref(), tls);
        let remedy =
            "a bridge runs on this journal, and this configuration has no [admin] to reach it; stop it, or add [admin]";
        let url = self.url.clone().or(configured).ok_or_else(|| unusable(remedy))?;
        let file = self.token_file.as_ref().or(config.admin.as_ref().and_then(|admin| admin.tokens_file.as_ref()));
        let Some(file) = file else { return Ok(RunningBridge { url, token: String::new(), trust, journal }) };
        let wrong = |why: &dyn std::fmt::Display| unusable(format!("{}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        let token = auth::first_unbound_token(&text).map_err(|error| wrong(&error))?;
        let token = token.ok_or_else(|| wrong(&"every token is bound to an instance; give one that is not"))?;
        Ok(RunningBridge { url, token, trust, journal })
    }
}

impl JournalAccess {
    /// Applies an edit.
    pub(super) async fn edit(&self, request: EditRequest) -> Result<EditReport, CommandError> {
        match self {
            Self::Opened(editor) => editor.edit(request).await.map_err(failure),
            Self::ViaBridge(bridge) => {
                let body = serde_json::to_vec(&request).map_err(failure)?;
                let response = post(&mut bridge.client(request.edit.as_str())?, body).await?;
                EditReport::read(&request.edit, &response).map_err(unknown_response)
            }
        }
    }

    /// Replays dead letters of the journal.
    pub(in crate::cli) async fn replay(&self, request: &ReplayRequest) -> Result<Vec<ReplayResult>, CommandError> {
        match self {
            Self::Opened(editor) => editor.replay(request).await.map_err(failure),
            Self::ViaBridge(bridge) => {
                post_for(&mut bridge.client("replay")?, serde_json::to_vec(request).map_err(failure)?).await
            }
        }
    }

    /// Returns what adds records to the journal, page by page. None means the backlogs they were exported from.
    pub(super) fn importer(&self, to: Option<Broker>) -> Result<Importer<'_>, CommandError> {
        Ok(match self {
            Self::Opened(editor) => Importer::Opened(editor, to),
            Self::ViaBridge(bridge) => Importer::ViaBridge(bridge.client("import")?, to),
        })
    }

    /// Closes a journal that this process has opened.
    pub(in crate::cli) async fn close(&self) {
        if let Self::Opened(editor) = self {
            editor.close().await;
        }
    }
}

impl RunningBridge {
    fn client(&self, action: &str) -> Result<AdminClient, CommandError> {
        let Self { url, token, trust, journal } = self;
        let target = format!("{}/journal/{action}?journal={journal}", url.trim_end_matches('/'));
        let target = Target::new(&target, token).map_err(|error| unusable(format!("--url: {error}")))?;
        AdminClient::new(target, trust).map_err(unusable)
    }
}

/// Adds records to a journal.
pub(super) enum Importer<'r> {
    Opened(&'r JournalEditor, Option<Broker>),
    ViaBridge(AdminClient, Option<Broker>),
}

impl Importer<'_> {
    pub(super) async fn import(&mut self, records: Vec<Record>) -> Result<ImportCounts, CommandError> {
        match self {
            Self::Opened(editor, to) => editor.import(records, *to).await.map_err(failure),
            Self::ViaBridge(client, to) => {
                let to = to.map_or("null".into(), |to| format!("\"{}\"", to.as_str()));
                let mut body = format!("{{\"to\":{to},\"records\":[").into_bytes();
                for (index, record) in records.iter().enumerate() {
                    body.extend_from_slice(if index > 0 { b"," } else { b"" });
                    body.extend(line::write(record));
                }
                body.extend_from_slice(b"]}");
                post_for(client, body).await
            }
        }
    }
}

/// Posts a request to a bridge and parses its response.
async fn post_for<T: DeserializeOwned>(client: &mut AdminClient, body: Vec<u8>) -> Result<T, CommandError> {
    serde_json::from_slice(&post(client, body).await?).map_err(unknown_response)
}

fn unknown_response(error: serde_json::Error) -> CommandError {
    failure(format!(
        "the bridge answered what this version does not understand ({error}), so what it did is not known; see \
         `greenapi-bridge journal status`, and use the version of the bridge, or give another --url"
    ))
}

/// The body of a bridge's response; any status but 200 is an error.
async fn post(client: &mut AdminClient, body: Vec<u8>) -> Result<Vec<u8>, CommandError> {
    let (status, response) = client.post(body.into()).await.map_err(|why| {
        failure(format!(
            "a bridge runs on this journal, but its admin listener does not answer: {why}; stop it, or give --url"
        ))
    })?;
    if status == 200 {
        return Ok(response.to_vec());
    }
    let json: Option<serde_json::Value> = serde_json::from_slice(&response).ok();
    let error = json.as_ref().and_then(|json| json["error"].as_str());
    let error = error.map_or_else(|| String::from_utf8_lossy(&response).trim().to_owned(), Into::into);
    Err(failure(format!("the bridge answered {status}: {error}")))
}
