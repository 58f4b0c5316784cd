//! Explains TOML syntax errors: recognises JSON, YAML and unquoted text. No line of the file is shown: it may contain a
//! secret under a wrong key.

/// What is wrong with a file, and the remedy. `message` and `byte_offset` are those of the TOML library's error.
pub(super) fn explain(text: &str, byte_offset: usize, message: &str) -> String {
    let before = text.get(..byte_offset).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default().trim();
    let begins = text.trim_start();
    if begins.starts_with('{') {
        return "this is JSON; write TOML: a section is [nats], a value is key = \"…\"".into();
    }
    if let Some(what) = yaml(text, line) {
        return format!("line {number}: {what}; write TOML: a section is [nats], a value is key = \"…\"");
    }
    if message.contains("duplicate key") {
        let what = if line.starts_with('[') { "this section" } else { "this key" };
        return format!("line {number}: {what} is there twice; keep one of them, with all that belongs to it");
    }
    if let Some(key) = unquoted(line) {
        return format!("line {number}: the text after `{key} =` needs quotes: {key} = \"…\"");
    }
    if line.starts_with('[') && !line.contains(']') {
        return format!("line {number}: the section's name has no end; write ] after it");
    }
    if line.matches('"').count() % 2 == 1 {
        return format!("line {number}: a quote is missing; text stands between two \"");
    }
    format!("line {number}: {message}")
}

/// Recognises a line of YAML (`key: value`, `key:` or `- entry`), and a file that begins with `---`.
fn yaml(text: &str, line: &str) -> Option<&'static str> {
    let is_key = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    let mapping = line.split_once(':').is_some_and(|(key, _)| is_key(key.trim()));
    (text.starts_with("---") || mapping || line.starts_with("- ")).then_some("this is YAML")
}

/// The key of a line whose value is a text without quotes.
fn unquoted(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let first = value.chars().next()?;
    let quoted = ['"', '\'', '[', '{'].contains(&first);
    let known = ["true", "false", "inf", "nan"].contains(&value) || value.parse::<f64>().is_ok();
    (!quoted && !known).then_some(key)
}

/// What is wrong with a file that is not UTF-8.
pub(super) fn not_utf8(bytes: &[u8]) -> String {
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let wrong = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let line = bytes[..wrong].iter().filter(|byte| **byte == b'\n').count() + 1;
    match utf16 {
        true => "the file is UTF-16; save it as UTF-8".into(),
        false => format!("line {line} is not UTF-8, perhaps Latin-1; save the file as UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let error = text.parse::<toml::Table>().unwrap_err();
        explain(text, error.span().map_or(0, |span| span.start), error.message())
    }

    #[test]
    fn what_people_write_instead_of_toml_is_named() {
        for (text, says) in [
            ("{\"nats\": {}}", "this is JSON; write TOML"),
            ("nats:\n  servers: []\n", "line 1: this is YAML"),
            ("---\nnats: {}\n", "line 1: this is YAML"),
            ("[nats]\nservers = [\"nats://h:1\"]\nstream: X\n", "line 3: this is YAML"),
            ("[http]\nlisten = 127.0.0.1:3000\n", "line 2: the text after `listen =` needs quotes: listen = \"…\""),
            ("[publish]\ntimeout = 12s\n", "line 2: the text after `timeout =` needs quotes"),
            ("[nats]\nstream = GREENAPI\n", "line 2: the text after `stream =` needs quotes"),
            ("[nats]\nstream = \"A\"\nstream = \"B\"\n", "line 3: this key is there twice"),
            ("[nats]\nstream = \"A\"\n[http]\n[nats]\n", "line 4: this section is there twice"),
            ("[nats\nstream = \"A\"\n", "line 1: the section's name has no end"),
            ("[nats]\nstream = \"A\n", "line 2: a quote is missing"),
        ] {
            let said = said(text);
            assert!(said.starts_with(says), "{text:?}: {said}");
        }
    }

    #[test]
    fn no_value_of_a_broken_line_is_shown() {
        assert!(!said("[nats]\npassword = hunter2\n").contains("hunter2"));
    }

    #[test]
    fn another_encoding_is_named() {
        assert!(not_utf8(b"\xff\xfe[\0").contains("UTF-16"));
        assert_eq!(
            not_utf8(b"[nats]\nuser = \"J\xfcrgen\"\n"),
            "line 2 is not UTF-8, perhaps Latin-1; save the file as UTF-8"
        );
    }
}
