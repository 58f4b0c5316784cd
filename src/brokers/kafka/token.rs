//! The token of SASL OAUTHBEARER, read from its file each time librdkafka requests one.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

use super::properties::ClientError;

/// The token file, and the last token read from it: a half-written file must not end a token that is still valid.
pub(super) struct TokenFile {
    path: PathBuf,
    last: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: String,
    principal: String,
    expires: Duration,
}

/// The claims of a JSON Web Token. The cluster checks its signature.
#[derive(Deserialize)]
struct Claims {
    /// Unix time in seconds.
    exp: f64,
    sub: Option<String>,
}

impl TokenFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, last: Mutex::default() }
    }

    /// Reads the token. While the file holds none, returns the last one until it expires.
    ///
    /// # Errors
    /// What is wrong with the file; never a piece of its content.
    pub(super) fn token(&self) -> Result<OAuthToken, ClientError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.read(), &*last) {
            (Ok(token), _) => *last = Some(token),
            (Err(_), Some(token)) if SystemTime::now() < UNIX_EPOCH + token.expires => {}
            (Err(error), _) => return Err(error),
        }
        let token = last.clone().ok_or_else(|| self.invalid("holds no token"))?;
        let lifetime_ms = i64::try_from(token.expires.as_millis()).unwrap_or(i64::MAX);
        Ok(OAuthToken { token: token.text, principal_name: token.principal, lifetime_ms })
    }

    /// The user that the token names.
    pub(super) fn user(&self) -> Option<String> {
        self.read().ok().map(|token| token.principal)
    }

    fn read(&self) -> Result<Token, ClientError> {
        let text = std::fs::read_to_string(&self.path).map_err(|error| self.invalid(&error.to_string()))?;
        let text = text.trim();
        let [_, claims, _] = text.split('.').collect::<Vec<_>>()[..] else {
            return Err(self.invalid("not a JSON Web Token: it has not three parts with dots between them"));
        };
        let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('='));
        let claims = claims.ok().and_then(|claims| serde_json::from_slice::<Claims>(&claims).ok());
        let claims =
            claims.ok_or_else(|| self.invalid("not a JSON Web Token: its second part has no claims with `exp`"))?;
        let expires = Duration::try_from_secs_f64(claims.exp).map_err(|_| self.invalid("its `exp` is not a time"))?;
        // librdkafka requires a name; the cluster uses its own reading of the token
        let principal = claims.sub.filter(|sub| !sub.contains('\0')).unwrap_or_else(|| "unknown".into());
        Ok(Token { text: text.to_owned(), principal, expires })
    }

    fn invalid(&self, problem: &str) -> ClientError {
        ClientError { key: format!("token_file = {}", self.path.display()), problem: problem.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2lnbmF0dXJl", part(r#"{"alg":"RS256"}"#), part(claims))
    }

    fn write(file: &TokenFile, text: &str) {
        std::fs::write(&file.path, text).unwrap();
    }

    fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn the_claims_give_expiry_and_principal() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        let text =
            jwt(r#"{"aud":["kafka"],"exp":2000000000.5,"sub":"system:serviceaccount:chat:bridge","ключ":"?>~"}"#);
        write(&file, &format!("{text}\n"));
        let token = file.token().unwrap();
        assert_eq!((token.token, token.lifetime_ms), (text, 2_000_000_000_500));
        assert_eq!(token.principal_name, "system:serviceaccount:chat:bridge");
        write(&file, &jwt(r#"{"exp":1}"#));
        assert_eq!(file.token().unwrap().lifetime_ms, 1000, "librdkafka reports an expired token itself");
    }

    #[test]
    fn an_invalid_token_is_reported_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        let error = |text: &str| {
            write(&file, text);
            file.token().map(drop).unwrap_err().to_string()
        };
        let begins = format!("kafka.token_file = {}: ", file.path.display());
        for (text, says) in [
            ("", "three parts"),
            ("hunter2", "three parts"),
            ("a.hunter2!.b", "no claims"),
            (&jwt(r#"{"sub":"hunter2"}"#), "no claims with `exp`"),
            (&jwt(r#"{"exp":-1,"sub":"hunter2"}"#), "not a time"),
        ] {
            let said = error(text);
            assert!(said.starts_with(&begins) && said.contains(says) && !said.contains("hunter2"), "{said}");
        }
        std::fs::remove_file(&file.path).unwrap();
        assert!(file.token().map(drop).unwrap_err().to_string().contains("No such file"));
    }

    #[test]
    fn a_half_written_file_does_not_end_the_token_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        for (expires, valid) in [(now() + 60, true), (now() - 1, false)] {
            let text = jwt(&format!(r#"{{"exp":{expires}}}"#));
            write(&file, &text);
            assert_eq!(file.token().unwrap().token, text);
            write(&file, &text[..20]);
            assert_eq!(file.token().is_ok_and(|token| token.token == text), valid);
        }
    }
}
