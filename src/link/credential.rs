//! Where the credential comes from: read when it is needed, watched for change, never shown.
//!
//! A fault names the source and what to do; it never quotes what the source holds.

mod command;
mod expiry;
mod file;
#[cfg(all(feature = "keyring", any(target_os = "linux", target_os = "macos", windows)))]
mod keyring;
#[cfg(not(all(feature = "keyring", any(target_os = "linux", target_os = "macos", windows))))]
#[path = "credential/no_keyring.rs"]
mod keyring;
mod watch;

use std::path::PathBuf;

use tokio::sync::watch::Receiver;

pub use self::expiry::expires_at;
use self::keyring::Keyring;
use self::watch::Watch;
use crate::model::{CredentialFault, Secret};
use crate::program;

/// Largest credential, in bytes: far above any token, far below what would hurt.
pub const CREDENTIAL_MAX: usize = 64 * 1024;

/// Where the credential comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// There is none.
    #[default]
    None,
    /// A file, readable by its owner only.
    File(PathBuf),
    /// A variable of the environment, taken once at the start.
    Env(String),
    /// The standard output of a command (program and arguments), run without a shell.
    Command(Vec<String>),
    /// A credential that systemd hands to the service, by name.
    SystemdCredential(String),
    /// An entry of the desktop's keyring.
    Keyring(KeyringEntry),
}

/// Names an entry of a keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringEntry {
    /// What the secret is for.
    pub service: String,
    /// Whose it is there.
    pub user: String,
}

impl std::fmt::Display for KeyringEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.service, self.user)
    }
}

/// Hands out the credential.
#[derive(Debug)]
pub struct Credentials {
    source: Source,
    /// The variable as it was at the start.
    captured: Option<Secret>,
    /// What is known of the entry, where it is one of a keyring.
    keyring: Keyring,
    watch: Watch,
    ear: Option<Ear>,
}

/// Hears each credential that is handed out.
struct Ear(Box<dyn Fn(&Secret) + Send + Sync>);

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ear")
    }
}

impl Credentials {
    /// Prepares a source: a variable is read now, once; a file or a keyring is watched from now on.
    /// Call it within a runtime.
    #[must_use]
    pub fn new(source: Source) -> Self {
        let captured = match &source {
            Source::Env(name) => {
                program::keep_from_programs(name);
                std::env::var(name).ok().map(Secret::new)
            }
            Source::None | Source::File(_) | Source::Command(_) => None,
            Source::SystemdCredential(_) | Source::Keyring(_) => None,
        };
        let keyring = Keyring::default();
        let watch = match &source {
            Source::File(path) => Watch::on(path),
            Source::None | Source::Env(_) | Source::Command(_) => Watch::nothing(),
            Source::Keyring(entry) => Watch::told_by(keyring.changes(), keyring.listen(entry)),
            // A service manager may hand over another one while we run.
            Source::SystemdCredential(name) => {
                systemd_path(name).map_or_else(|_| Watch::nothing(), |path| Watch::on(&path))
            }
        };
        Self { source, captured, keyring, watch, ear: None }
    }

    /// With somebody who must know what is handed out, to keep it out of what they write.
    #[must_use]
    pub fn heard_by(mut self, ear: impl Fn(&Secret) + Send + Sync + 'static) -> Self {
        self.ear = Some(Ear(Box::new(ear)));
        self
    }

    /// The credential as the source has it now, without white space around it. None where there
    /// is no source.
    ///
    /// # Errors
    /// When the source cannot be read, is not safe, or is empty.
    pub async fn fetch(&self) -> Result<Option<Secret>, CredentialFault> {
        let secret = match &self.source {
            Source::None => return Ok(None),
            Source::File(path) => {
                let path = path.clone();
                in_background(move || file::read(&path, file::Holder::Owner)).await?
            }
            Source::Env(name) => self.captured.clone().ok_or_else(|| CredentialFault {
                text: format!("the variable {name} was not set when the daemon started"),
                hint: format!("set {name} in the daemon's environment and restart it"),
            })?,
            Source::Command(argv) => command::run(argv).await?,
            Source::SystemdCredential(name) => {
                let (name, path) = (name.clone(), systemd_path(name)?);
                in_background(move || file::read(&path, file::Holder::ServiceManager(&name))).await?
            }
            Source::Keyring(entry) => self.keyring.read(entry).await?,
        };
        let trimmed = secret.expose().trim();
        if trimmed.is_empty() {
            return Err(CredentialFault {
                text: format!("{} holds nothing", self.source),
                hint: "put the credential there".into(),
            });
        }
        let secret = Secret::new(trimmed);
        if let Some(Ear(ear)) = &self.ear {
            ear(&secret);
        }
        Ok(Some(secret))
    }

    /// What it comes from, for people.
    #[must_use]
    pub fn source(&self) -> String {
        self.source.to_string()
    }

    /// Whether the source makes a new credential by itself each time it is asked.
    #[must_use]
    pub const fn renews(&self) -> bool {
        matches!(self.source, Source::Command(_))
    }

    /// Where it comes from.
    #[must_use]
    pub const fn origin(&self) -> &Source {
        &self.source
    }

    /// Rises when the source has changed. A file tells, and a keyring that has signals.
    #[must_use]
    pub fn changed(&self) -> Receiver<u64> {
        self.watch.changes()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("no source"),
            Self::File(path) => write!(f, "the token file {}", path.display()),
            Self::Env(name) => write!(f, "the variable {name}"),
            // The arguments may say more than is good.
            Self::Command(argv) => write!(f, "the token command {}", argv.first().map_or("", String::as_str)),
            Self::SystemdCredential(name) => write!(f, "the systemd credential {name}"),
            Self::Keyring(entry) => write!(f, "the keyring entry {entry}"),
        }
    }
}

/// Files may lie on a disk that hangs.
async fn in_background<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, CredentialFault> + Send + 'static,
) -> Result<T, CredentialFault> {
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| {
        Err(CredentialFault { text: "reading the credential was given up".into(), hint: String::new() })
    })
}

fn systemd_path(name: &str) -> Result<PathBuf, CredentialFault> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(CredentialFault {
            text: format!("\"{name}\" is no name of a systemd credential"),
            hint: "auth.token_credential takes the name given to LoadCredential=".into(),
        });
    }
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(folder) => Ok(PathBuf::from(folder).join(name)),
        None => Err(CredentialFault {
            text: format!("the systemd credential {name} is not there: systemd handed none over"),
            hint: format!("add LoadCredential={name}:PATH to the service and start it by systemd"),
        }),
    }
}

#[cfg(test)]
mod tests;
