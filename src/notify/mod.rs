//! Desktop notifications: which event is worth one, what it says, and who shows it.
//!
//! Best effort by design: whatever happens here, nothing waits for it. Storing, acknowledging and
//! serving go on as if this room did not exist.

mod breaker;
mod burst;
mod command;
pub mod desktop;
mod errand;
mod filters;
mod gather;
mod groups;
mod notice;
mod notifier;
mod quiet;
mod record;
pub mod rules;
mod settings;
pub mod template;
mod text;
mod words;

pub use command::{Busy, Ended, RUNNING_MAX, Runner, WAITING_MAX};
pub use errand::Errand;
pub use notice::{Notice, Screen, Trouble, Urgency};
pub use notifier::{FOR_EVER, Input, Notifier, Now, Output};
pub use quiet::LocalTime;
pub use rules::{On, Rule, Run};
pub use settings::{QuietRange, Settings, Weekday};

#[cfg(test)]
mod testing;
