//! Free data, and places inside it.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::DeValue;

use super::{Complaint, Kind, Visible, key_text, quote, text, wrong};
use crate::model::json::Pointer;

/// A place inside JSON.
pub(in crate::config) struct JsonPointer;

impl Kind for JsonPointer {
    type Value = Pointer;

    fn name(&self) -> Cow<'static, str> {
        "a JSON Pointer".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like \"/orderId\"".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Pointer, Complaint> {
        Pointer::parse(text(value)?).map_err(|fault| Complaint::value(fault, self.example()))
    }

    fn show(&self, value: &Pointer) -> String {
        quote(value.as_str())
    }
}

/// Any data, as JSON. Whether it is shown is for the key to say.
pub(in crate::config) struct Data {
    pub(in crate::config) visible: Visible,
}

impl Kind for Data {
    type Value = serde_json::Map<String, Json>;

    fn name(&self) -> Cow<'static, str> {
        "a table".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like { name = \"value\" }".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Complaint> {
        match json(value)? {
            Json::Object(map) => Ok(map),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => wrong(value),
        }
    }

    fn show(&self, value: &Self::Value) -> String {
        show_json(&Json::Object(value.clone()), self.visible)
    }

    fn visible(&self) -> Visible {
        self.visible
    }
}

/// A TOML value as JSON. Dates become text.
pub(in crate::config) fn json(value: &Spanned<DeValue<'_>>) -> Result<Json, Complaint> {
    let unfit =
        |what: &str| Complaint::value(format!("{what} cannot be said in JSON"), "").within(value.span());
    Ok(match value.get_ref() {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Boolean(it) => Json::from(*it),
        DeValue::Datetime(it) => Json::from(it.to_string()),
        DeValue::Integer(it) => {
            let number = i64::from_str_radix(it.as_str(), it.radix());
            Json::from(number.map_err(|_| unfit("such a large number"))?)
        }
        DeValue::Float(it) => {
            let number = it.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            Json::Number(number.ok_or_else(|| unfit("this number"))?)
        }
        DeValue::Array(items) => Json::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        DeValue::Table(table) => {
            let mut members: Vec<_> = table.iter().collect();
            members.sort_by_key(|(name, _)| name.span().start);
            let pairs =
                members.into_iter().map(|(name, value)| Ok((name.get_ref().to_string(), json(value)?)));
            Json::Object(pairs.collect::<Result<_, Complaint>>()?)
        }
    })
}

/// JSON as inline TOML; texts hidden where they must not be seen.
pub(in crate::config) fn show_json(value: &Json, visible: Visible) -> String {
    match value {
        Json::Null => "\"\"".to_owned(),
        Json::Bool(it) => it.to_string(),
        Json::Number(it) => it.to_string(),
        Json::String(_) if visible != Visible::All => "\"***\"".to_owned(),
        Json::String(text) => quote(text),
        Json::Array(items) => {
            format!("[{}]", items.iter().map(|it| show_json(it, visible)).collect::<Vec<_>>().join(", "))
        }
        Json::Object(map) if map.is_empty() => "{}".to_owned(),
        Json::Object(map) => {
            let members =
                map.iter().map(|(name, it)| format!("{} = {}", key_text(name), show_json(it, visible)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Feeds a value into `hasher`: the same for the same content, wherever it stands in the file.
pub(in crate::config) fn digest(value: &DeValue<'_>, hasher: &mut impl Hasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        DeValue::String(text) => text.hash(hasher),
        DeValue::Boolean(it) => it.hash(hasher),
        DeValue::Datetime(it) => it.to_string().hash(hasher),
        DeValue::Integer(it) => it.to_string().hash(hasher),
        DeValue::Float(it) => it.as_str().hash(hasher),
        DeValue::Array(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| digest(item.get_ref(), hasher));
        }
        DeValue::Table(table) => {
            table.len().hash(hasher);
            for (name, value) in table {
                name.get_ref().hash(hasher);
                digest(value.get_ref(), hasher);
            }
        }
    }
}
