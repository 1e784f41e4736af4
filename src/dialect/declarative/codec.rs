//! How messages stand in frames, where it is not simply one JSON value.

use super::scalars::write_string;
use super::spec::Codec;
use super::tape::Tape;
use crate::model::Frame;

/// Whether a text that came as a binary frame can be read by this codec.
pub(crate) fn is_read(codec: Codec, text: &str) -> bool {
    let json = |text: &str| Tape::default().read(text).is_ok();
    match codec {
        Codec::Raw => false,
        Codec::Json | Codec::JsonOrArray => json(text),
        Codec::JsonLines => text.lines().map(str::trim).filter(|line| !line.is_empty()).all(json),
        Codec::HeadJson => match with_head(text) {
            Some(message) => json(&message),
            None => json(text),
        },
    }
}

/// `name: value` lines, a blank line and JSON, as `{"head":{…},"body":…}`; without lines the
/// head is empty. None where neither is there: the text is then no message.
pub(crate) fn with_head(text: &str) -> Option<String> {
    let mut head = String::from("{\"head\":{");
    let mut rest = text;
    loop {
        let (line, behind) = match rest.split_once('\n') {
            Some((line, behind)) => (line.strip_suffix('\r').unwrap_or(line), behind),
            None => ("\u{0}", ""),
        };
        if line.is_empty() {
            rest = behind;
            break;
        }
        let field = line.split_once(':').filter(|(name, _)| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        });
        let Some((name, value)) = field else {
            // No head: all of it is the body.
            "{\"head\":{".clone_into(&mut head);
            rest = text;
            break;
        };
        if !head.ends_with('{') {
            head.push(',');
        }
        write_string(&name.to_ascii_lowercase(), &mut head);
        head.push(':');
        write_string(value.trim(), &mut head);
        rest = behind;
    }
    let body = match rest.trim() {
        "" if head.ends_with('{') => return None,
        "" => "null",
        body => body,
    };
    // Else a body such as `1},"head":{` could write members of its own.
    Tape::default().read(body).ok()?;
    Some(format!("{head}}},\"body\":{body}}}"))
}

/// A frame of ours. With `head-json` an object of `head` and `body` becomes lines and JSON.
pub(crate) fn outbound(codec: Codec, text: String) -> Frame {
    if codec != Codec::HeadJson {
        return Frame::Text(text);
    }
    Frame::Text(lines(&text).unwrap_or(text))
}

fn lines(json: &str) -> Option<String> {
    let mut tape = Tape::default();
    tape.read(json).ok()?;
    let (mut head, mut body) = (None, None);
    for (name, value) in tape.doc(json).members() {
        match &*name.string()? {
            "head" => head = Some(value),
            "body" => body = Some(value),
            _ => return None,
        }
    }
    let mut text = String::new();
    for (name, value) in head?.members() {
        let value = value.string().unwrap_or_else(|| value.json().into());
        // A line break within a value would begin another line.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        let name: String = name.string()?.chars().filter(|c| !c.is_control() && *c != ':').collect();
        text.push_str(&name);
        text.push_str(": ");
        text.push_str(&value);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body.map_or("", super::tape::Doc::json));
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{outbound, with_head};
    use crate::dialect::declarative::spec::Codec;
    use crate::model::Frame;

    #[test]
    fn lines_before_json_become_a_head() {
        for (text, message) in [
            (
                "Path: a.b\r\nX-Id:7\r\n\r\n{\"a\":1}",
                Some(r#"{"head":{"path":"a.b","x-id":"7"},"body":{"a":1}}"#),
            ),
            ("{\"a\":1}", Some(r#"{"head":{},"body":{"a":1}}"#)),
            ("{\"a\":\n\n1}", Some("{\"head\":{},\"body\":{\"a\":\n\n1}}")),
            ("\n{\"a\":1}", Some(r#"{"head":{},"body":{"a":1}}"#)),
            ("a: b\n\n", Some(r#"{"head":{"a":"b"},"body":null}"#)),
            ("a: b", None),
            ("a: b\n\n1},\"x\":{}", None),
            ("", None),
        ] {
            assert_eq!(with_head(text).as_deref(), message, "{text:?}");
        }
    }

    #[test]
    fn a_head_of_ours_becomes_lines_and_cannot_smuggle_one_in() {
        let json = r#"{"head":{"path":"a\r\nb: c","n":1},"body":{"x":[]}}"#.to_owned();
        let wanted = Frame::Text("path: ab: c\r\nn: 1\r\n\r\n{\"x\":[]}".to_owned());
        assert_eq!(outbound(Codec::HeadJson, json.clone()), wanted);
        assert_eq!(outbound(Codec::Json, json.clone()), Frame::Text(json));
        let other = r#"{"type":"x"}"#.to_owned();
        assert_eq!(outbound(Codec::HeadJson, other.clone()), Frame::Text(other));
    }
}
