//! Attachments. On the wire a packet has placeholders, and its binary parts follow in frames of
//! their own; in data they stand as `{"$binary":"…"}`, base64 (RFC 4648, section 4).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};

use crate::dialect::declarative::tape::{Doc, Tape};
use crate::model::{ErrorKind, Refusal};

/// The one member of the object that stands for an attachment.
pub(super) const MEMBER: &str = "$binary";
const PLACEHOLDER: &str = "_placeholder";

/// Apps may leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Calls `look` with every object, outer ones first; where it says so, what stands within is left
/// alone. Nesting is bounded by the tape.
fn objects<'a, E>(doc: Doc<'a>, look: &mut impl FnMut(Doc<'a>) -> Result<bool, E>) -> Result<(), E> {
    match doc.json().as_bytes().first() {
        Some(b'{') => {
            if !look(doc)? {
                for (_, value) in doc.members() {
                    objects(value, look)?;
                }
            }
            Ok(())
        }
        Some(b'[') => doc.items().try_for_each(|item| objects(item, look)),
        _ => Ok(()),
    }
}

/// `json`, read as `doc`, with its placeholders replaced by `parts`.
///
/// # Errors
/// What does not fit: every part must be named once, so that none is lost and none is multiplied.
pub(super) fn fill(json: &str, doc: Doc<'_>, parts: &[Vec<u8>]) -> Result<String, &'static str> {
    let mut used = vec![false; parts.len()];
    let bytes: usize = parts.iter().map(Vec::len).sum();
    let mut out = String::with_capacity(json.len() + bytes / 3 * 4 + 32 * parts.len());
    let mut from = 0;
    objects(doc, &mut |object| {
        if object.member(PLACEHOLDER).is_none_or(|flag| flag.json() != "true") {
            return Ok(false);
        }
        let number = object.member("num").and_then(|number| number.json().parse::<usize>().ok());
        let Some((used, part)) = number.and_then(|number| Some((used.get_mut(number)?, &parts[number])))
        else {
            return Err("a placeholder names an attachment that is not there");
        };
        if std::mem::replace(used, true) {
            return Err("two placeholders name the same attachment");
        }
        out.push_str(&json[from..object.start()]);
        out.push_str("{\"$binary\":\"");
        BASE64.encode_string(part, &mut out);
        out.push_str("\"}");
        from = object.start() + object.json().len();
        Ok(true)
    })?;
    if used.contains(&false) {
        return Err("an attachment has no placeholder");
    }
    out.push_str(&json[from..]);
    Ok(out)
}

/// Takes the attachments out of a message's data (valid JSON): the data with placeholders, and the
/// parts. `most`: how many the server bears.
///
/// # Errors
/// What cannot be an attachment.
pub(super) fn take_out(json: &str, most: usize) -> Result<(String, Vec<Vec<u8>>), Refusal> {
    let mut parts = Vec::new();
    if !json.contains(MEMBER) {
        return Ok((json.to_owned(), parts));
    }
    let mut tape = Tape::default();
    // What the local socket let in is JSON; should it not be, it goes out as it is.
    if tape.read(json).is_err() {
        return Ok((json.to_owned(), parts));
    }
    let mut out = String::with_capacity(json.len());
    let mut from = 0;
    let mut taken = false;
    objects(tape.doc(json), &mut |object| {
        taken |= object.members().any(|(name, _)| name.is_named(PLACEHOLDER));
        let mut members = object.members();
        let (Some((name, value)), None) = (members.next(), members.next()) else {
            return Ok(false);
        };
        let Some(text) = value.string().filter(|_| name.is_named(MEMBER)) else {
            return Ok(false);
        };
        let part = LENIENT.decode(text.as_bytes()).map_err(|error| {
            invalid(format!("`{MEMBER}` holds what is no base64: {error}"))
                .hint("an attachment is {\"$binary\":\"…\"} with base64 in it")
        })?;
        out.push_str(&json[from..object.start()]);
        out.push_str(&format!("{{\"{PLACEHOLDER}\":true,\"num\":{}}}", parts.len()));
        from = object.start() + object.json().len();
        parts.push(part);
        Ok(true)
    })?;
    if parts.len() > most {
        return Err(Refusal::new(
            ErrorKind::TooLarge,
            format!("the message has {} attachments, the server takes {most}", parts.len()),
        )
        .hint("send fewer at a time, or set server.vars attachments if the server bears more"));
    }
    if taken && !parts.is_empty() {
        return Err(invalid(format!("data with attachments cannot have a member `{PLACEHOLDER}`"))
            .hint("rename the member"));
    }
    out.push_str(&json[from..]);
    Ok((out, parts))
}

fn invalid(message: String) -> Refusal {
    Refusal::new(ErrorKind::InvalidParams, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{fill, take_out};
    use crate::dialect::declarative::tape::Tape;

    fn filled(json: &str, parts: &[&[u8]]) -> Result<String, &'static str> {
        let mut tape = Tape::default();
        tape.read(json).expect("JSON");
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
        fill(json, tape.doc(json), &parts)
    }

    #[test]
    fn parts_stand_where_their_placeholders_stood() {
        let json = r#"["f",{"a":[{"num":1,"_placeholder":true}],"b":{"_placeholder":true,"num":0}},1.50]"#;
        assert_eq!(
            filled(json, &[b"\x00\xff", b"hi"]).as_deref(),
            Ok(r#"["f",{"a":[{"$binary":"aGk="}],"b":{"$binary":"AP8="}},1.50]"#)
        );
    }

    #[test]
    fn a_part_that_is_missing_left_over_or_named_twice_fits_nowhere() {
        let one = r#"[{"_placeholder":true,"num":0}]"#;
        let twice = r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#;
        for (json, parts) in [
            (one, vec![]),
            (one, vec![&b"a"[..], b"b"]),
            (twice, vec![&b"a"[..]]),
            (r#"[{"_placeholder":true,"num":-1}]"#, vec![&b"a"[..]]),
            (r#"[{"_placeholder":true}]"#, vec![&b"a"[..]]),
            (r#"[{"_placeholder":false,"num":0}]"#, vec![&b"a"[..]]),
        ] {
            assert!(filled(json, &parts).is_err(), "{json} {parts:?}");
        }
    }

    #[test]
    fn only_an_object_that_is_nothing_else_is_an_attachment() {
        for json in [r#"{"$binary":"aGk=","x":1}"#, r#"{"$binary":5}"#, r#"["$binary"]"#, r#"{"a":{}}"#] {
            assert_eq!(take_out(json, 10), Ok((json.to_owned(), Vec::new())), "{json}");
        }
        let (json, parts) = take_out(r#"[{"$binary":"aGk"},{"x":{"$binary":""}}]"#, 10).expect("attachments");
        assert_eq!(json, r#"[{"_placeholder":true,"num":0},{"x":{"_placeholder":true,"num":1}}]"#);
        assert_eq!(parts, [b"hi".to_vec(), Vec::new()]);
    }

    #[test]
    fn what_would_confuse_the_server_is_refused() {
        for json in [
            r#"{"$binary":"***"}"#,
            r#"[{"$binary":""},{"$binary":""},{"$binary":""}]"#,
            r#"[{"$binary":""},{"_placeholder":true,"num":0}]"#,
        ] {
            assert!(take_out(json, 2).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_out_comes_back(parts in proptest::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let items: Vec<String> = parts
                .iter()
                .map(|part| format!("{{\"x\":{{\"$binary\":\"{}\"}}}}", base64::Engine::encode(&super::BASE64, part)))
                .collect();
            let json = format!("[{}]", items.join(","));
            let (wire, taken) = take_out(&json, 8).expect("attachments");
            prop_assert_eq!(&taken, &parts);
            let mut tape = Tape::default();
            tape.read(&wire).expect("JSON");
            prop_assert_eq!(fill(&wire, tape.doc(&wire), &taken), Ok(json));
        }
    }
}
