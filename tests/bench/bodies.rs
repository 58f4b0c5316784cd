//! The notifications of one instance, each another one.

use std::sync::Arc;

use bytes::Bytes;
use greenapi_bridge::simulator::{Fields, Sample};

use crate::program::Failed;

/// The first instance `greenapi-bridge send` would send for.
const FIRST: u64 = 1_101_000_001;

/// What one instance sends.
pub struct Bodies {
    pub instance: u64,
    run: u32,
    sequence: u64,
    samples: Arc<Vec<Sample>>,
}

/// Those of so many instances.
pub fn of(instances: u32) -> Result<Vec<Bodies>, Failed> {
    let samples = Arc::new(Sample::named(&["incomingMessageReceived".into()]).map_err(|unnamed| unnamed.to_string())?);
    let run = std::process::id();
    let bodies =
        |number| Bodies { instance: FIRST + u64::from(number), run, sequence: 0, samples: Arc::clone(&samples) };
    Ok((0..instances).map(bodies).collect())
}

impl Bodies {
    /// The next one.
    pub fn body(&mut self) -> Bytes {
        let fields = Fields { instance: self.instance, time: 1_763_972_458, run: self.run, sequence: self.sequence };
        let sample = &self.samples[self.sequence as usize % self.samples.len()];
        self.sequence += 1;
        let mut body = Vec::with_capacity(1024);
        sample.write(&mut body, fields, 0);
        body.into()
    }
}
