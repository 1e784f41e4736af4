//! Looking into JSON text without taking it apart: a JSON Pointer (RFC 6901) finds the very
//! text of a value, so numbers keep their digits and nothing is copied but what is asked for.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting taken from outside, on the local socket and from servers alike.
pub const MAX_DEPTH: usize = 64;

/// A checked JSON Pointer, its reference tokens unescaped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    /// Reads `text` as a pointer: empty, or tokens that each begin with `/`.
    ///
    /// # Errors
    /// A sentence that says what is wrong, when it is no pointer.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self { text: String::new(), tokens: Vec::new() });
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("a JSON Pointer begins with `/`: `{text}`"));
        };
        let mut tokens = Vec::new();
        for token in rest.split('/') {
            let mut plain = String::with_capacity(token.len());
            let mut chars = token.chars();
            while let Some(c) = chars.next() {
                if c != '~' {
                    plain.push(c);
                    continue;
                }
                match chars.next() {
                    Some('0') => plain.push('~'),
                    Some('1') => plain.push('/'),
                    _ => return Err(format!("`~` in a JSON Pointer is written `~0`, `/` is `~1`: `{text}`")),
                }
            }
            tokens.push(plain);
        }
        Ok(Self { text: text.to_owned(), tokens })
    }

    /// The pointer as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its reference tokens, unescaped.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The text of the value it points at within `json`. None where there is no such value or
    /// `json` is not JSON. Of members with the same name the last one counts.
    #[must_use]
    pub fn find<'a>(&self, json: &'a str) -> Option<&'a str> {
        let mut at = json;
        for token in &self.tokens {
            at = step(at, token)?;
        }
        Some(at.trim_matches([' ', '\t', '\n', '\r']))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One step into `json`: the member or the item called `token`.
fn step<'a>(json: &'a str, token: &str) -> Option<&'a str> {
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_any(Step { token }).ok().flatten().map(RawValue::get)
}

struct Step<'t> {
    token: &'t str,
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(hit) = map.next_key_seed(Named(self.token))? {
            if hit {
                found = Some(map.next_value::<&'de RawValue>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        // RFC 6901, 4: digits without a leading zero.
        let wanted = (self.token == "0" || !self.token.starts_with('0'))
            .then(|| self.token.parse::<usize>().ok())
            .flatten();
        let mut found = None;
        let mut index = 0;
        while let Some(item) = seq.next_element::<&'de RawValue>()? {
            if Some(index) == wanted {
                found = Some(item);
            }
            index += 1;
        }
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether the member's name is this one, without keeping it.
struct Named<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Whether brackets in `json` nest deeper than `limit`. Linear and without recursion, so it can
/// stand before any parser. `json` need not be valid.
#[must_use]
pub fn deeper_than(json: &str, limit: usize) -> bool {
    // Most text has fewer opening brackets than that in all: `{` and `[` differ in one bit.
    if json.bytes().filter(|byte| byte | 0x20 == b'{').count() <= limit {
        return false;
    }
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in json.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Whether there are line breaks in it: between its tokens, as strings hold none.
#[must_use]
pub fn has_line_breaks(json: &str) -> bool {
    memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some()
}

/// `json` without white space between its tokens. Members keep their order, numbers their digits.
/// Text that has none is handed back as it is.
#[must_use]
pub fn compact(json: &str) -> Cow<'_, str> {
    let Some(first) = next_space(json, 0) else {
        return Cow::Borrowed(json);
    };
    let mut out = String::with_capacity(json.len());
    let (mut from, mut space) = (0, first);
    loop {
        out.push_str(&json[from..space]);
        from = space + 1;
        match next_space(json, from) {
            Some(next) => space = next,
            None => break,
        }
    }
    out.push_str(&json[from..]);
    Cow::Owned(out)
}

/// Calls `look` with the name (as it is written, with its quotation marks) and the value of each member
/// of the object in `json`, until it says no. Returns whether all of it was an object and looked at.
///
/// For text that is known to be JSON, since it was read once: nothing in it is checked again.
pub fn each_member<'a>(json: &'a str, mut look: impl FnMut(&'a str, &'a str) -> bool) -> bool {
    members(json, &mut look).unwrap_or(false)
}

fn members<'a>(json: &'a str, look: &mut dyn FnMut(&'a str, &'a str) -> bool) -> Option<bool> {
    let bytes = json.as_bytes();
    let mut at = behind_blank(bytes, 0);
    if *bytes.get(at)? != b'{' {
        return None;
    }
    at = behind_blank(bytes, at + 1);
    if *bytes.get(at)? == b'}' {
        return Some(true);
    }
    loop {
        let name = at;
        at = behind_string(bytes, name)?;
        let name = &json[name..at];
        at = behind_blank(bytes, at);
        if *bytes.get(at)? != b':' {
            return None;
        }
        let value = behind_blank(bytes, at + 1);
        at = behind_value(bytes, value)?;
        if !look(name, &json[value..at]) {
            return Some(false);
        }
        at = behind_blank(bytes, at);
        match bytes.get(at)? {
            b',' => at = behind_blank(bytes, at + 1),
            b'}' => return Some(true),
            _ => return None,
        }
    }
}

fn behind_blank(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Behind the string that begins at `at`.
fn behind_string(bytes: &[u8], at: usize) -> Option<usize> {
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Behind the value that begins at `at`.
fn behind_value(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => behind_string(bytes, at),
        b'{' | b'[' => {
            let (mut at, mut depth) = (at, 0_usize);
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = behind_string(bytes, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            Some(bytes[at..].iter().position(ends).map_or(bytes.len(), |length| at + length))
        }
    }
}

/// Where the first white space outside of strings is at or behind `from`, which is outside of
/// strings itself.
fn next_space(json: &str, from: usize) -> Option<usize> {
    let bytes = json.as_bytes();
    let mut at = from;
    loop {
        match bytes.get(at)? {
            b' ' | b'\t' | b'\n' | b'\r' => return Some(at),
            b'"' => {
                at += 1;
                // To the quote that ends it, over those that are escaped.
                loop {
                    at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
                    if bytes[at] == b'"' {
                        break;
                    }
                    at += 2;
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Pointer, compact, deeper_than, each_member};

    fn find<'a>(pointer: &str, json: &'a str) -> Option<&'a str> {
        Pointer::parse(pointer).expect("a valid pointer").find(json)
    }

    #[test]
    fn a_pointer_finds_the_very_text_of_a_value() {
        let json = r#"{"a":{"b":[1, 9007199254740993.10 ,{"c/d":true,"~":null}]},"":0}"#;
        assert_eq!(find("", json), Some(json));
        assert_eq!(find("/a/b/1", json), Some("9007199254740993.10"));
        assert_eq!(find("/a/b/2/c~1d", json), Some("true"));
        assert_eq!(find("/a/b/2/~0", json), Some("null"));
        assert_eq!(find("/", json), Some("0"));
        assert_eq!(find("/a/b/01", json), None);
        assert_eq!(find("/a/b/9", json), None);
        assert_eq!(find("/a/x", json), None);
        assert_eq!(find("/a/b/0/x", json), None);
    }

    #[test]
    fn a_member_name_may_be_written_with_escapes() {
        assert_eq!(find("/ä\"", r#"{"\u00e4\"":7}"#), Some("7"));
    }

    #[test]
    fn a_pointer_must_begin_with_a_slash_and_escape_its_tildes() {
        assert!(Pointer::parse("a").is_err());
        assert!(Pointer::parse("/a~2").is_err());
        assert!(Pointer::parse("/a~").is_err());
    }

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        assert!(!deeper_than(r#"{"a":"[[[[[","b":[1]}"#, 2));
        assert!(deeper_than("[[[", 2));
        assert!(!deeper_than(r#"["\"[[["]"#, 1));
    }

    #[test]
    fn members_are_the_very_text_of_names_and_values() {
        let all = |json| {
            let mut found = Vec::new();
            let whole = each_member(json, |name, value| {
                found.push((name, value));
                true
            });
            whole.then_some(found)
        };
        let json = r#" { "a" : [1,{"b":"]}"}] ,"\"":-1.50e3, "":"x\\" ,"n":{},"t":true } "#;
        let members = [
            ("\"a\"", r#"[1,{"b":"]}"}]"#),
            (r#""\"""#, "-1.50e3"),
            (r#""""#, r#""x\\""#),
            (r#""n""#, "{}"),
            (r#""t""#, "true"),
        ];
        assert_eq!(all(json), Some(members.to_vec()));
        assert_eq!(all(" { } "), Some(Vec::new()));
        let mut first = None;
        assert!(!each_member(json, |name, _| {
            first = Some(name);
            false
        }));
        assert_eq!(first, Some("\"a\""));
        for none in [
            "",
            "[1]",
            "1",
            r#""{}""#,
            "{",
            r#"{"a"}"#,
            r#"{"a":"#,
            r#"{"a":1"#,
            r#"{"a":[1}"#,
            r#"{"a":"x}"#,
        ] {
            assert_eq!(all(none), None, "{none}");
        }
    }

    #[test]
    fn compacting_leaves_strings_and_numbers_alone() {
        assert_eq!(compact("{ \"a b\" : [ 1.50 , \"x\\\" y\" ] }\n"), r#"{"a b":[1.50,"x\" y"]}"#);
    }
}
