//! An entry of the system's own keyring: the login Keychain of macOS, the Credential Manager of
//! Windows. Both are asked by calls that block, on macOS until a person has answered a question.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(target_os = "macos")]
use apple_native_keyring_store::keychain::Store;
use keyring_core::Error;
use keyring_core::api::CredentialStoreApi as _;
use tokio::sync::oneshot;
use tokio::time::timeout;
#[cfg(windows)]
use windows_native_keyring_store::Store;

use super::{Entry, Trouble, taken};
use crate::model::Secret;

/// Whether a question is open. A call that hangs cannot be taken back, so there is one thread for
/// them at most.
static OPEN: AtomicBool = AtomicBool::new(false);

/// How to store the entry.
pub(super) fn how_to_store(entry: &Entry) -> String {
    let Entry { service, user } = entry;
    if cfg!(windows) {
        format!("store it: cmdkey /generic:{user}.{service} /user:{user} /pass")
    } else {
        format!("store it: security add-generic-password -s '{service}' -a '{user}' -w")
    }
}

/// Reads it.
pub(super) async fn read(entry: &Entry, deadline: Duration) -> Result<Secret, Trouble> {
    if OPEN.swap(true, Ordering::AcqRel) {
        return Err(Trouble::Busy);
    }
    let (answer, answered) = oneshot::channel();
    let asked = entry.clone();
    // Not a thread of the runtime: its end waits for those.
    let asking = std::thread::Builder::new().name("keyring".to_owned()).spawn(move || {
        let read = ask(&asked);
        OPEN.store(false, Ordering::Release);
        // Nobody waits for it any more, perhaps.
        let _ = answer.send(read);
    });
    if let Err(error) = asking {
        OPEN.store(false, Ordering::Release);
        return Err(Trouble::failed(error));
    }
    match timeout(deadline, answered).await {
        Ok(Ok(read)) => read,
        // The thread ended without an answer.
        Ok(Err(_)) => {
            OPEN.store(false, Ordering::Release);
            Err(Trouble::failed("the question was given up"))
        }
        Err(_elapsed) => Err(Trouble::Silent),
    }
}

fn ask(entry: &Entry) -> Result<Secret, Trouble> {
    let store = Store::new().map_err(trouble)?;
    let credential = store.build(&entry.service, &entry.user, None).map_err(trouble)?;
    // As a text: Windows keeps texts in its own encoding.
    credential.get_password().map_err(trouble).and_then(|text| taken(text.into_bytes()))
}

fn trouble(error: Error) -> Trouble {
    match error {
        Error::NoEntry => Trouble::Missing,
        Error::NoStorageAccess(_) => Trouble::Locked { found: false },
        Error::BadEncoding(bytes) => taken(bytes).err().unwrap_or(Trouble::Unusable("is not UTF-8 text")),
        Error::BadDataFormat(mut bytes, _) => {
            zeroize::Zeroize::zeroize(&mut bytes);
            Trouble::Unusable("is not UTF-8 text")
        }
        error => Trouble::failed(error),
    }
}
