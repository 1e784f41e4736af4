//! The effective configuration as people and programs read it, without anything secret.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::{Config, Entry, Origin};

/// The effective configuration as TOML; with `origin` each line says who set it.
#[must_use]
pub fn show(config: &Config, origin: bool) -> String {
    let mut out = String::new();
    let mut section = None;
    let places = &config.places;
    let _ = writeln!(out, "# profile {}, {}", places.profile, places.shorten(&places.config));
    for entry in config.entries.iter().filter(|entry| !entry.section.is_empty()) {
        let Some(value) = &entry.value else {
            continue;
        };
        if section != Some(&entry.section) {
            let _ = writeln!(out, "\n{}", header(entry));
            section = Some(&entry.section);
        }
        let line = format!("{} = {value}", entry.name);
        if origin {
            let _ = writeln!(out, "{line:<42}  # {}", entry.origin);
        } else {
            let _ = writeln!(out, "{line}");
        }
    }
    let _ = writeln!(out, "\n# not part of the file");
    for entry in config.entries.iter().filter(|entry| entry.section.is_empty()) {
        let line = format!("# {} = {}", entry.name, entry.value.as_deref().unwrap_or_default());
        if origin {
            let _ = writeln!(out, "{line:<42}  # {}", entry.origin);
        } else {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

fn header(entry: &Entry) -> String {
    // The tables of a list are told apart inside by their number: `notify[0]`.
    match entry.section.strip_suffix(']').and_then(|it| it.rsplit_once('[')) {
        Some((list, _)) => format!("[[{list}]]"),
        None => format!("[{}]", entry.section),
    }
}

/// The effective configuration for programs: `{"keys": [{key, value, origin, line?}], …}`.
#[must_use]
pub fn show_json(config: &Config) -> Json {
    let keys = config.entries.iter().map(|entry| {
        let mut row = Map::new();
        row.insert("key".to_owned(), entry.key().into());
        row.insert("value".to_owned(), entry.value.as_deref().map_or(Json::Null, value));
        let (origin, name, line) = match &entry.origin {
            Origin::Flag(name) => ("flag", Some(*name), None),
            Origin::Environment(name) => ("environment", Some(*name), None),
            Origin::File { line } => ("file", None, Some(*line)),
            Origin::Default => ("default", None, None),
        };
        row.insert("origin".to_owned(), origin.into());
        if let Some(name) = name {
            row.insert("by".to_owned(), name.into());
        }
        if let Some(line) = line {
            row.insert("line".to_owned(), line.into());
        }
        Json::Object(row)
    });
    json!({
        "profile": config.places.profile,
        "config_path": config.places.config.to_string_lossy(),
        "keys": keys.collect::<Vec<_>>(),
    })
}

/// A value as it is written in TOML, as JSON.
fn value(written: &str) -> Json {
    let table = format!("v = {written}");
    toml::from_str::<Map<String, Json>>(&table)
        .ok()
        .and_then(|mut it| it.remove("v"))
        .unwrap_or_else(|| written.into())
}
