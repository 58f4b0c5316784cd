//! The journal on the admin listener: `/events`, `/events/<seq>`, its numbers on `/`, and `POST /journal/…`.
//!
//! In: a request that the guard has let pass. Out: server-sent events, one body, or the result of an edit as JSON. The
//! edits themselves are in [`crate::journal_edit`].

mod edits;
mod event_query;
mod events;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use hyper::{Request, Response};

use super::response::{Body, Refusal};
use super::router::EditRoute;
use super::status_page::JournalSummary;
use crate::delivery::Delivery;
use crate::http_server::Transport;
use crate::journal::{Journal, OpenError};
use crate::journal_edit::JournalEditor;
use crate::notification::Validation;
use crate::route::Routes;
use crate::shutdown::Shutdown;
use edits::Edits;
pub use event_query::parse_event_id;
use events::Events;

/// The pages of a journal, and its edits.
pub struct JournalPages {
    events: Events,
    /// `None` means that this listener makes no edits.
    edits: Option<Edits>,
}

impl JournalPages {
    /// The pages of the journal in this folder; they end when the bridge stops.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(journal: &Journal, directory: &Path, shutdown: &Shutdown) -> Result<Self, OpenError> {
        Ok(Self { events: Events::open(journal, directory, shutdown.clone())?, edits: None })
    }

    /// Adds the edits. `max_body` is the most bytes of a notification that the bridge accepts: the import of one may be
    /// as large.
    #[must_use]
    pub fn with_edits(
        self,
        delivery: Arc<Delivery>,
        routes: Arc<Routes>,
        validation: Validation,
        max_body: usize,
    ) -> Self {
        let edits = Edits::new(JournalEditor::new(delivery, routes, validation), max_body);
        Self { edits: Some(edits), ..self }
    }

    /// The journal in numbers. `None` means that it cannot be read now; the log says why.
    pub(super) async fn summary(&self) -> Option<JournalSummary> {
        self.events.summary().await
    }

    pub(super) async fn events<B>(&self, request: &Request<B>) -> Result<Response<Body>, Refusal> {
        self.events.stream(request).await
    }

    pub(super) async fn event(&self, id: &str) -> Result<Response<Body>, Refusal> {
        self.events.body(id).await
    }

    pub(super) async fn edit<B>(
        &self,
        route: EditRoute,
        transport: Transport,
        request: Request<B>,
    ) -> Result<Response<Body>, Refusal>
    where
        B: hyper::body::Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.edits.as_ref().ok_or(Refusal::NoJournal)?.answer(route, transport, request).await
    }
}
