//! Unix sockets alone: one writer that gives the same lines to each of many readers, gathered for each.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};

use crate::figures::rate;
use crate::message::body;
use crate::stats::now;

/// Lines gathered for a reader before they are written.
const BATCH: usize = 64;

/// Lines a second that reach readers, all of them together. A line is as long as an event is.
pub(crate) fn fan_out(readers: usize, messages: usize) -> f64 {
    let rounds = messages.div_ceil(BATCH);
    let line = format!(
        r#"{{"jsonrpc":"2.0","method":"event","params":{{"subscription":"1","epoch":"01975b0e-0000-7000-8000-000000000000","event":{{"seq":1000000,"id":"b-1000000","type":"tick","data":{},"received_at":"2026-01-01T00:00:00.000Z"}},"prev":999999,"replay":false}}}}"#,
        body(1_000_000)
    );
    let line = format!("{line}\n");
    let mut gathered = vec![Vec::with_capacity(line.len() * BATCH); readers];
    let (mut near, far): (Vec<_>, Vec<_>) = (0..readers).map(|_| UnixStream::pair().expect("a pair")).unzip();
    let begin = now();
    std::thread::scope(|scope| {
        scope.spawn(move || read_all(&far, rounds * BATCH));
        for _ in 0..rounds {
            for _ in 0..BATCH {
                gathered.iter_mut().for_each(|lines| lines.extend_from_slice(line.as_bytes()));
            }
            for (socket, lines) in near.iter_mut().zip(&mut gathered) {
                socket.write_all(lines).expect("it is read");
                lines.clear();
            }
        }
    });
    rate(rounds * BATCH * readers, begin.elapsed())
}

/// Reads from all of `sockets` until each has given `each` lines.
pub(crate) fn read_all(sockets: &[UnixStream], each: usize) {
    let mut missing = vec![each; sockets.len()];
    let mut input = vec![0; 256 * 1024];
    for socket in sockets {
        socket.set_nonblocking(true).expect("our own socket");
    }
    while missing.iter().any(|lines| *lines > 0) {
        let waiting: Vec<usize> = (0..sockets.len()).filter(|index| missing[*index] > 0).collect();
        let mut fds: Vec<_> =
            waiting.iter().map(|index| PollFd::new(&sockets[*index], PollFlags::IN)).collect();
        let timeout = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
        assert!(
            poll(&mut fds, Some(&timeout)).expect("sockets") > 0,
            "nothing comes: {missing:?} are missing"
        );
        let ready: Vec<usize> =
            waiting.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(i, _)| *i).collect();
        for index in ready {
            match (&sockets[index]).read(&mut input) {
                Ok(0) => panic!("reader {index} was cut off"),
                Ok(count) => {
                    let lines = memchr::memchr_iter(b'\n', &input[..count]).count();
                    missing[index] = missing[index].checked_sub(lines).expect("no more than was sent");
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("reader {index}: {error}"),
            }
        }
    }
}
