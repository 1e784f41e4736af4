//! Unix domain sockets, bound by ourselves: the folder is checked first and the socket has its
//! mode before it has a name.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use interprocess::local_socket::tokio::{Listener as Acceptor, prelude::*};
use interprocess::os::unix::uds_local_socket::tokio::{Listener as UnixAcceptor, Stream as Connected};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use super::{Arrival, BindError, ConnectError, Stream};
use crate::model::Peer;

/// Longest socket path, in bytes: `sun_path` less its final NUL.
pub const MAX_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Connections the system queues for us.
const BACKLOG: i32 = 128;

/// How long to try while so many others connect that the system turns us away.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Between two tries.
const CONNECT_AGAIN: Duration = Duration::from_millis(5);

/// The id that stands for "a user of another namespace"; it is nobody in particular.
const OVERFLOW_UID: u32 = 65_534;

/// Accepts connections of our own user.
#[derive(Debug)]
pub struct Listener {
    acceptor: Acceptor,
    bound: Option<Bound>,
}

/// The socket file we made, to be removed by us and nobody else's to be removed by mistake.
#[derive(Debug)]
struct Bound {
    path: PathBuf,
    dev: u64,
    ino: u64,
}

impl Drop for Bound {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.dev, self.ino));
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket could not be removed");
        }
    }
}

impl Listener {
    /// Makes the socket at `path` and listens. A folder that does not exist is made (0700). A
    /// socket of ours that stands there is taken for a dead daemon's and replaced, so only the
    /// holder of the daemon's lock may call this; anything else there is left alone and refused.
    ///
    /// Call it within a tokio runtime with I/O.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |what| move |source| BindError::Io { what, path: path.to_owned(), source };
        let len = path.as_os_str().as_bytes().len();
        if len > MAX_PATH {
            return Err(BindError::TooLong { path: path.to_owned(), len, max: MAX_PATH });
        }
        let user = rustix::process::geteuid().as_raw();
        closed_folder(path, user)?;
        remove_stale(path, user)?;

        let address = SocketAddrUnix::new(path).map_err(|e| failed("name the socket")(e.into()))?;
        let socket = socket().map_err(failed("make the socket"))?;
        bind_private(&socket, &address).map_err(failed("bind the socket"))?;
        let made = fs::symlink_metadata(path).map_err(failed("look at the socket"))?;
        let bound = Bound { path: path.to_owned(), dev: made.dev(), ino: made.ino() };
        if made.mode() & 0o077 != 0 || made.uid() != user {
            return Err(BindError::Unsafe {
                path: path.to_owned(),
                fault: "was made with other modes than 0600: this file system cannot hold a private socket"
                    .into(),
            });
        }
        rustix::net::listen(&socket, BACKLOG).map_err(|e| failed("listen at")(e.into()))?;
        let acceptor = UnixAcceptor::try_from(socket).map_err(failed("listen at"))?;
        Ok(Self { acceptor: acceptor.into(), bound: Some(bound) })
    }

    /// Serves a socket that is bound and listening already, and stands at `path`. Its file is not ours
    /// to remove; folder and modes must be as if it were.
    ///
    /// # Errors
    /// See [`BindError`].
    #[cfg(all(target_os = "linux", feature = "daemon"))]
    pub fn take_over(handed: super::Handed, path: &Path) -> Result<Self, BindError> {
        let failed = |what| move |source| BindError::Io { what, path: path.to_owned(), source };
        let socket = handed.socket().map_err(failed("take over the socket for"))?;
        let local = socket.local_addr().map_err(failed("take over the socket for"))?;
        let stands_at = local.as_pathname().unwrap_or(Path::new(""));
        if !listens(&socket).map_err(failed("take over the socket for"))? {
            return Err(BindError::Handed {
                stands_at: stands_at.to_owned(),
                path: path.to_owned(),
                fault: "does not listen",
            });
        }
        if !is_same_place(stands_at, path) {
            return Err(BindError::Handed {
                stands_at: stands_at.to_owned(),
                path: path.to_owned(),
                fault: "stands elsewhere",
            });
        }
        let user = rustix::process::geteuid().as_raw();
        closed_folder(path, user)?;
        let found = fs::symlink_metadata(path).map_err(failed("look at the socket"))?;
        let fault = if !found.file_type().is_socket() {
            Some("is no socket any more: start the socket unit anew".to_owned())
        } else if found.uid() != user {
            Some(format!("is a socket of user {}", found.uid()))
        } else if found.mode() & 0o077 != 0 {
            Some(format!("has mode {:04o}: the socket unit needs SocketMode=0600", found.mode() & 0o777))
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(BindError::Unsafe { path: path.to_owned(), fault });
        }
        let acceptor = UnixAcceptor::try_from(OwnedFd::from(socket)).map_err(failed("listen at"))?;
        Ok(Self { acceptor: acceptor.into(), bound: None })
    }

    /// The next connection. Dropping the future loses none.
    ///
    /// # Errors
    /// What the system says; most of it passes (too many open files).
    pub async fn accept(&self) -> io::Result<Arrival> {
        let stream = self.acceptor.accept().await?;
        let peer = peer_of(&stream);
        Ok(if is_ours(peer, rustix::process::geteuid().as_raw()) {
            Arrival::Ours(stream, peer)
        } else {
            Arrival::Foreign(peer)
        })
    }

    /// Where the socket file is that goes away with this listener; none where it was handed over.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.bound.as_ref().map(|bound| bound.path.as_path())
    }
}

/// Connects to the daemon at `path`, after looking whose folder that is and who listens there.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(path: &Path) -> Result<Stream, ConnectError> {
    let user = rustix::process::geteuid().as_raw();
    let folder = folder_of(path);
    let absent = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
    };
    let failed = |source: io::Error| {
        if absent(&source) {
            ConnectError::NotRunning { path: path.to_owned() }
        } else {
            ConnectError::Io { path: path.to_owned(), source }
        }
    };
    let found = fs::metadata(folder).map_err(failed)?;
    if found.uid() != user {
        return Err(ConnectError::Foreign {
            path: folder.to_owned(),
            fault: format!("belongs to user {}, not to you", found.uid()),
        });
    }
    let stream = dial(path).await.map_err(failed)?;
    let peer = peer_of(&stream);
    if is_ours(peer, user) {
        return Ok(stream);
    }
    let fault = match peer.uid {
        Some(uid) => format!("is served by user {uid}, not by you"),
        None => "is served by a process of an unknown user".into(),
    };
    Err(ConnectError::Foreign { path: path.to_owned(), fault })
}

/// Connects, and tries again while the daemon's queue of new connections is full: the system says
/// so at once (`EAGAIN`, connect(2)) and gives no sign when there is room.
async fn dial(path: &Path) -> io::Result<Stream> {
    let deadline = Instant::now() + CONNECT_WITHIN;
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(Connected::from(stream).into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                sleep(CONNECT_AGAIN).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn peer_of(stream: &Stream) -> Peer {
    // Whoever cannot be told is nobody, and nobody is not let in.
    stream.peer_creds().map_or(Peer { uid: None, pid: None }, |found| Peer {
        uid: found.euid(),
        pid: found.pid().and_then(|pid| u32::try_from(pid).ok()),
    })
}

/// Whether `peer` runs as `user`. The overflow id equals nobody, itself included: all users of
/// other namespaces share it.
fn is_ours(peer: Peer, user: u32) -> bool {
    user != OVERFLOW_UID && peer.uid == Some(user)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes sure that nobody but us can get at what is in the folder.
fn closed_folder(path: &Path, user: u32) -> Result<(), BindError> {
    let folder = folder_of(path);
    let failed = |what| move |source| BindError::Io { what, path: folder.to_owned(), source };
    let refused = |fault: String| {
        let fault =
            format!("{fault}, but the socket's folder must be yours and closed to others (chmod 0700)");
        Err(BindError::Unsafe { path: folder.to_owned(), fault })
    };
    if user == OVERFLOW_UID {
        return refused(format!(
            "would be served as user {OVERFLOW_UID}, which stands for every foreign user"
        ));
    }
    let found = match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(failed("make the socket's folder"))?;
            fs::symlink_metadata(folder)
        }
        found => found,
    }
    .map_err(failed("look at the socket's folder"))?;
    match fault_of(&found, user) {
        None => Ok(()),
        Some(fault) => refused(fault),
    }
}

fn fault_of(folder: &Metadata, user: u32) -> Option<String> {
    if folder.is_symlink() {
        Some("is a symbolic link".into())
    } else if !folder.is_dir() {
        Some("is no folder".into())
    } else if folder.uid() != user {
        Some(format!("belongs to user {}", folder.uid()))
    } else if folder.mode() & 0o777 != 0o700 {
        Some(format!("has mode {:04o}", folder.mode() & 0o777))
    } else {
        None
    }
}

/// Removes the socket of a daemon that died. What is no socket of ours stays.
fn remove_stale(path: &Path, user: u32) -> Result<(), BindError> {
    let failed = |what| move |source| BindError::Io { what, path: path.to_owned(), source };
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed("look at the socket"))?,
    };
    let fault = if !found.file_type().is_socket() {
        "stands where the socket should be and is no socket: it was left alone, move it away".into()
    } else if found.uid() != user {
        format!("is a socket of user {}: it was left alone", found.uid())
    } else {
        return fs::remove_file(path).map_err(failed("remove the old socket"));
    };
    Err(BindError::Unsafe { path: path.to_owned(), fault })
}

#[cfg(all(target_os = "linux", feature = "daemon"))]
fn listens(socket: &std::os::unix::net::UnixListener) -> io::Result<bool> {
    Ok(rustix::net::sockopt::socket_acceptconn(socket)?)
}

/// Whether both name the same file in the same folder, by whatever way.
#[cfg(all(target_os = "linux", feature = "daemon"))]
fn is_same_place(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| fs::canonicalize(folder_of(path)).ok();
    one == other
        || (one.file_name() == other.file_name() && folder(one).is_some() && folder(one) == folder(other))
}

#[cfg(target_os = "linux")]
fn socket() -> io::Result<OwnedFd> {
    let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

#[cfg(not(target_os = "linux"))]
fn socket() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    Ok(socket)
}

/// On Linux the file takes the mode that the socket has when it is bound (unix(7)).
#[cfg(target_os = "linux")]
fn bind_private(socket: &OwnedFd, address: &SocketAddrUnix) -> io::Result<()> {
    rustix::fs::fchmod(socket, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    Ok(rustix::net::bind(socket, address)?)
}

/// Elsewhere only the mask decides. It holds for the whole process for this moment: files that
/// others make meanwhile come out more private, never less.
#[cfg(not(target_os = "linux"))]
fn bind_private(socket: &OwnedFd, address: &SocketAddrUnix) -> io::Result<()> {
    use rustix::fs::Mode;
    let before = rustix::process::umask(Mode::XUSR | Mode::RWXG | Mode::RWXO);
    let bound = rustix::net::bind(socket, address);
    rustix::process::umask(before);
    Ok(bound?)
}

#[cfg(test)]
mod tests;
