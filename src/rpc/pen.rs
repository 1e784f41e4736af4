//! The way to one app. Whoever holds it writes: the task that does so, or, while that has nothing to
//! write and has laid it down here, whoever has a receipt. Waking the task to write one line takes
//! longer than writing it.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite;

/// Whether it is ever laid down. A named pipe is written to with the help of the runtime, and that
/// is not at hand on other threads.
const LAID_DOWN: bool = cfg!(unix);

/// What is written to.
pub(super) type Way = Box<dyn AsyncWrite + Send + Unpin>;

/// Where the way to an app lies while nobody writes.
#[derive(Default)]
pub(super) struct Pen(Mutex<Laid>);

impl std::fmt::Debug for Pen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pen").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Laid {
    way: Option<Way>,
    /// Part of a message that the app has not taken yet: it comes before all else.
    rest: Vec<u8>,
}

/// What came of writing with a pen that may be another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    /// All of it.
    All,
    /// A part, or nothing: the task has to see to the rest.
    Part,
    /// It is not here.
    Nothing,
}

impl Pen {
    fn lock(&self) -> MutexGuard<'_, Laid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task has nothing to write. Hands it back where it cannot be laid down.
    pub(super) fn lay_down(&self, way: Way) -> Option<Way> {
        if !LAID_DOWN {
            return Some(way);
        }
        self.lock().way = Some(way);
        None
    }

    /// Takes it, and what is left to be written first; none where it does not lie here.
    pub(super) fn take_up(&self) -> Option<(Way, Vec<u8>)> {
        let mut laid = self.lock();
        let way = laid.way.take()?;
        Some((way, std::mem::take(&mut laid.rest)))
    }

    /// Writes what `compose` puts together, if it lies here, and `free` says that nothing waits to be
    /// written before. Never waits.
    pub(super) fn write(&self, free: impl FnOnce() -> bool, compose: impl FnOnce(&mut Vec<u8>)) -> Wrote {
        let mut laid = self.lock();
        let Laid { way: Some(way), rest } = &mut *laid else { return Wrote::Nothing };
        if !rest.is_empty() || !free() {
            return Wrote::Nothing;
        }
        compose(rest);
        if rest.is_empty() {
            return Wrote::All;
        }
        // Whatever it does not take, and whatever goes wrong, the task will meet.
        let mut nobody = Context::from_waker(Waker::noop());
        let accepted = match Pin::new(way).poll_write(&mut nobody, rest) {
            Poll::Ready(Ok(accepted)) => accepted,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        rest.drain(..accepted.min(rest.len()));
        if rest.is_empty() { Wrote::All } else { Wrote::Part }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::{Pen, Wrote};

    #[tokio::test]
    async fn what_an_app_does_not_take_at_once_is_left_for_the_task_and_comes_first() {
        let (near, mut far) = tokio::io::duplex(8);
        let pen = Pen::default();
        assert_eq!(pen.write(|| true, |out| out.extend_from_slice(b"a")), Wrote::Nothing);
        assert!(pen.lay_down(Box::new(near)).is_none());
        assert_eq!(pen.write(|| false, |out| out.extend_from_slice(b"b")), Wrote::Nothing);
        assert_eq!(pen.write(|| true, |out| out.extend_from_slice(b"one ")), Wrote::All);
        assert_eq!(pen.write(|| true, |out| out.extend_from_slice(b"two three")), Wrote::Part);
        assert_eq!(pen.write(|| true, |out| out.extend_from_slice(b"four")), Wrote::Nothing);
        let mut read = [0; 8];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one two ");
        let (way, rest) = pen.take_up().unwrap();
        assert_eq!(rest, b"three");
        assert!(pen.take_up().is_none());
        drop(way);
        assert_eq!(far.read(&mut read).await.unwrap(), 0, "nothing holds the connection open");
    }
}
