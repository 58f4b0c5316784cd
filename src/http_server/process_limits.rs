//! Limits of this process: open files, because each connection is one, and no core dumps.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files besides the connections of one listener: those of other listeners, to brokers, and files on disk.
const OTHER_FILES: usize = 640;

/// How many connections a listener can have. Many systems start a process with 1,024 open files and allow it to ask for
/// far more, so this asks for all that is allowed.
pub fn max_connections() -> usize {
    let allowed = getrlimit(Resource::Nofile);
    let mut wanted = allowed;
    wanted.current = wanted.maximum;
    let granted = if setrlimit(Resource::Nofile, wanted).is_ok() { allowed.maximum } else { allowed.current };
    granted.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES))
}

/// The least connections that a bridge is started with.
const MIN_CONNECTIONS: usize = 64;

/// Why this process cannot serve: it may open too few files. None means that it can.
pub fn too_few_files() -> Option<String> {
    let needed = OTHER_FILES + MIN_CONNECTIONS;
    let problem = || {
        format!(
            "this process may open too few files; raise the limit of open files (LimitNOFILE, ulimit -n) to at least {needed}"
        )
    };
    (max_connections() < MIN_CONNECTIONS).then(problem)
}

/// A core dump would contain people's messages and the tokens, wherever the system writes it.
pub fn disable_core_dumps() {
    // one byte instead of none: where cores go to a program, this is the only limit Linux obeys (`fs/coredump.c`)
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(1), maximum: Some(1) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_allowed_open_files_are_requested() {
        let mut fewer = getrlimit(Resource::Nofile);
        let hard = fewer.maximum.unwrap();
        fewer.current = Some(hard - 1);
        setrlimit(Resource::Nofile, fewer).unwrap();
        assert_eq!(max_connections(), usize::try_from(hard).unwrap() - OTHER_FILES);
        assert_eq!(getrlimit(Resource::Nofile).current, Some(hard));
    }
}
