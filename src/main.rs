//! The binary: the command line with its exit code, and the allocator.

/// One thread allocates a notification and another frees it, which is slow with the allocator of most systems. Used in builds
/// that need a C compiler anyway.
#[cfg(any(feature = "journal", feature = "kafka"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    greenapi_bridge::cli::main()
}
