//! The local interface as it is promised: the registry of methods, the OpenRPC document, the
//! documentation and what really goes over the socket say the same.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../src/rpc/tests/memory.rs"]
#[allow(dead_code, reason = "shared with the room's own tests, which use all of it")]
mod memory;

#[path = "contract/client.rs"]
mod client;
#[path = "contract/document.rs"]
mod document;
#[path = "contract/samples.rs"]
mod samples;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use holdline::{ipc, model, rpc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use memory::Memory;

/// A daemon's door with nothing behind it but memory.
struct Door {
    memory: Arc<Memory>,
    path: PathBuf,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Door {
    fn open(limits: rpc::Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = folder.path().join("d.sock");
        let listener = ipc::Listener::bind(&path).unwrap();
        let (memory, shutdown) = (Memory::new(), CancellationToken::new());
        let backend = Arc::clone(&memory) as Arc<dyn rpc::Backend>;
        let served = tokio::spawn(rpc::serve(listener, backend, limits, shutdown.clone()));
        Self { memory, path, shutdown, served, _folder: folder }
    }
}
