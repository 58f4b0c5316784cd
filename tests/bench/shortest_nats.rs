//! The shortest program that parses, publishes to JetStream and waits for the acknowledgement: no token, no
//! identity, no headers, no duplicates, no time budget, no metrics. `bench-shortest-nats ADDRESS SERVER`

#[path = "http.rs"]
mod http;
#[path = "notification.rs"]
mod notification;
#[path = "program.rs"]
mod program;

use async_nats::jetstream;
use notification::Notification;

fn main() -> Result<(), program::Failed> {
    program::runtime()?.block_on(async {
        let context = jetstream::new(async_nats::connect(program::argument(2)?).await?);
        http::serve(move |body| {
            let context = context.clone();
            async move {
                let Notification { type_webhook, instance_data } = serde_json::from_slice(&body)?;
                let subject = format!("greenapi.incoming.{}.{type_webhook}", instance_data.id_instance);
                context.publish(subject, body).await?.await?;
                Ok(())
            }
        })
        .await
    })
}
