//! The file of a recording, written while it grows: who kills the program has what came before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::dialect::record::{Growth, Recorder};

/// Why the writer looks for more.
#[derive(Debug)]
pub(super) enum Wake {
    /// There may be more.
    Grown,
    /// There will be no more.
    End,
}

/// What wakes the writer: the way for its end, and the wakes.
pub(super) type Wakes = (SyncSender<Wake>, Receiver<Wake>);

/// The call that wakes the writer, and what the writer takes.
pub(super) fn wakes() -> (impl Fn() + Send + Sync + 'static, Wakes) {
    let (wake, wakes) = sync_channel(1);
    let end = wake.clone();
    let grown = move || {
        // One that waits there already is as good; where nobody writes any more the session ends.
        let _ = wake.try_send(Wake::Grown);
    };
    (grown, (end, wakes))
}

/// Writes a recording down, on a thread of its own: neither the session nor a reader of the terminal who
/// takes nothing waits for the disk, nor it for them.
#[derive(Debug)]
pub(super) struct Keeper {
    end: SyncSender<Wake>,
    writer: JoinHandle<io::Result<File>>,
    failed: oneshot::Receiver<()>,
}

impl Keeper {
    pub(super) fn begin(
        file: File,
        path: &Path,
        recorder: Arc<Recorder>,
        (end, wakes): Wakes,
    ) -> io::Result<Self> {
        let path = path.to_owned();
        // Dropped with the thread.
        let (alive, failed) = oneshot::channel::<()>();
        let writing = move || {
            let _alive = alive;
            let mut paper = Paper { file, path, blank: true };
            for wake in &wakes {
                let last = matches!(wake, Wake::End);
                if let Some(growth) = recorder.growth(last) {
                    paper.put(&growth)?;
                }
                if last {
                    break;
                }
            }
            paper.file.sync_all()?;
            Ok(paper.file)
        };
        let writer = std::thread::Builder::new().name("transcript".to_owned()).spawn(writing)?;
        Ok(Self { end, writer, failed })
    }

    /// Waits until nothing can be written any more; for ever where all goes well.
    pub(super) async fn failed(&mut self) {
        // Nothing is ever sent: it ends with the thread.
        let _ = (&mut self.failed).await;
    }

    /// Writes what is left, and gives the file.
    pub(super) fn end(self) -> io::Result<File> {
        // Where the writer has ended before, it says why below.
        let _ = self.end.send(Wake::End);
        self.writer.join().unwrap_or_else(|_| Err(io::Error::other("a fault of ours")))
    }
}

/// The file.
struct Paper {
    file: File,
    path: PathBuf,
    /// Nothing of this recording is in it.
    blank: bool,
}

impl Paper {
    fn put(&mut self, growth: &Growth) -> io::Result<()> {
        if self.blank {
            // One that was there may have been readable by others, and may be longer.
            private(&self.file)?;
            self.file.set_len(0)?;
            self.file.rewind()?;
        } else if growth.anew {
            return self.replace(&growth.text);
        }
        self.blank = false;
        // One write, so that who reads along sees whole lines.
        self.file.write_all(growth.text.as_bytes())
    }

    /// Puts `text` in the place of all there is. Whoever kills us meanwhile has the one or the other, and
    /// what was there is overwritten: there is a secret in it.
    fn replace(&mut self, text: &str) -> io::Result<()> {
        // Where it is a link, what it points to is the transcript.
        let path = fs::canonicalize(&self.path)?;
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let Ok(mut file) = OpenOptions::new().write(true).create_new(true).open(&beside) else {
            // Nothing can be put into its folder.
            self.file.rewind()?;
            self.file.write_all(text.as_bytes())?;
            let length = self.file.stream_position()?;
            return self.file.set_len(length);
        };
        let written = private(&file)
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&beside, &path));
        if let Err(error) = written {
            // It would be of no use to anybody.
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        let mut old = std::mem::replace(&mut self.file, file);
        let length = old.metadata()?.len();
        old.rewind()?;
        io::copy(&mut io::Read::take(io::repeat(b' '), length), &mut old)?;
        old.sync_all()
    }
}

/// For our eyes alone.
fn private(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        file.set_permissions(mode)?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}
