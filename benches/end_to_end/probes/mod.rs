//! Raw limits of this machine, taken in the same round as the subject: what the disk, SQLite, a
//! WebSocket and a Unix socket do without anything of ours around them.

mod disk;
mod fan_out;
mod sqlite;
mod websocket;

pub(crate) use disk::{fdatasync, fdatasync_paced};
pub(crate) use fan_out::{fan_out, read_all};
pub(crate) use sqlite::{paced, replay, rows_per_second, standing_queue};
pub(crate) use websocket::batches;
