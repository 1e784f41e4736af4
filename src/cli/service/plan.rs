//! What is to be done, worked out before anything is touched. Pure: what a service manager is for a
//! user ([`Site`]) and what was found there ([`Seen`]) go in, a [`Plan`] comes out. `--dry-run` says
//! it, the real thing does it; they cannot differ.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::{Exit, Failed};
use crate::model::Timestamp;

/// Whose service it is, and where things are.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// The program, as an absolute path that the service manager can be given.
    pub(super) program: String,
    /// Name of the profile.
    pub(super) profile: String,
    /// The user's home.
    pub(super) home: String,
    /// Where this user's units are (systemd).
    pub(super) units: String,
    /// Where the description of the task is kept (Windows).
    pub(super) state: String,
    /// Where the database is.
    pub(super) data: String,
    /// The user's number (launchd).
    pub(super) uid: u32,
    /// The user's SID (Windows).
    pub(super) user: String,
}

impl Site {
    /// Whether it is the profile that needs no name.
    pub(super) fn is_default(&self) -> bool {
        self.profile == "default"
    }

    /// ` --profile NAME` for commands that are told of; empty for the profile `default`.
    pub(super) fn flag(&self) -> String {
        if self.is_default() { String::new() } else { format!(" --profile {}", self.profile) }
    }

    /// `path` with `~` for the home folder.
    pub(super) fn short(&self, path: &str) -> String {
        match path.strip_prefix(&self.home) {
            Some(rest) if rest.starts_with(['/', '\\']) && !self.home.is_empty() => format!("~{rest}"),
            _ => path.to_owned(),
        }
    }
}

/// What `install` was asked for beside the service itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    /// The drop-in that leaves less of the machine to it (systemd).
    pub(super) hardened: bool,
    /// The service manager holds the socket (systemd).
    pub(super) socket: bool,
    /// Files that are not as we left them are set aside.
    pub(super) force: bool,
}

/// How a file's text becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As everywhere.
    Utf8,
    /// Little endian with a mark in front: what `schtasks` reads.
    Utf16,
}

/// A file as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Where.
    pub(super) path: String,
    /// What is in it.
    pub(super) text: String,
    /// As which bytes.
    pub(super) encoding: Encoding,
}

impl Item {
    /// The bytes of the file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self.encoding {
            Encoding::Utf8 => self.text.clone().into_bytes(),
            Encoding::Utf16 => {
                "\u{feff}".encode_utf16().chain(self.text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
            }
        }
    }
}

/// What stands where a file is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Absent,
    /// A file with this text.
    Text(String),
    /// Something else; the words continue "there is …".
    Other(String),
    /// We may not see it; in the words of the system.
    Hidden(String),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    Code(i32),
    /// By a signal.
    Killed,
    /// There is no such program.
    Missing,
    /// Not within its time.
    TooLong,
}

/// What a command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// How it ended.
    pub(super) ended: Ended,
    /// Standard output.
    pub(super) out: String,
    /// Standard error.
    pub(super) err: String,
}

impl Answer {
    /// Whether it ended well.
    pub(super) fn is_good(&self) -> bool {
        self.ended == Ended::Code(0)
    }

    /// The first line it said about a failure.
    pub(super) fn complaint(&self) -> String {
        let said = self.err.lines().chain(self.out.lines()).map(str::trim).find(|line| !line.is_empty());
        match (self.ended, said) {
            (Ended::Missing, _) => "there is no such program".to_owned(),
            (Ended::TooLong, _) => "it did not answer in time".to_owned(),
            (_, Some(line)) => line.to_owned(),
            (Ended::Code(code), None) => format!("it ended with {code}"),
            (Ended::Killed, None) => "it was killed".to_owned(),
        }
    }
}

/// What was found, without changing anything.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Files, by their paths.
    pub(super) files: BTreeMap<String, Found>,
    /// Names in folders, by the folders' paths.
    pub(super) folders: BTreeMap<String, BTreeSet<String>>,
    /// Answers, in the order of [`super::Manager::questions`].
    pub(super) answers: Vec<Answer>,
    /// A daemon of this profile holds its lock.
    pub(super) daemon: bool,
}

impl Seen {
    /// What stands at `path`.
    pub(super) fn file(&self, path: &str) -> &Found {
        self.files.get(path).unwrap_or(&Found::Absent)
    }

    /// The text of the file at `path`.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        match self.file(path) {
            Found::Text(text) => Some(text),
            Found::Absent | Found::Other(_) | Found::Hidden(_) => None,
        }
    }
}

/// What a service does at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Activity {
    /// It runs.
    Running,
    /// It is on its way up, or is tried again after a failure.
    Starting(String),
    /// It was stopped, or never started.
    Stopped,
    /// It ended by itself, and is not tried again.
    Failed(String),
}

/// How a service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Why the service manager could not be asked.
    pub(super) unreachable: Option<String>,
    /// Its files are there, whoever wrote them.
    pub(super) installed: bool,
    /// It starts when the user logs in.
    pub(super) enabled: bool,
    /// What it does.
    pub(super) activity: Activity,
    /// The exit code of its last end, where it is one that says something.
    pub(super) ended_with: Option<i32>,
    /// Its process.
    pub(super) pid: Option<u32>,
    /// Since when it runs.
    pub(super) since: Option<Timestamp>,
    /// The program it starts.
    pub(super) program: Option<String>,
    /// The service manager holds the socket.
    pub(super) socket: bool,
}

impl State {
    /// The same, where `start` and `stop` have what they need: a service, and a manager that answers.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn at_hand(self, site: &Site, manager: &str, hint: &str) -> Result<Self, Failed> {
        if !self.installed {
            return Err(not_installed(site));
        }
        match &self.unreachable {
            Some(why) => Err(unreachable(manager, why, hint)),
            None => Ok(self),
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Put the file there, whole or not at all.
    Write {
        /// The file.
        item: Item,
        /// There was none.
        new: bool,
    },
    /// Give a file that is not ours another name, so that nothing is lost.
    SetAside {
        /// The file.
        path: String,
        /// Its new name.
        to: String,
    },
    /// Take a file of ours away.
    Remove {
        /// The file.
        path: String,
    },
    /// Run a program.
    Run {
        /// The program and its arguments.
        command: Vec<String>,
        /// Exit codes that are as good as 0.
        fine: &'static [i32],
        /// Exit codes that say "not yet": it is tried again for a while.
        again: &'static [i32],
    },
}

/// A step that runs `words`, which must end well.
pub(super) fn run(words: &[&str]) -> Step {
    run_fine(words, &[])
}

/// A step that runs `words`, where some exit codes are as good as 0.
pub(super) fn run_fine(words: &[&str], fine: &'static [i32]) -> Step {
    Step::Run { command: words.iter().map(|word| (*word).to_owned()).collect(), fine, again: &[] }
}

/// What is to be done, and what is said when it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// In this order.
    pub(super) steps: Vec<Step>,
    /// Paths of files that are as they should be.
    pub(super) settled: Vec<String>,
    /// How it stands then, as a sentence.
    pub(super) headline: String,
    /// What else a person should know, each with its name.
    pub(super) notes: Vec<(&'static str, String)>,
    /// How it exits.
    pub(super) exit: Exit,
}

impl Plan {
    /// One with nothing to do.
    pub(super) fn new(headline: impl Into<String>) -> Self {
        Self {
            steps: Vec::new(),
            settled: Vec::new(),
            headline: headline.into(),
            notes: Vec::new(),
            exit: Exit::Ok,
        }
    }

    /// One that stops a service: `end` does, where there is anything to end.
    pub(super) fn stop(site: &Site, state: &State, seen: &Seen, end: Option<Step>) -> Self {
        let mut plan = Self::new("The service is stopped; what is queued stays on disk.");
        if end.is_none() && seen.daemon {
            let how = format!("a daemon outside the service; `holdline{} ctl stop` ends it", site.flag());
            plan.note("Still runs", how);
        }
        plan.steps.extend(end);
        if state.enabled {
            plan.note("Next time", "it starts when you log in");
        }
        plan
    }

    /// A daemon is in the way of starting the service now.
    pub(super) fn only_enables(&mut self, site: &Site) {
        self.headline = "holdline starts as a service when you log in. It was not started now.".to_owned();
        self.note("Why", "a daemon of this profile runs already, outside the service");
        self.note("What to do", outside(site));
        self.exit = Exit::Unhealthy;
    }

    /// With a line for a person.
    pub(super) fn note(&mut self, name: &'static str, text: impl Into<String>) {
        self.notes.push((name, text.into()));
    }
}

/// There is no such service.
pub(super) fn not_installed(site: &Site) -> Failed {
    let flag = site.flag();
    Failed::new(
        Exit::NotFound,
        format!("holdline is not installed as a service for profile \"{}\"", site.profile),
    )
    .hint(format!("holdline service install{flag}"))
}

/// The service manager does not answer.
pub(super) fn unreachable(manager: &str, why: &str, hint: &str) -> Failed {
    let mut failed = Failed::new(Exit::NotRunning, format!("{manager} cannot be reached: {why}")).hint(hint);
    // It is an error, and not how a daemon stands.
    failed.unanswered = true;
    failed
}

/// What to do where a daemon runs that the service manager knows nothing of.
pub(super) fn outside(site: &Site) -> String {
    let flag = site.flag();
    format!("`holdline{flag} ctl stop` ends it, then `holdline service start{flag}`")
}

/// A daemon of the profile runs that the service manager did not start.
pub(super) fn runs_outside(site: &Site) -> Failed {
    Failed::new(Exit::Unhealthy, "a daemon of this profile runs already, outside the service")
        .hint(outside(site))
}
