//! The disk alone.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::stats::{Latency, now};
use crate::wire::pace;

/// `fdatasync` of 4 KiB written in place, back to back.
pub(crate) fn fdatasync(dir: &Path, count: usize) -> Latency {
    let mut took = Latency::default();
    with_file(dir, |file| {
        for _ in 0..count {
            took.add(once(file));
        }
    });
    took
}

/// The same at a steady pace, between which a core may sleep.
pub(crate) fn fdatasync_paced(dir: &Path, per_second: u32, lasts: Duration) -> Latency {
    let mut took = Latency::default();
    with_file(dir, |file| {
        let begin = now();
        let mut n = 0;
        while begin.elapsed() < lasts {
            n += 1;
            pace(begin, n, per_second);
            took.add(once(file));
        }
    });
    took
}

fn once(file: &mut File) -> Duration {
    let begin = now();
    file.rewind().expect("in place");
    file.write_all(&[0x5a; 4096]).expect("written");
    file.sync_data().expect("synced");
    begin.elapsed()
}

fn with_file(dir: &Path, probe: impl FnOnce(&mut File)) {
    let path = dir.join("probe.fdatasync");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).open(&path).expect("a probe file");
    once(&mut file);
    probe(&mut file);
    std::fs::remove_file(&path).expect("removed");
}
