//! JSON that no two programs read alike: a name that comes twice in one object (the first counts, or
//! the last), a number beyond what programs hold (an error, or infinity). It is not handed on.

use super::tape::{Doc, Fault};

/// Members up to which each name is simply compared with those before it.
const FEW: usize = 16;

/// Digits that any number has room for.
const FITS: usize = 300;

/// The first oddity in `doc`, whose nesting is bounded.
pub(crate) fn look(doc: Doc<'_>) -> Result<(), Fault> {
    match doc.json().as_bytes().first() {
        Some(b'{') => {
            names(doc)?;
            doc.members().try_for_each(|(_, value)| look(value))
        }
        Some(b'[') => doc.items().try_for_each(look),
        Some(b'-' | b'0'..=b'9') => number(doc),
        _ => Ok(()),
    }
}

fn number(doc: Doc<'_>) -> Result<(), Fault> {
    let text = doc.json();
    let may_be = text.len() > FITS || text.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    if may_be && text.parse::<f64>().is_ok_and(f64::is_infinite) {
        return Err(Fault::TooLarge(doc.start()));
    }
    Ok(())
}

fn names(doc: Doc<'_>) -> Result<(), Fault> {
    for (count, (name, _)) in doc.members().enumerate() {
        if count == FEW {
            return many(doc);
        }
        if doc.members().take(count).any(|(before, _)| before.is_same_name(name)) {
            return Err(Fault::Twice(name.start()));
        }
    }
    Ok(())
}

fn many(doc: Doc<'_>) -> Result<(), Fault> {
    let mut seen = std::collections::HashSet::new();
    for (name, _) in doc.members() {
        if !seen.insert(name.string()) {
            return Err(Fault::Twice(name.start()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::look;
    use crate::dialect::declarative::tape::{Fault, Tape};

    fn found(text: &str) -> Result<(), Fault> {
        let mut tape = Tape::default();
        tape.read(text).expect("JSON");
        look(tape.doc(text))
    }

    #[test]
    fn a_name_that_comes_twice_is_found_however_it_is_written_and_wherever_it_stands() {
        let many: Vec<String> = (0..40).map(|n| format!("\"n{n}\":0")).collect();
        let many = many.join(",");
        for (text, at) in [
            (r#"{"a":1,"a":1}"#.to_owned(), 7),
            (r#"[0,{"b":{"a":1,"c":2,"\u0061":3}}]"#.to_owned(), 21),
            (format!(r#"{{{many},"n\u0037":1}}"#), many.len() + 2),
        ] {
            assert_eq!(found(&text), Err(Fault::Twice(at)), "{text}");
        }
        for text in [r#"{"a":{"a":{"a":1}},"A":1,"b":[{"a":1},{"a":1}]}"#.to_owned(), format!("{{{many}}}")] {
            assert_eq!(found(&text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_number_no_program_holds_is_found_and_exact_ones_are_left_alone() {
        let long = "9".repeat(400);
        for (text, at) in [("1e400", 0), ("[1,-1E+999]", 3), (long.as_str(), 0)] {
            assert_eq!(found(text), Err(Fault::TooLarge(at)), "{text}");
        }
        let fraction = format!("0.{}", "1".repeat(400));
        for text in ["9007199254740993", "123456789012345678901234567890", "1e-400", "1e308", &fraction] {
            assert_eq!(found(text), Ok(()), "{text}");
        }
    }
}
