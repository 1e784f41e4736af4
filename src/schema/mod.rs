//! JSON Schema: the text of a file becomes something that judges the bodies of events.
//!
//! # The law
//! A schema is compiled once, when the configuration is read, and everything that is wrong with it
//! is said then. It stands alone: a reference leads within the same document, never to a file or a
//! network. Patterns are matched in linear time, whatever the server sends. What a judgement says
//! of a body names places and rules, never values.

mod sentence;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::model::json::{MAX_DEPTH, deeper_than};
use crate::model::{Judge, Misfit, Payload};
use sentence::{clip, sentence};

/// Bytes a compiled pattern of a schema may take.
const MAX_PATTERN: usize = 1 << 20;

/// Why a text is no usable schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line and column, where the text is not JSON.
    pub line: Option<(usize, usize)>,
    /// JSON Pointer into the schema, where it is.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub advice: String,
}

impl Fault {
    fn at(pointer: impl Into<String>, message: impl Into<String>, advice: &str) -> Self {
        Self { line: None, pointer: pointer.into(), message: message.into(), advice: advice.to_owned() }
    }
}

/// Makes a judge of the text of a schema. Without `$schema` it is read as draft 2020-12.
///
/// # Errors
/// What is wrong with it.
pub fn compile(text: &str) -> Result<Arc<dyn Judge>, Fault> {
    if deeper_than(text, MAX_DEPTH) {
        let message = format!("it nests deeper than {MAX_DEPTH}");
        return Err(Fault::at("", message, "move parts of it into `$defs`"));
    }
    let schema: Value = serde_json::from_str(text).map_err(|error| Fault {
        line: Some((error.line(), error.column())),
        pointer: String::new(),
        message: format!("it is not JSON: {error}"),
        advice: "a schema is one JSON document".to_owned(),
    })?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err(Fault::at("", "a schema is an object", "begin with `{\"type\": \"object\"}`"));
    }
    let validator =
        holdline_schema::compile(&schema, MAX_PATTERN).map_err(|error| refused(&schema, &error))?;
    Ok(Arc::new(Schema(validator)))
}

fn refused(schema: &Value, error: &ValidationError<'_>) -> Fault {
    let pointer = clip(error.instance_path().as_str());
    if let ValidationErrorKind::Referencing(fault) = error.kind() {
        return match foreign(schema, String::new()) {
            Some((pointer, reference)) => Fault::at(
                pointer,
                format!("the reference `{}` leads out of this file", clip(&reference)),
                "nothing is fetched and no other file is read: copy what it refers to into `$defs`, and refer to \
                 it as `#/$defs/NAME`",
            ),
            None => {
                Fault::at(pointer, format!("a reference leads nowhere: {fault}"), "correct the reference")
            }
        };
    }
    if matches!(error.kind(), ValidationErrorKind::Format { format } if format == "regex") {
        return Fault::at(
            pointer,
            "this is no pattern that can be matched in linear time",
            "patterns know no look-around and no back-references; see https://docs.rs/regex",
        );
    }
    Fault::at(
        pointer,
        format!("{} ({})", sentence(error.kind()), error.kind().keyword()),
        "compare it with the draft that `$schema` names (2020-12 where it names none)",
    )
}

/// Whether values under this name are data, not schemas.
fn is_data(name: &str) -> bool {
    matches!(name, "enum" | "const" | "default" | "examples" | "example")
}

/// The first reference that does not begin within the document: its place and its text.
fn foreign(schema: &Value, at: String) -> Option<(String, String)> {
    match schema {
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            if let Value::String(text) = value {
                let refers = matches!(name.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef")
                    || (name == "$schema" && !text.contains("json-schema.org/draft"));
                return (refers && !text.starts_with('#')).then(|| (format!("{at}/{name}"), text.clone()));
            }
            if is_data(name) { None } else { foreign(value, format!("{at}/{}", escaped(name))) }
        }),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| foreign(item, format!("{at}/{index}")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A compiled schema.
struct Schema(Validator);

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

impl Judge for Schema {
    fn misfit(&self, payload: &Payload) -> Option<Misfit> {
        let value = match payload {
            Payload::Json(text) => match serde_json::from_str(text) {
                Ok(value) => value,
                Err(error) => {
                    return Some(Misfit {
                        pointer: String::new(),
                        keyword: "type".to_owned(),
                        sentence: format!("it cannot be taken apart: {error}"),
                    });
                }
            },
            Payload::Text(text) => Value::String(text.to_string()),
            // Bytes are no JSON value: no schema speaks of them.
            Payload::Binary(_) => return None,
        };
        let error = holdline_schema::validate(&self.0, &value).err()?;
        Some(Misfit {
            pointer: clip(error.instance_path().as_str()),
            keyword: error.kind().keyword().to_owned(),
            sentence: sentence(error.kind()),
        })
    }
}
