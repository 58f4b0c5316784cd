//! The shortest program that parses, publishes to Kafka and waits for the acknowledgement: no token, no identity,
//! no headers, no duplicates, no time budget, no metrics. `bench-shortest-kafka ADDRESS SERVER LINGER`

#[path = "http.rs"]
mod http;
#[path = "notification.rs"]
mod notification;
#[path = "producer.rs"]
mod producer;
#[path = "program.rs"]
mod program;

use std::time::Duration;

use notification::Notification;
use rdkafka::producer::FutureRecord;

fn main() -> Result<(), program::Failed> {
    program::runtime()?.block_on(async {
        let producer = producer::producer(&program::argument(2)?, &program::argument(3)?)?;
        http::serve(move |body| {
            let producer = producer.clone();
            async move {
                let Notification { instance_data, .. } = serde_json::from_slice(&body)?;
                let key = instance_data.id_instance.to_string();
                let record = FutureRecord::to("greenapi.incoming").key(&key).payload(&body[..]);
                producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
                Ok(())
            }
        })
        .await
    })
}
