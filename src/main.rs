//! The binary: arguments in, exit code out.

/// A notification is allocated by one thread and freed by another, which costs the allocator of most systems dearly.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    greenapi_bridge::cli::main()
}
