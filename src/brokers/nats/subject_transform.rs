//! The subject under which a stream stores what was published to another: its `subject_transform`.
//!
//! <https://docs.nats.io/nats-concepts/subject_mapping>

use async_nats::jetstream::stream::SubjectTransform;

/// The stored subject of a message that was published to `subject`. `>` means that the stream's transform has a function
/// that this program does not know.
pub(super) fn stored_subject(transform: Option<&SubjectTransform>, subject: &str) -> String {
    let Some(SubjectTransform { source, destination }) = transform else { return subject.into() };
    let source = if source.is_empty() { ">" } else { source };
    match captures(source, subject) {
        // the transform is for other subjects
        None => subject.into(),
        Some(captured) => rendered(destination, &captured).unwrap_or_else(|| ">".into()),
    }
}

/// What a subject has at the wildcards of a pattern, if it matches.
struct Captured<'s> {
    /// At each `*`.
    tokens: Vec<&'s str>,
    /// At the `>`.
    rest: Option<&'s str>,
}

fn captures<'s>(pattern: &str, subject: &'s str) -> Option<Captured<'s>> {
    let (mut captured, mut left) = (Captured { tokens: Vec::new(), rest: None }, Some(subject));
    for token in pattern.split('.') {
        let text = left?;
        if token == ">" {
            captured.rest = Some(text);
            return Some(captured);
        }
        let (first, rest) = text.split_once('.').map_or((text, None), |(first, rest)| (first, Some(rest)));
        match token {
            "*" => captured.tokens.push(first),
            literal if literal != first => return None,
            _ => {}
        }
        left = rest;
    }
    left.is_none().then_some(captured)
}

/// `None` means that the destination has a function other than `wildcard`.
fn rendered(destination: &str, captured: &Captured<'_>) -> Option<String> {
    let token = |token: &str| -> Option<String> {
        if token == ">" {
            return captured.rest.map(Into::into);
        }
        let function = token.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
        let number = match function {
            Some(call) => call
                .to_ascii_lowercase()
                .strip_prefix("wildcard")?
                .trim()
                .strip_prefix('(')?
                .strip_suffix(')')?
                .trim()
                .to_owned(),
            None => match token.strip_prefix('$') {
                Some(number) => number.to_owned(),
                None => return Some(token.into()),
            },
        };
        captured.tokens.get(number.parse::<usize>().ok()?.checked_sub(1)?).map(|token| (*token).into())
    };
    let tokens: Option<Vec<String>> = destination.split('.').map(token).collect();
    tokens.map(|tokens| tokens.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under(source: &str, destination: &str, subject: &str) -> String {
        let transform = SubjectTransform { source: source.into(), destination: destination.into() };
        stored_subject(Some(&transform), subject)
    }

    #[test]
    fn a_transform_with_wildcards_is_worked_out() {
        let subject = "greenapi.incoming.7.incomingCall";
        assert_eq!(stored_subject(None, subject), subject);
        assert_eq!(under("greenapi.>", "moved.>", subject), "moved.incoming.7.incomingCall");
        assert_eq!(under("", "all.>", subject), "all.greenapi.incoming.7.incomingCall");
        assert_eq!(
            under("greenapi.*.*.>", "of.{{wildcard(2)}}.{{ Wildcard( 1 ) }}.>", subject),
            "of.7.incoming.incomingCall"
        );
        assert_eq!(under("greenapi.*.*.*", "of.$2.$3", subject), "of.7.incomingCall");
        assert_eq!(under("greenapi.>", "one", subject), "one");
        for other in ["other.>", "greenapi.*.*", "greenapi.*.*.*.*", "greenapi.outgoing.>"] {
            assert_eq!(under(other, "moved.>", subject), subject, "{other}");
        }
    }

    #[test]
    fn any_other_function_means_every_subject() {
        let subject = "greenapi.incoming.7.incomingCall";
        for destination in ["p.{{partition(3,1,2)}}", "p.{{splitfromleft(1,2)}}", "p.$9", "p.{{wildcard(0)}}"] {
            assert_eq!(under("greenapi.*.*.*", destination, subject), ">", "{destination}");
        }
    }
}
