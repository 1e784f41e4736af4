//! The dialects there are, and what they come with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdline::dialect::{Dialect, Options, builtin, coded, load, text_of};

use crate::script::{Case, Script, read};

/// A dialect under test.
pub struct Subject {
    pub name: String,
    /// What `server.dialect` says.
    pub reference: String,
    pub folder: PathBuf,
    /// Those that show cases.
    pub scripts: Vec<Script>,
    /// All of them, as they are.
    pub transcripts: Vec<PathBuf>,
    pub cannot: BTreeMap<Case, String>,
}

impl Subject {
    fn new(folder: PathBuf) -> Self {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let file = folder.join("dialect.toml");
        let reference = if file.exists() { file.display().to_string() } else { name.clone() };
        let mut transcripts: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
            .collect();
        transcripts.sort();
        let mut cannot = BTreeMap::new();
        let scripts =
            transcripts.iter().map(|path| read(path, &mut cannot)).filter(Script::shows_cases).collect();
        Self { name, reference, folder, scripts, transcripts, cannot }
    }

    /// The file's text; none for a dialect in code.
    pub fn text(&self) -> Option<String> {
        text_of(&self.reference, &self.folder).ok().map(|(text, _)| text)
    }

    /// The dialect as `script` configures it.
    pub fn dialect(&self, script: &Script) -> Arc<dyn Dialect> {
        use crate::script::Step;
        let vars = match script.lines.first().map(|line| &line.step) {
            Some(Step::Set { vars, .. }) => vars.clone(),
            _ => serde_json::Map::new(),
        };
        let options = Options { token: Some(script.token().is_some()) };
        load(&self.reference, &self.folder, &vars, &options).unwrap_or_else(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}: {}", self.name, problems.join("\n"))
        })
    }

    /// The script that shows `case`, and the one lines of it.
    pub fn showing(&self, case: Case) -> Option<&Script> {
        self.scripts.iter().find(|script| script.of(case).is_some())
    }
}

/// Those whose later connections begin otherwise than the first: a session is claimed. The cases are played
/// with one beginning for all; the recordings of these are only replayed.
const CLAIMING: [&str; 1] = ["janus"];

/// Those that play the cases.
pub fn played() -> Vec<Subject> {
    let mut subjects = subjects();
    subjects.retain(|subject| !CLAIMING.contains(&subject.name.as_str()));
    subjects
}

/// All of them.
pub fn subjects() -> Vec<Subject> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = Vec::new();
    for all in ["tests/fixtures/dialect", "examples/dialects"] {
        folders.extend(fs::read_dir(root.join(all)).unwrap().map(|entry| entry.unwrap().path()));
    }
    folders.sort();
    folders.into_iter().map(Subject::new).collect()
}

#[test]
fn every_dialect_that_comes_with_the_program_takes_part() {
    let there: Vec<String> = subjects().into_iter().map(|subject| subject.name).collect();
    let files = builtin::list().iter().map(|builtin| builtin.name);
    for name in files.chain(coded::list().iter().map(|coded| coded.name)) {
        assert!(
            there.iter().any(|known| known == name),
            "`{name}` is built in and has no folder tests/fixtures/dialect/{name} with transcripts"
        );
    }
}
