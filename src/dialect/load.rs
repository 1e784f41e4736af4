//! From what `server.dialect` says to a dialect.

use std::path::Path;
use std::sync::Arc;

use super::declarative::{Played, Replay};
use super::problem::{Problem, nearest};
use super::{Dialect, builtin, coded, declarative};

/// What the configuration has decided, for checks that only make sense then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether the dialect is given the credential (`[auth] method = "message"`). None: not
    /// decided yet.
    pub token: Option<bool>,
}

/// The text of the dialect called `reference` (a built-in name, or a path, relative to `base`),
/// and its name in problems.
///
/// # Errors
/// One problem, when there is no such dialect or the file cannot be read.
pub fn text_of(reference: &str, base: &Path) -> Result<(String, String), Problem> {
    if let Some(builtin) = builtin::find(reference) {
        return Ok((builtin.text.to_owned(), builtin.name.to_owned()));
    }
    if let Some(coded) = coded::find(reference) {
        let message = format!("`{}` is spoken by code and has no file", coded.name);
        let advice = format!("`holdline dialect show {}` prints what it can be told", coded.name);
        return Err(Problem::whole("no_file", reference, message, advice));
    }
    let path = base.join(reference);
    let shown = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((text, shown)),
        Err(error) => {
            let files = builtin::list().iter().map(|builtin| builtin.name);
            let names: Vec<&str> = files.chain(coded::list().iter().map(|coded| coded.name)).collect();
            let advice = match nearest(reference, names.iter().copied()) {
                Some(near) if !reference.contains(['/', '\\', '.']) => format!("did you mean `{near}`?"),
                _ => format!("built in are {}; anything else is the path of a file", names.join(", ")),
            };
            Err(Problem::whole("not_found", &shown, format!("the dialect cannot be read: {error}"), advice))
        }
    }
}

/// Loads the dialect called `reference`: a built-in name, or the path of a file, relative to
/// `base`. `vars` is `server.vars`.
///
/// # Errors
/// Everything that is wrong with the file or with `vars`, in the order of the file.
pub fn load(
    reference: &str,
    base: &Path,
    vars: &serde_json::Map<String, serde_json::Value>,
    options: &Options,
) -> Result<Arc<dyn Dialect>, Vec<Problem>> {
    if let Some(coded) = coded::find(reference) {
        return coded.load(vars);
    }
    let (text, name) = text_of(reference, base).map_err(|problem| vec![problem])?;
    read(&text, &name, vars, options)
}

/// Reads the dialect in `text`; `name` is its name in problems.
///
/// # Errors
/// As [`load`].
pub fn read(
    text: &str,
    name: &str,
    vars: &serde_json::Map<String, serde_json::Value>,
    options: &Options,
) -> Result<Arc<dyn Dialect>, Vec<Problem>> {
    let vars = vars.iter().map(|(name, value)| (name.as_str().into(), value.to_string().into())).collect();
    Ok(declarative::load(text, name, vars, options)?)
}

/// Runs the dialect called `reference` (as for [`load`]) offline against a recording, given with
/// its name in problems.
///
/// # Errors
/// What is wrong with the dialect or with the recording.
pub fn replay(
    reference: &str,
    base: &Path,
    recording: (&str, &str),
    lenient: bool,
) -> Result<Replay, Vec<Problem>> {
    if let Some(coded) = coded::find(reference) {
        return declarative::replay_with(recording, lenient, |vars| coded.load(vars).map(Played::Code));
    }
    let (text, name) = text_of(reference, base).map_err(|problem| vec![problem])?;
    declarative::replay((&text, &name), recording, lenient)
}
