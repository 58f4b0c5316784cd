//! From a request to its page or its edit.

use std::error::Error;
use std::sync::Arc;

use hyper::{Method, Request, Response};

use super::guard::Access;
use super::response::{Body, Refusal, with_security_headers};
use super::{Guard, Health, JournalPages, health, metrics_page, status_page};
use crate::http_server::{Client, Transport};
use crate::telemetry::Metrics;

/// The edits under `/journal/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EditRoute {
    Reroute,
    Drop,
    Erase,
    Import,
    Replay,
}

impl EditRoute {
    const ALL: [Self; 5] = [Self::Reroute, Self::Drop, Self::Erase, Self::Import, Self::Replay];

    /// The last part of its path.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Reroute => "reroute",
            Self::Drop => "drop",
            Self::Erase => "erase",
            Self::Import => "import",
            Self::Replay => "replay",
        }
    }
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'p> {
    Live,
    Ready,
    Metrics,
    Status,
    Events,
    Event(&'p str),
    Edit(EditRoute),
}

impl Route<'_> {
    fn of(path: &str) -> Option<Route<'_>> {
        match path {
            "/livez" => Some(Route::Live),
            "/readyz" => Some(Route::Ready),
            "/metrics" => Some(Route::Metrics),
            "/" => Some(Route::Status),
            "/events" => Some(Route::Events),
            _ => path.strip_prefix("/events/").map(Route::Event).or_else(|| {
                let name = path.strip_prefix("/journal/")?;
                EditRoute::ALL.into_iter().find(|edit| edit.as_str() == name).map(Route::Edit)
            }),
        }
    }

    fn access(self) -> Access {
        if matches!(self, Self::Live | Self::Ready) { Access::Open } else { Access::Token }
    }
}

/// Which routes a listener has.
enum Routes {
    /// Health and metrics.
    Probes,
    /// All of them, but for those of a journal that is not there.
    Operators { journal: Option<Box<JournalPages>> },
}

/// What one of the listeners serves.
pub struct Admin {
    guard: Guard,
    health: Health,
    metrics: Arc<Metrics>,
    routes: Routes,
}

impl Admin {
    /// The listener of `[probes]`.
    pub fn probes(health: Health, metrics: Arc<Metrics>) -> Self {
        Self { guard: Guard::default(), health, metrics, routes: Routes::Probes }
    }

    /// The listener of `[admin]`.
    pub fn operators(guard: Guard, health: Health, metrics: Arc<Metrics>, journal: Option<JournalPages>) -> Self {
        Self { guard, health, metrics, routes: Routes::Operators { journal: journal.map(Box::new) } }
    }

    /// Answers one request. The order of its checks: 400 without the TLS of this port, 403 for the host, 401 for the token,
    /// 404, 405, and then those of the route.
    pub async fn serve<B>(&self, client: &Client, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        with_security_headers(self.answer(client, request).await.unwrap_or_else(Refusal::into_response))
    }

    async fn answer<B>(&self, client: &Client, request: Request<B>) -> Result<Response<Body>, Refusal>
    where
        B: hyper::body::Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let route = Route::of(request.uri().path()).filter(|route| self.has(*route));
        if client.transport() == Transport::PlainOnTlsPort {
            return Err(Refusal::PlainHttp);
        }
        let access = route.map_or(Access::Token, Route::access);
        self.guard.check(request.headers(), access)?;
        // probes have no tokens: their connections stay unauthenticated
        if access == Access::Token && matches!(self.routes, Routes::Operators { .. }) {
            client.mark_authenticated();
        }
        match route.ok_or_else(|| Refusal::NoRoute { pages: self.pages() })? {
            Route::Live => only_read(request.method()).map(|()| health::live()),
            Route::Ready => only_read(request.method()).map(|()| health::ready(&self.health)),
            Route::Metrics => only_read(request.method()).map(|()| metrics_page::answer(&self.metrics, &self.health)),
            Route::Status => self.status(&request).await,
            Route::Events => self.events(&request).await,
            Route::Event(id) => self.event(&request, id).await,
            Route::Edit(edit) => {
                self.journal().ok_or(Refusal::NoJournal)?.edit(edit, client.transport(), request).await
            }
        }
    }

    /// Whether this listener has a route. Without a journal `/events` says so.
    fn has(&self, route: Route<'_>) -> bool {
        match route {
            Route::Live | Route::Ready | Route::Metrics => true,
            Route::Status | Route::Events | Route::Event(_) => matches!(self.routes, Routes::Operators { .. }),
            Route::Edit(_) => self.journal().is_some(),
        }
    }

    fn journal(&self) -> Option<&JournalPages> {
        match &self.routes {
            Routes::Operators { journal } => journal.as_deref(),
            Routes::Probes => None,
        }
    }

    /// The pages that there are, for people.
    fn pages(&self) -> &'static str {
        match &self.routes {
            Routes::Probes => "/livez, /readyz and /metrics",
            Routes::Operators { journal: None } => "/, /livez, /readyz and /metrics",
            Routes::Operators { journal: Some(_) } => "/, /events, /livez, /readyz and /metrics",
        }
    }

    async fn status<B>(&self, request: &Request<B>) -> Result<Response<Body>, Refusal> {
        only_read(request.method())?;
        let summary = match self.journal() {
            Some(journal) => journal.summary().await,
            None => None,
        };
        Ok(status_page::answer(&self.health.readiness(), summary.as_ref()))
    }

    async fn events<B>(&self, request: &Request<B>) -> Result<Response<Body>, Refusal> {
        only_read(request.method())?;
        self.journal().ok_or(Refusal::NoJournal)?.events(request).await
    }

    async fn event<B>(&self, request: &Request<B>, id: &str) -> Result<Response<Body>, Refusal> {
        only_read(request.method())?;
        self.journal().ok_or(Refusal::NoJournal)?.event(id).await
    }
}

fn only_read(method: &Method) -> Result<(), Refusal> {
    if [Method::GET, Method::HEAD].contains(method) { Ok(()) } else { Err(Refusal::OnlyRead) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_leads_to_one_route() {
        assert_eq!(Route::of("/events"), Some(Route::Events));
        assert_eq!(Route::of("/events/ab-7"), Some(Route::Event("ab-7")));
        for edit in EditRoute::ALL {
            assert_eq!(Route::of(&format!("/journal/{}", edit.as_str())), Some(Route::Edit(edit)));
        }
        for other in ["", "/livez/", "/event", "/eventsx", "/journal", "/journal/", "/journal/other", "/journal/drop/"]
        {
            assert_eq!(Route::of(other), None, "{other}");
        }
    }

    #[test]
    fn only_health_is_open() {
        for (path, access) in [
            ("/livez", Access::Open),
            ("/readyz", Access::Open),
            ("/metrics", Access::Token),
            ("/", Access::Token),
            ("/events", Access::Token),
            ("/events/1", Access::Token),
            ("/journal/erase", Access::Token),
        ] {
            assert_eq!(Route::of(path).unwrap().access(), access, "{path}");
        }
    }
}
