//! An entry of the Secret Service (`org.freedesktop.secrets`), which GNOME Keyring, KWallet and
//! KeePassXC speak.
//!
//! Each reading has a connection of its own, which ends with it: the session that the secret is
//! encrypted for would stay with the service otherwise.

use std::collections::HashMap;
use std::time::Duration;

use secret_service::{EncryptionType, Error, Item, SecretService};
use tokio::time::timeout;
use zbus::Connection;

use super::{Entry, Trouble, taken};
use crate::model::Secret;

/// Entries of the same name that are looked at for the newest.
const ALIKE_MAX: usize = 16;

/// How to store the entry, which is also how to correct it.
pub(super) fn how_to_store(entry: &Entry) -> String {
    let Entry { service, user } = entry;
    format!(
        "store it: secret-tool store --label={} service {} username {}; it is picked up at once",
        quoted(&format!("{service} {user}")),
        quoted(service),
        quoted(user)
    )
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Reads it. Nothing of this asks the person anything.
pub(super) async fn read(entry: &Entry, deadline: Duration) -> Result<Secret, Trouble> {
    // Whoever was asked last is the one that does not answer.
    let mut asked = Trouble::BusSilent;
    let reading = async {
        let bus = Connection::session().await.map_err(|error| Trouble::NoBus(words(&error)))?;
        asked = Trouble::Silent;
        let service = SecretService::connect_with_existing(EncryptionType::Dh, bus).await;
        find(&service.map_err(trouble)?, entry).await
    };
    match timeout(deadline, reading).await {
        Ok(read) => read,
        Err(_elapsed) => Err(asked),
    }
}

/// The attributes that `secret-tool` is given, and that keyring libraries write.
pub(super) fn attributes(entry: &Entry) -> HashMap<&str, &str> {
    HashMap::from([("service", entry.service.as_str()), ("username", entry.user.as_str())])
}

async fn find(service: &SecretService<'_>, entry: &Entry) -> Result<Secret, Trouble> {
    let found = service.search_items(attributes(entry)).await.map_err(trouble)?;
    if let Some(item) = newest(&found.unlocked).await? {
        return taken(item.get_secret().await.map_err(trouble)?);
    }
    if !found.locked.is_empty() {
        return Err(Trouble::Locked { found: true });
    }
    // Some services show nothing of a locked keyring, not even what is in it.
    let locked = match service.get_default_collection().await {
        Ok(collection) => collection.is_locked().await.unwrap_or(false),
        Err(_) => false,
    };
    Err(if locked { Trouble::Locked { found: false } } else { Trouble::Missing })
}

/// Programs may have stored several alike; the one written last counts.
async fn newest<'i, 'a>(items: &'i [Item<'a>]) -> Result<Option<&'i Item<'a>>, Trouble> {
    if let [only] = items {
        return Ok(Some(only));
    }
    let mut newest = None;
    for item in items.iter().take(ALIKE_MAX) {
        let modified = item.get_modified().await.map_err(trouble)?;
        if newest.is_none_or(|(at, _)| at < modified) {
            newest = Some((modified, item));
        }
    }
    Ok(newest.map(|(_, item)| item))
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the crates' errors are many, and grow")]
fn trouble(error: Error) -> Trouble {
    match error {
        Error::Unavailable => Trouble::NoService,
        Error::Locked => Trouble::Locked { found: true },
        Error::NoResult => Trouble::Missing,
        Error::Zbus(error) => of_bus(error),
        Error::ZbusFdo(error) => of_bus(error.into()),
        error => Trouble::failed(error),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the crates' errors are many, and grow")]
fn of_bus(error: zbus::Error) -> Trouble {
    use zbus::fdo;
    let name = match &error {
        zbus::Error::MethodError(name, ..) => name.as_str(),
        zbus::Error::FDO(fdo) => match &**fdo {
            fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) => return Trouble::NoService,
            _ => return Trouble::failed(words(&error)),
        },
        _ => return Trouble::failed(words(&error)),
    };
    match name {
        "org.freedesktop.Secret.Error.IsLocked" => Trouble::Locked { found: true },
        "org.freedesktop.Secret.Error.NoSuchObject" => Trouble::Missing,
        // Nothing is there, and what could be started does not come up.
        "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner" => {
            Trouble::NoService
        }
        name if name.starts_with("org.freedesktop.DBus.Error.Spawn.") => Trouble::NoService,
        "org.freedesktop.DBus.Error.NoReply" | "org.freedesktop.DBus.Error.TimedOut" => Trouble::Silent,
        _ => Trouble::failed(words(&error)),
    }
}

/// What a bus says, without the crate's way of saying so.
#[allow(clippy::wildcard_enum_match_arm, reason = "the crates' errors are many, and grow")]
fn words(error: &zbus::Error) -> String {
    match error {
        zbus::Error::InputOutput(error) => error.to_string(),
        zbus::Error::MethodError(name, Some(words), _) => format!("{name}: {words}"),
        zbus::Error::MethodError(name, None, _) => name.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_stores_an_entry_can_be_pasted_into_a_shell() {
        let entry = Entry { service: "the api".into(), user: "o'kim".into() };
        assert_eq!(
            how_to_store(&entry),
            r"store it: secret-tool store --label='the api o'\''kim' service 'the api' username 'o'\''kim'; it is picked up at once"
        );
        let entry = Entry { service: "api.example.com".into(), user: "kim@example".into() };
        assert!(how_to_store(&entry).contains("service api.example.com username kim@example;"));
    }
}
