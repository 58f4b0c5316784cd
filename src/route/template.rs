//! Destination templates, such as `greenapi.{class}.{instance}.{type}`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use thiserror::Error;

use crate::notification::Class;

/// A name in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `{class}`: one of the five classes.
    Class,
    /// `{type}`: `typeWebhook`.
    Type,
    /// `{instance}`: `idInstance`.
    Instance,
    /// `{product}`: `typeInstance`.
    Product,
    /// `{message_type}`: `typeMessage`.
    MessageType,
}

const VARIABLES: [(&str, Variable); 5] = [
    ("class", Variable::Class),
    ("type", Variable::Type),
    ("instance", Variable::Instance),
    ("product", Variable::Product),
    ("message_type", Variable::MessageType),
];

/// A text with variables in braces. Values are sanitized, so none can add a separator or a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Value(Variable),
}

/// Why a text is not a template.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A brace without its other half.
    #[error("a brace is not closed or not opened")]
    Brace,
    /// A name in braces that is not a variable.
    #[error(
        "unknown variable {{{0}}}; the nearest is {{{1}}}, and there are {{class}} {{type}} {{instance}} {{product}} {{message_type}}"
    )]
    Unknown(String, &'static str),
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// Unbalanced braces, or an unknown variable.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            let (literal, from) = rest.split_at(brace);
            let inside = from.strip_prefix('{').ok_or(TemplateError::Brace)?;
            let (name, after) = inside.split_once('}').ok_or(TemplateError::Brace)?;
            pieces.extend((!literal.is_empty()).then(|| Piece::Literal(literal.into())));
            pieces.push(Piece::Value(variable(name)?));
            rest = after;
        }
        pieces.extend((!rest.is_empty()).then(|| Piece::Literal(rest.into())));
        Ok(Self(pieces))
    }

    /// The destination for these values.
    pub fn render<'v>(&self, value: impl Fn(Variable) -> Cow<'v, str>) -> String {
        let mut out = String::with_capacity(64);
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Value(variable) => out.push_str(&sanitize(&value(*variable))),
            }
        }
        out
    }

    /// The pattern of what it renders for a class: a token (between dots) with another variable than the class is `*`.
    pub fn pattern(&self, class: Class) -> String {
        let marked = self.render_raw(|variable| if variable == Variable::Class { class.as_str() } else { "\0" });
        let token = |token: &str| if token.contains('\0') { "*".to_owned() } else { token.to_owned() };
        marked.split('.').map(token).collect::<Vec<_>>().join(".")
    }

    /// What it renders if every value is `x`.
    pub fn example(&self) -> String {
        self.render_raw(|_| "x")
    }

    /// Every destination it can render, in the order of classes. None means that a payload chooses: it has a variable other
    /// than the class.
    pub fn all(&self) -> Option<Vec<String>> {
        let is_dynamic = |piece: &Piece| matches!(piece, Piece::Value(variable) if *variable != Variable::Class);
        if self.0.iter().any(is_dynamic) {
            return None;
        }
        let mut all: Vec<_> = Class::ALL.iter().map(|class| self.render(|_| class.as_str().into())).collect();
        all.dedup();
        Some(all)
    }

    /// Whether any notification could be sent to `destination`.
    pub fn can_render(&self, destination: &str) -> bool {
        matches(&self.0, destination)
    }

    fn render_raw(&self, value: impl Fn(Variable) -> &'static str) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(literal) => literal.clone(),
            Piece::Value(variable) => value(*variable).to_owned(),
        };
        self.0.iter().map(piece).collect()
    }
}

fn variable(name: &str) -> Result<Variable, TemplateError> {
    if let Some((_, variable)) = VARIABLES.into_iter().find(|(known, _)| *known == name) {
        return Ok(variable);
    }
    let nearest = VARIABLES.into_iter().min_by_key(|(known, _)| strsim::levenshtein(known, name));
    Err(TemplateError::Unknown(name.into(), nearest.map_or("class", |(known, _)| known)))
}

/// Whether the pieces can make this text. It goes on with every position at which the pieces before can end, each once, so
/// that many variables in a row do not multiply.
fn matches(pieces: &[Piece], text: &str) -> bool {
    let mut ends = BTreeSet::from([0]);
    for piece in pieces {
        let mut next = BTreeSet::new();
        for end in ends {
            next.extend(lengths(piece, &text[end..]).into_iter().map(|length| end + length));
        }
        ends = next;
    }
    ends.contains(&text.len())
}

/// How many bytes of the beginning of this text a piece can make.
fn lengths(piece: &Piece, text: &str) -> Vec<usize> {
    match piece {
        Piece::Literal(literal) => text.starts_with(literal.as_str()).then_some(literal.len()).into_iter().collect(),
        Piece::Value(Variable::Class) => {
            let classes = Class::ALL.iter().map(|class| class.as_str());
            classes.filter(|class| text.starts_with(class)).map(str::len).collect()
        }
        Piece::Value(variable) => {
            let fits = |c: char| if *variable == Variable::Instance { c.is_ascii_digit() } else { is_plain(c) };
            (1..=text.chars().take(MAX_VALUE).take_while(|c| fits(*c)).count()).collect()
        }
    }
}

/// The most characters of a sanitized value.
const MAX_VALUE: usize = 64;

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// A value that is safe in a destination: characters other than `[A-Za-z0-9_-]` become `_`, an empty value becomes
/// `none`, and only the first 64 characters stay.
pub fn sanitize(value: &str) -> Cow<'_, str> {
    if value.is_empty() {
        return "none".into();
    }
    if value.len() <= MAX_VALUE && value.chars().all(is_plain) {
        return value.into();
    }
    value.chars().take(MAX_VALUE).map(|c| if is_plain(c) { c } else { '_' }).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(template: &str, value: &str) -> String {
        Template::parse(template).unwrap().render(|_| value.to_owned().into())
    }

    #[test]
    fn values_are_sanitized() {
        assert_eq!(render("a.{type}.b", "incomingCall"), "a.incomingCall.b");
        assert_eq!(render("a.{type}", "x.>*\r\n é"), "a.x_______");
        assert_eq!(render("{type}", ""), "none");
        assert_eq!(render("{type}", &"x".repeat(65)), "x".repeat(64));
    }

    #[test]
    fn errors_name_the_nearest_variable() {
        assert_eq!(Template::parse("a.{clas}"), Err(TemplateError::Unknown("clas".into(), "class")));
        for broken in ["{", "}", "a}b", "{class", "{{class}"] {
            assert!(Template::parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_pattern_matches_what_can_be_rendered() {
        let pattern = |template| Template::parse(template).unwrap().pattern(Class::State);
        assert_eq!(pattern("greenapi.{class}.{instance}.{type}"), "greenapi.state.*.*");
        assert_eq!(pattern("a.x-{class}{type}.x-{class}"), "a.*.x-state");
        assert_eq!(pattern("a.b"), "a.b");
    }

    #[test]
    fn can_render_tells_which_destinations_are_possible() {
        let can = |template: &str, to: &str| Template::parse(template).unwrap().can_render(to);
        assert!(can("greenapi.{type}", "greenapi.dead-letter"));
        assert!(can("greenapi.{type}{product}", "greenapi.dead-letter"));
        assert!(!can("greenapi.{class}", "greenapi.dead-letter"));
        assert!(can("greenapi.{class}", "greenapi.other"));
        assert!(!can("greenapi.{instance}", "greenapi.dead-letter"));
        assert!(!can("greenapi.{class}.{instance}.{type}", "greenapi.dead-letter"));
        assert!(can("x", "x"));
        // as many ways as 64 to the power of 20
        assert!(!can(&"{type}".repeat(20), &format!("{}.", "x".repeat(200))));
    }

    proptest! {
        #[test]
        fn no_value_escapes_the_operators_template(value: String) {
            let destination = render("greenapi.{class}.{instance}.{type}", &value);
            let tokens: Vec<_> = destination.split('.').collect();
            prop_assert_eq!(tokens.len(), 4);
            prop_assert_eq!(tokens[0], "greenapi");
            for token in &tokens[1..] {
                prop_assert!((1..=64).contains(&token.len()));
                prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'));
            }
        }

        #[test]
        fn can_render_accepts_every_rendered_destination(value in "[a-z-]{0,6}", template in "[a.]{0,3}\\{type\\}[a.]{0,3}\\{product\\}") {
            let template = Template::parse(&template).unwrap();
            let rendered = template.render(|_| value.as_str().into());
            prop_assert!(template.can_render(&rendered));
        }

        #[test]
        fn parsing_never_panics(template: String) {
            let _ = Template::parse(&template);
        }
    }
}
