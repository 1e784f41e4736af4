//! `holdline dialect`: what servers can be spoken to, and whether a dialect's file is in order.
//! Needs no daemon.

mod record;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::show::{BAD, GOOD, WAITING, styled};
use super::words::{count, counted, plain, table};
use super::{Exit, Failed, Outcome, Shell};
use crate::dialect::declarative::{Checked, Replay, examine};
use crate::dialect::{self, Grade, Problem, builtin, coded};
use crate::model::ErrorKind;

const EXAMPLES: &str = "\
Examples:
  holdline dialect list
  holdline dialect show json > mine.toml     a place to begin
  holdline dialect check mine.toml
  holdline dialect record mine.toml recorded.jsonl --url ws://127.0.0.1:8080/
  holdline dialect replay mine.toml recorded.jsonl";

/// `holdline dialect`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the dialects that come with the program
    List,
    /// Print the file of one of them (of one in code: a configuration to begin with)
    Show {
        /// Its name
        name: String,
    },
    /// Say what is wrong with a dialect's file
    Check {
        /// The file, or the name of one that comes with the program
        file: PathBuf,
    },
    /// Hold a session with a server and write it down, without secrets, so that it replays
    Record(Box<record::Args>),
    /// Run a dialect offline against a recorded session, and say what each line came to
    Replay {
        /// The dialect's file, or the name of one that comes with the program
        file: PathBuf,
        /// The recording: JSON lines
        transcript: PathBuf,
        /// Take frames the recording lacks, and other cursors, for notes
        #[arg(long)]
        lenient: bool,
    },
}

/// Does what was asked for.
pub(crate) fn run(args: &Args, shell: &mut Shell) -> Outcome {
    match &args.what {
        What::List => list(shell),
        What::Show { name } => show(name, shell),
        What::Check { file } => check(file, shell),
        What::Record(args) => record::run(args, shell),
        What::Replay { file, transcript, lenient } => replay(file, transcript, *lenient, shell),
    }
}

fn list(shell: &mut Shell) -> Outcome {
    let files = builtin::list().iter().map(|one| (one.name, one.about(), false));
    let code = coded::list().iter().map(|one| (one.name, one.about.to_owned(), true));
    let dialects = files.chain(code);
    if shell.json() {
        let all: Vec<_> = dialects
            .map(|(name, about, coded)| json!({ "name": name, "about": about, "coded": coded }))
            .collect();
        shell.document(&json!({ "dialects": all }))?;
    } else {
        let rows: Vec<_> = dialects.map(|(name, about, _)| [name.to_owned(), about]).collect();
        shell.print(&(table(&rows).join("\n") + "\n"))?;
    }
    Ok(Exit::Ok)
}

fn show(name: &str, shell: &mut Shell) -> Outcome {
    let file = builtin::find(name).map(|one| (one.name, one.about(), one.text, false));
    let code = || coded::find(name).map(|one| (one.name, one.about.to_owned(), one.text, true));
    let Some((name, about, text, coded)) = file.or_else(code) else {
        return Err(Failed::new(Exit::NotFound, format!("there is no dialect called {}", plain(name)))
            .kind(ErrorKind::NotFound)
            .hint("`holdline dialect list` names them"));
    };
    if shell.json() {
        shell.document(&json!({ "name": name, "about": about, "text": text, "coded": coded }))?;
    } else {
        shell.raw(text.as_bytes())?;
    }
    Ok(Exit::Ok)
}

fn check(file: &Path, shell: &mut Shell) -> Outcome {
    let (checked, name) = if let Some(coded) = coded_by(file) {
        // Code has no rules that could be wrong; what it is told is looked at with the configuration.
        (Checked { problems: Vec::new(), discriminator: None }, coded.name.to_owned())
    } else {
        let (text, name) = read(file)?;
        (examine(&text, &name), name)
    };
    let errors = checked.problems.iter().any(Problem::is_error);
    if shell.json() {
        shell.document(&checked)?;
    } else {
        shell.print(&verdict(&checked, &name))?;
    }
    Ok(if errors { Exit::Failure } else { Exit::Ok })
}

/// The dialect in code of that name.
fn coded_by(file: &Path) -> Option<&'static coded::Coded> {
    file.to_str().and_then(coded::find)
}

fn replay(file: &Path, transcript: &Path, lenient: bool, shell: &mut Shell) -> Outcome {
    if coded_by(file).is_none() {
        read(file)?;
    }
    let recording_name = transcript.display().to_string();
    let recording = std::fs::read_to_string(transcript).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let exit = if missing { Exit::NotFound } else { Exit::Failure };
        Failed::new(exit, plain(&format!("cannot read {recording_name}: {error}")))
    })?;
    let reference = file.to_string_lossy();
    let replayed = dialect::replay(&reference, Path::new(""), (&recording, &recording_name), lenient)
        .map_err(|problems| unusable("nothing was replayed", &problems))?;
    if shell.json() {
        shell.document(&replayed)?;
    } else {
        shell.print(&came_to(&replayed))?;
    }
    Ok(if replayed.mismatches == 0 { Exit::Ok } else { Exit::Failure })
}

/// The dialect, or the recording, cannot be used at all.
fn unusable(what: &str, problems: &[Problem]) -> Failed {
    let lines: Vec<String> = problems.iter().map(told).collect();
    Failed::new(Exit::Failure, what).detail(lines.join("\n"))
}

/// What is wrong, in a line that editors jump by, and below it the place in the file.
fn told(problem: &Problem) -> String {
    let mut text = plain(&problem.to_string());
    if let Some(excerpt) = &problem.excerpt {
        text.push('\n');
        text.push_str(&excerpt.under(problem.line));
    }
    text
}

/// What each line of a recording came to, for people, then how it stands.
fn came_to(replayed: &Replay) -> String {
    let rows: Vec<_> = replayed
        .lines
        .iter()
        .map(|line| [format!("{:>4}", line.line), line.dir.to_owned(), plain(&line.came_to.join(", "))])
        .collect();
    let mut text = String::new();
    for (row, line) in table(&rows).iter().zip(&replayed.lines) {
        text.push_str(&format!("{row}\n"));
        for mismatch in &line.mismatches {
            text.push_str(&format!("      {} {}\n", styled(BAD, "✖"), plain(mismatch)));
        }
        for note in &line.notes {
            text.push_str(&format!("      {} {}\n", styled(WAITING, "–"), plain(note)));
        }
    }
    let lines = counted(replayed.lines.len() as u64, "line");
    text.push_str(&match replayed.mismatches {
        0 => format!("{} {lines}, all as recorded.\n", styled(GOOD, "✔")),
        some => format!("{lines}, {} came to something else.\n", count(some as u64)),
    });
    text
}

/// The text of a dialect and its name.
fn read(file: &Path) -> Result<(String, String), Failed> {
    dialect::text_of(&file.to_string_lossy(), Path::new("")).map_err(|problem| {
        Failed::new(Exit::NotFound, plain(&format!("{}: {}", problem.file, problem.message)))
            .kind(ErrorKind::NotFound)
            .hint(plain(&problem.advice))
    })
}

/// What a check found, for people: each problem with its place, then how it stands.
fn verdict(checked: &Checked, name: &str) -> String {
    let mut text = String::new();
    let mut errors = 0;
    for problem in &checked.problems {
        let mark = match problem.severity {
            Grade::Error => styled(BAD, "✖"),
            Grade::Warning => styled(WAITING, "▲"),
        };
        errors += u64::from(problem.is_error());
        text.push_str(&format!("{mark} {}\n", told(problem)));
    }
    let warnings = checked.problems.len() as u64 - errors;
    let name = plain(name);
    text.push_str(&match (errors, warnings) {
        (0, 0) => format!("{} {name} is in order.", styled(GOOD, "✔")),
        (0, warnings) => format!("{name} can be used: {}.", counted(warnings, "warning")),
        (errors, 0) => format!("{name} cannot be used: {}.", counted(errors, "error")),
        (errors, warnings) => {
            format!("{name} cannot be used: {}, {}.", counted(errors, "error"), counted(warnings, "warning"))
        }
    });
    text.push('\n');
    if let Some(pointer) = checked.discriminator.as_deref().filter(|_| errors == 0) {
        text.push_str(&format!("Frames are told apart by {}.\n", plain(pointer)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        anstream::adapter::strip_str(&verdict(&examine(text, "mine.toml"), "mine.toml")).to_string()
    }

    #[test]
    fn every_dialect_that_comes_along_is_in_order() {
        for one in builtin::list() {
            let checked = examine(one.text, one.name);
            assert_eq!(checked.problems, [], "{}", one.name);
            assert!(!one.about().is_empty(), "{}", one.name);
        }
    }

    #[test]
    fn a_check_ends_with_how_it_stands() {
        let good = said(builtin::list()[0].text);
        assert!(good.starts_with("✔ mine.toml is in order.\n"), "{good}");
        let bad = said("dialect = 1\nnonsense = true\n");
        assert!(bad.starts_with("✖ mine.toml:"), "{bad}");
        assert!(bad.contains("cannot be used: "), "{bad}");
        assert!(bad.contains("\n  |\n2 | nonsense = true\n  | ^^^^^^^^\n"), "{bad}");
    }
}
