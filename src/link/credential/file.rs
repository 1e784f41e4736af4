//! A credential in a file: nobody else may read it, and reading it never blocks.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use super::CREDENTIAL_MAX;
use crate::model::{CredentialFault, Secret};

/// What a file with a credential is, and who vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder<'n> {
    /// A token file: mode and owner must show that only we can read it.
    Owner,
    /// The service manager made it, under this name.
    ServiceManager(&'n str),
}

impl Holder<'_> {
    fn name(self, path: &Path) -> String {
        match self {
            Self::Owner => format!("the token file {}", path.display()),
            Self::ServiceManager(name) => format!("the systemd credential {name}"),
        }
    }

    fn hint(self) -> String {
        match self {
            Self::Owner => "write the credential into it, with mode 0600; it is picked up at once".into(),
            Self::ServiceManager(name) => {
                format!("add LoadCredential={name}:PATH to the unit, reload systemd and restart the service")
            }
        }
    }
}

pub(super) fn read(path: &Path, holder: Holder<'_>) -> Result<Secret, CredentialFault> {
    let name = holder.name(path);
    let fault = |error: io::Error| CredentialFault {
        text: if error.kind() == io::ErrorKind::NotFound {
            format!("{name} does not exist")
        } else {
            format!("{name} cannot be read: {error}")
        },
        hint: holder.hint(),
    };
    let file = open(path).map_err(fault)?;
    if file.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(CredentialFault {
            text: format!("{name} is no regular file"),
            hint: "a credential is a plain file".into(),
        });
    }
    if holder == Holder::Owner {
        check_modes(path, &file)?;
    }
    let limit = CREDENTIAL_MAX as u64 + 1;
    // As large as it may become: growing would leave a part of it behind.
    let mut text = String::with_capacity(CREDENTIAL_MAX + 2);
    file.take(limit).read_to_string(&mut text).map_err(|error| {
        let no_text = error.kind() == io::ErrorKind::InvalidData;
        fault(if no_text { io::Error::other("it is not UTF-8 text") } else { error })
    })?;
    let secret = Secret::new(text);
    if secret.expose().len() > CREDENTIAL_MAX {
        return Err(CredentialFault {
            text: format!("{name} is over {CREDENTIAL_MAX} bytes"),
            hint: "it takes a file with the credential and nothing else".into(),
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

#[cfg_attr(not(unix), allow(dead_code, reason = "elsewhere no modes are looked at"))]
fn unsafe_file(path: &Path, what: &str, hint: String) -> Result<(), CredentialFault> {
    Err(CredentialFault { text: format!("the token file {} {what}", path.display()), hint })
}

/// Nobody but us may read the file, nor put another in its place. Root, who can do everything
/// anyway, may own it. Looks at the open file, not at the name, which could be another one's by now.
#[cfg(unix)]
fn check_modes(path: &Path, file: &File) -> Result<(), CredentialFault> {
    use std::os::unix::fs::MetadataExt as _;

    let me = rustix::process::geteuid().as_raw();
    let foreign = |uid: u32| uid != me && uid != 0;
    let Ok(found) = file.metadata() else { return Ok(()) };
    if foreign(found.uid()) {
        let what = format!("belongs to another user (uid {})", found.uid());
        return unsafe_file(path, &what, format!("make it yours: chown {me} {}", path.display()));
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let what = format!("can be used by other users (mode {mode:04o})");
        return unsafe_file(path, &what, format!("chmod 600 {}", path.display()));
    }
    // Behind a link, the folder that counts is the one the file itself lies in.
    let real = path.canonicalize();
    let Some(folder) = real.as_deref().unwrap_or(path).parent() else { return Ok(()) };
    let Ok(found) = folder.metadata() else { return Ok(()) };
    let mode = found.mode() & 0o7777;
    let sticky = mode & 0o1000 != 0;
    if foreign(found.uid()) || (mode & 0o022 != 0 && !sticky) {
        let folder = folder.display();
        let what = format!("lies in {folder}, which other users can write (mode {mode:04o})");
        return unsafe_file(path, &what, format!("chmod go-w {folder}, or put the file elsewhere"));
    }
    Ok(())
}

/// Elsewhere the folders of the user's profile are private by themselves.
#[cfg(not(unix))]
fn check_modes(_: &Path, _: &File) -> Result<(), CredentialFault> {
    Ok(())
}
