//! Notices that a file has changed, however it was changed: written, replaced by renaming,
//! linked elsewhere, made readable.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long the folder must be quiet before a change counts: writing takes several steps.
const SETTLE: Duration = Duration::from_millis(50);
/// Steps of one change that are waited for at most, so that a busy folder cannot hold it back.
const STEPS: usize = 40;

/// Watches one file, or has a task that listens, or nothing. Dropped, it stops.
pub(super) struct Watch {
    changes: watch::Sender<u64>,
    /// Kept for what their drop does.
    _watcher: Option<RecommendedWatcher>,
    _task: Option<Task>,
}

/// Ends with its handle.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Task {
    #[cfg_attr(
        not(all(target_os = "linux", feature = "keyring")),
        allow(dead_code, reason = "only the Secret Service has signals")
    )]
    pub(super) fn run(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    /// Never tells anything.
    pub(super) fn nothing() -> Self {
        Self { changes: watch::Sender::new(0), _watcher: None, _task: None }
    }

    /// Hands on what raises this counter: the task, or who looks at the source.
    pub(super) fn told_by(changes: watch::Sender<u64>, task: Option<Task>) -> Self {
        Self { changes, _watcher: None, _task: task }
    }

    /// Watches `path`, which need not exist, by its folder, which must.
    pub(super) fn on(path: &Path) -> Self {
        let changes = watch::Sender::new(0);
        match watch_folders(path) {
            Ok((watcher, stirred)) => {
                tokio::spawn(tell_changes(path.to_owned(), Look::at(path), stirred, changes.clone()));
                Self { changes, _watcher: Some(watcher), _task: None }
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the token file cannot be watched: a change is noticed at the next attempt only");
                Self { changes, _watcher: None, _task: None }
            }
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watches = self._watcher.is_some() || self._task.is_some();
        f.debug_struct("Watch").field("watches", &watches).finish_non_exhaustive()
    }
}

/// Watching the file itself would lose it at the first rename over it. Behind a link, both the
/// link's folder and the file's can bring a change.
fn watch_folders(path: &Path) -> notify::Result<(RecommendedWatcher, mpsc::Receiver<()>)> {
    // One note is enough however much happens.
    let (stir, stirred) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is no change.
        if !event
            .is_ok_and(|event| matches!(event.kind, EventKind::Access(access) if !is_end_of_writing(access)))
        {
            let _ = stir.try_send(());
        }
    })?;
    watcher.watch(folder_of(path), RecursiveMode::NonRecursive)?;
    if let Ok(real) = path.canonicalize()
        && folder_of(&real) != folder_of(path)
    {
        watcher.watch(folder_of(&real), RecursiveMode::NonRecursive)?;
    }
    Ok((watcher, stirred))
}

fn is_end_of_writing(access: notify::event::AccessKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    access == AccessKind::Close(AccessMode::Write)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Ends when the watcher, which holds the other end, is gone.
async fn tell_changes(
    path: PathBuf,
    mut known: Look,
    mut stirred: mpsc::Receiver<()>,
    changes: watch::Sender<u64>,
) {
    while stirred.recv().await.is_some() {
        for _ in 0..STEPS {
            match timeout(SETTLE, stirred.recv()).await {
                Ok(Some(())) => {}
                Ok(None) | Err(_) => break,
            }
        }
        let now = Look::at(&path);
        if now != known {
            known = now;
            changes.send_modify(|count| *count += 1);
        }
    }
}

/// What a file looks like from outside; none where it is not there.
#[derive(PartialEq, Eq)]
struct Look(Option<Traits>);

#[cfg(unix)]
type Traits = (u64, u64, u64, u32, i64, i64, i64, i64);
#[cfg(not(unix))]
type Traits = (u64, Option<std::time::SystemTime>);

impl Look {
    #[cfg(unix)]
    fn at(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self(path.metadata().ok().map(|m| {
            (m.dev(), m.ino(), m.size(), m.mode(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec())
        }))
    }

    #[cfg(not(unix))]
    fn at(path: &Path) -> Self {
        Self(path.metadata().ok().map(|m| (m.len(), m.modified().ok())))
    }
}
