//! Publishes to JetStream without HTTP. `bench-direct-nats SERVER INSTANCES RATE SECONDS`

#[path = "program.rs"]
mod program;
#[path = "senders.rs"]
mod senders;

use async_nats::jetstream;

fn main() -> Result<(), program::Failed> {
    program::runtime()?.block_on(async {
        let context = jetstream::new(async_nats::connect(program::argument(1)?).await?);
        senders::send(move |instance, body| {
            let context = context.clone();
            async move {
                let subject = format!("greenapi.incoming.{instance}.incomingMessageReceived");
                context.publish(subject, body).await?.await?;
                Ok(())
            }
        })
        .await
    })
}
