//! The disk under the database: how much room it has, and whether the files that are open still
//! stand under their names.

use std::path::Path;

use super::files::beside;

/// With less free space than this nothing new is taken in, so that what is there can still end:
/// ends of messages, the log's way back into the file, and whatever else shares the disk.
pub const FLOOR: u64 = 64 * 1024 * 1024;

/// Free bytes on the disk of the database, as far as they are ours to use. None where the system
/// does not say.
#[cfg(unix)]
pub(super) fn free_bytes(database: &Path) -> Option<u64> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
pub(super) fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// File systems that several machines share: their locks are no locks between two daemons, and a
/// server that restarts forgets what it said was written.
#[cfg(target_os = "linux")]
const SHARED: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "coda",
    "lustre",
    "beegfs",
    "gpfs",
    "glusterfs",
    "sshfs",
    "rclone",
    "s3fs",
    "gcsfuse",
    "davfs",
    "curlftpfs",
];

/// The kind of file system the database is on, where other machines share it.
#[cfg(target_os = "linux")]
pub(super) fn network_file_system(database: &Path) -> Option<String> {
    let folder = database.parent()?.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let kind = kind_of(&mounts, &folder)?;
    let name = kind.strip_prefix("fuse.").unwrap_or(kind);
    SHARED.contains(&name).then(|| kind.to_owned())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn network_file_system(_: &Path) -> Option<String> {
    None
}

/// The file system's name in the last line of `mountinfo` (the mount on top) that holds `folder`:
/// `36 35 98:0 /root /mount/point options - type source options`.
#[cfg(target_os = "linux")]
fn kind_of<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let (Some((_, after)), Some(point)) = (line.split_once(" - "), line.split(' ').nth(4)) else {
            continue;
        };
        let point = unescape(point);
        let Some(kind) = after.split(' ').next().filter(|_| folder.starts_with(&point)) else { continue };
        if best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// Blanks, tabs, line ends and backslashes stand in `mountinfo` as three octal digits.
#[cfg(target_os = "linux")]
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// `12.3 MiB`, for sentences.
pub(super) fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// A file as the disk knows it, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    number: u64,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    identity: Identity,
    length: u64,
}

#[cfg(unix)]
fn look(path: &Path) -> Option<Seen> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path).ok()?;
    Some(Seen { identity: Identity { device: file.dev(), number: file.ino() }, length: file.len() })
}

/// Where files have no such numbers, an open file cannot be removed either.
#[cfg(not(unix))]
fn look(path: &Path) -> Option<Seen> {
    let file = std::fs::metadata(path).ok()?;
    Some(Seen { identity: Identity { device: 0, number: 0 }, length: file.len() })
}

/// What became of the open files' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody finds the database under its name any more.
    DatabaseGone,
    /// Another file has its name.
    DatabaseReplaced,
    /// The log is gone, or another file has its name.
    LogGone,
    /// Something of the log's end was cut off.
    LogCut,
}

impl Fate {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::DatabaseGone => "the database file was removed while it was open",
            Self::DatabaseReplaced => "another file was put in the place of the open database",
            Self::LogGone => "the database's log was removed while it was open",
            Self::LogCut => "the database's log was cut while it was open",
        }
    }
}

/// The files that are open, to be told from others under the same names. A receipt for a row in a
/// file that nobody can find again would be worth nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenFiles {
    database: Identity,
    log: Identity,
    /// The log never shrinks while it is open.
    log_length: u64,
    /// Size of both, as of the last look.
    pub(super) bytes: u64,
}

impl OpenFiles {
    /// Takes down which files are open. None where they cannot be seen even now.
    pub(super) fn of(database: &Path) -> Option<Self> {
        let (file, log) = (look(database)?, look(&beside(database, "-wal"))?);
        Some(Self {
            database: file.identity,
            log: log.identity,
            log_length: log.length,
            bytes: file.length + log.length,
        })
    }

    /// Looks again: what became of them, if anything.
    pub(super) fn fate(&mut self, database: &Path) -> Option<Fate> {
        let Some(file) = look(database) else {
            return Some(Fate::DatabaseGone);
        };
        if file.identity != self.database {
            return Some(Fate::DatabaseReplaced);
        }
        let log = look(&beside(database, "-wal"));
        let Some(log) = log.filter(|log| log.identity == self.log) else {
            return Some(Fate::LogGone);
        };
        if log.length < self.log_length {
            return Some(Fate::LogCut);
        }
        self.log_length = log.length;
        self.bytes = file.length + log.length;
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;

    use super::{kind_of, mebibytes};

    #[test]
    fn the_kind_of_a_file_system_is_that_of_the_mount_on_top() {
        let mounts = "21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      30 21 0:40 / /home rw - nfs4 server:/home rw\n\
                      31 30 0:41 / /home/a\\040b rw - fuse.sshfs host: rw\n\
                      32 30 0:42 / /home/c rw - tmpfs tmpfs rw\n\
                      33 32 0:43 / /home/c rw - btrfs /dev/sdb rw\n";
        let kind = |path: &str| kind_of(mounts, Path::new(path));
        assert_eq!(kind("/var/lib"), Some("ext4"));
        assert_eq!(kind("/home/x"), Some("nfs4"));
        assert_eq!(kind("/home/a b/state"), Some("fuse.sshfs"));
        assert_eq!(kind("/home/c/state"), Some("btrfs"));
        assert_eq!(kind("/homes"), Some("ext4"));
    }

    #[test]
    fn sizes_are_written_with_one_digit_behind_the_point() {
        assert_eq!(mebibytes(64 << 20), "64.0 MiB");
        assert_eq!(mebibytes((12 << 20) + (1 << 19)), "12.5 MiB");
    }
}
