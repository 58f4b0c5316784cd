//! Every token of a tokens file is found in the form it is sent in, for its instance, and no shorter one is.

#![no_main]

use greenapi_bridge::auth::Tokens;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &str| {
    let Ok(tokens) = Tokens::parse(file) else { return };
    let lines = file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut last = None;
    for line in lines {
        let words: Vec<_> = line.split_whitespace().collect();
        let (instance, credential) = match words[..] {
            [first, ref rest @ ..] if !rest.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit()) => {
                (Some(first.parse::<u64>().unwrap()), rest.to_vec())
            }
            _ => (None, words),
        };
        let sent = match credential[..] {
            [token] => format!("Bearer {token}"),
            [scheme, token] => format!("{scheme} {token}"),
            _ => panic!("{} words", credential.len()),
        };
        let binding = tokens.look_up(&sent).expect("a token of the file");
        assert!(binding.covers(instance));
        last = Some(sent);
    }
    let mut shorter = last.expect("a file without a token is refused");
    shorter.pop();
    let (count, bound) = tokens.count();
    assert!(bound <= count && count <= file.lines().count());
    assert!(count > 1 || tokens.look_up(&shorter).is_none());
});
