//! One daemon per profile: an operating-system lock on a file beside the database.
//!
//! The lock, not the socket, says whether a daemon lives. It ends with the process, however that
//! ends, so nothing has to be cleaned up by hand after a crash.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// The lock, held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    /// Kept open: closing it gives the lock up.
    _file: File,
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    /// Another daemon holds it.
    #[error("holdline already runs for this profile{}; {path} is locked", .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// The other daemon, as it wrote into the file.
        pid: Option<u32>,
        /// The lock file.
        path: String,
    },
    /// The file cannot be used.
    #[error("the lock file {path} cannot be used: {source}")]
    Io {
        /// The lock file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock at `path` and writes our pid into it.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be made.
    pub(super) fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.display().to_string(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // A planted symlink must not lead us elsewhere.
            options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        }
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { pid: read_pid(&mut file), path: path.display().to_string() });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Lock, LockError};

    #[test]
    fn a_second_lock_is_refused_and_names_the_holder() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("default.lock");
        let held = Lock::take(&path).expect("free");
        match Lock::take(&path) {
            Err(LockError::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("two holders: {other:?}"),
        }
        drop(held);
        Lock::take(&path).expect("free again, without any clean-up");
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_symlink_is_not_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("precious");
        std::fs::write(&target, "keep me").expect("written");
        let path = dir.path().join("default.lock");
        std::os::unix::fs::symlink(&target, &path).expect("linked");
        assert!(matches!(Lock::take(&path), Err(LockError::Io { .. })));
        assert_eq!(std::fs::read_to_string(&target).expect("there"), "keep me");
    }
}
