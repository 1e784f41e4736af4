//! From the files that come with the program to the files of one user: what is filled in, and the
//! mark by which a file is known again. Pure.
//!
//! The mark holds a sum over the rest of the file. So three things are told apart without any
//! record beside the file: what we wrote and nobody touched, what we wrote and somebody edited, and
//! what somebody else wrote.

/// Begins the mark; eight hexadecimal digits and a full stop follow.
const MARK: &str = "Installed by `holdline service install`, check ";

/// What stands in a template where the sum will be.
const UNSEALED: &str = "00000000";

/// The mark for a template, not yet with its sum.
pub(super) fn mark() -> String {
    format!("{MARK}{UNSEALED}.")
}

/// Whether `text` speaks of us as the one who installed it.
pub(super) fn is_marked(text: &str) -> bool {
    text.contains(MARK)
}

/// Whose a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    /// We wrote it, and it is as we wrote it.
    Us,
    /// We wrote it, and somebody changed it since.
    UsAndSomebody,
    /// It carries no mark of ours.
    Somebody,
}

/// Who wrote `text`, by its mark.
pub(super) fn author(text: &str) -> Author {
    let Some((_, rest)) = text.split_once(MARK) else { return Author::Somebody };
    let said = rest.get(..UNSEALED.len()).and_then(|sum| u32::from_str_radix(sum, 16).ok());
    if said == Some(sum(text)) { Author::Us } else { Author::UsAndSomebody }
}

/// `text`, which holds [`mark`] once, with the sum in its place.
pub(super) fn seal(text: &str) -> String {
    text.replacen(&mark(), &format!("{MARK}{:08x}.", sum(text)), 1)
}

/// Over all lines but the one with the mark. Line ends do not count: they are not what was meant.
fn sum(text: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for line in text.lines().filter(|line| !line.contains(MARK)) {
        hasher.update(line.as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize()
}

/// `template` with each of `values` in the place of its name. One pass: what was filled in is never
/// looked at again, whatever it holds.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    loop {
        let next = values
            .iter()
            .filter_map(|(name, value)| Some((rest.find(name)?, *name, *value)))
            // Where two begin at the same place, the longer one is meant.
            .min_by_key(|(at, name, _)| (*at, usize::MAX - name.len()));
        let Some((at, name, value)) = next else { break };
        filled.push_str(&rest[..at]);
        filled.push_str(value);
        rest = &rest[at + name.len()..];
    }
    filled.push_str(rest);
    filled
}

/// As the text of an XML element.
pub(super) fn xml(text: &str) -> String {
    fill(text, &[("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&apos;")])
}

/// What [`xml`] made, back as it was.
pub(super) fn from_xml(text: &str) -> String {
    fill(text, &[("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'")])
}

/// What stands between `before` and `after`, the first time it does.
pub(super) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_again_and_an_edited_one_is_not_taken_for_ours() {
        let ours = seal(&format!("# {}\n[Service]\nType=notify\n", mark()));
        assert_eq!(author(&ours), Author::Us);
        assert_eq!(author(&ours.replace('\n', "\r\n")), Author::Us);
        for edited in [
            ours.replace("notify", "simple"),
            format!("{ours}Environment=A=B\n"),
            ours.replace("[Service]\n", ""),
            ours.replace("check ", "check z"),
            format!("# {}\n[Service]\nType=notify\n", mark()),
        ] {
            assert_eq!(author(&edited), Author::UsAndSomebody, "{edited}");
        }
        assert_eq!(author("[Service]\nType=notify\n"), Author::Somebody);
        assert_eq!(author(MARK), Author::UsAndSomebody);
        assert_eq!(author(""), Author::Somebody);
    }

    #[test]
    fn what_is_filled_in_is_never_filled_itself() {
        assert_eq!(fill("A-B-AB", &[("A", "B"), ("B", "A"), ("AB", "x")]), "B-A-x");
        assert_eq!(fill("none", &[("A", "B")]), "none");
    }

    #[test]
    fn xml_goes_there_and_back() {
        for text in ["a & b", "<\"'>", "&amp;lt;", "Grüße 100%", ""] {
            assert_eq!(from_xml(&xml(text)), text);
            assert!(!xml(text).contains(['<', '>', '"', '\'']), "{text}");
        }
        assert_eq!(xml("a & <b>"), "a &amp; &lt;b&gt;");
    }
}
