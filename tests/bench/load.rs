//! Stand-in for `greenapi-bridge send`. `bench-load URL TOKEN_FILE INSTANCES RATE SECONDS`, in the order of senders.rs

#[path = "program.rs"]
mod program;
#[path = "senders.rs"]
mod senders;

use std::sync::Arc;

use bytes::Bytes;
use program::{Failed, argument};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

fn main() -> Result<(), Failed> {
    let runtime = program::runtime()?;
    runtime.block_on(async {
        let address: Arc<str> = argument(1)?.into();
        let token: Arc<str> = std::fs::read_to_string(argument(5)?)?.trim().into();
        let count: usize = argument(2)?.parse()?;
        let mut streams = Vec::new();
        for _ in 0..count {
            let stream = TcpStream::connect(&*address).await?;
            stream.set_nodelay(true)?;
            streams.push(Mutex::new(stream));
        }
        let streams = Arc::new(streams);
        senders::send(move |instance, body| {
            let (streams, token, address) = (streams.clone(), token.clone(), address.clone());
            async move {
                let mut stream = streams[(instance - 1_101_000_000) as usize].lock().await;
                exchange(&mut stream, &address, &token, &body).await
            }
        })
        .await
    })
}

async fn exchange(stream: &mut TcpStream, address: &str, token: &str, body: &Bytes) -> Result<(), Failed> {
    let mut request = Vec::with_capacity(1024 + body.len());
    request.extend_from_slice(
        format!(
            "POST /green-api/webhook/ HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .as_bytes(),
    );
    request.extend_from_slice(body);
    stream.write_all(&request).await?;
    let mut answer = [0; 1024];
    let mut have = 0;
    loop {
        let read = stream.read(&mut answer[have..]).await?;
        if read == 0 {
            return Err("closed".into());
        }
        have += read;
        if answer[..have].ends_with(b"}") {
            break;
        }
    }
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(String::from_utf8_lossy(&answer[..have]).into()) }
}
