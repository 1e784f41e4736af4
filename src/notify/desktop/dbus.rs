//! The notification service on the session bus, over one connection that is made when it is needed.
//!
//! A daemon may start before its desktop does and outlive it: each notification looks anew who shows
//! them now, and a connection that has died is replaced. Whoever waits for an answer owns the
//! connection meanwhile; where the waiting is given up, the connection goes with it, so that one
//! service that hangs leaves nothing behind. An idle connection wakes nobody.

use std::collections::{HashMap, VecDeque};
use std::env;
use std::os::unix::ffi::OsStrExt as _;

use async_trait::async_trait;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use zbus::address::transport::UnixSocket;
use zbus::address::{Address, Transport};
use zbus::connection::Builder;
use zbus::zvariant::{DynamicType, Value};
use zbus::{Connection, Message};

use super::plain;
use crate::notify::{Notice, Screen, Trouble, Urgency};

/// The service, its object and its interface.
const SERVICE: &str = "org.freedesktop.Notifications";
const OBJECT: &str = "/org/freedesktop/Notifications";
/// The bus itself.
const BUS: &str = "org.freedesktop.DBus";
const BUS_OBJECT: &str = "/org/freedesktop/DBus";

/// Under this name a service shows us, and finds our icon where there is one.
const NAME: &str = "holdline";
/// The service decides how long one stays.
const AS_THE_SERVICE_LIKES: i32 = -1;
/// How many shown notifications can still be replaced.
const REPLACEABLE: usize = 256;

/// The session bus.
#[derive(Debug, Default)]
pub(super) struct Desktop {
    /// One at a time: the service shows them in order.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    line: Option<Line>,
    shown: Shown,
}

/// A connection, and who was found at its other end.
#[derive(Debug)]
struct Line {
    connection: Connection,
    service: Service,
}

/// Who shows notifications.
#[derive(Debug, Default)]
struct Service {
    /// Its own name on this bus; another one, or the same started again, has another.
    owner: String,
    /// For people.
    name: String,
    /// Whether it reads the body as markup.
    markup: bool,
}

/// What a service has shown of us. Its numbers mean something else to another one, so we give numbers
/// of our own, no two the same.
#[derive(Debug, Default)]
struct Shown {
    bus: String,
    owner: String,
    /// Ours and the service's.
    numbers: VecDeque<(u32, u32)>,
    last: u32,
}

#[async_trait]
impl Screen for Desktop {
    async fn show(&self, notice: &Notice) -> Result<u32, Trouble> {
        let mut state = self.state.lock().await;
        let line = state.reach().await?;
        let answer = line.notify(notice, &mut state.shown).await;
        if !answer.as_ref().is_err_and(is_lost) {
            state.line = Some(line);
        }
        answer.map_err(|error| {
            let trouble = trouble(&error);
            tracing::debug!("not shown: {trouble}");
            trouble
        })
    }

    async fn identify(&self) -> Result<String, Trouble> {
        let mut state = self.state.lock().await;
        let line = state.reach().await?;
        let name = line.service.name.clone();
        state.line = Some(line);
        Ok(name)
    }
}

impl State {
    /// A connection on which somebody shows notifications now. It is handed over: see above.
    async fn reach(&mut self) -> Result<Line, Trouble> {
        if let Some(mut line) = self.line.take() {
            match line.look().await {
                Ok(()) => return Ok(line),
                // The bus has ended. There may be another one by now.
                Err(error) if is_lost(&error) => tracing::debug!("the session bus has gone"),
                Err(error) => {
                    self.line = Some(line);
                    return Err(trouble(&error));
                }
            }
        }
        let mut line = Line { connection: connect().await?, service: Service::default() };
        match line.look().await {
            Ok(()) => Ok(line),
            Err(error) => {
                // The next notification asks the same bus again.
                self.line = Some(line).filter(|_| !is_lost(&error));
                Err(trouble(&error))
            }
        }
    }
}

impl Line {
    /// Looks who shows notifications now, and what they can do.
    async fn look(&mut self) -> zbus::Result<()> {
        let owner = match self.owner().await {
            // Many are started when they are first needed.
            Err(error) if is_named(&error, "NameHasNoOwner") => {
                self.service = Service::default();
                self.call_bus("StartServiceByName", &(SERVICE, 0_u32)).await?;
                self.owner().await?
            }
            other => other?,
        };
        if owner == self.service.owner {
            return Ok(());
        }
        let reply = self.call(&owner, "GetServerInformation", &()).await?;
        let body = reply.body();
        let (name, _vendor, version, _): (&str, &str, &str, &str) = body.deserialize()?;
        let name = plain(&format!("{name} {version}"));
        let reply = self.call(&owner, "GetCapabilities", &()).await?;
        let body = reply.body();
        let abilities: Vec<&str> = body.deserialize()?;
        let markup = abilities.contains(&"body-markup");
        tracing::debug!(service = name, markup, "notifications are shown by another service");
        self.service = Service { owner, name, markup };
        Ok(())
    }

    async fn owner(&self) -> zbus::Result<String> {
        self.call_bus("GetNameOwner", &SERVICE).await?.body().deserialize()
    }

    async fn notify(&self, notice: &Notice, shown: &mut Shown) -> zbus::Result<u32> {
        shown.are_of(self.connection.server_guid().as_str(), &self.service.owner);
        let replaces = notice.replaces.and_then(|ours| shown.theirs(ours)).unwrap_or(0);
        let mut hints = HashMap::from([
            ("urgency", Value::U8(urgency(notice.urgency))),
            ("desktop-entry", Value::from(NAME)),
        ]);
        if let Some(sound) = &notice.sound {
            hints.insert("sound-name", Value::from(sound.as_str()));
        }
        let body = if self.service.markup { escaped(&notice.body) } else { notice.body.clone() };
        let (icon, actions): (&str, &[&str]) = ("", &[]);
        let wish = (NAME, replaces, icon, notice.title.as_str(), body, actions, hints, AS_THE_SERVICE_LIKES);
        let reply = self.call(&self.service.owner, "Notify", &wish).await?;
        Ok(shown.add(reply.body().deserialize()?))
    }

    async fn call(
        &self,
        owner: &str,
        method: &'static str,
        body: &(impl serde::Serialize + DynamicType + Sync),
    ) -> zbus::Result<Message> {
        self.connection.call_method(Some(owner), OBJECT, Some(SERVICE), method, body).await
    }

    async fn call_bus(
        &self,
        method: &'static str,
        body: &(impl serde::Serialize + DynamicType + Sync),
    ) -> zbus::Result<Message> {
        self.connection.call_method(Some(BUS), BUS_OBJECT, Some(BUS), method, body).await
    }
}

impl Shown {
    /// Forgets the numbers of another service.
    fn are_of(&mut self, bus: &str, owner: &str) {
        if self.bus != bus || self.owner != owner {
            let last = self.last;
            *self = Self { bus: bus.to_owned(), owner: owner.to_owned(), numbers: VecDeque::new(), last };
        }
    }

    fn theirs(&self, ours: u32) -> Option<u32> {
        self.numbers.iter().find(|(known, _)| *known == ours).map(|(_, theirs)| *theirs)
    }

    /// Ours for one of the service's.
    fn add(&mut self, theirs: u32) -> u32 {
        if let Some((ours, _)) = self.numbers.iter().find(|(_, known)| *known == theirs) {
            return *ours;
        }
        if self.numbers.len() == REPLACEABLE {
            self.numbers.pop_front();
        }
        self.last = self.last.wrapping_add(1);
        self.numbers.push_back((self.last, theirs));
        self.last
    }
}

/// Connects to the session bus, wherever it is now.
async fn connect() -> Result<Connection, Trouble> {
    let mut failed = None;
    for address in addresses() {
        match connect_to(&address).await {
            Ok(connection) => return Ok(connection),
            // The first one is the one that people would look at.
            Err(error) => failed = failed.or(Some(format!("{}: {}", plain(&address), reason(&error)))),
        }
    }
    Err(Trouble::Absent(format!(
        "the session bus cannot be reached at {}",
        failed.unwrap_or_else(|| "any address".to_owned())
    )))
}

/// Where it may be: where the environment says, which was written when we started, and where one
/// that has come since then would be.
fn addresses() -> Vec<String> {
    let said = env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    let mut addresses: Vec<String> =
        said.split(';').filter(|address| !address.is_empty()).map(str::to_owned).collect();
    let usual = match env::var("XDG_RUNTIME_DIR") {
        Ok(folder) if !folder.is_empty() => Some(format!("unix:path={folder}/bus")),
        // It knows the folder of our user.
        _ if said.is_empty() => Address::session().ok().map(|address| address.to_string()),
        _ => None,
    };
    addresses.extend(usual.filter(|usual| !said.split(';').any(|said| said == usual)));
    addresses
}

async fn connect_to(address: &str) -> zbus::Result<Connection> {
    let address: Address = address.parse()?;
    let stream =
        if let Transport::Unix(unix) = address.transport() { open(unix.path()).await? } else { None };
    match stream {
        Some(stream) => Builder::unix_stream(stream),
        None => Builder::address(address)?,
    }
    .build()
    .await
}

/// Opens the socket without a thread: zbus would lend one that waits for as long as the bus is stopped.
async fn open(socket: &UnixSocket) -> std::io::Result<Option<UnixStream>> {
    let path = if let UnixSocket::File(path) = socket {
        path.as_os_str().as_bytes().to_vec()
    } else if let UnixSocket::Abstract(name) = socket {
        [b"\0", name.as_bytes()].concat()
    } else {
        return Ok(None);
    };
    UnixStream::connect(std::ffi::OsStr::from_bytes(&path)).await.map(Some)
}

/// What stands between tags is shown as it is.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}

const fn urgency(urgency: Urgency) -> u8 {
    match urgency {
        Urgency::Low => 0,
        Urgency::Normal => 1,
        Urgency::Critical => 2,
    }
}

/// Whether the connection is of no use any more.
fn is_lost(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::InputOutput(_) | zbus::Error::Connection(..) | zbus::Error::Handshake(_))
}

/// Whether the bus answered with this error of its own.
fn is_named(error: &zbus::Error, name: &str) -> bool {
    bus_error(error).is_some_and(|(found, _)| found == name)
}

/// The name of an error of the bus, without what all of them begin with, and its text.
fn bus_error(error: &zbus::Error) -> Option<(&str, &str)> {
    let zbus::Error::MethodError(name, text, _) = error else { return None };
    let name = name.as_str().strip_prefix("org.freedesktop.DBus.Error.")?;
    Some((name, text.as_deref().unwrap_or_default()))
}

fn trouble(error: &zbus::Error) -> Trouble {
    match bus_error(error) {
        Some(("ServiceUnknown" | "NameHasNoOwner", _)) => {
            Trouble::Absent("nobody on the session bus shows notifications".to_owned())
        }
        Some((name, text)) if name.starts_with("Spawn.") => {
            Trouble::Absent(format!("its program cannot be started: {}", plain(text)))
        }
        Some(("NoReply" | "Disconnected", _)) => Trouble::Failed("it ended before it answered".to_owned()),
        _ if is_lost(error) => Trouble::Absent(format!("the session bus has gone: {}", reason(error))),
        _ => Trouble::Failed(reason(error)),
    }
}

/// Why, without what a service may have quoted of the notification.
fn reason(error: &zbus::Error) -> String {
    if let zbus::Error::MethodError(name, ..) = error {
        return plain(name.as_str());
    }
    if let zbus::Error::InputOutput(error) | zbus::Error::Connection(error, _) = error {
        return plain(&error.to_string());
    }
    plain(&error.to_string())
}
