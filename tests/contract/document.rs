use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use holdline::model::ErrorKind;
use holdline::rpc;
use serde_json::Value;

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// Set to write `docs/openrpc.json` anew instead of comparing it.
const UPDATE: &str = "UPDATE_OPENRPC";

#[test]
fn the_document_in_the_tree_is_the_one_that_is_served() {
    let served = format!("{:#}\n", rpc::openrpc());
    let path = docs("openrpc.json");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &served).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == served, "docs/openrpc.json is out of date: run this test with {UPDATE}=1");
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

/// Words in backticks that begin a heading or the first cell of a table row.
fn told(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| `") || line.starts_with('#')) {
        let cell = line.trim_start_matches('|').split('|').next().unwrap_or_default();
        found.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    found
}

#[test]
fn every_method_notification_and_error_is_in_the_guide() {
    let document = rpc::openrpc();
    let told = told(&std::fs::read_to_string(docs("rpc.md")).unwrap());
    let kinds = document["components"]["errors"].as_object().unwrap().keys().cloned().collect();
    for (what, names) in [
        ("methods", names(&document["methods"])),
        ("notifications", names(&document["x-notifications"])),
        ("errors", kinds),
    ] {
        let missing: Vec<_> = names.difference(&told).collect();
        assert!(missing.is_empty(), "{what} without a place in docs/rpc.md: {missing:?}");
    }
}

#[test]
fn the_guide_names_no_method_that_is_not_there() {
    let document = rpc::openrpc();
    let known = names(&document["methods"]);
    let families =
        ["messages.", "events.", "state.", "cursors.", "quarantine.", "link.", "config.", "daemon.", "rpc."];
    for name in told(&std::fs::read_to_string(docs("rpc.md")).unwrap()) {
        if families.iter().any(|family| name.starts_with(family)) {
            assert!(known.contains(&name), "docs/rpc.md tells of `{name}`");
        }
    }
}

#[test]
fn the_codes_in_the_guide_are_the_ones_that_are_sent() {
    let guide = std::fs::read_to_string(docs("rpc.md")).unwrap();
    for kind in rpc::error::KINDS {
        let row = format!("| `{}` | {} |", rpc::error::name(kind), rpc::error::code(kind));
        assert!(guide.contains(&row), "docs/rpc.md lacks the row {row}");
    }
}

#[test]
fn the_numbers_of_errors_never_change() {
    let codes: Vec<(ErrorKind, i64)> =
        rpc::error::KINDS.into_iter().map(|kind| (kind, rpc::error::code(kind))).collect();
    insta::assert_debug_snapshot!("error_codes", codes);
}

#[test]
fn no_call_takes_an_address_a_path_a_command_or_a_header() {
    for method in rpc::openrpc()["methods"].as_array().unwrap() {
        for param in method["params"].as_array().unwrap() {
            let name = param["name"].as_str().unwrap();
            for word in ["url", "uri", "path", "file", "command", "cmd", "header", "host", "token", "proxy"] {
                assert!(!name.contains(word), "{} takes {name}", method["name"]);
            }
        }
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn walk(at: &Value, document: &Value) {
        match at {
            Value::Object(members) => {
                for (name, value) in members {
                    if name == "$ref" {
                        let pointer = value.as_str().unwrap().trim_start_matches('#');
                        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
                    }
                    walk(value, document);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, document)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = rpc::openrpc();
    walk(&document, &document);
}
