//! One pass over a frame: is it JSON, is it shallow enough, and where does each value stand?
//!
//! The answer is a tape of nodes in the order of the text. It borrows nothing and can be used
//! again for the next frame. Values are never taken apart: a node is a range of the text, so
//! numbers keep their digits and objects the order of their members.

use std::borrow::Cow;

use super::scalars::{plain_number, unescape};
use crate::model::json::{MAX_DEPTH, Pointer};

/// A tape with room for more nodes than this is given back after the frame.
const KEEP_NODES: usize = 64 * 1024;

/// One value (or member name), as a range of the text.
#[derive(Debug, Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    /// The node behind this value and all that stands in it.
    next: u32,
    /// A string with a backslash in it.
    escaped: bool,
}

/// Why a text could not be read as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It nests deeper than [`MAX_DEPTH`].
    TooDeep,
    /// It is not JSON from this byte on (RFC 8259; an escaped lone surrogate counts as a fault,
    /// since nobody could read it later).
    Invalid(usize),
    /// It is JSON, and two members of one object have the same name; the second begins at this byte
    /// (see [`super::odd`]).
    Twice(usize),
    /// It is JSON, and the number at this byte is larger than programs can hold.
    TooLarge(usize),
}

impl Fault {
    /// One word and a sentence, for what stands in quarantine.
    pub(crate) fn told(self) -> (&'static str, String) {
        match self {
            Self::TooDeep => ("too_deep", format!("it nests deeper than {MAX_DEPTH}")),
            Self::Invalid(byte) => ("invalid_json", format!("it is not JSON from byte {byte} on")),
            Self::Twice(byte) => {
                ("duplicate_name", format!("the name of the member at byte {byte} was there before"))
            }
            Self::TooLarge(byte) => {
                ("number_too_large", format!("the number at byte {byte} is larger than programs can hold"))
            }
        }
    }
}

/// The nodes of one JSON text.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    nodes: Vec<Node>,
    /// No object in it has a name twice: the first member of a name is the only one.
    unique: bool,
}

impl Tape {
    /// Reads `text`; afterwards [`Tape::doc`] of the same text gives its values.
    pub(crate) fn read(&mut self, text: &str) -> Result<(), Fault> {
        self.nodes.clear();
        self.unique = false;
        if u32::try_from(text.len()).is_err() {
            return Err(Fault::Invalid(0));
        }
        let mut reader = Reader { bytes: text.as_bytes(), at: 0, nodes: &mut self.nodes };
        reader.blank();
        reader.value(0)?;
        reader.blank();
        if reader.at == text.len() { Ok(()) } else { Err(Fault::Invalid(reader.at)) }
    }

    /// The whole of the text that was read last.
    pub(crate) fn doc<'a>(&'a self, text: &'a str) -> Doc<'a> {
        Doc { text, tape: self, at: 0 }
    }

    /// Somebody has looked: no object has a name twice.
    pub(crate) const fn set_unique(&mut self) {
        self.unique = true;
    }

    /// Gives memory back after an unusually large text.
    pub(crate) fn trim(&mut self) {
        if self.nodes.capacity() > KEEP_NODES {
            self.nodes = Vec::new();
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: &'a mut Vec<Node>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    const fn fault<T>(&self) -> Result<T, Fault> {
        Err(Fault::Invalid(self.at))
    }

    /// Positions fit: the length was checked before.
    #[allow(clippy::cast_possible_truncation, reason = "the text is shorter than u32::MAX, nodes are fewer")]
    fn open(&mut self) -> usize {
        self.nodes.push(Node { start: self.at as u32, end: 0, next: 0, escaped: false });
        self.nodes.len() - 1
    }

    #[allow(clippy::cast_possible_truncation, reason = "the text is shorter than u32::MAX, nodes are fewer")]
    fn close(&mut self, node: usize) {
        let next = self.nodes.len() as u32;
        self.nodes[node].end = self.at as u32;
        self.nodes[node].next = next;
    }

    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        let node = self.open();
        match self.peek() {
            Some(b'"') => self.nodes[node].escaped = self.string()?,
            Some(b'{') => self.object(depth + 1)?,
            Some(b'[') => self.array(depth + 1)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            _ => return self.fault(),
        }
        self.close(node);
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        self.at += 1;
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.fault();
            }
            let name = self.open();
            self.nodes[name].escaped = self.string()?;
            self.close(name);
            self.blank();
            if self.peek() != Some(b':') {
                return self.fault();
            }
            self.at += 1;
            self.blank();
            self.value(depth)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.fault(),
            }
            self.blank();
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        self.at += 1;
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.fault(),
            }
            self.blank();
        }
    }

    /// Whether the string has escapes in it.
    fn string(&mut self) -> Result<bool, Fault> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += plain_run(&self.bytes[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return self.fault(),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.unit(self.at + 2) {
                Some(0xd800..=0xdbff) => {
                    let low = self.bytes.get(self.at + 6..self.at + 8) == Some(b"\\u");
                    match self.unit(self.at + 8) {
                        Some(0xdc00..=0xdfff) if low => self.at += 12,
                        _ => return self.fault(),
                    }
                }
                Some(0xdc00..=0xdfff) | None => return self.fault(),
                Some(_) => self.at += 6,
            },
            _ => return self.fault(),
        }
        Ok(())
    }

    /// Four hex digits.
    fn unit(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 4)?;
        digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == from { self.fault() } else { Ok(()) }
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            self.fault()
        }
    }
}

/// How many bytes from the start are neither `"` nor `\` nor control characters, eight at a time.
fn plain_run(bytes: &[u8]) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The high bit of each byte that is zero; false hits only behind a true one.
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let mut run = 0;
    while let Some(chunk) = bytes[run..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(LOW * 0x20) & !word & HIGH;
        let hits = control | zeros(word ^ (LOW * 0x22)) | zeros(word ^ (LOW * 0x5c));
        if hits != 0 {
            return run + (hits.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0x00..=0x1f);
    run + bytes[run..].iter().position(special).unwrap_or(bytes.len() - run)
}

/// One value of a text that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doc<'a> {
    text: &'a str,
    tape: &'a Tape,
    at: usize,
}

impl<'a> Doc<'a> {
    /// Where the value begins in the text.
    pub(crate) fn start(self) -> usize {
        self.node().start as usize
    }

    fn node(self) -> Node {
        self.tape.nodes[self.at]
    }

    fn to(self, at: usize) -> Self {
        Self { at, ..self }
    }

    /// The value's text, without white space around it.
    pub(crate) fn json(self) -> &'a str {
        let node = self.node();
        &self.text[node.start as usize..node.end as usize]
    }

    /// The string's content, where the value is one.
    pub(crate) fn string(self) -> Option<Cow<'a, str>> {
        let node = self.node();
        let (start, end) = (node.start as usize, node.end as usize);
        if self.text.as_bytes()[start] != b'"' {
            None
        } else if node.escaped {
            unescape(&self.text[start..end]).map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(&self.text[start + 1..end - 1]))
        }
    }

    /// Whether the member's name is this one.
    pub(crate) fn is_named(self, name: &str) -> bool {
        let node = self.node();
        if node.escaped {
            return self.string().as_deref() == Some(name);
        }
        let (inner, name) =
            (&self.text.as_bytes()[node.start as usize + 1..node.end as usize - 1], name.as_bytes());
        // Most names differ in length or at once: that is seen without a call.
        inner.len() == name.len() && inner.first() == name.first() && inner == name
    }

    /// Whether both are the same name, however they are written.
    pub(crate) fn is_same_name(self, other: Self) -> bool {
        if self.node().escaped || other.node().escaped {
            self.string() == other.string()
        } else {
            self.json() == other.json()
        }
    }

    /// Name and value of each member, where the value is an object.
    pub(crate) fn members(self) -> impl Iterator<Item = (Self, Self)> {
        let node = self.node();
        let end = if self.text.as_bytes()[node.start as usize] == b'{' { node.next as usize } else { 0 };
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let member = (self.to(at), self.to(at + 1));
                at = member.1.node().next as usize;
                member
            })
        })
    }

    /// Each item, where the value is an array.
    pub(crate) fn items(self) -> impl Iterator<Item = Self> {
        let node = self.node();
        let end = if self.text.as_bytes()[node.start as usize] == b'[' { node.next as usize } else { 0 };
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let item = self.to(at);
                at = item.node().next as usize;
                item
            })
        })
    }

    /// The member of that name; of several the last one counts.
    pub(crate) fn member(self, name: &str) -> Option<Self> {
        let mut named = self.members().filter(|(key, _)| key.is_named(name)).map(|(_, value)| value);
        if self.tape.unique { named.next() } else { named.last() }
    }

    /// The value `pointer` points at.
    pub(crate) fn find(self, pointer: &Pointer) -> Option<Self> {
        pointer.tokens().iter().try_fold(self, |at, token| match at.text.as_bytes()[at.start()] {
            b'{' => at.member(token),
            // RFC 6901, 4: digits without a leading zero.
            b'[' if token == "0" || !token.starts_with(['0', '+']) => at.items().nth(token.parse().ok()?),
            _ => None,
        })
    }

    /// Whether both are the same value: members in any order, numbers by their value.
    pub(crate) fn same(self, other: Self) -> bool {
        let (a, b) = (self.json(), other.json());
        if a == b {
            return true;
        }
        match (a.as_bytes()[0], b.as_bytes()[0]) {
            (b'{', b'{') => {
                self.members().count() == other.members().count()
                    && self.members().all(|(key, value)| {
                        key.string()
                            .and_then(|name| other.member(&name))
                            .is_some_and(|theirs| value.same(theirs))
                    })
            }
            (b'[', b'[') => {
                self.items().count() == other.items().count()
                    && self.items().zip(other.items()).all(|(mine, theirs)| mine.same(theirs))
            }
            (b'"', b'"') => self.string() == other.string(),
            (b'-' | b'0'..=b'9', b'-' | b'0'..=b'9') => plain_number(a) == plain_number(b),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Doc, Fault, Tape};
    use crate::model::json::Pointer;

    fn with<T>(text: &str, look: impl FnOnce(Doc<'_>) -> T) -> T {
        let mut tape = Tape::default();
        tape.read(text).expect("JSON");
        look(tape.doc(text))
    }

    fn find(pointer: &str, text: &str) -> Option<String> {
        with(text, |doc| doc.find(&Pointer::parse(pointer).unwrap()).map(|found| found.json().to_owned()))
    }

    #[test]
    fn a_pointer_finds_the_very_text_of_a_value() {
        let text =
            r#" {"a":{"b":[1, 9007199254740993.10 ,{"c/d":true,"~":null}]},"":0,"\u00e4":2,"x":1,"x":[]} "#;
        assert_eq!(find("/a/b/1", text).as_deref(), Some("9007199254740993.10"));
        assert_eq!(find("/a/b/2/c~1d", text).as_deref(), Some("true"));
        assert_eq!(find("/a/b/2/~0", text).as_deref(), Some("null"));
        assert_eq!(find("/", text).as_deref(), Some("0"));
        assert_eq!(find("/ä", text).as_deref(), Some("2"));
        assert_eq!(find("/x", text).as_deref(), Some("[]"));
        assert_eq!(find("", text).as_deref(), Some(text.trim()));
        for none in ["/a/b/01", "/a/b/+1", "/a/b/3", "/a/b/0/x", "/q", "/a/b/"] {
            assert_eq!(find(none, text), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let mut tape = Tape::default();
        for (text, at) in [
            ("", 0),
            ("{", 1),
            ("[1,]", 3),
            ("{\"a\"}", 4),
            ("{\"a\":1,}", 7),
            ("nul", 0),
            ("01", 1),
            ("1.", 2),
            ("-", 1),
            ("1e", 2),
            ("\"\u{1}\"", 1),
            ("\"\\x\"", 1),
            ("\"\\ud800\"", 1),
            ("\"\\udc00\"", 1),
            ("1 2", 2),
            ("\u{feff}1", 0),
        ] {
            assert_eq!(tape.read(text), Err(Fault::Invalid(at)), "{text:?}");
        }
    }

    #[test]
    fn a_run_of_plain_bytes_ends_at_the_first_that_is_not() {
        for special in ["\"", "\\", "\u{0}", "\u{1f}", "\n"] {
            for at in 0..20 {
                let text = format!(
                    "{}{special}{}",
                    "ä \u{7f}~!#[]z".chars().cycle().take(at).collect::<String>(),
                    "\u{1}".repeat(9)
                );
                let plain = text.len() - special.len() - 9;
                assert_eq!(super::plain_run(text.as_bytes()), plain, "{text:?}");
            }
        }
        assert_eq!(super::plain_run("ä".repeat(13).as_bytes()), 26);
    }

    #[test]
    fn nesting_beyond_the_limit_is_told_apart() {
        let mut tape = Tape::default();
        assert_eq!(tape.read(&("[".repeat(64) + &"]".repeat(64))), Ok(()));
        assert_eq!(tape.read(&"[".repeat(65)), Err(Fault::TooDeep));
        assert_eq!(tape.read(&("{\"a\":".repeat(64) + "1" + &"}".repeat(64))), Ok(()));
        assert_eq!(tape.read(&"{\"a\":".repeat(65)), Err(Fault::TooDeep));
        assert_eq!(tape.read(&"{\"a\":".repeat(100_000)), Err(Fault::TooDeep));
    }

    #[test]
    fn sameness_looks_past_order_blanks_and_spelling() {
        let mut other = Tape::default();
        for (a, b, same) in [
            (r#"{"a":1,"b":[true]}"#, r#"{ "b" : [ true ], "a": 1.0 }"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false),
            (r#"["\u0061"]"#, r#"["a"]"#, true),
            ("\"1\"", "1", false),
            ("[1,2]", "[2,1]", false),
            ("null", "false", false),
        ] {
            other.read(b).unwrap();
            assert_eq!(with(a, |doc| doc.same(other.doc(b))), same, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn it_takes_what_serde_takes(text in r#"[\[\]{}:,"\\a0-9.eE+\- tnu]{0,24}"#) {
            let serde = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            // Blanks around a raw value and lone surrogates are the only differences.
            prop_assume!(!text.contains("\\u"));
            prop_assert_eq!(Tape::default().read(&text).is_ok(), serde);
        }
    }
}
