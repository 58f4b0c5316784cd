//! The tokens file, and the lookup of a token.

use std::collections::{BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// The tokens that may send, by their SHA-256.
///
/// The time of a lookup by digest depends on the digest alone, so it reveals nothing of a token, and the tokens
/// themselves are not in memory.
#[derive(Debug, Default)]
pub struct Tokens(HashMap<[u8; 32], Binding>);

/// The instances that a token may send for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// Any instance.
    Any,
    /// These instances only.
    Instances(HashSet<u64>),
}

impl Binding {
    /// Whether the token may send for this instance. None means a body whose instance cannot be read: it may be sent, and
    /// goes to the dead letter.
    pub fn covers(&self, instance: Option<u64>) -> bool {
        match (self, instance) {
            (Self::Any, _) | (_, None) => true,
            (Self::Instances(bound), Some(instance)) => bound.contains(&instance),
        }
    }
}

/// Why a tokens file is invalid. Never shows a token.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum TokensError {
    /// No line has a token.
    #[error("has no token; write one a line, or `instance token` to bind it")]
    Empty,
    /// The line has more parts than a token and its instance.
    #[error("line {0} is not `token` or `instance token`")]
    Form(usize),
    /// A token can be guessed.
    #[error(
        "line {0} has a token of less than 16 characters, or one that stands in documentation; make one with `openssl rand -hex 24`"
    )]
    Weak(usize),
    /// The same token with and without an instance.
    #[error("line {0} repeats a token, once bound to an instance and once not; keep one of them")]
    Contradiction(usize),
}

impl Tokens {
    /// Parses a tokens file: one `token` or `instance token` a line; `#` starts a comment line.
    ///
    /// A token may be stored with its scheme (`Basic …`, `Bearer …`), as GREEN-API stores it.
    ///
    /// # Errors
    /// [`TokensError`], with the line.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        for line in lines(text) {
            let (number, _, credential) = line?;
            if is_weak(credential) {
                return Err(TokensError::Weak(number));
            }
        }
        Self::read(text)
    }

    /// As [`Self::parse`], also with tokens that can be guessed.
    fn read(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Self::default();
        for line in lines(text) {
            let (number, instance, credential) = line?;
            tokens.add(instance, credential).ok_or(TokensError::Contradiction(number))?;
        }
        if tokens.0.is_empty() { Err(TokensError::Empty) } else { Ok(tokens) }
    }

    /// The binding of the token in this `Authorization` value. None means that no such token is in the file.
    pub fn look_up(&self, authorization: &str) -> Option<&Binding> {
        // a token is always sent with a scheme
        authorization.trim().split_once(' ')?;
        self.0.get(&digest(authorization))
    }

    /// The instances that have a token of their own, each once.
    pub fn instances(&self) -> Vec<u64> {
        let bound = self.0.values().filter_map(|binding| match binding {
            Binding::Instances(bound) => Some(bound),
            Binding::Any => None,
        });
        let all: BTreeSet<_> = bound.flatten().copied().collect();
        all.into_iter().collect()
    }

    /// The number of tokens, and how many of them are bound to instances.
    pub fn count(&self) -> (usize, usize) {
        (self.0.len(), self.0.values().filter(|binding| **binding != Binding::Any).count())
    }

    fn add(&mut self, instance: Option<u64>, credential: &str) -> Option<()> {
        let new = || instance.map_or(Binding::Any, |_| Binding::Instances(HashSet::new()));
        match (self.0.entry(digest(credential)).or_insert_with(new), instance) {
            (Binding::Any, None) => Some(()),
            (Binding::Instances(bound), Some(instance)) => {
                bound.insert(instance);
                Some(())
            }
            _ => None,
        }
    }
}

/// The least characters of a token.
const MIN_LENGTH: usize = 16;

/// Parts of tokens that documentation shows: this project's, GREEN-API's, and what stands for a token elsewhere.
const EXAMPLES: [&str; 6] = ["example", "your-token", "your_token", "yourtoken", "changeme", "change-me"];

/// Whether a token is short enough to be guessed, or published.
fn is_weak(credential: &str) -> bool {
    let token = credential.split_whitespace().last().unwrap_or_default();
    let lower = token.to_ascii_lowercase();
    let one_character = token.bytes().all(|byte| token.as_bytes().first() == Some(&byte));
    token.len() < MIN_LENGTH || one_character || EXAMPLES.iter().any(|example| lower.contains(example))
}

/// The first token of a tokens file that is bound to no instance, as written there.
///
/// # Errors
/// As [`Tokens::parse`]; it is for the bridge to refuse a token that can be guessed.
pub fn first_unbound_token(text: &str) -> Result<Option<String>, TokensError> {
    Tokens::read(text)?;
    let mut open = lines(text).flatten().filter(|(_, instance, _)| instance.is_none());
    Ok(open.next().map(|(.., credential)| credential.to_owned()))
}

/// The lines with a token: their number, the instance, the credential.
fn lines(text: &str) -> impl Iterator<Item = Result<(usize, Option<u64>, &str), TokensError>> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(number, line)| {
        let (instance, credential) = split_instance(line);
        if is_credential(credential) { Ok((number, instance, credential)) } else { Err(TokensError::Form(number)) }
    })
}

/// `1101000001 token` is a token bound to an instance; `12345` alone is a token.
fn split_instance(line: &str) -> (Option<u64>, &str) {
    let bound = line.split_once(char::is_whitespace).and_then(|(instance, token)| {
        let digits = instance.bytes().all(|byte| byte.is_ascii_digit());
        Some((digits.then(|| instance.parse().ok())??, token.trim()))
    });
    bound.map_or((None, line), |(instance, token)| (Some(instance), token))
}

/// One word, or two when the first is a scheme; visible ASCII, which is what a header can carry.
fn is_credential(text: &str) -> bool {
    let words: Vec<_> = text.split_whitespace().collect();
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t');
    let scheme = |word: &str| ["basic", "bearer"].contains(&word.to_ascii_lowercase().as_str());
    visible && (words.len() == 1 && !scheme(words[0]) || words.len() == 2 && scheme(words[0]))
}

/// The digest of a credential, the same for `token` in the file and `Bearer token` in a request: schemes are
/// case-insensitive (RFC 9110, 11.1), and a token without a scheme is sent as `Bearer`.
fn digest(credential: &str) -> [u8; 32] {
    let (scheme, token) = credential.trim().split_once(char::is_whitespace).unwrap_or(("Bearer", credential.trim()));
    let mut hash = Sha256::new();
    hash.update(scheme.to_ascii_lowercase());
    hash.update(b" ");
    hash.update(token.trim());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n\nopen-token\n 1101990001  bound-token\n1101990002 bound-token\r\n\
        Basic dXNlcjpwYXNz\n7 Bearer with-scheme\n12345\n";

    #[test]
    fn tokens_are_found_in_the_form_they_are_sent() {
        let tokens = Tokens::read(FILE).unwrap();
        for known in
            ["Bearer open-token", "bearer  open-token", "Basic dXNlcjpwYXNz", "Bearer with-scheme", "Bearer 12345"]
        {
            assert!(tokens.look_up(known).is_some(), "{known}");
        }
        for unknown in [
            "open-token",
            "Bearer",
            "Bearer ",
            "",
            "Bearer open-toke",
            "Bearer open-token x",
            "Basic open-token",
            "Bearer dXNlcjpwYXNz",
        ] {
            assert!(tokens.look_up(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn a_bound_token_covers_its_instances_only() {
        let tokens = Tokens::read(FILE).unwrap();
        let bound = tokens.look_up("Bearer bound-token").unwrap();
        assert!(bound.covers(Some(1_101_990_001)) && bound.covers(Some(1_101_990_002)) && bound.covers(None));
        assert!(!bound.covers(Some(7)));
        assert!(tokens.look_up("Bearer open-token").unwrap().covers(Some(7)));
        assert_eq!(tokens.instances(), [7, 1_101_990_001, 1_101_990_002]);
        assert_eq!(tokens.count(), (5, 2));
    }

    #[test]
    fn the_first_token_for_any_instance_is_found() {
        assert_eq!(
            first_unbound_token("# x\n7 bound\nBasic dXNlcjpwYXNz\nlater\n"),
            Ok(Some("Basic dXNlcjpwYXNz".into()))
        );
        assert_eq!(first_unbound_token(FILE), Ok(Some("open-token".into())));
        assert_eq!(first_unbound_token("7 bound\n"), Ok(None));
        assert_eq!(first_unbound_token("7 bound\ntwo words\n"), Err(TokensError::Form(2)));
    }

    #[test]
    fn errors_name_the_line_and_no_token() {
        let error = |text| Tokens::read(text).unwrap_err();
        assert_eq!(error("# nothing\n"), TokensError::Empty);
        assert_eq!(error("a\n7 b c d\n"), TokensError::Form(2));
        assert_eq!(error("two words\n"), TokensError::Form(1));
        assert_eq!(error("пароль\n"), TokensError::Form(1));
        assert_eq!(error("Bearer\n"), TokensError::Form(1));
        assert_eq!(error("a\n7 a\n"), TokensError::Contradiction(2));
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused() {
        for weak in
            ["15-characters-x", "Basic dXNlcjpwYXNz", "7 short", "aaaaaaaaaaaaaaaaaaaaaaaa", "your-token-goes-here"]
        {
            let file = format!("# ours\n0123456789abcdef\n{weak}\n");
            assert_eq!(Tokens::parse(&file).unwrap_err(), TokensError::Weak(3), "{weak}");
            assert!(!TokensError::Weak(3).to_string().contains(weak));
        }
        assert_eq!(Tokens::parse("16-characters-xy\n7 Bearer 0123456789abcdef\n").unwrap().count(), (2, 1));
    }
}
