//! What every program of the benchmark begins with.

pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The runtime of the bridge: one thread for HTTP and broker.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

/// The argument at this place.
pub fn argument(place: usize) -> Result<String, Failed> {
    std::env::args().nth(place).ok_or_else(|| format!("argument {place} is missing").into())
}
