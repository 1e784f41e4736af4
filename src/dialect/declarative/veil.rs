//! A server's words without the credential and without what is kept: they go into reasons, `status`,
//! `why` and the log, and a server likes to name the session that it does not know.

use std::borrow::Cow;

use serde_json::Value;

use super::hole::Scope;

/// What is shorter stays: it may be part of any word, and is no secret worth the name.
const SHORT: usize = 6;

/// Stands in the place of what is not shown.
const VEIL: &str = "***";

/// `text` with `***` in the place of the credential and of everything kept now or lately.
pub(super) fn over<'t>(text: &'t str, scope: &Scope<'_>) -> Cow<'t, str> {
    let mut secrets: Vec<Cow<'_, str>> = Vec::new();
    // Borrowed: no copy of it is left behind in memory.
    secrets.extend(scope.token.map(|token| Cow::Borrowed(token.expose().trim())));
    for json in scope.names.kept.values().chain(&scope.names.was_kept) {
        if let Ok(value) = serde_json::from_str(json) {
            pieces(value, &mut secrets);
        }
    }
    secrets.retain(|secret| secret.chars().count() >= SHORT);
    // One may be part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let mut veiled = Cow::Borrowed(text);
    for secret in secrets {
        if veiled.contains(&*secret) {
            veiled = Cow::Owned(veiled.replace(&*secret, VEIL));
        }
    }
    veiled
}

/// The texts and numbers in a kept value.
fn pieces(value: Value, secrets: &mut Vec<Cow<'_, str>>) {
    match value {
        Value::String(text) => secrets.push(text.into()),
        Value::Number(number) => secrets.push(number.to_string().into()),
        Value::Array(items) => items.into_iter().for_each(|item| pieces(item, secrets)),
        Value::Object(members) => members.into_iter().for_each(|(_, value)| pieces(value, secrets)),
        Value::Null | Value::Bool(_) => {}
    }
}
