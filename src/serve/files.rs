//! What this process may have: open files, for each connection is one, and no core dumps.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open besides the connections of one listener: those of others, to brokers, and files.
const OTHERS: usize = 640;

/// How many connections a listener can have. Many systems give 1,024 files and allow far more to who asks, so this asks
/// for all that is allowed.
pub fn room_for_connections() -> usize {
    let allowed = getrlimit(Resource::Nofile);
    let mut asked = allowed;
    asked.current = asked.maximum;
    let granted = if setrlimit(Resource::Nofile, asked).is_ok() { allowed.maximum } else { allowed.current };
    granted.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHERS).max(1))
}

/// A picture of this process's memory would have people's messages and the tokens in it, wherever cores are kept.
pub fn no_core_dumps() {
    // one byte and not none: Linux heeds no limit where cores go to a program, but for this one (`fs/coredump.c`)
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(1), maximum: Some(1) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_allowed_is_asked_for() {
        let mut fewer = getrlimit(Resource::Nofile);
        let hard = fewer.maximum.unwrap();
        fewer.current = Some(hard - 1);
        setrlimit(Resource::Nofile, fewer).unwrap();
        assert_eq!(room_for_connections(), usize::try_from(hard).unwrap() - OTHERS);
        assert_eq!(getrlimit(Resource::Nofile).current, Some(hard));
    }
}
