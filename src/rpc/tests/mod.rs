//! The room as an app sees it, over a stream in memory.

mod cursors;
mod hostile;
mod memory;
mod order;
mod slow;
mod subscriptions;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Limits, Shared, connection};
use crate::model::Peer;
use crate::{model, rpc};
use memory::Memory;

/// Longer than anything takes here, so that a test that waits in vain ends.
const SOON: Duration = Duration::from_secs(20);

/// A house with a backend in memory.
struct House {
    memory: Arc<Memory>,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
}

impl House {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let memory = Memory::new();
        let shared = Shared::new(Arc::clone(&memory) as Arc<dyn rpc::Backend>, limits);
        Self { memory, shared, shutdown: CancellationToken::new() }
    }

    /// An app whose socket holds so many bytes each way.
    fn app_with_room(&self, room: usize) -> App {
        let (near, far) = tokio::io::duplex(room);
        let peer = Peer { uid: Some(1000), pid: Some(7) };
        let served =
            tokio::spawn(connection::serve(far, peer, Arc::clone(&self.shared), self.shutdown.clone()));
        App { stream: near, read: Vec::new(), served }
    }

    fn app(&self) -> App {
        self.app_with_room(1024 * 1024)
    }
}

/// An app that writes and reads lines.
struct App {
    stream: DuplexStream,
    read: Vec<u8>,
    served: JoinHandle<()>,
}

impl App {
    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(SOON, self.stream.write_all(bytes.as_ref())).await.expect("the daemon reads").unwrap();
    }

    async fn line(&mut self, line: &str) {
        self.write(format!("{line}\n")).await;
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let read = self.stream.read_buf(&mut self.read);
            if timeout(SOON, read).await.expect("the daemon says something").unwrap_or(0) == 0 {
                assert!(self.read.is_empty(), "half a line at the end: {:?}", self.read);
                return None;
            }
        }
    }

    async fn reply(&mut self, line: &str) -> Value {
        self.line(line).await;
        self.next().await.expect("an answer")
    }

    async fn call(&mut self, method: &str, params: &str) -> Value {
        self.reply(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)).await
    }

    /// The next line must be this notification; its parameters.
    async fn told(&mut self, method: &str) -> Value {
        let told = self.next().await.expect("a notification");
        assert_eq!(told["method"], method, "{told}");
        told["params"].clone()
    }

    /// Nothing of the daemon is left to say now.
    async fn quiet(&mut self) {
        let id = r#"{"jsonrpc":"2.0","id":"quiet","method":"status"}"#;
        let said = self.reply(id).await;
        assert_eq!(said["id"], "quiet", "{said}");
    }

    /// The daemon's side ends.
    async fn gone(self) {
        drop(self.stream);
        timeout(SOON, self.served).await.expect("the connection's tasks end").unwrap();
    }
}

/// Waits until `what` holds.
async fn until(what: impl Fn() -> bool) {
    timeout(SOON, async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it comes to hold");
}

fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}
