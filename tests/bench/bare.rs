//! Answers 200 and stores nothing: what HTTP alone costs. `bench-bare ADDRESS`

#[path = "http.rs"]
mod http;
#[path = "program.rs"]
mod program;

fn main() -> Result<(), program::Failed> {
    program::runtime()?.block_on(http::serve(|_| async { Ok(()) }))
}
