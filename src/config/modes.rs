//! Owners and modes: what other users of the machine must not be able to read or change.
//!
//! A foreign owner is anybody but us and root (who can do everything anyway). On systems without
//! Unix modes the folders of the user's profile are private by themselves; nothing is checked.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use super::Problem;

/// What is wrong with the mode of a file or folder, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsafe {
    pub(super) message: String,
    pub(super) hint: String,
}

impl Unsafe {
    pub(super) fn problem(self, path: &Path) -> Problem {
        Problem::unsafe_file(path, self.message, self.hint)
    }
}

/// Opens a regular file for reading. Never waits: a named pipe is refused, not opened for long.
///
/// Gives the system's error, or what is wrong with the file's type.
pub(super) fn open_regular(path: &Path) -> Result<(File, Metadata), OpenFault> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A FIFO without a writer would block the open for ever.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    }
    // A socket cannot be opened at all; its type says more than the error.
    let file = options.open(path).map_err(|fault| match path.metadata() {
        Ok(meta) if !meta.is_file() => OpenFault::Type(kind_of(&meta)),
        _ => OpenFault::Io(fault),
    })?;
    let meta = file.metadata().map_err(OpenFault::Io)?;
    if meta.is_file() { Ok((file, meta)) } else { Err(OpenFault::Type(kind_of(&meta))) }
}

/// Why a file could not be opened.
#[derive(Debug)]
pub(super) enum OpenFault {
    Io(io::Error),
    /// It is something else than a regular file.
    Type(&'static str),
}

fn kind_of(meta: &Metadata) -> &'static str {
    if meta.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = meta.file_type();
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    "no regular file"
}

/// Checks that nobody else can change the file or put another in its place.
pub(super) fn only_we_write(path: &Path, meta: &Metadata) -> Result<(), Unsafe> {
    imp::owner(path, meta)?;
    if imp::mode(meta) & 0o022 != 0 {
        return Err(Unsafe {
            message: format!("other users can change this file (mode {:04o})", imp::mode(meta)),
            hint: format!("chmod go-w {}", quoted(path)),
        });
    }
    folder_is_ours(path)
}

/// Checks that nobody else can read or change the file, or put another in its place.
pub(super) fn only_we_read(path: &Path, meta: &Metadata) -> Result<(), Unsafe> {
    imp::owner(path, meta)?;
    if imp::mode(meta) & 0o077 != 0 {
        return Err(Unsafe {
            message: format!("other users have access to this secret file (mode {:04o})", imp::mode(meta)),
            hint: format!("chmod 600 {}", quoted(path)),
        });
    }
    folder_is_ours(path)
}

/// Whoever can write the folder can replace the file, unless the folder is sticky.
fn folder_is_ours(path: &Path) -> Result<(), Unsafe> {
    let Some(folder) = path.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned)) else {
        return Ok(());
    };
    let Ok(meta) = folder.metadata() else {
        return Ok(());
    };
    imp::owner(&folder, &meta)?;
    let mode = imp::mode(&meta);
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(Unsafe {
            message: format!(
                "other users can replace this file: they can write to its folder {} (mode {mode:04o})",
                folder.display()
            ),
            hint: format!("chmod go-w {}", quoted(&folder)),
        });
    }
    Ok(())
}

/// Checks a file that holds a secret: a regular file, ours, mode 0600 or less, in a folder that
/// only we can write to. A file that does not exist is no problem here.
///
/// # Errors
/// The problem, with exit 77.
pub fn check_secret_file(path: &Path) -> Result<(), Problem> {
    match open_regular(path) {
        Ok((_, meta)) => only_we_read(path, &meta).map_err(|fault| fault.problem(path)),
        Err(OpenFault::Io(fault)) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(OpenFault::Io(fault)) => Err(Problem::unsafe_file(
            path,
            format!("cannot read this secret file: {}", plain(&fault)),
            format!("chmod 600 {}, and see that it and its folders belong to you", quoted(path)),
        )),
        Err(OpenFault::Type(kind)) => Err(Problem::unsafe_file(
            path,
            format!("a secret is read from a regular file, this is {kind}"),
            "",
        )),
    }
}

/// Checks a folder for state: a real folder (no symbolic link), ours, that only we can write to.
///
/// # Errors
/// The problem, with exit 77; also where it does not exist.
pub fn check_private_dir(path: &Path) -> Result<(), Problem> {
    check_dir(path, 0o022)
}

/// Makes the folder with mode 0700 (those above it too) where it does not exist, then checks it
/// as [`check_private_dir`] does.
///
/// # Errors
/// The problem, with exit 77.
pub fn ensure_private_dir(path: &Path) -> Result<(), Problem> {
    create(path)?;
    check_dir(path, 0o022)
}

/// As [`ensure_private_dir`], for the socket's folder: nobody else may even look into it (0700).
///
/// # Errors
/// The problem, with exit 77.
pub fn ensure_closed_dir(path: &Path) -> Result<(), Problem> {
    create(path)?;
    check_dir(path, 0o077)
}

fn create(path: &Path) -> Result<(), Problem> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|fault| {
        Problem::unsafe_file(
            path,
            format!("cannot make this folder: {}", plain(&fault)),
            "see that the folder above it belongs to you and can be written",
        )
    })
}

fn check_dir(path: &Path, forbidden: u32) -> Result<(), Problem> {
    let meta = path.symlink_metadata().map_err(|fault| {
        Problem::unsafe_file(path, format!("cannot use this folder: {}", plain(&fault)), "")
    })?;
    if meta.file_type().is_symlink() {
        return Err(Problem::unsafe_file(
            path,
            "this folder is a symbolic link, which could be turned elsewhere",
            "name the real folder",
        ));
    }
    if !meta.is_dir() {
        return Err(Problem::unsafe_file(
            path,
            format!(
                "a folder is needed here, this is {}",
                if meta.is_file() { "a file" } else { kind_of(&meta) }
            ),
            "",
        ));
    }
    imp::owner(path, &meta).map_err(|fault| fault.problem(path))?;
    let mode = imp::mode(&meta);
    if mode & forbidden == 0 {
        return Ok(());
    }
    let what = if mode & 0o022 == 0 { "look into" } else { "write to" };
    let message = format!("other users can {what} this folder (mode {mode:04o})");
    Err(Problem::unsafe_file(path, message, format!("chmod 700 {}", quoted(path))))
}

/// The system's words without the number.
pub(super) fn plain(fault: &io::Error) -> String {
    let text = fault.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// The path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let simple = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%:".contains(c);
    if text.chars().all(simple) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(unix)]
mod imp {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::{Unsafe, quoted};

    pub(super) fn owner(path: &Path, meta: &Metadata) -> Result<(), Unsafe> {
        let us = rustix::process::geteuid().as_raw();
        if meta.uid() == us || meta.uid() == 0 {
            return Ok(());
        }
        Err(Unsafe {
            message: format!("{} belongs to another user (uid {}, we are {us})", path.display(), meta.uid()),
            hint: format!("chown {us} {}", quoted(path)),
        })
    }

    pub(super) fn mode(meta: &Metadata) -> u32 {
        meta.mode() & 0o7777
    }
}

#[cfg(not(unix))]
mod imp {
    use std::fs::Metadata;
    use std::path::Path;

    use super::Unsafe;

    pub(super) fn owner(_: &Path, _: &Metadata) -> Result<(), Unsafe> {
        Ok(())
    }

    pub(super) fn mode(_: &Metadata) -> u32 {
        0
    }
}
