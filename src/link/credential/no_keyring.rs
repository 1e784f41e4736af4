//! A build without keyrings, or for a system that has none we know: the configuration refuses them,
//! so nobody gets here.

use tokio::sync::watch;

use super::KeyringEntry as Entry;
use super::watch::Task;
use crate::model::{CredentialFault, Secret};

#[derive(Debug, Default)]
pub(super) struct Keyring;

impl Keyring {
    pub(super) fn changes(&self) -> watch::Sender<u64> {
        watch::Sender::new(0)
    }

    pub(super) const fn listen(&self, _: &Entry) -> Option<Task> {
        None
    }

    pub(super) fn read(&self, entry: &Entry) -> std::future::Ready<Result<Secret, CredentialFault>> {
        std::future::ready(Err(CredentialFault {
            text: format!("the keyring entry {entry} cannot be read: this build has no keyring"),
            hint: "use auth.token_command with the keyring's own program, or auth.token_file".into(),
        }))
    }
}
