//! What does not fit, in words: rules of the schema and names of members, never their values.

use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

/// Longest pointer, name or list of names that is told, in bytes.
const MAX_TOLD: usize = 200;

/// `text`, not too long.
pub(super) fn clip(text: &str) -> String {
    if text.len() <= MAX_TOLD {
        return text.to_owned();
    }
    let end = (0..=MAX_TOLD).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

fn names(names: &[String]) -> String {
    let mut told = String::new();
    for name in names {
        if !told.is_empty() {
            told.push_str(", ");
        }
        told.push('`');
        told.push_str(name);
        told.push('`');
        if told.len() > MAX_TOLD {
            break;
        }
    }
    clip(&told)
}

/// What a keyword says of a value that does not fit it.
pub(super) fn sentence(kind: &Kind) -> String {
    let limit = |what: &str, limit: &Value| format!("it is {what} {}", clip(&limit.to_string()));
    match kind {
        Kind::AdditionalItems { limit } => format!("it has more than {limit} items"),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!("{} may not be there", names(unexpected))
        }
        Kind::UnevaluatedItems { .. } => "it has items that may not be there".to_owned(),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => "it fits none of the alternatives".to_owned(),
        Kind::OneOfMultipleValid { .. } => "it fits more than one of the alternatives".to_owned(),
        Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
            "its pattern could not be matched".to_owned()
        }
        Kind::Constant { .. } => "it is not the one value allowed".to_owned(),
        Kind::Contains => "too few or too many items of the wanted kind are in it".to_owned(),
        Kind::ContentEncoding { content_encoding } => format!("it is not {}", clip(content_encoding)),
        Kind::ContentMediaType { content_media_type } => format!("it is not {}", clip(content_media_type)),
        Kind::FromUtf8 { .. } => "its content is not UTF-8".to_owned(),
        Kind::Custom { keyword, .. } => format!("it does not fit {}", clip(keyword)),
        Kind::Enum { .. } => "it is none of the values allowed".to_owned(),
        Kind::ExclusiveMaximum { limit: most } => limit("not less than", most),
        Kind::ExclusiveMinimum { limit: least } => limit("not more than", least),
        Kind::Maximum { limit: most } => limit("more than", most),
        Kind::Minimum { limit: least } => limit("less than", least),
        Kind::FalseSchema => "nothing may be here".to_owned(),
        Kind::Format { format } => format!("it has not the form `{}`", clip(format)),
        Kind::MaxItems { limit } => format!("it has more than {limit} items"),
        Kind::MinItems { limit } => format!("it has less than {limit} items"),
        Kind::MaxLength { limit } => format!("it is longer than {limit} characters"),
        Kind::MinLength { limit } => format!("it is shorter than {limit} characters"),
        Kind::MaxProperties { limit } => format!("it has more than {limit} members"),
        Kind::MinProperties { limit } => format!("it has less than {limit} members"),
        Kind::MultipleOf { multiple_of } => format!("it is no multiple of {multiple_of}"),
        Kind::Not { .. } => "it fits what it must not fit".to_owned(),
        Kind::Pattern { .. } => "it does not match the pattern".to_owned(),
        Kind::PropertyNames { error } => {
            format!("the name of a member does not do: {}", sentence(error.kind()))
        }
        Kind::Required { property } => {
            format!("`{}` is missing", clip(property.as_str().unwrap_or_default()))
        }
        Kind::Type { kind } => match kind {
            jsonschema::error::TypeKind::Single(one) => format!("it is not of type {one}"),
            jsonschema::error::TypeKind::Multiple(several) => {
                let several: Vec<String> = several.iter().map(|one| one.to_string()).collect();
                format!("it is of none of the types {}", several.join(", "))
            }
        },
        Kind::UniqueItems => "an item is in it twice".to_owned(),
        Kind::Referencing(_) => "a reference leads nowhere".to_owned(),
    }
}
