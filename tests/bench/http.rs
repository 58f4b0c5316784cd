//! What the HTTP programs of the benchmark share: hyper.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::program::{Failed, argument};

/// Listens at the first argument and answers 200 to whatever `store` stores.
#[allow(dead_code, reason = "one program speaks HTTP over TLS")]
pub async fn serve<S, A>(store: S) -> Result<(), Failed>
where
    S: Fn(Bytes) -> A + Clone + Send + 'static,
    A: Future<Output = Result<(), Failed>> + Send + 'static,
{
    serve_over(|stream| async { Ok(stream) }, store).await
}

/// The same, over what `secure` makes of a TCP connection.
pub async fn serve_over<P, C, T, S, A>(secure: P, store: S) -> Result<(), Failed>
where
    P: Fn(TcpStream) -> C,
    C: Future<Output = io::Result<T>> + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Bytes) -> A + Clone + Send + 'static,
    A: Future<Output = Result<(), Failed>> + Send + 'static,
{
    let listener = TcpListener::bind(argument(1)?).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (store, secured) = (store.clone(), secure(stream));
        let answered = service_fn(move |request| answer(request, store.clone()));
        tokio::spawn(async move {
            http1::Builder::new().serve_connection(TokioIo::new(secured.await?), answered).await?;
            Ok::<_, Failed>(())
        });
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
