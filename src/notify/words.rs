//! The words of a template, so that an unknown one can be told with its place before any event comes.
//!
//! The template language itself looks filters and tests up when they are reached, which for a branch
//! that is seldom taken can be weeks later.

use std::ops::Range;

/// What a word stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A name of something; also the words of the language itself.
    Name,
    /// A filter: it stands behind `|`.
    Filter,
    /// A test: it stands behind `is` or `is not`.
    Test,
}

/// A word and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) role: Role,
    pub(super) range: Range<usize>,
}

/// The words of `source`, which is a template in order, or one `expression`. Members (`.x`) and what
/// stands in quotes are none.
pub(super) fn words(source: &str, expression: bool) -> Vec<Word> {
    let mut reader = Reader { source, at: 0, words: Vec::new() };
    if expression {
        reader.code(None);
        return reader.words;
    }
    while let Some(open) = reader.next_open() {
        match open {
            b'#' => reader.skip_behind("#}"),
            b'%' if reader.is_raw() => reader.skip_raw(),
            b'%' => reader.code(Some("%}")),
            _ => reader.code(Some("}}")),
        }
    }
    reader.words
}

struct Reader<'s> {
    source: &'s str,
    at: usize,
    words: Vec<Word>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    /// Goes behind the next `{{`, `{%` or `{#`, and says which.
    fn next_open(&mut self) -> Option<u8> {
        loop {
            let brace = self.rest().find('{')?;
            let second = self.rest().as_bytes().get(brace + 1).copied()?;
            self.at += brace + 1;
            if matches!(second, b'{' | b'%' | b'#') {
                self.at += 1;
                return Some(second);
            }
        }
    }

    fn skip_behind(&mut self, end: &str) {
        self.at = self.rest().find(end).map_or(self.source.len(), |at| self.at + at + end.len());
    }

    /// Whether the block that begins here is `{% raw %}`.
    fn is_raw(&self) -> bool {
        let inside = self.rest().trim_start_matches(['-', '+']).trim_start();
        inside
            .strip_prefix("raw")
            .is_some_and(|rest| rest.trim_start_matches(['-', '+', ' ']).starts_with("%}"))
    }

    fn skip_raw(&mut self) {
        self.skip_behind("endraw");
        self.skip_behind("%}");
    }

    /// Reads code up to `end`, or to the end of the text.
    fn code(&mut self, end: Option<&str>) {
        let mut depth = 0_usize;
        let mut role = Role::Name;
        let mut member = false;
        let mut first = true;
        while let Some(c) = self.rest().chars().next() {
            if depth == 0
                && let Some(end) = end
                && self.rest().starts_with(end)
            {
                self.at += end.len();
                return;
            }
            match c {
                '"' | '\'' => self.skip_text(c),
                c if c.is_alphabetic() || c == '_' => {
                    let range = self.skip_word();
                    let word = &self.source[range.clone()];
                    let next = match word {
                        "is" if !member => Role::Test,
                        "not" if role == Role::Test => Role::Test,
                        "filter" if first && end == Some("%}") => Role::Filter,
                        _ => Role::Name,
                    };
                    let told = !member && word != "not" && !(word == "is" && role == Role::Name);
                    if told && !(next == Role::Filter && first) {
                        self.words.push(Word { role, range });
                    }
                    (role, member, first) = (next, false, false);
                    continue;
                }
                c if c.is_ascii_digit() => {
                    self.skip_number();
                    (role, member) = (Role::Name, false);
                    continue;
                }
                c if c.is_whitespace() => {
                    self.at += c.len_utf8();
                    continue;
                }
                '(' | '[' | '{' => {
                    depth += 1;
                    self.at += 1;
                }
                ')' | ']' | '}' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                c => self.at += c.len_utf8(),
            }
            member = c == '.';
            role = if c == '|' { Role::Filter } else { Role::Name };
        }
    }

    fn skip_text(&mut self, quote: char) {
        let mut escaped = false;
        let inside = self.rest().char_indices().skip(1);
        let end = inside.into_iter().find(|(_, c)| {
            let is_end = *c == quote && !escaped;
            escaped = *c == '\\' && !escaped;
            is_end
        });
        self.at = end.map_or(self.source.len(), |(offset, _)| self.at + offset + 1);
    }

    fn skip_word(&mut self) -> Range<usize> {
        let length =
            self.rest().find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest().len());
        let range = self.at..self.at + length;
        self.at = range.end;
        range
    }

    fn skip_number(&mut self) {
        let length =
            self.rest().find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest().len());
        self.at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(source: &str, expression: bool) -> Vec<(Role, &str)> {
        words(source, expression).into_iter().map(|word| (word.role, &source[word.range])).collect()
    }

    #[test]
    fn words_have_the_role_of_their_place() {
        use Role::{Filter, Name, Test};
        let source =
            "{{ data.is.x | join(', ') }} is {# a | b #} {%- if a is not odd and b is even %}|x{% endif -%}";
        assert_eq!(
            told(source, false),
            [
                (Name, "data"),
                (Filter, "join"),
                (Name, "if"),
                (Name, "a"),
                (Test, "odd"),
                (Name, "and"),
                (Name, "b"),
                (Test, "even"),
                (Name, "endif")
            ]
        );
        assert_eq!(told("{% raw %}{{ a | b }}{% endraw %}{{ c }}", false), [(Name, "c")]);
        assert_eq!(
            told("{% filter upper | trim %}x{% endfilter %}", false)[..2],
            [(Filter, "upper"), (Filter, "trim")]
        );
        assert_eq!(told("{{ {'a': {'b': c}} }}{{ d }}", false), [(Name, "c"), (Name, "d")]);
        assert_eq!(told(r#"'it\'s' ~ "a}}" ~ x|f(1e5, 2.5) "#, true), [(Name, "x"), (Filter, "f")]);
    }

    #[test]
    fn any_text_can_be_read() {
        for source in ["{{", "{%", "{#", "{{ 'a", "{% raw %}", "{", "{{ ä | ß", "{{ }}}}", "{{ \"\\"] {
            words(source, false);
            words(source, true);
        }
    }
}
