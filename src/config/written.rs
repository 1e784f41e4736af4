//! Where in the file a part of a text stands, which may be written with escapes there.

use std::ops::Range;

/// The bytes of `written` (a TOML string with its quotes) that stand for the bytes `part` of `text`,
/// which is what it means. None where the two do not go together.
pub(super) fn place(written: &str, text: &str, part: &Range<usize>) -> Option<Range<usize>> {
    let (open, literal) = match written.as_bytes() {
        [b'"', b'"', b'"', ..] => (3, false),
        [b'\'', b'\'', b'\'', ..] => (3, true),
        [b'"', ..] => (1, false),
        [b'\'', ..] => (1, true),
        _ => return None,
    };
    let end = written.len().checked_sub(open).filter(|end| *end >= open)?;
    let mut reader = Reader { written: &written[..end], at: open };
    if open == 3 {
        // The line break right behind the quotes is not part of the text.
        reader.skip_break();
    }
    let mut places = Places { part: part.clone(), begin: None, end: None };
    let mut meant = 0;
    for c in text.chars() {
        if !literal {
            reader.skip_joins();
        }
        places.look(meant, reader.at);
        if literal {
            reader.plain(c)?
        } else {
            reader.one(c)?
        }
        meant += c.len_utf8();
    }
    if !literal {
        // A caret at the end of the text stands before what the end is joined by.
        places.look(meant, reader.at);
        reader.skip_joins();
    }
    places.look(meant, reader.at);
    (reader.at == end).then(|| places.range()).flatten()
}

/// What was found so far.
struct Places {
    part: Range<usize>,
    begin: Option<usize>,
    end: Option<usize>,
}

impl Places {
    /// The byte `meant` of the text stands at `at`.
    fn look(&mut self, meant: usize, at: usize) {
        if meant >= self.part.start {
            self.begin = self.begin.or(Some(at));
        }
        if meant >= self.part.end {
            self.end = self.end.or(Some(at));
        }
    }

    fn range(self) -> Option<Range<usize>> {
        Some(self.begin?..self.end?)
    }
}

struct Reader<'w> {
    written: &'w str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.written.get(self.at..).unwrap_or_default()
    }

    fn skip_break(&mut self) {
        if self.rest().starts_with("\r\n") {
            self.at += 2;
        } else if self.rest().starts_with('\n') {
            self.at += 1;
        }
    }

    /// Goes over a backslash at the end of a line and the white space behind it.
    fn skip_joins(&mut self) {
        while let Some(behind) = self.rest().strip_prefix('\\') {
            let blank = behind.trim_start_matches([' ', '\t']);
            if !blank.starts_with('\n') && !blank.starts_with("\r\n") {
                return;
            }
            self.at = self.written.len() - behind.trim_start_matches([' ', '\t', '\n', '\r']).len();
        }
    }

    /// Goes over `c` as it stands.
    fn plain(&mut self, c: char) -> Option<()> {
        if c == '\n' && self.rest().starts_with("\r\n") {
            self.at += 2;
            return Some(());
        }
        self.at += self.rest().starts_with(c).then_some(c.len_utf8())?;
        Some(())
    }

    /// Goes over `c`, which may be written as an escape.
    fn one(&mut self, c: char) -> Option<()> {
        let Some(escape) = self.rest().strip_prefix('\\') else { return self.plain(c) };
        let digits = match escape.chars().next()? {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        self.at += 2 + digits;
        (self.at <= self.written.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    /// The text of `value` as TOML means it, and what stands in the file for its part `part`.
    fn found<'w>(written: &'w str, part: &str) -> &'w str {
        let document = format!("x = {written}\n");
        let table: toml::Table = document.parse().expect("TOML");
        let text = table["x"].as_str().expect("a text").to_owned();
        let start = text.find(part).unwrap_or_else(|| panic!("{part:?} in {text:?}"));
        &written[place(written, &text, &(start..start + part.len())).expect("they go together")]
    }

    #[test]
    fn a_part_is_found_however_the_text_is_written() {
        for (written, part, stands) in [
            ("\"a {{ b }}\"", "{{ b", "{{ b"),
            ("'a \\ {{ b }}'", "{{ b", "{{ b"),
            (r#""\"\\\t\u00e4\U0001F600 {{ b""#, "{{ b", "{{ b"),
            (r#""a\tb""#, "\t", r"\t"),
            (r#""a\u00e4b""#, "äb", r"\u00e4b"),
            ("\"\"\"\nfirst\nsecond {{ b\n\"\"\"", "{{ b", "{{ b"),
            ("\"\"\"a \\\n     {{ b \\\n  }}\"\"\"", "{{ b }}", "{{ b \\\n  }}"),
            ("'''\nit's {{ b'''", "{{ b", "{{ b"),
            ("\"\"\"a\"\"b\"\"\"", "b", "b"),
        ] {
            assert_eq!(found(written, part), stands, "{written}");
        }
    }

    #[test]
    fn the_end_of_a_text_has_a_place_too() {
        assert_eq!(place("\"ab\"", "ab", &(2..2)), Some(3..3));
        assert_eq!(place("\"\"\"a\\\n \"\"\"", "a", &(1..1)), Some(4..4));
        assert_eq!(place("\"\"", "", &(0..0)), Some(1..1));
    }

    #[test]
    fn what_does_not_go_together_has_no_place() {
        assert_eq!(place("\"ab\"", "ac", &(0..1)), None);
        assert_eq!(place("\"ab\"", "abc", &(0..1)), None);
        assert_eq!(place("ab", "ab", &(0..1)), None);
        assert_eq!(place("\"", "", &(0..0)), None);
    }
}
