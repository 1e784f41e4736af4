//! Runs a dialect offline against a recorded session, and says what each line came to.

mod coded;
mod desk;
mod fit;
mod stage;
mod told;
mod transcript;

use std::sync::Arc;

use serde::Serialize;

use self::stage::Stage;
pub(crate) use self::transcript::message;
use self::transcript::{Entry, Line, Set};
pub use self::transcript::{MAX_LINES, Message};
use super::spec::Vars;
use crate::dialect::{Dialect, Options, Problem};

/// What a transcript came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// One entry per line that says something, in order.
    pub lines: Vec<ReplayLine>,
    /// Lines that came to something else than recorded.
    pub mismatches: usize,
}

/// What one line of a transcript came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayLine {
    /// Its number in the file, from 1; behind the last one for what was still due at the end.
    pub line: usize,
    /// What happened in it: `in`, `out`, …; `torn` for a last line that is not whole.
    pub dir: &'static str,
    /// What it came to: roles first, the link's state last.
    pub came_to: Vec<String>,
    /// What does not fit the recording.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<String>,
    /// Frames the recording lacks, where that is allowed; that it breaks off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Runs the dialect in `text` against `recording`. With `lenient`, frames the recording lacks
/// are noted only, and cursors may differ.
///
/// # Errors
/// What is wrong with the dialect or with the recording.
pub fn replay(
    (text, file): (&str, &str),
    (recording, recording_file): (&str, &str),
    lenient: bool,
) -> Result<Replay, Vec<Problem>> {
    replay_with((recording, recording_file), lenient, |vars| {
        let vars: Vars =
            vars.iter().map(|(name, json)| (name.as_str().into(), json.to_string().into())).collect();
        super::load(text, file, vars, &Options::default()).map(Played::File)
    })
}

/// What is played: what a file's rules make of frames can be watched more closely.
pub(crate) enum Played {
    File(Arc<super::Declared>),
    Code(Arc<dyn Dialect>),
}

/// As [`replay`], with the dialect that `load` makes of the recording's `vars`.
pub(crate) fn replay_with(
    (recording, recording_file): (&str, &str),
    lenient: bool,
    load: impl FnOnce(&serde_json::Map<String, serde_json::Value>) -> Result<Played, Vec<Problem>>,
) -> Result<Replay, Vec<Problem>> {
    let lines = transcript::read(recording, recording_file)?;
    let nothing = Set::default();
    let set = match lines.first() {
        Some(Line { entry: Entry::Set(set), .. }) => set,
        _ => &nothing,
    };
    let mut stage = Stage::new(load(&set.vars)?, set, &lines, lenient);
    for index in 0..lines.len() {
        stage.play(index);
    }
    Ok(stage.finish())
}
