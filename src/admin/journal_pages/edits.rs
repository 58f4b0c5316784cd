//! `POST /journal/…`: journal edits, one at a time, as JSON. An edit that fails is answered `{"error": …}`.
//!
//! Protection against cross-site request forgery, besides token and `Host`: the body must be `application/json`, for which
//! a browser asks first and is refused, `Origin`, if present, must equal `Host`, and `Sec-Fetch-Site`, which a browser sends
//! also where it keeps the origin to itself, must name no other site.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::warn;

use crate::admin::response::{Body, JSON, Refusal, response};
use crate::admin::router::EditRoute;
use crate::delivery::EditError;
use crate::http_server::Transport;
use crate::journal::{ChangeError, line};
use crate::journal_edit::{EditRequest, ImportRequest, JournalEditError, JournalEditor, PAGE_BYTES};

/// How long the body of a request may take.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// Why an edit was not made, or not all of it. Each is one status.
#[derive(Debug, Clone, PartialEq, Eq)]
enum EditRefusal {
    /// 400: the request is not understood, or its edit is not possible here. Nothing was changed.
    Invalid(String),
    /// 404: the bridge has no journal.
    NoJournal(String),
    /// 409: the bridge has another journal than the sender means.
    OtherJournal(String),
    /// 409: another edit runs.
    EditRuns,
    /// 500: the edit failed, perhaps halfway; the text says how far it came.
    Failed(String),
    /// 503: the journal does not take the edit now; the same request may succeed later.
    Unavailable(String),
}

impl EditRefusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NoJournal(_) => StatusCode::NOT_FOUND,
            Self::OtherJournal(_) | Self::EditRuns => StatusCode::CONFLICT,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Invalid(why) | Self::NoJournal(why) | Self::Failed(why) | Self::Unavailable(why) => why.clone(),
            Self::OtherJournal(name) => format!("this bridge runs on another journal, {name}; is --url right?"),
            Self::EditRuns => "another edit runs; try again when it is done".into(),
        }
    }
}

impl From<JournalEditError> for EditRefusal {
    fn from(error: JournalEditError) -> Self {
        let why = error.to_string();
        match error {
            JournalEditError::Invalid(_) => Self::Invalid(why),
            JournalEditError::Failed(EditError::NoJournal) => Self::NoJournal(why),
            JournalEditError::Failed(EditError::Busy) => Self::EditRuns,
            JournalEditError::Failed(EditError::InFlight | EditError::Refused { .. }) => Self::Unavailable(why),
            JournalEditError::Failed(EditError::Journal(ChangeError::Closed)) => Self::Unavailable(why),
            JournalEditError::Failed(EditError::Journal(ChangeError::Sqlite(_)) | EditError::Failed(_)) => {
                Self::Failed(why)
            }
        }
    }
}

/// The JSON of a result, or why there is none.
type EditAnswer = Result<Vec<u8>, EditRefusal>;

/// The edits of a running bridge's journal.
pub(super) struct Edits {
    editor: Arc<JournalEditor>,
    edit_slot: EditSlot,
    /// The most bytes of a request.
    max_request: usize,
}

impl Edits {
    pub(super) fn new(editor: JournalEditor, max_body: usize) -> Self {
        // a page and one more record of `max_body` bytes; base64 and attributes at most double both
        let max_request = max_body.saturating_mul(2).saturating_add(PAGE_BYTES * 2);
        Self { editor: Arc::new(editor), edit_slot: EditSlot::default(), max_request }
    }

    /// Answers a request for an edit. An edit that has begun goes on to its end, also when the sender hangs up.
    pub(super) async fn answer<B>(
        &self,
        route: EditRoute,
        transport: Transport,
        request: Request<B>,
    ) -> Result<Response<Body>, Refusal>
    where
        B: HttpBody,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if *request.method() != Method::POST {
            return Err(Refusal::OnlyPosted);
        }
        if !is_own_origin(request.headers(), transport) || !is_own_site(request.headers()) {
            return Err(Refusal::OtherOrigin);
        }
        let wanted_journal = request.uri().query().and_then(|query| query.strip_prefix("journal="));
        if wanted_journal.is_some_and(|wanted_journal| wanted_journal != self.editor.journal()) {
            return Ok(refused(&EditRefusal::OtherJournal(self.editor.journal().into())));
        }
        let body = self.read(request).await?;
        let editor = self.editor.clone();
        let answer = self.edit_slot.run(async move { apply_edit(&editor, route, &body).await }).await;
        Ok(match answer {
            Ok(json) => response(StatusCode::OK, JSON, json),
            Err(refusal) => {
                if refusal.status().is_server_error() {
                    warn!(edit = route.as_str(), reason = refusal.text(), "journal edit failed");
                }
                refused(&refusal)
            }
        })
    }

    /// Reads the body of a request, which must be JSON.
    async fn read<B>(&self, request: Request<B>) -> Result<Bytes, Refusal>
    where
        B: HttpBody,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if !is_json(request.headers()) {
            return Err(Refusal::NotJson);
        }
        if request.body().size_hint().lower() > self.max_request as u64 {
            return Err(Refusal::TooLarge);
        }
        let body = Limited::new(request.into_body(), self.max_request).collect();
        match timeout(BODY_WITHIN, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(_)) => Err(Refusal::TooLarge),
            Err(_) => Err(Refusal::TooSlow),
        }
    }
}

fn refused(refusal: &EditRefusal) -> Response<Body> {
    response(refusal.status(), JSON, serde_json::json!({ "error": refusal.text() }).to_string())
}

/// Makes the edit of this route.
async fn apply_edit(editor: &JournalEditor, route: EditRoute, body: &[u8]) -> EditAnswer {
    match route {
        EditRoute::Replay => json(&editor.replay(&parse(body)?).await?),
        EditRoute::Import => {
            let ImportRequest { to, records } = parse(body)?;
            let records = records.iter().map(|one| line::read(one.get().as_bytes()));
            let records = records.collect::<Result<_, _>>().map_err(|error| EditRefusal::Invalid(error.to_string()))?;
            json(&editor.import(records, to).await?)
        }
        EditRoute::Reroute | EditRoute::Drop | EditRoute::Erase => {
            let request: EditRequest = parse(body)?;
            let (sent, route) = (request.edit.as_str(), route.as_str());
            if sent != route {
                return Err(EditRefusal::Invalid(format!("{sent}: this path is for {route}; post to /journal/{sent}")));
            }
            json(&editor.edit(request).await?)
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, EditRefusal> {
    serde_json::from_slice(body).map_err(|error| EditRefusal::Invalid(error.to_string()))
}

fn json(result: &impl Serialize) -> EditAnswer {
    serde_json::to_vec(result).map_err(|error| EditRefusal::Failed(error.to_string()))
}

/// Runs one edit at a time.
#[derive(Default)]
struct EditSlot(Arc<Mutex<()>>);

impl EditSlot {
    /// Runs an edit in a task of its own, so that it goes on when the caller is cancelled.
    async fn run(&self, edit: impl Future<Output = EditAnswer> + Send + 'static) -> EditAnswer {
        let Ok(only) = self.0.clone().try_lock_owned() else { return Err(EditRefusal::EditRuns) };
        let running = tokio::spawn(async move {
            let _only = only;
            edit.await
        });
        let failed = "the edit failed, perhaps halfway; see `greenapi-bridge journal status`, and do it again";
        running.await.unwrap_or_else(|error| Err(EditRefusal::Failed(format!("{failed}: {error}"))))
    }
}

/// Whether no page of another origin sent the request. A browser names the origin of the page; a program names none. With TLS
/// the page must have come over TLS: any other page may have been changed on the way. Without TLS here, a proxy may add it.
fn is_own_origin(headers: &HeaderMap, transport: Transport) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    origins.all(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin.zip(host).is_some_and(|((scheme, from), host)| {
            let is_scheme = scheme == "https" || scheme == "http" && transport == Transport::Plain;
            is_scheme && from.eq_ignore_ascii_case(host)
        })
    })
}

/// Whether no browser says that a page of another site, or of another origin of this site, sent the request.
fn is_own_site(headers: &HeaderMap) -> bool {
    // `none`: the person at the browser began it, no page
    headers.get_all("sec-fetch-site").iter().all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON))
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn an_origin_other_than_the_host_is_of_another_page() {
        let from = |origin: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "127.0.0.1:3001".parse().unwrap());
            headers.extend(origin.iter().map(|origin| (ORIGIN, origin.parse().unwrap())));
            let over = |transport| is_own_origin(&headers, transport);
            assert_eq!(over(Transport::Tls), over(Transport::Plain) && !origin.contains(&"http://127.0.0.1:3001"));
            over(Transport::Plain)
        };
        assert!(from(&[]) && from(&["http://127.0.0.1:3001"]) && from(&["https://127.0.0.1:3001"]));
        for origin in ["http://127.0.0.1", "http://127.0.0.1:3000", "null", "", "http://evil.example"] {
            assert!(!from(&[origin]), "{origin}");
        }
        assert!(!from(&["http://127.0.0.1:3001", "http://evil.example"]));
    }

    #[test]
    fn a_form_is_no_json() {
        let kind = |kind: &str| is_json(&[(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect());
        assert!(kind("application/json") && kind("Application/JSON; charset=utf-8"));
        assert!(
            !kind("text/plain") && !kind("application/x-www-form-urlencoded") && !kind("text/plain;application/json")
        );
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn only_a_request_that_is_wrong_itself_gets_400() {
        let status = |error: EditError| EditRefusal::from(JournalEditError::Failed(error)).status().as_u16();
        assert_eq!(EditRefusal::from(JournalEditError::Invalid("no".into())).status(), 400);
        assert_eq!(status(EditError::NoJournal), 404);
        assert_eq!(status(EditError::Busy), 409);
        assert_eq!(status(EditError::InFlight), 503);
        assert_eq!(status(EditError::Journal(ChangeError::Closed)), 503);
        assert_eq!(status(EditError::Journal(ChangeError::Sqlite("disk I/O error".into()))), 500);
        let halfway = EditRefusal::from(JournalEditError::Failed(EditError::Failed("…; by then: 7 dropped".into())));
        assert_eq!((halfway.status().as_u16(), halfway.text()), (500, "…; by then: 7 dropped".into()));
        assert_eq!(EditRefusal::OtherJournal("ab".into()).status(), 409);
    }

    #[tokio::test]
    async fn an_edit_that_panics_gets_500_and_the_next_one_runs() {
        let edit_slot = EditSlot::default();
        let refusal = edit_slot.run(async { panic!("a bug") }).await.unwrap_err();
        assert_eq!(refusal.status(), 500);
        assert!(refusal.text().contains("perhaps halfway"), "{}", refusal.text());
        assert_eq!(edit_slot.run(async { Ok(b"{}".into()) }).await, Ok(b"{}".into()));
    }

    #[tokio::test]
    async fn an_edit_runs_alone_and_to_its_end_though_its_sender_hangs_up() {
        let edit_slot = EditSlot::default();
        let ((go, gone), (end, ended)) = (oneshot::channel::<()>(), oneshot::channel());
        let first = edit_slot.run(async move {
            let _ = gone.await;
            let _ = end.send(());
            Ok(Vec::new())
        });
        assert!(timeout(Duration::from_millis(10), first).await.is_err(), "the sender hangs up");
        assert_eq!(edit_slot.run(async { Ok(Vec::new()) }).await.unwrap_err().status(), 409);
        go.send(()).unwrap();
        ended.await.unwrap();
        while edit_slot.run(async { Ok(Vec::new()) }).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}
