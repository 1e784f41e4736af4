//! Desktop notifications: which event is worth one, what it says, and who shows it.
//!
//! Best effort by design: whatever happens here, nothing waits for it. Storing, acknowledging and
//! serving go on as if this room did not exist.

mod command;
pub mod desktop;
mod errand;
mod notice;

pub use command::{Busy, Ended, RUNNING_MAX, Runner, WAITING_MAX};
pub use errand::Errand;
pub use notice::{Notice, Screen, Trouble, Urgency};
