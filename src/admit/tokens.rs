//! The tokens file, and looking a token up.

use std::collections::{BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// The tokens that may send, by their SHA-256.
///
/// A look-up by digest takes a time that depends on the digest alone, so it tells nothing of a token, and
/// the tokens themselves are not kept in memory.
#[derive(Debug, Default)]
pub struct Tokens(HashMap<[u8; 32], Binding>);

/// Whom a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// Any instance.
    Any,
    /// These instances only.
    Instances(HashSet<u64>),
}

impl Binding {
    /// Whether the token may send for this instance. An unreadable body has none, and may be sent: it goes to
    /// the dead letter.
    pub fn covers(&self, instance: Option<u64>) -> bool {
        match (self, instance) {
            (Self::Any, _) | (_, None) => true,
            (Self::Instances(bound), Some(instance)) => bound.contains(&instance),
        }
    }
}

/// Why a tokens file is of no use. Never shows a token.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum TokensError {
    /// No line holds a token.
    #[error("holds no token; write one a line, or `instance token` to bind it")]
    Empty,
    /// The line has more parts than a token and its instance.
    #[error("line {0} is not `token` or `instance token`")]
    Form(usize),
    /// The same token with and without an instance.
    #[error("line {0} repeats a token, once bound to an instance and once not; keep one of them")]
    Contradiction(usize),
}

impl Tokens {
    /// Reads a tokens file: one `token` or `instance token` a line; `#` starts a comment line.
    ///
    /// A token may be stored with its scheme (`Basic …`, `Bearer …`), as GREEN-API stores it.
    ///
    /// # Errors
    /// [`TokensError`], with the line.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Self::default();
        for line in lines(text) {
            let (number, instance, credential) = line?;
            tokens.add(instance, credential).ok_or(TokensError::Contradiction(number))?;
        }
        if tokens.0.is_empty() { Err(TokensError::Empty) } else { Ok(tokens) }
    }

    /// Whom the sender of this `Authorization` value speaks for; none if it is not one of ours.
    pub fn look_up(&self, authorization: &str) -> Option<&Binding> {
        // a value without a scheme is not what a stored token is sent as
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

    /// How many there are, and how many of them are bound to instances.
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

/// The first token of a tokens file that is bound to no instance, as it stands there.
///
/// # Errors
/// As [`Tokens::parse`].
pub fn first_open(text: &str) -> Result<Option<String>, TokensError> {
    Tokens::parse(text)?;
    let mut open = lines(text).flatten().filter(|(_, instance, _)| instance.is_none());
    Ok(open.next().map(|(.., credential)| credential.to_owned()))
}

/// The lines that hold something: their number, an instance, a credential.
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

/// The digest of a credential, the same for `token` in the file and `Bearer token` on the wire: schemes have
/// no case (RFC 9110, 11.1), and `Bearer` is what a token without one is sent with.
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
    fn tokens_are_found_as_they_are_sent() {
        let tokens = Tokens::parse(FILE).unwrap();
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
    fn a_bound_token_speaks_for_its_instances() {
        let tokens = Tokens::parse(FILE).unwrap();
        let bound = tokens.look_up("Bearer bound-token").unwrap();
        assert!(bound.covers(Some(1_101_990_001)) && bound.covers(Some(1_101_990_002)) && bound.covers(None));
        assert!(!bound.covers(Some(7)));
        assert!(tokens.look_up("Bearer open-token").unwrap().covers(Some(7)));
        assert_eq!(tokens.instances(), [7, 1_101_990_001, 1_101_990_002]);
        assert_eq!(tokens.count(), (5, 2));
    }

    #[test]
    fn the_first_token_for_any_instance_is_found() {
        assert_eq!(first_open("# x\n7 bound\nBasic dXNlcjpwYXNz\nlater\n"), Ok(Some("Basic dXNlcjpwYXNz".into())));
        assert_eq!(first_open(FILE), Ok(Some("open-token".into())));
        assert_eq!(first_open("7 bound\n"), Ok(None));
        assert_eq!(first_open("7 bound\ntwo words\n"), Err(TokensError::Form(2)));
    }

    #[test]
    fn faults_name_the_line_and_no_token() {
        let fault = |text| Tokens::parse(text).unwrap_err();
        assert_eq!(fault("# nothing\n"), TokensError::Empty);
        assert_eq!(fault("a\n7 b c d\n"), TokensError::Form(2));
        assert_eq!(fault("two words\n"), TokensError::Form(1));
        assert_eq!(fault("пароль\n"), TokensError::Form(1));
        assert_eq!(fault("Bearer\n"), TokensError::Form(1));
        assert_eq!(fault("a\n7 a\n"), TokensError::Contradiction(2));
    }
}
