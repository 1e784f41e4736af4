//! A credential in a file: nobody else may read it, and reading it never blocks.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::CREDENTIAL_MAX;
use crate::model::{CredentialFault, Secret};

/// A file or its folder is not safe for a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} {what}", path = path.display())]
pub struct UnsafeFile {
    /// Which.
    pub path: PathBuf,
    /// What is wrong, as the rest of a sentence.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// Who vouches for the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Its mode and owner must show that only we can read it.
    OwnerOnly,
    /// The service manager made it.
    ServiceManager,
}

/// Checks owner, mode and type of a credential's file before anything else is done. A file that
/// is not there yet is fine.
///
/// # Errors
/// When others can read it, replace it or own it, or when it is no file.
pub fn check_file_modes(path: &Path) -> Result<(), UnsafeFile> {
    match open(path) {
        Ok(file) => check(path, &file),
        // That it cannot be read is told when it is read.
        Err(_) => Ok(()),
    }
}

pub(super) fn read(path: &Path, trust: Trust) -> Result<Secret, CredentialFault> {
    let fault = |error: io::Error| CredentialFault {
        text: if error.kind() == io::ErrorKind::NotFound {
            format!("the token file {} does not exist", path.display())
        } else {
            format!("the token file {} cannot be read: {error}", path.display())
        },
        hint: "write the credential into it, with mode 0600; it is picked up at once".into(),
    };
    let file = open(path).map_err(fault)?;
    if trust == Trust::OwnerOnly {
        check(path, &file).map_err(|found| CredentialFault { text: found.to_string(), hint: found.hint })?;
    }
    let mut text = String::new();
    let limit = CREDENTIAL_MAX as u64 + 1;
    file.take(limit).read_to_string(&mut text).map_err(|error| {
        let no_text = error.kind() == io::ErrorKind::InvalidData;
        fault(if no_text { io::Error::other("it is not UTF-8 text") } else { error })
    })?;
    let secret = Secret::new(text);
    if secret.expose().len() > CREDENTIAL_MAX {
        return Err(CredentialFault {
            text: format!("the token file {} is over {CREDENTIAL_MAX} bytes", path.display()),
            hint: "auth.token_file takes a file with the credential and nothing else".into(),
        });
    }
    Ok(secret)
}

/// Opens without waiting: a pipe that nobody writes to would hold us for ever.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        // The kernel's flags fit into its own integer.
        options.custom_flags(flags.bits().cast_signed());
    }
    options.open(path)
}

/// Looks at the open file, not at the name, which could be another one's by now.
#[cfg(unix)]
fn check(path: &Path, file: &File) -> Result<(), UnsafeFile> {
    use std::os::unix::fs::MetadataExt as _;

    let unsafe_because =
        |path: &Path, what: String, hint: String| Err(UnsafeFile { path: path.to_owned(), what, hint });
    let Ok(found) = file.metadata() else { return Ok(()) };
    if !found.is_file() {
        let hint = "auth.token_file takes a plain file".into();
        return unsafe_because(path, "is no regular file".into(), hint);
    }
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        let hint = format!("make it yours: chown {me} {}", path.display());
        return unsafe_because(path, format!("belongs to uid {}, not to you", found.uid()), hint);
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let hint = format!("chmod 600 {}", path.display());
        return unsafe_because(path, format!("can be used by others (mode {mode:04o})"), hint);
    }
    // Behind a link, the folder that counts is the one the file itself lies in.
    let real = path.canonicalize();
    let Some(folder) = real.as_deref().unwrap_or(path).parent() else { return Ok(()) };
    let Ok(found) = folder.metadata() else { return Ok(()) };
    let mode = found.mode() & 0o7777;
    let sticky = mode & 0o1000 != 0;
    if mode & 0o002 != 0 && !sticky {
        let hint = format!("chmod o-w {}", folder.display());
        return unsafe_because(folder, format!("can be written by everybody (mode {mode:04o})"), hint);
    }
    Ok(())
}

#[cfg(not(unix))]
fn check(path: &Path, file: &File) -> Result<(), UnsafeFile> {
    match file.metadata() {
        Ok(found) if !found.is_file() => Err(UnsafeFile {
            path: path.to_owned(),
            what: "is no regular file".into(),
            hint: "auth.token_file takes a plain file".into(),
        }),
        _ => Ok(()),
    }
}
