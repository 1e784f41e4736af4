//! Runs the commands of rules: each with a deadline, few at a time, and nobody waits for one.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Errand;
use crate::program::{self, End};

/// Commands that run at the same time. More would compete with the session they are told of.
pub const RUNNING_MAX: usize = 4;
/// Commands that wait for their turn. Who comes then is turned away.
pub const WAITING_MAX: usize = 32;
/// What running and waiting commands may have to read, in bytes.
const INPUT_MAX: usize = 16 << 20;
/// Time a command has to tidy up when it is asked to end; then it is killed.
const TIDY: Duration = Duration::from_secs(1);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(20);
/// How long the last lines of one that has ended are waited for: what it left running may hold the
/// pipe open.
const LAST_LINES: Duration = Duration::from_millis(200);
/// Lines of each of its outputs that go to the log, and bytes of each line.
const LINES_MAX: usize = 50;
const LINE_MAX: usize = 500;

/// Longest variable of an event, in bytes. Systems refuse to start a program with very long ones.
const VARIABLE_MAX: usize = 4096;

/// What has its own use in the daemon, and is none of a command's business.
const OURS: [&str; 1] = ["CREDENTIALS_DIRECTORY"];

/// Runs commands.
#[derive(Debug)]
pub struct Runner {
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With status 0.
    Well,
    /// Otherwise, in words.
    Badly(String),
}

/// Too many run and wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl Default for Runner {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(RUNNING_MAX)),
            places: Arc::new(Semaphore::new(RUNNING_MAX + WAITING_MAX)),
            room: Arc::new(Semaphore::new(INPUT_MAX)),
            stop: CancellationToken::new(),
        }
    }
}

impl Runner {
    /// Has the errand run when it is its turn, in the order of the calls, and tells `ended` how that
    /// ended. Call it within a runtime; it returns at once.
    ///
    /// # Errors
    /// When there is no place for another one. Then `ended` is never called.
    pub fn hand_over(&self, errand: Errand, ended: impl FnOnce(Ended) + Send + 'static) -> Result<(), Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let bytes = u32::try_from(errand.input.len()).map_err(|_| Busy)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes).map_err(|_| Busy)?;
        let (turns, stop) = (Arc::clone(&self.turns), self.stop.clone());
        tokio::spawn(async move {
            // Given back together, at the end.
            let held: (OwnedSemaphorePermit, OwnedSemaphorePermit) = (place, room);
            let turn = stop.run_until_cancelled(turns.acquire()).await;
            let how = match turn {
                Some(Ok(_turn)) => carry_out(&errand, &stop).await,
                _ => Ended::Badly("was not started: the daemon ends".to_owned()),
            };
            if let Ended::Badly(why) = &how {
                let command = errand.argv.first().map_or("", String::as_str);
                tracing::warn!(command, "the command of a notification rule {why}");
            }
            // Who is told finds the place free.
            drop(held);
            ended(how);
        });
        Ok(())
    }

    /// Ends all that run and wait, and comes back when they have ended: `TIDY` at most.
    pub async fn close(&self) {
        self.stop.cancel();
        // Whoever holds a place gives it back at the end.
        let all = RUNNING_MAX + WAITING_MAX;
        let _ = self.places.acquire_many(u32::try_from(all).unwrap_or(u32::MAX)).await;
        self.places.close();
    }
}

async fn carry_out(errand: &Errand, stop: &CancellationToken) -> Ended {
    let Some(mut command) = program::command(&errand.argv) else {
        return Ended::Badly("names no program".to_owned());
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in OURS {
        command.env_remove(variable);
    }
    command.envs(variables(&errand.input));
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ended::Badly(format!("cannot be started: {error}")),
    };
    let name = errand.argv.first().map_or("", String::as_str);
    let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let talk = async {
        tokio::join!(write(input, &errand.input), log(out, name, "output"), log(err, name, "error output"));
    };
    tokio::pin!(talk);
    let running = async {
        let status = tokio::select! {
            status = child.wait() => status,
            () = &mut talk => return child.wait().await,
        };
        // Who left something running does not wait for it.
        let _ = timeout(LAST_LINES, talk).await;
        status
    };
    let broken_off = tokio::select! {
        status = running => return verdict(status),
        () = sleep(errand.timeout) => format!("did not end within {} s and was ended", errand.timeout.as_secs_f64()),
        () = stop.cancelled() => "was ended with the daemon".to_owned(),
    };
    end(&mut child).await;
    Ended::Badly(broken_off)
}

/// What a script most often asks of an event, so that it needs no JSON for it.
#[derive(serde::Deserialize)]
struct Facts {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    seq: Option<u64>,
}

/// `HOLDLINE_TYPE`, `HOLDLINE_ID` and `HOLDLINE_SEQ`, as far as the event has them and a variable can
/// hold them.
fn variables(event: &str) -> Vec<(&'static str, String)> {
    let Ok(Facts { kind, id, seq }) = serde_json::from_str(event) else { return Vec::new() };
    let seq = seq.map(|seq| seq.to_string());
    let all = [("HOLDLINE_TYPE", kind), ("HOLDLINE_ID", id), ("HOLDLINE_SEQ", seq)];
    let known = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known.filter(|(_, value)| value.len() <= VARIABLE_MAX && !value.contains('\0')).collect()
}

fn verdict(status: std::io::Result<ExitStatus>) -> Ended {
    match status {
        Ok(status) if status.success() => Ended::Well,
        Ok(status) => Ended::Badly(format!("failed: {status}")),
        Err(error) => Ended::Badly(format!("could not be waited for: {error}")),
    }
}

/// Ends it with all it has started.
async fn end(child: &mut Child) {
    program::end(child, End::Soon);
    let tidied = async {
        while !program::has_ended(child) {
            sleep(LOOK).await;
        }
    };
    let _ = timeout(TIDY, tidied).await;
    // Those it has started too: its group is there until it is waited for.
    program::end(child, End::Now);
    // It has been killed: this does not take long.
    let _ = child.wait().await;
}

async fn write(input: Option<ChildStdin>, text: &str) {
    if let Some(mut input) = input {
        // Who does not care for the event closes it, or ends.
        let _ = input.write_all(text.as_bytes()).await;
    }
}

/// Passes what it prints on to the log, line by line: the first lines, and how many more there were.
async fn log(from: Option<impl AsyncRead + Unpin>, command: &str, what: &'static str) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 4096];
    let (mut line, mut lines) = (Vec::new(), 0_usize);
    let mut told = |line: &mut Vec<u8>| {
        if lines < LINES_MAX {
            tracing::info!(command, "{what}: {}", String::from_utf8_lossy(line).trim_end());
        }
        lines += 1;
        line.clear();
    };
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                told(&mut line);
            }
        }
    }
    if !line.is_empty() {
        told(&mut line);
    }
    if let Some(more @ 1..) = lines.checked_sub(LINES_MAX) {
        tracing::info!(command, "{what}: {more} more lines are left out");
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests;
