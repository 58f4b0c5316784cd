//! What the admin listener shows beyond health and numbers: the content of the journal as it comes, and a page that
//! says how the bridge is.

#[cfg(feature = "journal")]
mod asked;
#[cfg(feature = "journal")]
mod events;
mod page;

use std::pin::Pin;

use futures_util::Stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

#[cfg(feature = "journal")]
pub use asked::{place, since};

use crate::journal::{self, Journal, OpenError};
use crate::observe::Operators;
use crate::shutdown::Shutdown;

/// Bytes that come one after the other.
pub type Streamed = StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> + Send>>>;

/// The body of an answer: all at once, or as it comes.
pub type Body = Either<Full<Bytes>, Streamed>;

const TEXT: &str = "text/plain; charset=utf-8";

const NO_JOURNAL: &str = "there is no journal whose events could be shown; add the section [journal]\n";

/// What one of the listeners for operators and for kubelets answers.
pub struct Admin {
    operators: Operators,
    contents: Option<Contents>,
}

/// What only the admin listener shows.
pub struct Contents {
    #[cfg(feature = "journal")]
    events: Option<events::Events>,
}

impl Admin {
    /// Shows these, and the contents if they may be shown there.
    pub fn new(operators: Operators, contents: Option<Contents>) -> Self {
        Self { operators, contents }
    }

    /// Answers one request: what it asks to be changed is, and else it is shown something.
    pub async fn serve<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self.operators.change(request).await {
            Ok(changed) => changed.map(Either::Left),
            Err(request) => self.answer(&request).await,
        }
    }

    async fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let path = request.uri().path();
        let ours = path == "/" || path == "/events" || path.starts_with("/events/");
        let Some(contents) = self.contents.as_ref().filter(|_| ours) else {
            let pages = self.contents.as_ref().map_or("", Contents::pages);
            return self.operators.answer(request, pages).map(Either::Left);
        };
        if let Some(refused) = self.operators.refused(request.headers(), false) {
            return refused.map(Either::Left);
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return with(refusal(StatusCode::METHOD_NOT_ALLOWED, "only to be read\n"), ALLOW, "GET, HEAD");
        }
        match path {
            "/" => page::answer(self.operators.health(), contents.held().await),
            _ => contents.answer(request).await,
        }
    }
}

impl Contents {
    /// Shows what is in this journal, if there is one, until the process stops.
    ///
    /// # Errors
    /// [`OpenError`].
    #[cfg(feature = "journal")]
    pub fn open(journal: Option<(&Journal, &journal::Config)>, shutdown: &Shutdown) -> Result<Self, OpenError> {
        let open =
            |(journal, at): (_, &journal::Config)| events::Events::open(journal, &at.directory, shutdown.clone());
        Ok(Self { events: journal.map(open).transpose()? })
    }

    /// There is none in this build.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "journal"))]
    pub fn open(_: Option<(&Journal, &journal::Config)>, _: &Shutdown) -> Result<Self, OpenError> {
        Ok(Self {})
    }

    /// What there is of it, as part of a list.
    fn pages(&self) -> &'static str {
        #[cfg(feature = "journal")]
        if self.events.is_some() {
            return "/, /events, ";
        }
        "/, "
    }

    #[cfg(feature = "journal")]
    async fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let Some(events) = &self.events else { return refusal(StatusCode::NOT_FOUND, NO_JOURNAL) };
        match request.uri().path().strip_prefix("/events/") {
            Some(place) => events.one(place).await,
            None => events.follow(request).await,
        }
    }

    #[cfg(feature = "journal")]
    async fn held(&self) -> Option<page::Held> {
        self.events.as_ref()?.held().await
    }

    #[cfg(not(feature = "journal"))]
    async fn answer<B>(&self, _: &Request<B>) -> Response<Body> {
        refusal(StatusCode::NOT_FOUND, NO_JOURNAL)
    }

    #[cfg(not(feature = "journal"))]
    async fn held(&self) -> Option<page::Held> {
        None
    }
}

/// An answer that no cache keeps, and that no browser takes for something else.
fn response(status: StatusCode, content: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

fn refusal(status: StatusCode, why: impl Into<Bytes>) -> Response<Body> {
    response(status, TEXT, Either::Left(Full::new(why.into())))
}

fn with(mut response: Response<Body>, name: HeaderName, value: &'static str) -> Response<Body> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}
