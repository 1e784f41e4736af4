//! Characters that would let foreign text pretend to be ours.

/// Whether `c` moves, hides or turns around what stands beside it: control characters (line breaks
/// and escapes among them), marks of direction, and characters nobody sees.
#[must_use]
pub const fn misleads(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}
