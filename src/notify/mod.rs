//! Desktop notifications: which event is worth one, what it says, and who shows it.
//!
//! Best effort by design: whatever happens here, nothing waits for it. Storing, acknowledging and
//! serving go on as if this room did not exist.

pub mod desktop;
mod notice;

pub use notice::{Notice, Screen, Trouble, Urgency};
