//! The validator of `jsonschema` without its type parameters.
//!
//! It is generic over how JSON is represented, so all of it is compiled into whichever package
//! calls it, and as that package is: for holdline, which is built for speed, that was a quarter of
//! the program. Called from here it is compiled here, as the profile has it for this package.

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

/// Compiles a schema that stands alone: nothing is fetched and no file is read. Its patterns are
/// matched in linear time and take `max_pattern` bytes at most.
///
/// # Errors
/// What is wrong with it.
pub fn compile(schema: &Value, max_pattern: usize) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::regex().size_limit(max_pattern))
        .build(schema)
}

/// Judges `value`.
///
/// # Errors
/// The first thing that does not fit.
pub fn validate<'v>(validator: &Validator, value: &'v Value) -> Result<(), ValidationError<'v>> {
    validator.validate(value)
}
