//! Printing. The macros `println!` and `eprintln!` of the standard library panic where a pipe is closed or a disk is
//! full; those of this module do not.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Prints a line of the result. A reader that has closed its end wants no more, which is no fault: what the command does
/// goes on. Where the result cannot be written, the process ends with exit code 1.
macro_rules! println {
    ($($text:tt)*) => {
        $crate::cli::output::result(format_args!($($text)*))
    };
}

/// Prints a line to standard error, or not where that is not possible.
macro_rules! eprintln {
    ($($text:tt)*) => {
        $crate::cli::output::remark(format_args!($($text)*))
    };
}

pub(super) fn result(line: Arguments<'_>) {
    bytes(format!("{line}\n").as_bytes());
}

/// Prints bytes of the result, as [`println!`] does. False means that the reader has closed its end.
pub(super) fn bytes(bytes: &[u8]) -> bool {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.inspect_err(end_unless_closed).is_ok()
}

/// The beginning of an answer that a server gave instead of the wanted one, without what a terminal would obey.
pub(super) fn beginning(answer: &[u8]) -> String {
    const CHARS: usize = 1000;
    String::from_utf8_lossy(answer).trim().chars().filter(|one| !one.is_control()).take(CHARS).collect()
}

/// Ends the process where a result cannot be written, unless its reader has closed the pipe.
pub(super) fn end_unless_closed(error: &std::io::Error) {
    if error.kind() != ErrorKind::BrokenPipe {
        eprintln!("greenapi-bridge: the result cannot be written: {error}");
        std::process::exit(1);
    }
}

pub(super) fn remark(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
