//! Named pipes, open to their owner and the system only.
//!
//! The pipe's descriptor keeps everybody else out, on each of its instances, and the pipe takes no
//! clients of other machines. Anybody may give a pipe the name that ours should have, though, so an
//! app looks at the user behind the daemon before it writes, and the daemon at the user behind the
//! app before it reads. Windows tells that by the process: one that has gone, or that cannot be
//! looked at, is nobody.

use std::io;
use std::path::{Path, PathBuf};

use interprocess::local_socket::tokio::{Listener as Acceptor, prelude::*};
use interprocess::local_socket::{GenericFilePath, ListenerOptions};
use interprocess::os::windows::local_socket::ListenerOptionsExt as _;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use widestring::U16CString;
use winsafe::{ConvertSidToStringSid, HPROCESS, TokenInfo, co};

use super::{Arrival, BindError, ConnectError, Stream};
use crate::model::Peer;

/// How the name of a pipe of this machine begins.
const PIPE: &str = r"\\.\pipe\";

/// Accepts connections of our own user.
#[derive(Debug)]
pub struct Listener {
    acceptor: Acceptor,
    path: PathBuf,
    user: String,
}

impl Listener {
    /// Makes the pipe and listens. Only the holder of the daemon's lock may call this.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |what| move |source| BindError::Io { what, path: path.to_owned(), source };
        if !is_of_this_machine(path) {
            let fault = format!("is no pipe of this machine: it must begin with {PIPE}");
            return Err(BindError::Unsafe { path: path.to_owned(), fault });
        }
        let user = user().map_err(failed("tell whose is"))?;
        let name = path.to_fs_name::<GenericFilePath>().map_err(failed("name the pipe"))?;
        // The options are kept for every instance the listener makes; the first one must be the
        // first of all, so where somebody else has the name this fails.
        let acceptor = ListenerOptions::new()
            .name(name)
            .security_descriptor(owner_only(&user).map_err(failed("protect the pipe"))?)
            .create_tokio()
            .map_err(failed("listen at"))?;
        Ok(Self { acceptor, path: path.to_owned(), user })
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the system says.
    pub async fn accept(&self) -> io::Result<Arrival> {
        let stream = self.acceptor.accept().await?;
        let pid = pid_of(&stream);
        let peer = Peer { uid: None, pid };
        Ok(if is_of(pid, &self.user) { Arrival::Ours(stream, peer) } else { Arrival::Foreign(peer) })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

/// Connects to the daemon at `path`, after looking that the pipe is of this machine and who
/// listens there.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(path: &Path) -> Result<Stream, ConnectError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ConnectError::NotRunning { path: path.to_owned() },
        _ => ConnectError::Io { path: path.to_owned(), source },
    };
    let foreign = |fault: &str| ConnectError::Foreign { path: path.to_owned(), fault: fault.to_owned() };
    if !is_of_this_machine(path) {
        return Err(foreign("is no pipe of this machine"));
    }
    let user = user().map_err(failed)?;
    let name = path.to_fs_name::<GenericFilePath>().map_err(failed)?;
    let stream = Stream::connect(name).await.map_err(failed)?;
    if is_of(pid_of(&stream), &user) {
        return Ok(stream);
    }
    Err(foreign("is served by a process that is not yours"))
}

/// The user this process runs as, as Windows names users: by the SID, `S-1-5-21-…`.
///
/// # Errors
/// What the system says.
pub fn user() -> io::Result<String> {
    user_of(&HPROCESS::GetCurrentProcess()).map_err(as_io)
}

/// A protected descriptor (nothing is inherited): all rights to the user and to the system. The
/// default would let everybody read, and "the owner" would be all administrators where one of them
/// runs it.
fn owner_only(user: &str) -> io::Result<SecurityDescriptor> {
    let text = format!("D:P(A;;GA;;;{user})(A;;GA;;;SY)");
    SecurityDescriptor::deserialize(&U16CString::from_str(text).map_err(io::Error::other)?)
}

/// A name of the form `\\server\pipe\x` would lead to another machine.
fn is_of_this_machine(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.get(..PIPE.len()).is_some_and(|start| start.eq_ignore_ascii_case(PIPE)) && name.len() > PIPE.len()
}

fn pid_of(stream: &Stream) -> Option<u32> {
    stream.peer_creds().ok().and_then(|found| found.pid())
}

fn is_of(pid: Option<u32>, user: &str) -> bool {
    let Some(pid) = pid else { return false };
    HPROCESS::OpenProcess(co::PROCESS::QUERY_LIMITED_INFORMATION, false, pid)
        .and_then(|process| user_of(&process))
        .is_ok_and(|other| other == user)
}

fn user_of(process: &HPROCESS) -> Result<String, co::ERROR> {
    let token = process.OpenProcessToken(co::TOKEN::QUERY)?;
    match token.GetTokenInformation(co::TOKEN_INFORMATION_CLASS::User)? {
        TokenInfo::User(found) => match found.User.Sid() {
            Some(sid) => ConvertSidToStringSid(sid),
            None => Err(co::ERROR::INVALID_SID),
        },
        _ => Err(co::ERROR::INVALID_SID),
    }
}

fn as_io(error: co::ERROR) -> io::Error {
    io::Error::from_raw_os_error(error.raw().cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_request_and_its_reply_go_through_and_each_side_knows_the_other() {
        let name = format!("{PIPE}holdline-test-{}-{}", user().unwrap(), std::process::id());
        let path = Path::new(&name);
        let listener = Listener::bind(path).unwrap();
        let app = tokio::spawn({
            let path = path.to_owned();
            async move {
                let mut stream = connect(&path).await.unwrap();
                stream.write_all(b"ping").await.unwrap();
                let mut reply = [0; 4];
                stream.read_exact(&mut reply).await.unwrap();
                reply
            }
        });
        let Arrival::Ours(mut stream, peer) = listener.accept().await.unwrap() else { panic!("not ours") };
        assert_eq!(peer.pid, Some(std::process::id()));
        let mut request = [0; 4];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"ping");
        stream.write_all(b"pong").await.unwrap();
        assert_eq!(&app.await.unwrap(), b"pong");
    }

    #[tokio::test]
    async fn a_name_of_another_machine_is_neither_served_nor_connected_to() {
        for name in [r"\\server\pipe\x", r"\\.\pipe\", "x"] {
            assert!(matches!(Listener::bind(Path::new(name)), Err(BindError::Unsafe { .. })), "{name}");
            assert!(matches!(connect(Path::new(name)).await, Err(ConnectError::Foreign { .. })), "{name}");
        }
    }

    #[test]
    fn the_descriptor_names_the_user_and_the_system_and_nobody_else() {
        assert!(user().unwrap().starts_with("S-1-5-"));
        assert!(owner_only(&user().unwrap()).is_ok());
        assert!(owner_only("nonsense").is_err());
        assert!(!is_of(None, &user().unwrap()));
        assert!(!is_of(Some(std::process::id()), "S-1-5-21-1-2-3-4"));
    }
}
