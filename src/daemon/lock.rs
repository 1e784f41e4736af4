//! One daemon per profile: an operating-system lock on a file beside the database.
//!
//! The lock, not the socket, says whether a daemon lives. It ends with the process, however that
//! ends, so nothing has to be cleaned up by hand after a crash.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

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

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    /// The process, as it wrote into the file.
    pub(super) pid: Option<u32>,
}

/// Who holds the lock at `path`, if anybody does. Whoever wants the lock in this very moment finds
/// it taken, and tries again ([`Lock::take`]).
pub(super) fn holder(path: &Path) -> Option<Holder> {
    let mut file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Ok(()) | Err(TryLockError::Error(_)) => None,
        Err(TryLockError::WouldBlock) => Some(Holder { pid: read_pid(&mut file) }),
    }
}

/// How often the lock is tried for: somebody may only be looking whether it is held.
const TRIES: u32 = 10;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(10);

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
        for left in (0..TRIES).rev() {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if left > 0 => std::thread::sleep(AGAIN),
                Err(TryLockError::WouldBlock) => {
                    let pid = read_pid(&mut file);
                    return Err(LockError::Held { pid, path: path.display().to_string() });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }

    /// Holds it until the process is gone: a thread of ours may still be at the files.
    pub(super) fn keep(self) {
        std::mem::forget(self);
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
    use super::{Holder, Lock, LockError, holder};

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

    #[test]
    fn a_look_at_the_lock_tells_its_holder_and_keeps_nobody_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("default.lock");
        assert_eq!(holder(&path), None, "no file, no holder");
        let held = Lock::take(&path).expect("free");
        assert_eq!(holder(&path), Some(Holder { pid: Some(std::process::id()) }));
        drop(held);
        assert_eq!(holder(&path), None);
        let looking = std::fs::File::open(&path).expect("there");
        looking.lock_shared().expect("nobody has it");
        let later = std::thread::spawn(move || {
            std::thread::sleep(super::AGAIN);
            drop(looking);
        });
        Lock::take(&path).expect("a look is over soon");
        later.join().expect("no panic");
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
