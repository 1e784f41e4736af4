//! What the Secret Service says by itself: an entry was written, a keyring was locked or unlocked, a
//! service came or went. Nothing is asked in turns; a signal is the reason to look.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{StreamExt as _, select};
use tokio::time::{sleep, timeout};
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream};

use super::{DEADLINE, Entry, Known, Task, read};

const NAME: &str = "org.freedesktop.secrets";
/// How long the keyring must be quiet before it is looked at: unlocking one says a lot.
const SETTLE: Duration = Duration::from_millis(50);
/// Signals that are waited out at most, so that a busy keyring cannot put the look off for ever.
const SIGNALS: usize = 200;
/// Pause after a look: other programs' entries change, too, and each look costs both sides.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens for as long as what it gives is kept.
pub(super) fn listen(entry: Entry, known: Arc<Known>) -> Task {
    Task::run(async move {
        loop {
            // Whatever ends it, the bus or a lack of one: a reading that gets an answer shows that
            // there is a bus again.
            if let Ok(bus) = timeout(DEADLINE, Connection::session()).await
                && let Ok(bus) = bus
            {
                follow(&bus, &entry, &known).await;
            }
            known.answered.notified().await;
        }
    })
}

/// Returns when the bus is gone.
async fn follow(bus: &Connection, entry: &Entry, known: &Known) {
    let Ok(Ok((mut signals, names))) = timeout(DEADLINE, subscribe(bus)).await else { return };
    // What became of it between the first reading and now is in no signal.
    if known.has_seen() {
        look(&names, entry, known).await;
    }
    while signals.next().await.is_some_and(|signal| signal.is_ok()) {
        for _ in 0..SIGNALS {
            if !matches!(timeout(SETTLE, signals.next()).await, Ok(Some(_))) {
                break;
            }
        }
        look(&names, entry, known).await;
        sleep(PAUSE).await;
    }
}

type Signals = futures_util::stream::Select<MessageStream, MessageStream>;

async fn subscribe(bus: &Connection) -> zbus::Result<(Signals, zbus::fdo::DBusProxy<'static>)> {
    let of_service = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(NAME)?
        .path_namespace("/org/freedesktop/secrets")?
        .build();
    let of_name = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")?
        .interface("org.freedesktop.DBus")?
        .member("NameOwnerChanged")?
        .arg(0, NAME)?
        .build();
    let of_service = MessageStream::for_match_rule(of_service, bus, Some(SIGNALS)).await?;
    let of_name = MessageStream::for_match_rule(of_name, bus, None).await?;
    Ok((select(of_service, of_name), zbus::fdo::DBusProxy::new(bus).await?))
}

/// Looks, and so finds out whether it is another one. Starts no service: one that has just been
/// ended, at log-out say, would be brought back.
async fn look(names: &zbus::fdo::DBusProxy<'_>, entry: &Entry, known: &Known) {
    let Ok(name) = NAME.try_into() else { return };
    match timeout(DEADLINE, names.name_has_owner(name)).await {
        Ok(Ok(true)) => {
            // The trouble is told to whoever needs the secret.
            let _ = read(entry, known).await;
        }
        Ok(Ok(false)) => {
            known.lost();
        }
        Ok(Err(_)) | Err(_) => {}
    }
}
