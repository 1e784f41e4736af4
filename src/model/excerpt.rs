//! A line of a text with the place that is meant, as it is shown below what is wrong with it.

use std::ops::Range;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::plain;

/// Most columns of a line that are shown: a terminal of common width takes them with what stands before.
const WIDEST: usize = 100;
/// Columns that are shown before the place, where the line is cut in front.
const BEFORE: usize = 30;
/// Most pieces of a line that are looked at, either way: characters without any width fill no columns.
const MOST_PIECES: usize = 4 * WIDEST;

/// A line of a text with the place that is meant. What could be secret is already hidden, and what would
/// steer a terminal is written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line without its end; of a long one, what stands around the place.
    text: String,
    /// Where the carets begin, in columns of a terminal from 0.
    start: usize,
    /// How many carets, at least 1.
    width: usize,
}

/// A character as it is shown, or what stands for all of a hidden range.
struct Piece {
    text: String,
    width: usize,
    /// Where it ends in the text when read forwards; where it begins when read backwards.
    next: usize,
}

impl Excerpt {
    /// The line of `text` (a TOML file) in which `span` begins, without its comment; `hidden` are byte
    /// ranges that must not be seen. Gives line and column in characters, both from 1, with it.
    #[must_use]
    pub fn of(text: &str, span: &Range<usize>, hidden: &[Range<usize>]) -> (usize, usize, Self) {
        let (begin, end) = line_of(text, span);
        // What a person wrote into a comment may be the token of last week.
        cut(text, span, hidden, begin..begin + before_comment(&text[begin..end]).len())
    }

    /// As [`Excerpt::of`], for a span that may lie within a text of the file: what stands before it is no
    /// comment, although it may look like one where the text has several lines.
    #[must_use]
    pub fn inside(text: &str, span: &Range<usize>, hidden: &[Range<usize>]) -> (usize, usize, Self) {
        let (begin, end) = line_of(text, span);
        let uncommented = begin + before_comment(&text[begin..end]).len();
        // Where it looks like one, what is behind the span is not shown: a comment may be among it.
        let end =
            if uncommented > span.start { uncommented } else { floor(text, span.end).clamp(begin, end) };
        cut(text, span, hidden, begin..end)
    }

    /// The line with its number and with carets below the place, in three lines without the last one's end:
    ///
    /// ```text
    ///    |
    /// 14 | [reconect]
    ///    |  ^^^^^^^^
    /// ```
    #[must_use]
    pub fn under(&self, line: usize) -> String {
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let (pad, carets) = (" ".repeat(self.start), "^".repeat(self.width));
        format!("{gutter} |\n{number} | {}\n{gutter} | {pad}{carets}", self.text)
    }
}

/// Begin and end of the line in which `span` begins.
fn line_of(text: &str, span: &Range<usize>) -> (usize, usize) {
    let start = floor(text, span.start);
    let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[begin..].split('\n').next().unwrap_or_default();
    (begin, begin + line.strip_suffix('\r').unwrap_or(line).len())
}

fn cut(
    text: &str,
    span: &Range<usize>,
    hidden: &[Range<usize>],
    shown: Range<usize>,
) -> (usize, usize, Excerpt) {
    let Range { start: begin, end } = shown;
    let start = floor(text, span.start);
    let stop = floor(text, span.end).clamp(start, end.max(start));
    let line = text[..begin].matches('\n').count() + 1;
    let column = text[begin..start].chars().count() + 1;

    let hidden = merged(hidden, begin..end);
    let around = |at: usize| hidden.iter().find(|range| range.start < at && at < range.end);
    // A place behind all that is shown is told at its end; one within what is hidden, by all of that.
    let start = around(start.min(end)).map_or(start.min(end), |range| range.start);
    let stop = around(stop.min(end)).map_or(stop.min(end), |range| range.end).max(start);
    let forwards = |from: usize, to: usize| pieces(from, to, |at| after(text, at, &hidden));
    let mut before = pieces(start, begin, |at| before_it(text, at, &hidden));
    let mut marked = forwards(start, stop);
    let mut behind = forwards(stop, end);

    // Cut in front only where the place would not be seen else.
    let mut cut_before = before.last().is_some_and(|piece| piece.next > begin);
    let (place, rest) = (width(&marked).max(1), width(&behind));
    if cut_before || width(&before) + place.min(WIDEST - BEFORE) > WIDEST {
        let room = WIDEST.saturating_sub(place + rest).max(BEFORE);
        cut_before |= shorten(&mut before, room);
    }
    before.reverse();
    let room = WIDEST.saturating_sub(width(&before));
    let marked_end = marked.last().map_or(start, |piece| piece.next);
    let mut cut_behind = shorten(&mut marked, room) || marked_end < stop;
    if cut_behind {
        behind.clear();
    } else {
        let behind_end = behind.last().map_or(stop, |piece| piece.next);
        cut_behind = shorten(&mut behind, room.saturating_sub(width(&marked))) || behind_end < end;
    }

    let front = if cut_before { "…" } else { "" }.to_owned() + &joined(&before);
    let place = joined(&marked);
    let excerpt = Excerpt { start: front.width(), width: place.width().max(1), text: front + &place };
    let tail = joined(&behind) + if cut_behind { "…" } else { "" };
    (line, column, Excerpt { text: excerpt.text + &tail, ..excerpt })
}

/// The hidden ranges within `shown`, in order and apart from each other.
fn merged(hidden: &[Range<usize>], shown: Range<usize>) -> Vec<Range<usize>> {
    let mut ranges: Vec<_> = hidden
        .iter()
        .map(|range| range.start.max(shown.start)..range.end.min(shown.end))
        .filter(|range| range.start < range.end)
        .collect();
    ranges.sort_by_key(|range| range.start);
    let mut apart: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

/// Pieces from `from` on until `to`, or until there are more than can be shown.
fn pieces(from: usize, to: usize, step: impl Fn(usize) -> Option<Piece>) -> Vec<Piece> {
    let (mut all, mut at, mut columns) = (Vec::new(), from, 0);
    while at != to && columns <= WIDEST && all.len() < MOST_PIECES {
        let Some(piece) = step(at) else { break };
        at = piece.next;
        columns += piece.width;
        all.push(piece);
    }
    all
}

/// What begins at `at`.
fn after(text: &str, at: usize, hidden: &[Range<usize>]) -> Option<Piece> {
    if let Some(range) = hidden.iter().find(|range| range.contains(&at)) {
        return Some(veil(range.end));
    }
    let c = text.get(at..)?.chars().next()?;
    Some(letter(c, at + c.len_utf8()))
}

/// What ends at `at`.
fn before_it(text: &str, at: usize, hidden: &[Range<usize>]) -> Option<Piece> {
    if let Some(range) = hidden.iter().find(|range| range.start < at && at <= range.end) {
        return Some(veil(range.start));
    }
    let c = text.get(..at)?.chars().next_back()?;
    Some(letter(c, at - c.len_utf8()))
}

fn veil(next: usize) -> Piece {
    Piece { text: "***".to_owned(), width: 3, next }
}

fn letter(c: char, next: usize) -> Piece {
    // How wide a tab is depends on where it stands.
    let text = if c == '\t' { " ".to_owned() } else { plain(c.encode_utf8(&mut [0; 4])) };
    let width = text.chars().map(|c| c.width().unwrap_or(0)).sum();
    Piece { text, width, next }
}

/// Takes what is beyond `room` columns away; whether there was any.
fn shorten(pieces: &mut Vec<Piece>, room: usize) -> bool {
    let mut columns = 0;
    let fits = pieces
        .iter()
        .take_while(|piece| {
            columns += piece.width;
            columns <= room
        })
        .count();
    let cut = fits < pieces.len();
    pieces.truncate(fits);
    cut
}

fn width(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| piece.width).sum()
}

fn joined(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| piece.text.as_str()).collect()
}

/// The line without its comment.
fn before_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return line[..at].trim_end(),
            (None, '"' | '\'') => quote = Some(c),
            (Some('"'), '\\') => {
                escaped = !escaped;
                continue;
            }
            (Some(open), _) if open == c && !escaped => quote = None,
            _ => {}
        }
        escaped = false;
    }
    line
}

/// The character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of `what` in `text`, as it is shown.
    fn shown(text: &str, what: &str) -> (usize, usize, String) {
        let at = text.find(what).expect("there");
        let (line, column, cut) = Excerpt::of(text, &(at..at + what.len()), &[]);
        (line, column, cut.under(line))
    }

    /// The line and the columns below which carets stand.
    fn place(text: &str, what: &str) -> (String, usize, usize) {
        let at = text.find(what).expect("there");
        let cut = Excerpt::of(text, &(at..at + what.len()), &[]).2;
        (cut.text, cut.start, cut.width)
    }

    #[test]
    fn the_line_stands_above_its_carets() {
        let text = "a = 1\nä = \"ö\" # x\nb = 2";
        assert_eq!(shown(text, "\"ö\""), (2, 5, "  |\n2 | ä = \"ö\"\n  |     ^^^".to_owned()));
        let text = "\n".repeat(11) + "x = 1";
        assert_eq!(shown(&text, "x"), (12, 1, "   |\n12 | x = 1\n   | ^".to_owned()));
    }

    #[test]
    fn carets_count_columns_of_a_terminal_and_the_column_counts_characters() {
        assert_eq!(place("a = \"世界\", bad = 1", "bad"), ("a = \"世界\", bad = 1".to_owned(), 12, 3));
        assert_eq!(shown("a = \"世界\", bad = 1", "bad").1, 11);
        assert_eq!(place("a = \"世界\"", "\"世界\"").2, 6, "what is wide itself has wide carets");
        assert_eq!(place("a = \"e\u{301}\", bad = 1", "bad").1, 9, "a mark stands above its letter");
        assert_eq!(place("\ta = 1,\tbad = 1", "bad"), (" a = 1, bad = 1".to_owned(), 8, 3));
        assert_eq!(place("a = \"❤\u{fe0f}\", bad = 1", "bad").1, 10, "a heart in colour is wide");
    }

    #[test]
    fn what_would_steer_a_terminal_is_written_out_and_counted() {
        let text = "a = \"\u{1b}[2J\u{202e}\", bad = 1\r\nb = 2";
        assert_eq!(place(text, "bad"), (r#"a = "\u{1b}[2J\u{202e}", bad = 1"#.to_owned(), 25, 3));
        assert_eq!(place(text, "= 1").0.chars().last(), Some('1'), "the line's end is no part of it");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let long = "x".repeat(3_000);
        for text in [
            format!("bad = 1, a = \"{long}\""),
            format!("a = \"{long}\", bad = 1"),
            format!("a = \"{long}\", bad = 1, b = \"{long}\""),
            format!("a = \"{}\", bad = 1, b = \"{long}\"", "世".repeat(3_000)),
            format!("a = \"{}\", bad = 1", "\u{301}".repeat(3_000)),
        ] {
            let (line, start, width) = place(&text, "bad");
            assert!(line.width() <= WIDEST + 2, "{line}");
            assert!(line.contains('…'), "{line}");
            let mut column = 0;
            let from = line.char_indices().find(|(_, c)| {
                let here = column == start && *c == 'b';
                column += c.width().unwrap_or(0);
                here
            });
            let (from, _) = from.unwrap_or_else(|| panic!("{start} of {line}"));
            assert!(line[from..].starts_with("bad = 1"), "{start} of {line}");
            assert_eq!(width, 3);
        }
        let (line, start, width) = place(&format!("a = \"{long}\""), &format!("\"{long}\""));
        assert_eq!((start, width), (4, WIDEST - 4), "a long place is marked as far as it is shown");
        assert!(line.ends_with("x…"), "{line}");
    }

    #[test]
    fn comments_are_not_shown_and_texts_with_their_sign_are() {
        for (line, shown) in [
            ("a = 5 # was \"HLCANARY\"", "a = 5"),
            ("a = \"x#y\" # z", "a = \"x#y\""),
            (r##"a = "x\"#y" # z"##, r##"a = "x\"#y""##),
            (r#"a = "x\\" # z"#, r#"a = "x\\""#),
            ("a = 'x\\' # z", "a = 'x\\'"),
        ] {
            assert_eq!(Excerpt::of(line, &(0..1), &[]).2.text, shown);
        }
    }

    #[test]
    fn what_is_hidden_is_not_in_the_excerpt_and_the_carets_stay_right() {
        let text = "x = { a = \"secret\", bad = 1 }";
        let hidden = text.find("secret").expect("there");
        let hidden = hidden..hidden + 6;
        let bad = text.find("bad").expect("there");
        let (_, column, cut) = Excerpt::of(text, &(bad..bad + 3), std::slice::from_ref(&hidden));
        assert_eq!(cut.text, "x = { a = \"***\", bad = 1 }");
        assert_eq!((column, cut.start, cut.width), (bad + 1, bad - 3, 3));
        // A place within what is hidden is all of it; ranges that touch are one.
        for hidden in [vec![hidden.clone()], vec![11..14, 13..17]] {
            let cut = Excerpt::of(text, &(13..15), &hidden).2;
            assert_eq!((cut.text.as_str(), cut.start, cut.width), ("x = { a = \"***\", bad = 1 }", 11, 3));
        }
    }

    #[test]
    fn what_is_hidden_is_never_cut_open() {
        let secret = "s3cret".repeat(500);
        let text = format!("a = \"{secret}\", bad = 1, b = \"{secret}\"");
        let hidden: Vec<_> = text.match_indices(&secret).map(|(at, it)| at..at + it.len()).collect();
        let bad = text.find("bad").expect("there");
        let cut = Excerpt::of(&text, &(bad..bad + 3), &hidden).2;
        assert_eq!(cut.text, "a = \"***\", bad = 1, b = \"***\"");
        assert_eq!((cut.start, cut.width), (11, 3));
    }

    #[test]
    fn a_span_at_the_end_of_the_text_still_gets_a_caret() {
        let (line, column, cut) = Excerpt::of("a = ", &(4..4), &[]);
        assert_eq!((line, column, cut.start, cut.width), (1, 5, 4, 1));
        let (line, column, cut) = Excerpt::of("a\n", &(2..9), &[]);
        assert_eq!((line, column, cut.text.as_str(), cut.width), (2, 1, "", 1));
        let (_, column, cut) = Excerpt::of("a = 1 # b", &(8..9), &[]);
        assert_eq!((column, cut.text.as_str(), cut.start, cut.width), (9, "a = 1", 5, 1));
    }
}
