//! Fills a journal as an outage would, from all instances in turn. `bench-fill-journal CONFIG RECORDS INSTANCES`

#[path = "bodies.rs"]
mod bodies;
#[path = "messages.rs"]
mod messages;
#[path = "program.rs"]
mod program;

use std::collections::VecDeque;

use greenapi_bridge::message::Brokers;
use messages::{Messages, owed};

/// So many may wait for their commit.
const WAIT: usize = 4096;

fn main() -> Result<(), program::Failed> {
    program::runtime()?.block_on(async {
        let messages = Messages::new(&program::argument(1)?)?;
        let (records, instances): (usize, u32) = (program::argument(2)?.parse()?, program::argument(3)?.parse()?);
        let mut bodies = bodies::of(instances)?;
        let journal = messages.journal()?;
        let mut waiting = VecDeque::new();
        for number in 0..records {
            let place = number % bodies.len();
            let message = messages.of(bodies[place].body())?;
            let owed = owed(&message);
            waiting.push_back(Box::pin(journal.append(message, owed, Brokers::NONE)));
            if waiting.len() >= WAIT
                && let Some(kept) = waiting.pop_front()
            {
                kept.await?;
            }
        }
        for kept in waiting {
            kept.await?;
        }
        journal.close();
        Ok(())
    })
}
