//! Text on its way to a person's screen: nothing in it steers, and it is as long as there is room.

use crate::model::misleads;

/// Characters of a title.
pub(super) const MAX_TITLE: usize = 100;
/// Characters of a body.
pub(super) const MAX_BODY: usize = 400;
/// Lines of a body.
const MAX_LINES: usize = 8;

/// A title: one line, at most [`MAX_TITLE`] characters.
#[must_use]
pub(super) fn title(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        let word: String = word.chars().filter(|c| !steers(*c)).collect();
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
        // What is beyond is not looked at: it may be megabytes.
        if line.len() > 4 * MAX_TITLE + 4 {
            break;
        }
    }
    cut(&line, MAX_TITLE)
}

/// A body: a few lines, at most [`MAX_BODY`] characters.
#[must_use]
pub(super) fn body(text: &str) -> String {
    let mut clean = String::new();
    let mut length = 0;
    let mut lines = 1;
    for c in text.trim().chars() {
        if length > MAX_BODY {
            break;
        }
        match c {
            '\n' if lines == MAX_LINES => {
                clean.push_str(" …");
                break;
            }
            '\n' => {
                lines += 1;
                clean.push('\n');
            }
            '\t' => clean.push(' '),
            c if steers(c) => continue,
            c => clean.push(c),
        }
        length += 1;
    }
    cut(clean.trim_end(), MAX_BODY)
}

/// `text` cut to `length` characters, the last of them `…` where something is missing.
#[must_use]
pub(super) fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        None => text.to_owned(),
        Some(_) => text.chars().take(length.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// What steers, hides or turns text. The joiners stay: languages and emoji are written with them.
const fn steers(c: char) -> bool {
    misleads(c) && !matches!(c, '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_steers_is_left() {
        assert_eq!(
            title("\u{1b}[31mred\u{202e}gpj.exe\u{2066}\u{200b}\n\tnext\u{9b}"),
            "[31mredgpj.exe next"
        );
        assert_eq!(body(" a\u{7}b\r\nc\td\u{2028}e\u{feff} "), "ab\nc de");
        assert_eq!(title("Grüße 👋 世界"), "Grüße 👋 世界");
    }

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis() {
        assert_eq!(title(&"ä".repeat(MAX_TITLE)), "ä".repeat(MAX_TITLE));
        assert_eq!(title(&"ä".repeat(MAX_TITLE + 1)), format!("{}…", "ä".repeat(MAX_TITLE - 1)));
        assert_eq!(body(&"b".repeat(5000)), format!("{}…", "b".repeat(MAX_BODY - 1)));
        assert_eq!(body(&"l\n".repeat(20)).lines().count(), MAX_LINES);
        assert!(body(&"l\n".repeat(20)).ends_with('…'));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_short_and_does_not_steer(
            text in prop::collection::vec(any::<char>(), 0..600),
            marks in prop::collection::vec(0..0x2100_u32, 0..60),
        ) {
            let marks = marks.into_iter().filter_map(char::from_u32);
            let text: String = text.into_iter().chain(marks).collect();
            let (title, body) = (title(&text), body(&text));
            prop_assert!(title.chars().count() <= MAX_TITLE && body.chars().count() <= MAX_BODY);
            prop_assert!(!title.chars().any(steers));
            prop_assert!(!body.chars().any(|c| c != '\n' && steers(c)));
        }
    }
}
