//! What must not stand in a recording, and what stands there instead.
//!
//! A recording is text, so secrets are looked for as text: as they are, as JSON writes them (once
//! and twice), percent-encoded, and within base64 wherever it begins there. A stand-in consists of
//! letters, digits and `-`, which mean themselves in all of these.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What is shorter is only taken away where it is a whole text: it may be part of any word.
const SHORT: usize = 6;
/// Fewer characters of base64 than this would be found by accident.
const LEAST_CORE: usize = 8;
/// The name of the credential.
pub(super) const TOKEN: &str = "token";
/// Most secrets that are looked for: the names a dialect keeps change now and then.
const MOST: usize = 512;

/// All secrets of a session.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// Each with its stand-in.
    known: BTreeMap<Text, String>,
    /// What to look for, and what to put in its place; the longest first.
    needles: Vec<(Text, String)>,
    /// All secrets, the latest last.
    learned: Vec<Text>,
    /// Stand-ins given for each name so far.
    given: BTreeMap<String, usize>,
}

/// A text that is never shown.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Text(String);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Hidden {
    /// Takes `secret` away from now on; `name` is what the reader of the recording sees of it.
    pub(super) fn hide(&mut self, name: &str, secret: &str) {
        let secret = secret.trim();
        if secret.is_empty() || self.known.len() >= MOST || self.known.contains_key(&Text(secret.to_owned()))
        {
            return;
        }
        let number = self.given.entry(name.to_owned()).or_default();
        // Whatever the token is just now, it is the token.
        *number += usize::from(name != TOKEN || *number == 0);
        let place: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let stand_in = match *number {
            1 => format!("{place}-removed"),
            more => format!("{place}-{more}-removed"),
        };
        for needle in ways_to_write(secret) {
            self.needles.push((Text(needle.clone()), needle_stand_in(&needle, secret, &stand_in)));
        }
        self.needles.sort_by(|(a, _), (b, _)| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        self.known.insert(Text(secret.to_owned()), stand_in);
        self.learned.push(Text(secret.to_owned()));
    }

    /// Takes a kept value away: the texts and long numbers in it.
    pub(super) fn hide_kept(&mut self, name: &Arc<str>, json: &str) {
        if let Ok(value) = serde_json::from_str(json) {
            self.hide_value(&format!("kept-{name}"), &value);
        }
    }

    fn hide_value(&mut self, name: &str, value: &Value) {
        match value {
            Value::String(text) => self.hide(name, text),
            Value::Array(items) => items.iter().for_each(|item| self.hide_value(name, item)),
            Value::Object(members) => members.values().for_each(|value| self.hide_value(name, value)),
            // A number stands for itself in a frame: its digits are replaced by others, so that it
            // stays one.
            Value::Number(number) => self.hide_digits(&number.to_string()),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn hide_digits(&mut self, digits: &str) {
        let plain = digits.len() >= SHORT && digits.bytes().all(|byte| byte.is_ascii_digit());
        let text = Text(digits.to_owned());
        if !plain || self.known.len() >= MOST || self.known.contains_key(&text) {
            return;
        }
        let number = self.given.entry("digits".to_owned()).or_default();
        *number += 1;
        let stand_in = format!("9{number:0width$}", width = digits.len() - 1);
        self.needles.push((text.clone(), stand_in.clone()));
        self.needles.sort_by(|(a, _), (b, _)| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        self.known.insert(text.clone(), stand_in);
        self.learned.push(text);
    }

    /// What stands for `secret`, where it is one.
    pub(super) fn stand_in(&self, secret: &str) -> Option<&str> {
        self.known.get(&Text(secret.trim().to_owned())).map(String::as_str)
    }

    /// `text` without secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for (needle, stand_in) in &self.needles {
            if clean.contains(&needle.0) {
                clean = clean.replace(&needle.0, stand_in);
            }
        }
        clean
    }

    /// `bytes` without secrets, where they are text or hold one as it is.
    pub(super) fn clean_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return self.clean(text).into_bytes();
        }
        let mut clean = bytes.to_vec();
        for (needle, stand_in) in self.known.iter().filter(|(secret, _)| secret.0.len() >= SHORT) {
            clean = replaced(&clean, needle.0.as_bytes(), stand_in.as_bytes());
        }
        clean
    }

    /// How many secrets are known.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Those alone that were learned after the first `known` ones. What they leave as it is, they leave
    /// as it is among all others.
    pub(super) fn since(&self, known: usize) -> Self {
        let mut later = Self::default();
        for Text(secret) in self.learned.iter().skip(known) {
            later.hide("later", secret);
        }
        later
    }
}

fn replaced(bytes: &[u8], needle: &[u8], with: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(needle.len()).position(|window| window == needle) {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(with);
        rest = &rest[at + needle.len()..];
    }
    clean.extend_from_slice(rest);
    clean
}

/// As JSON writes it, without the quotes around.
fn in_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Every text under which `secret` may stand in a recording.
fn ways_to_write(secret: &str) -> Vec<String> {
    let once = in_json(secret);
    let mut ways = if secret.chars().count() < SHORT {
        // As a whole text alone; within a text of JSON its quotes are escaped.
        vec![format!("\"{once}\""), format!("\\\"{}\\\"", in_json(&once))]
    } else {
        let mut ways = vec![secret.to_owned(), in_json(&once), once];
        ways.push(utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string());
        ways.extend(within_base64(secret.as_bytes()));
        ways
    };
    ways.sort();
    ways.dedup();
    ways
}

fn needle_stand_in(needle: &str, secret: &str, stand_in: &str) -> String {
    if secret.chars().count() >= SHORT {
        stand_in.to_owned()
    } else if needle.starts_with('\\') {
        format!("\\\"{stand_in}\\\"")
    } else {
        format!("\"{stand_in}\"")
    }
}

/// The part of base64 that stands for these bytes alone, whatever is before and behind them: one
/// for each of the three places at which they can begin.
fn within_base64(bytes: &[u8]) -> Vec<String> {
    let mut cores = Vec::new();
    for before in 0..3 {
        let mut padded = vec![0; before];
        padded.extend_from_slice(bytes);
        let from = (before * 8).div_ceil(6);
        let to = padded.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            if let Some(core) = encoded.get(from..to).filter(|core| core.len() >= LEAST_CORE) {
                cores.push(core.to_owned());
            }
        }
    }
    cores
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    const SECRET: &str = "s3cr\"et/+\\tök";

    fn hidden() -> Hidden {
        let mut hidden = Hidden::default();
        hidden.hide("token", SECRET);
        hidden
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let hidden = hidden();
        let json = Value::from(SECRET).to_string();
        let nested = Value::from(json.clone()).to_string();
        for text in [
            SECRET.to_owned(),
            format!("{{\"token\":{json}}}"),
            format!("{{\"data\":{nested}}}"),
            format!("?token={}", utf8_percent_encode(SECRET, NON_ALPHANUMERIC)),
        ] {
            let clean = hidden.clean(&text);
            assert!(clean.contains("token-removed"), "{clean}");
            for part in ["s3cr", "et/+", "%2F%2B", "tök"] {
                assert!(!clean.contains(part), "{clean}");
            }
        }
    }

    #[test]
    fn a_secret_within_base64_is_found_wherever_it_begins() {
        let hidden = hidden();
        for before in ["", "u", "us", "user:", "user:x"] {
            let coded = STANDARD.encode(format!("{before}{SECRET}:tail"));
            let clean = hidden.clean(&coded);
            assert!(clean.contains("token-removed"), "{before:?}: {clean}");
        }
    }

    #[test]
    fn a_short_secret_is_only_taken_away_where_it_is_the_whole_text() {
        let mut hidden = Hidden::default();
        hidden.hide("token", "t");
        let clean = hidden.clean(r#"{"type":"t","text":"that","in":"{\"token\":\"t\"}"}"#);
        assert_eq!(clean, r#"{"type":"token-removed","text":"that","in":"{\"token\":\"token-removed\"}"}"#);
    }

    #[test]
    fn what_is_kept_is_hidden_piece_by_piece_and_numbers_stay_numbers() {
        let mut hidden = Hidden::default();
        hidden.hide_kept(&"session".into(), r#"{"id":"abcdef","no":123456789,"small":7}"#);
        hidden.hide_kept(&"session".into(), r#""second-one""#);
        let clean = hidden.clean(r#"["abcdef",123456789,7,"second-one"]"#);
        assert_eq!(clean, r#"["kept-session-removed",900000001,7,"kept-session-2-removed"]"#);
    }

    #[test]
    fn bytes_that_are_no_text_are_looked_through_as_well() {
        let mut hidden = Hidden::default();
        hidden.hide("token", "sesame-open");
        let clean = hidden.clean_bytes(b"\xff\x00sesame-open\xff");
        assert_eq!(clean, b"\xff\x00token-removed\xff");
    }

    #[test]
    fn what_was_learned_later_is_found_by_itself() {
        let mut hidden = hidden();
        hidden.hide_kept(&"session".into(), r#"{"id":"abcdef","no":123456789}"#);
        let later = hidden.since(1);
        assert_eq!((later.len(), hidden.since(3).len()), (2, 0));
        for text in ["an abcdef", "[123456789]"] {
            assert_ne!(later.clean(text), text);
        }
        assert_eq!(later.clean(SECRET), SECRET);
    }

    #[test]
    fn a_secret_is_never_shown_by_debug() {
        assert!(!format!("{:?}", hidden()).contains("s3cr"));
    }
}
