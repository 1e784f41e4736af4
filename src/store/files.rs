//! Files beside the database: their names, their modes, and that their names last.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// `path` with something added to its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Size of the database and its log.
pub(super) fn file_bytes(path: &Path) -> u64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    size(path) + size(&beside(path, "-wal"))
}

/// Creates an empty file nobody else can read; SQLite gives its log the same mode.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path).map(drop)
}

/// Removes a file; one that is not there is removed already.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The folder of the database, held open: that a name in it lasts must not depend on a file being
/// left to open.
#[derive(Debug)]
pub(super) struct Folder(Option<std::fs::File>);

impl Folder {
    /// The folder in which `path` lies; none where folders cannot be opened, or it is the current one.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        match path.parent() {
            #[cfg(unix)]
            Some(folder) if !folder.as_os_str().is_empty() => std::fs::File::open(folder).map(Some).map(Self),
            _ => Ok(Self(None)),
        }
    }

    /// Makes the names in it last.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), std::fs::File::sync_all)
    }
}

/// Makes a rename beside `path` last.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    Folder::of(path)?.sync()
}
