//! `ctl doctor` for people: a line for each thing that was looked at.

use std::time::Duration;

use super::{BAD, FAINT, GOOD, styled};
use crate::cli::words::{counted, cut, length, plain};
use crate::rpc::api::Check;

/// Where the words begin, behind mark and name.
const NAME: usize = 16;
/// Widest detail that still keeps the times in a column.
const DETAIL: usize = 64;
/// Longest detail that is shown: it may quote what others wrote.
const DETAIL_MAX: usize = 400;

/// The whole examination. `from_here`: no daemon was asked.
pub(crate) fn report(checks: &[Check], from_here: bool) -> String {
    let mut text = String::new();
    if from_here {
        text.push_str("No daemon answers; this is what can be seen without one.\n\n");
    }
    let widths = checks.iter().filter(|check| check.took_ms.is_some()).map(|check| width(&check.detail));
    let column = widths.filter(|width| *width <= DETAIL).max().unwrap_or(0);
    for check in checks {
        text.push_str(&line(check, column));
    }
    let problems = checks.iter().filter(|check| check.ok == Some(false)).count() as u64;
    text.push_str(&match problems {
        0 => "No problem found.\n".to_owned(),
        _ => format!("{} found (exit 4)\n", counted(problems, "problem")),
    });
    text
}

fn line(check: &Check, column: usize) -> String {
    let (mark, style) = match check.ok {
        Some(true) => ("\u{2714}", GOOD),
        Some(false) => ("\u{2716}", BAD),
        None => ("\u{2013}", FAINT),
    };
    let name = match check.code.as_str() {
        "tls" => "TLS".to_owned(),
        "sign_in" => "sign-in".to_owned(),
        code => plain(&code.replace('_', " ")),
    };
    let detail = cut(&plain(&check.detail), DETAIL_MAX);
    let mut line = format!("{} {name:<NAME$}{detail}", styled(style, mark));
    if let Some(took) = check.took_ms {
        let pad = column.saturating_sub(detail.chars().count());
        let took = if took == 0 { "<1 ms".to_owned() } else { length(Duration::from_millis(took)) };
        line.push_str(&format!("{:pad$}  {took}", ""));
    }
    line.push('\n');
    if let Some(hint) = &check.hint {
        line.push_str(&format!("{:indent$}hint: {}\n", "", plain(hint), indent = NAME + 2));
    }
    line
}

fn width(detail: &str) -> usize {
    plain(detail).chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_examination_reads_as_a_person_reads_it() {
        let took = Duration::from_millis;
        let checks = [
            Check::good("configuration", "~/.config/holdline/config.toml"),
            Check::good("name", "api.example.com \u{2192} 203.0.113.7").took(took(3)),
            Check::good("connection", "203.0.113.7:443").took(took(11)),
            Check::bad("tls", "the certificate is for *.example.net", "check server.url").took(took(20)),
            Check::open("upgrade", "not tried"),
            Check::open("sign_in", "not tried"),
        ];
        let seen = anstream::adapter::strip_str(&report(&checks, false)).to_string();
        let expected = "\
✔ configuration   ~/.config/holdline/config.toml
✔ name            api.example.com → 203.0.113.7         3 ms
✔ connection      203.0.113.7:443                       11 ms
✖ TLS             the certificate is for *.example.net  20 ms
                  hint: check server.url
– upgrade         not tried
– sign-in         not tried
1 problem found (exit 4)
";
        assert_eq!(seen, expected);
    }

    #[test]
    fn all_is_well_is_said_and_so_is_that_nobody_was_asked() {
        let seen = report(&[Check::open("queue", "only the running daemon knows")], true);
        let seen = anstream::adapter::strip_str(&seen).to_string();
        assert!(seen.starts_with("No daemon answers"), "{seen}");
        assert!(seen.ends_with("No problem found.\n"), "{seen}");
    }

    #[test]
    fn what_a_server_wrote_cannot_forge_a_line() {
        let forged = Check::bad("upgrade", "HTTP 401 \"no\n\u{2714} upgrade fine\u{1b}[2K\"", "a\nb");
        let seen = report(&[forged], false);
        assert_eq!(seen.lines().count(), 3, "{seen}");
        assert!(!anstream::adapter::strip_str(&seen).to_string().contains('\u{1b}'));
    }
}
