//! What the configuration means: one type per section, read in the order of the manual.

mod auth;
mod delivery;
mod house;
mod notices;
mod schema;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use toml::de::DeTable;

pub use auth::{Auth, AuthMethod, SignIn, TokenSource};
pub use delivery::{Heartbeat, HeartbeatMode, Inbox, Lane, Outbox, Reconnect};
pub use house::{Ipc, LinkOptions, Log, LogFormat, Metrics, OnSuspend, Store};
pub use notices::{Notifications, NotifyOn, NotifyRule, QuietRange, Urgency, Weekday};
pub use server::{DialectChoice, Server, Tls};

use super::document::Document;
use super::effect::{Effect, effect};
use super::paths::{Environment, Origins};
use super::problem::Severity;
use super::reader::{Entry, KeyDoc, Reader, Written, has_errors, place};
use super::section::Section;
use super::{MAX_PROBLEMS, Origin, Places, Problem, Sources, locate};
use crate::model::TypeRules;

/// A day: the longest wait that makes sense between two tries.
const DAY: Duration = Duration::from_secs(86_400);
/// Ten years: the longest time anything is kept.
const TEN_YEARS: Duration = Duration::from_secs(3_653 * 86_400);

/// The configuration, checked and ready for use.
#[derive(Debug, Clone)]
pub struct Config {
    /// Files, folders, socket; `store.path` is already in it.
    pub places: Places,
    /// `[server]`.
    pub server: Server,
    /// `[auth]`.
    pub auth: Auth,
    /// `[heartbeat]`.
    pub heartbeat: Heartbeat,
    /// `[reconnect]`.
    pub reconnect: Reconnect,
    /// `[outbox]`.
    pub outbox: Outbox,
    /// `[inbox]`.
    pub inbox: Inbox,
    /// `[types]`, in file order.
    pub types: Arc<TypeRules>,
    /// `[lanes]`, by name, in file order.
    pub lanes: Vec<(Arc<str>, Lane)>,
    /// `[link]`.
    pub link: LinkOptions,
    /// `[notifications]` and `[[notify]]`: checked, kept as data.
    pub notifications: Notifications,
    /// `[ipc]`.
    pub ipc: Ipc,
    /// `[store]`.
    pub store: Store,
    /// `[log]`.
    pub log: Log,
    /// `[metrics]`.
    pub metrics: Metrics,
    /// What works but deserves a look.
    pub warnings: Vec<Problem>,
    /// Every key with its value and where it came from, without anything secret.
    pub entries: Vec<Entry>,
    written: Written,
}

/// What a newer configuration changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Keys whose values differ, by name.
    pub changed: Vec<String>,
    /// The link has to be made anew for it.
    pub reconnect: bool,
    /// Of the changed keys those that only a restart brings into effect.
    pub needs_restart: Vec<String>,
}

impl Config {
    /// A problem somebody else found with the value of `key` (`server.dialect`, say), placed at
    /// its line where the file has it.
    #[must_use]
    pub fn problem(
        &self,
        key: &str,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Problem {
        self.written.problem(key, Problem::new(code, message, hint))
    }

    /// What `newer` changes. Secrets are compared too, and not shown.
    #[must_use]
    pub fn compare(&self, newer: &Self) -> Difference {
        let rows = |config: &Self| -> BTreeMap<String, (Option<String>, u64)> {
            config.entries.iter().map(|it| (it.key(), (it.value.clone(), it.fingerprint))).collect()
        };
        let (before, after) = (rows(self), rows(newer));
        let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let mut difference = Difference::default();
        for key in all.into_iter().filter(|key| before.get(*key) != after.get(*key)) {
            difference.note(key);
        }
        difference
    }
}

impl Difference {
    /// One more key that has changed.
    pub fn note(&mut self, key: &str) {
        if self.changed.iter().any(|known| known == key) {
            return;
        }
        match effect(key) {
            Effect::Live => {}
            Effect::Reconnect => self.reconnect = true,
            Effect::Restart => self.needs_restart.push(key.to_owned()),
        }
        self.changed.push(key.to_owned());
        self.changed.sort();
    }
}

/// Reads and checks the configuration. Opens no socket and no database, writes nothing, and never
/// waits.
///
/// # Errors
/// Everything that is wrong, warnings included, in the order of the file. The exit code is that
/// of [`exit_code`](Problem) of the first error: 77 for owner, mode and type, else 78.
pub fn load(sources: &Sources) -> Result<Config, Vec<Problem>> {
    let places = locate(sources).map_err(|problem| vec![problem])?;
    let document = Document::read(&places.config).map_err(|problem| vec![problem])?;
    understand(places, &document, &sources.environment)
}

/// As [`load`], with `text` in the place of the file: what a command line says, say. Paths in it are
/// relative to `folder`.
///
/// # Errors
/// As [`load`].
pub fn load_text(sources: &Sources, folder: &Path, text: String) -> Result<Config, Vec<Problem>> {
    let mut places = locate(sources).map_err(|problem| vec![problem])?;
    places.config = folder.join("(command line)");
    let document = Document { path: places.config.clone(), text };
    understand(places, &document, &sources.environment)
}

fn understand(
    mut places: Places,
    document: &Document,
    environment: &Environment,
) -> Result<Config, Vec<Problem>> {
    let table = parse(document)?;
    let mut reader = Reader::new(document, environment);
    let sections = Sections::read(reader.root(table.get_ref()), &places);
    let reading = reader.finish();
    let (Some(sections), false) = (sections, has_errors(&reading.problems)) else {
        return Err(reading.problems);
    };
    if let Some(path) = &sections.house.store.path {
        places.database.clone_from(path);
        places.lock = super::paths::lock_beside(path);
    }
    let mut entries = place_entries(&places);
    entries.extend(reading.entries);
    Ok(Config {
        places,
        server: sections.server,
        auth: sections.auth,
        heartbeat: sections.heartbeat,
        reconnect: sections.reconnect,
        outbox: sections.outbox,
        inbox: sections.inbox,
        types: Arc::new(sections.types),
        lanes: sections.lanes,
        link: sections.house.link,
        notifications: sections.notifications,
        ipc: sections.house.ipc,
        store: sections.house.store,
        log: sections.house.log,
        metrics: sections.house.metrics,
        warnings: reading.problems,
        entries,
        written: reading.written,
    })
}

/// Every key there is, with kind, default and meaning, in the order of the manual.
#[must_use]
pub fn reference() -> &'static [KeyDoc] {
    static KEYS: LazyLock<Vec<KeyDoc>> = LazyLock::new(|| {
        let document = Document { path: "/config.toml".into(), text: String::new() };
        let env = Environment::default();
        let table = DeTable::new();
        let mut reader = Reader::for_manual(&document, &env);
        let _ = Sections::read(reader.root(&table), &Places::unknown());
        reader.into_docs()
    });
    &KEYS
}

/// All sections; none where the URL is missing or wrong.
struct Sections {
    server: Server,
    auth: Auth,
    heartbeat: Heartbeat,
    reconnect: Reconnect,
    outbox: Outbox,
    inbox: Inbox,
    types: TypeRules,
    lanes: Vec<(Arc<str>, Lane)>,
    notifications: Notifications,
    house: house::House,
}

impl Sections {
    fn read(mut root: Section<'_, '_>, places: &Places) -> Option<Self> {
        let server = server::read(root.section("server"));
        let auth = auth::read(root.section("auth"));
        let heartbeat = delivery::heartbeat(root.section("heartbeat"));
        let reconnect = delivery::reconnect(root.section("reconnect"));
        let outbox = delivery::outbox(root.section("outbox"));
        let inbox = delivery::inbox(root.section("inbox"));
        let types = delivery::types(&mut root, outbox.confirm);
        let lanes = delivery::lanes(&mut root);
        let link = house::link(root.section("link"));
        let notifications = notices::read(&mut root);
        let house = house::read(&mut root, link, places);
        root.end();
        Some(Self {
            server: server?,
            auth,
            heartbeat,
            reconnect,
            outbox,
            inbox,
            types,
            lanes,
            notifications,
            house,
        })
    }
}

/// Largest text of which more than the first fault of form is told.
const MAX_RECOVERY: usize = 64 * 1024;

/// Takes the text apart. Where its form is broken only that is told: what follows a broken line
/// is guesswork.
fn parse(document: &Document) -> Result<toml::Spanned<DeTable<'_>>, Vec<Problem>> {
    let mut faults = match DeTable::parse(&document.text) {
        Ok(table) => return Ok(table),
        Err(_) if document.text.len() <= MAX_RECOVERY => DeTable::parse_recoverable(&document.text).1,
        Err(fault) => vec![fault],
    };
    let end = document.text.len();
    let span = |fault: &toml::de::Error| fault.span().unwrap_or(end..end);
    faults.sort_by_key(|fault| span(fault).start);
    let hidden = values_of_lines(&document.text);
    let problems = faults.iter().take(4 * MAX_PROBLEMS).map(|fault| {
        let message = format!("this is not TOML: {}", fault.message());
        let problem = Problem::new("syntax", message, "").in_file(&document.path);
        place(problem, document, &span(fault), &hidden)
    });
    let mut problems: Vec<_> = problems.collect();
    // The first fault of a line brings the others with it.
    problems.dedup_by_key(|problem| problem.line);
    problems.truncate(MAX_PROBLEMS);
    Err(problems)
}

/// All texts and words that stand for values, line by line: in a broken file nobody can say which
/// of them are secret.
fn values_of_lines(text: &str) -> Vec<Range<usize>> {
    let mut hidden: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end().len();
        let mut open: Option<(char, usize)> = None;
        // Without a `=` it goes on with the value of the line above.
        let mut is_value = !line.contains('=') && !line.starts_with('[');
        for (offset, c) in text[start..end].char_indices() {
            let at = start + offset;
            match open {
                Some((quote, from)) if c == quote => {
                    hidden.push(from..at);
                    open = None;
                }
                Some(_) => {}
                None if c == '"' || c == '\'' => open = Some((c, at + 1)),
                None if c == '=' => is_value = true,
                None if is_value && !c.is_whitespace() && !"[]{},#".contains(c) => {
                    let end = at + c.len_utf8();
                    match hidden.last_mut().filter(|last| last.end == at) {
                        Some(last) => last.end = end,
                        None => hidden.push(at..end),
                    }
                }
                None => {}
            }
        }
        if let Some((_, from)) = open {
            hidden.push(from..end);
        }
        start += line.len();
    }
    hidden
}

/// Where things are, as entries of the effective configuration.
fn place_entries(places: &Places) -> Vec<Entry> {
    let Origins { profile, config, state_dir, socket } = &places.origins;
    let path = |path: &Path| super::kinds::quote(&path.to_string_lossy());
    let rows: [(&str, String, &Origin); 4] = [
        ("profile", super::kinds::quote(&places.profile), profile),
        ("config", path(&places.config), config),
        ("state_dir", path(&places.state_dir), state_dir),
        ("socket", path(&places.socket), socket),
    ];
    rows.into_iter()
        .map(|(name, value, origin)| Entry {
            section: String::new(),
            name: name.to_owned(),
            value: Some(value),
            origin: origin.clone(),
            fingerprint: 0,
        })
        .collect()
}

/// A warning of this section.
fn warning(message: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem { severity: Severity::Warning, ..Problem::new("risky", message, hint) }
}
