//! `[validation]`: which notifications pass.
//!
//! `tolerant` requires what [`Notification::parse`] requires. `strict` also checks every field that is known against
//! [`super::schemas`]. Fields and values that are not known pass in both.

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError, Validator};
use serde::Deserialize;
use serde_json::Value;

use super::{Notification, ParseError, json_value, schemas};

/// `[validation]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationConfig {
    /// Default `tolerant`: real notifications lack or bend fields that the documentation requires. `strict` sends those
    /// to the dead letter.
    pub mode: ValidationMode,
}

/// What is required of a notification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValidationMode {
    /// A type and an instance.
    #[default]
    Tolerant,
    /// The published rules of each type and message type.
    Strict,
}

/// Parses bodies as `[validation]` asks for.
#[derive(Debug, Clone, Default)]
pub struct Validation {
    /// None means tolerant.
    schemas: Option<Arc<Schemas>>,
}

/// The compiled schemas. One for each type, because the schema of all would check the common fields twice.
#[derive(Debug)]
struct Schemas {
    types: HashMap<&'static str, Validator>,
    /// For types that this version does not know.
    common: Validator,
}

impl Validation {
    /// Compiles the schemas, once and only for strict validation.
    ///
    /// # Errors
    /// What is wrong with the schemas of this version.
    pub fn new(config: &ValidationConfig) -> Result<Self, String> {
        let strict = config.mode == ValidationMode::Strict;
        let schemas = strict.then(Schemas::compile).transpose()?.map(Arc::new);
        Ok(Self { schemas })
    }

    /// Parses one body.
    ///
    /// # Errors
    /// [`ParseError`]: as [`Notification::parse`], and [`ParseError::BreaksSchema`].
    pub fn parse<'a>(&self, body: &'a [u8]) -> Result<Notification<'a>, ParseError> {
        let notification = Notification::parse(body)?;
        if let Some(schemas) = &self.schemas {
            let text = std::str::from_utf8(body).map_err(|error| ParseError::NotJson(error.to_string()))?;
            let value = json_value::parse(text).map_err(|error| ParseError::NotJson(error.to_string()))?;
            let schema = schemas.types.get(notification.kind.as_ref()).unwrap_or(&schemas.common);
            schema.validate(&value).map_err(|error| breaks_schema(&error, &notification))?;
        }
        Ok(notification)
    }
}

impl Schemas {
    fn compile() -> Result<Self, String> {
        let typed = |name| Ok((name, compiled(&schemas::of(name).map_err(|unknown| unknown.to_string())?)?));
        let types = schemas::types().map(typed).collect::<Result<_, String>>()?;
        Ok(Self { types, common: compiled(&schemas::whole())? })
    }
}

fn compiled(schema: &str) -> Result<Validator, String> {
    let schema = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    jsonschema::draft7::new(&schema).map_err(|error| error.to_string())
}

fn breaks_schema(error: &ValidationError<'_>, notification: &Notification<'_>) -> ParseError {
    let mut pointer = error.instance_path().to_string();
    if let ValidationErrorKind::Required { property: Value::String(name) } = error.kind() {
        pointer = format!("{pointer}/{name}");
    }
    let problem = problem(error);
    ParseError::BreaksSchema { pointer, problem, instance: notification.instance, kind: notification.kind.to_string() }
}

/// What is wrong with the field, without its value: the library's own messages repeat it.
fn problem(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Required { .. } => "is absent, it is required".into(),
        ValidationErrorKind::Type { kind } => {
            let needed = match kind {
                TypeKind::Single(one) => name(*one).to_owned(),
                TypeKind::Multiple(several) => {
                    let (nulls, others): (Vec<_>, Vec<_>) = several.iter().partition(|one| *one == JsonType::Null);
                    others.into_iter().chain(nulls).map(name).collect::<Vec<_>>().join(" or ")
                }
            };
            format!("is {}, {needed} is needed", found(error.instance()))
        }
        other => format!("breaks the rule `{}` of its schema", other.keyword()),
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => name(JsonType::Null),
        Value::Bool(_) => name(JsonType::Boolean),
        Value::Number(number) if number.is_f64() => name(JsonType::Number),
        Value::Number(_) => name(JsonType::Integer),
        Value::String(_) => name(JsonType::String),
        Value::Array(_) => name(JsonType::Array),
        Value::Object(_) => name(JsonType::Object),
    }
}

fn name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "an array",
        JsonType::Boolean => "a boolean",
        JsonType::Integer => "an integer",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}

#[cfg(test)]
#[path = "validation_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "strict_tests.rs"]
mod strict_tests;
