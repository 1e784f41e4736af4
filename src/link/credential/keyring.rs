//! A credential from the keyring of the desktop: the Secret Service on Linux, the Keychain on macOS,
//! the Credential Manager on Windows.
//!
//! It is only ever read. A locked keyring is not unlocked from here: that would ask the person for a
//! password out of nowhere, perhaps at night, perhaps where nobody can see it. It is told, and read
//! again when it has been unlocked.

#[cfg(any(target_os = "macos", windows))]
mod native;
#[cfg(target_os = "linux")]
mod secret_service;
#[cfg(target_os = "linux")]
mod signals;

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use zeroize::Zeroize as _;

#[cfg(any(target_os = "macos", windows))]
use self::native as place;
#[cfg(target_os = "linux")]
use self::secret_service as place;
use super::watch::Task;
use super::{CREDENTIAL_MAX, KeyringEntry as Entry};
use crate::model::{CredentialFault, Secret};

/// How long the keyring may take, from the way to it to the secret. What is slower waits for a
/// person, or for ever.
const DEADLINE: Duration = Duration::from_secs(5);

/// What there was instead of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "elsewhere there is neither a bus nor a lock")
)]
enum Trouble {
    /// There is no session bus, or none that lets us in.
    NoBus(String),
    /// The session bus does not answer.
    BusSilent,
    /// Nothing on the bus keeps secrets.
    NoService,
    /// The keyring does not answer.
    Silent,
    /// An earlier question is still open.
    #[cfg_attr(target_os = "linux", allow(dead_code, reason = "here a question can be taken back"))]
    Busy,
    /// It is locked; `found`: with the entry in it, as far as one can see from outside.
    Locked { found: bool },
    /// It has no such entry.
    Missing,
    /// What it holds is no text, or too much of it.
    Unusable(&'static str),
    /// It failed otherwise.
    Failed(String),
}

/// Longest text of a keyring's own that is shown.
const WORDS_MAX: usize = 200;

impl Trouble {
    /// Anything else, with the keyring's own words, as far as they go.
    fn failed(words: impl fmt::Display) -> Self {
        Self::Failed(words.to_string().chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect())
    }

    /// What to tell a person.
    fn of(&self, entry: &Entry) -> CredentialFault {
        let seconds = DEADLINE.as_secs();
        let (text, hint) = match self {
            Self::NoBus(why) => (
                format!("the keyring entry {entry} cannot be read: there is no session bus to ask on ({why})"),
                "start the daemon where DBUS_SESSION_BUS_ADDRESS names one, or use auth.token_file".to_owned(),
            ),
            Self::BusSilent => (
                format!("the keyring entry {entry} cannot be read: the session bus did not answer within {seconds} s"),
                "look at the session bus (D-Bus) of this session; it is tried again".to_owned(),
            ),
            Self::NoService => (
                format!("the keyring entry {entry} cannot be read: nothing on the session bus keeps secrets"),
                "start a Secret Service (GNOME Keyring, KWallet, KeePassXC), which is picked up at once, or use \
                 auth.token_file"
                    .to_owned(),
            ),
            Self::Silent => (
                format!("the keyring entry {entry} cannot be read: the keyring did not answer within {seconds} s"),
                SILENT.to_owned(),
            ),
            Self::Busy => (
                format!("the keyring entry {entry} cannot be read: the keyring has not answered the question before"),
                SILENT.to_owned(),
            ),
            Self::Locked { found: true } => (
                format!("the keyring entry {entry} is locked"),
                "unlock the keyring (log in to the desktop, or open its program for passwords); it is picked up at once"
                    .to_owned(),
            ),
            Self::Locked { found: false } => (
                format!("the keyring is locked, and the entry {entry} cannot be seen in it"),
                "unlock the keyring (log in to the desktop, or open its program for passwords); it is picked up at once"
                    .to_owned(),
            ),
            Self::Missing => {
                (format!("the keyring entry {entry} does not exist"), place::how_to_store(entry))
            }
            Self::Unusable(what) => (
                format!("the keyring entry {entry} {what}"),
                "it takes the credential and nothing else".to_owned(),
            ),
            Self::Failed(why) => (
                format!("the keyring entry {entry} cannot be read: {why}"),
                "read it by hand in the daemon's session to see more".to_owned(),
            ),
        };
        CredentialFault { text, hint }
    }
}

const SILENT: &str = "look whether it waits for you to answer a question, or restart it; it is tried again";

/// Reads entries, and notices when the one has become another.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    /// Shared with what listens to the keyring.
    known: Arc<Known>,
}

/// What was seen of the entry last.
#[derive(Debug, Default)]
struct Known {
    changes: watch::Sender<u64>,
    seen: Mutex<Option<Look>>,
    /// Salts what is kept of a secret, so that the same one looks different in each daemon.
    salt: RandomState,
    /// Told when somebody got an answer: there is a keyring to listen to.
    answered: Notify,
}

/// How an entry looks: enough to see that it changed, not enough to learn it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Held(u64),
    Locked,
    Missing,
    NoService,
}

impl Keyring {
    /// Rises when the entry has changed.
    pub(super) fn changes(&self) -> watch::Sender<u64> {
        self.known.changes.clone()
    }

    /// Listens to the keyring from now on, where it tells anything. Call it within a runtime.
    #[cfg(target_os = "linux")]
    pub(super) fn listen(&self, entry: &Entry) -> Option<Task> {
        Some(signals::listen(entry.clone(), Arc::clone(&self.known)))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) const fn listen(&self, _: &Entry) -> Option<Task> {
        None
    }

    pub(super) async fn read(&self, entry: &Entry) -> Result<Secret, CredentialFault> {
        read(entry, &self.known).await.map_err(|trouble| trouble.of(entry))
    }
}

async fn read(entry: &Entry, known: &Known) -> Result<Secret, Trouble> {
    let read = place::read(entry, DEADLINE).await;
    known.saw(&read);
    read
}

impl Known {
    /// Whoever finds the entry changed says so, once.
    fn saw(&self, read: &Result<Secret, Trouble>) {
        let look = match read {
            Ok(secret) => Look::Held(self.salt.hash_one(secret.expose())),
            Err(Trouble::Locked { .. }) => Look::Locked,
            Err(Trouble::Missing | Trouble::Unusable(_)) => Look::Missing,
            Err(Trouble::NoService) => Look::NoService,
            // Who does not answer says nothing of what has become of the entry.
            Err(
                Trouble::NoBus(_) | Trouble::BusSilent | Trouble::Silent | Trouble::Busy | Trouble::Failed(_),
            ) => {
                return;
            }
        };
        let before = self.seen.lock().unwrap_or_else(PoisonError::into_inner).replace(look);
        if before.is_some_and(|before| before != look) {
            self.changes.send_modify(|count| *count += 1);
        }
        self.answered.notify_one();
    }

    /// The service has gone: nothing to try again for, but what comes after it is news.
    #[cfg(target_os = "linux")]
    fn lost(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Look::NoService);
    }

    #[cfg(target_os = "linux")]
    fn has_seen(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// Takes what a keyring gave, which is wiped where it is of no use.
fn taken(bytes: Vec<u8>) -> Result<Secret, Trouble> {
    let unusable = |mut bytes: Vec<u8>, what| {
        bytes.zeroize();
        Err(Trouble::Unusable(what))
    };
    if bytes.len() > CREDENTIAL_MAX {
        return unusable(bytes, "is over 65536 bytes");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Secret::new(text)),
        Err(error) => unusable(error.into_bytes(), "is not UTF-8 text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_whoever_sees_it_and_silence_is_none() {
        let known = Known::default();
        let held = |text: &str| Ok(Secret::new(text));
        let steps = [
            (held("a"), 0),
            (held("a"), 0),
            (Err(Trouble::Silent), 0),
            (held("a"), 0),
            (held("b"), 1),
            (held("b"), 1),
            (Err(Trouble::Locked { found: true }), 2),
            (Err(Trouble::Locked { found: false }), 2),
            (Err(Trouble::BusSilent), 2),
            (held("b"), 3),
            (Err(Trouble::NoService), 4),
            (Err(Trouble::Missing), 5),
        ];
        for (number, (read, told)) in steps.into_iter().enumerate() {
            known.saw(&read);
            assert_eq!(*known.changes.borrow(), told, "step {number}");
        }
    }

    #[test]
    fn nothing_that_is_kept_or_told_shows_the_secret() {
        let known = Known::default();
        known.saw(&Ok(Secret::new("HLCANARY")));
        assert!(!format!("{known:?}").contains("HLCANARY"));
        let other = Known::default();
        other.saw(&Ok(Secret::new("HLCANARY")));
        assert_ne!(*known.seen.lock().unwrap(), *other.seen.lock().unwrap(), "salted");
        for bytes in [b"HLCANARY\xff".to_vec(), vec![b'x'; CREDENTIAL_MAX + 1]] {
            let trouble = taken(bytes).unwrap_err();
            assert!(matches!(trouble, Trouble::Unusable(_)) && !format!("{trouble:?}").contains("HLCANARY"));
        }
    }

    #[test]
    fn each_trouble_has_a_sentence_and_something_to_do() {
        let entry = Entry { service: "holdline".into(), user: "kim".into() };
        let troubles = [
            Trouble::NoBus("why".into()),
            Trouble::BusSilent,
            Trouble::NoService,
            Trouble::Silent,
            Trouble::Busy,
            Trouble::Locked { found: true },
            Trouble::Locked { found: false },
            Trouble::Missing,
            Trouble::Unusable("is not UTF-8 text"),
            Trouble::failed("line\u{1b}[31m\n two"),
        ];
        let mut texts = std::collections::BTreeSet::new();
        for trouble in troubles {
            let CredentialFault { text, hint } = trouble.of(&entry);
            assert!(text.contains("holdline/kim") && !hint.is_empty(), "{text}: {hint}");
            assert!(!text.contains(char::is_control), "{text:?}");
            assert!(texts.insert(text.clone()), "told twice: {text}");
        }
        let long = Trouble::failed("x".repeat(10_000)).of(&entry);
        assert!(long.text.len() < 400, "{}", long.text.len());
    }
}
