//! What the HTTP programs of the benchmark share: hyper.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::program::{Failed, argument};

/// Listens at the first argument and answers 200 to whatever `store` stores.
pub async fn serve<S, A>(store: S) -> Result<(), Failed>
where
    S: Fn(Bytes) -> A + Clone + Send + 'static,
    A: Future<Output = Result<(), Failed>> + Send + 'static,
{
    let listener = TcpListener::bind(argument(1)?).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let store = store.clone();
        let answered = service_fn(move |request| answer(request, store.clone()));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answered));
    }
}

async fn answer<S, A>(request: Request<Incoming>, store: S) -> Result<Response<Full<Bytes>>, hyper::Error>
where
    S: Fn(Bytes) -> A,
    A: Future<Output = Result<(), Failed>>,
{
    let body = request.into_body().collect().await?.to_bytes();
    let stored = store(body).await.is_ok();
    let mut response = Response::new(Full::from(if stored { r#"{"stored":"broker"}"# } else { "{}" }));
    *response.status_mut() = if stored { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(response)
}
