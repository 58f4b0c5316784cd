//! Publishes to Kafka without HTTP. `bench-direct-kafka SERVER INSTANCES RATE SECONDS LINGER`

#[path = "producer.rs"]
mod producer;
#[path = "program.rs"]
mod program;
#[path = "senders.rs"]
mod senders;

use std::time::Duration;

use rdkafka::producer::FutureRecord;

fn main() -> Result<(), program::Failed> {
    program::runtime()?.block_on(async {
        let producer = producer::producer(&program::argument(1)?, &program::argument(5)?)?;
        senders::send(move |instance, body| {
            let producer = producer.clone();
            async move {
                let key = instance.to_string();
                let record = FutureRecord::to("greenapi.incoming").key(&key).payload(&body[..]);
                producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
                Ok(())
            }
        })
        .await
    })
}
