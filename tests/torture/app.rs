//! An app as somebody else would write it: a plain socket, lines of JSON, nothing of the library.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take before the app gives the connection up and makes a new one.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection to the daemon.
#[derive(Debug)]
pub(crate) struct App {
    read: BufReader<UnixStream>,
    write: UnixStream,
}

impl App {
    /// Connects, if the daemon is there.
    pub(crate) fn connect(socket: &Path) -> std::io::Result<Self> {
        let write = UnixStream::connect(socket)?;
        write.set_read_timeout(Some(PATIENCE))?;
        write.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { read: BufReader::with_capacity(1 << 16, write.try_clone()?), write })
    }

    /// Writes lines as they are.
    pub(crate) fn write(&mut self, lines: &str) -> std::io::Result<()> {
        self.write.write_all(lines.as_bytes())
    }

    /// The next line, as JSON. An error where the connection has ended.
    pub(crate) fn read(&mut self) -> std::io::Result<Value> {
        let mut line = String::new();
        if self.read.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&line).map_err(|error| std::io::Error::other(format!("{error}: {line}")))
    }

    /// One call and its answer; notifications that come before it are dropped.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> std::io::Result<Value> {
        self.write(&format!(
            "{}\n",
            serde_json::json!({"jsonrpc":"2.0","id":0,"method":method,"params":params})
        ))?;
        loop {
            let line = self.read()?;
            if line.get("id") == Some(&Value::from(0)) {
                return Ok(line);
            }
        }
    }
}
