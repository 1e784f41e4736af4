//! The configuration: where it is, what is written in it, what it means.
//!
//! [`load`] either gives a [`Config`] in which every value is checked and ready for use, or every
//! [`Problem`] it found, each with file, line, key and a way out. It reads the file and looks at
//! the files it names; it opens no socket and no database and writes nothing.
//!
//! Each key is described exactly once, where it is read (`settings/`): its kind, its default and
//! its meaning. The list of known keys, the nearest-key hints, `config show` and the tables of
//! the manual ([`reference()`]) all come from there, so they cannot disagree.

mod document;
mod effect;
mod kinds;
mod modes;
mod paths;
mod problem;
mod proxy;
mod reader;
mod section;
mod server_url;
mod settings;
mod show;
mod starter;
pub mod units;
mod written;

pub use effect::{Effect, effect};
pub use modes::{check_private_dir, check_secret_file, ensure_closed_dir, ensure_private_dir};
pub use paths::{Environment, Places, Platform, Sources, locate};
pub use problem::{Problem, Severity, render, render_json, shorten};
pub use reader::{Entry, KeyDoc, Origin};
pub use server_url::ServerUrl;
pub use settings::{
    Auth, AuthMethod, Config, DialectChoice, Difference, Heartbeat, HeartbeatMode, Inbox, Ipc, Lane,
    LinkOptions, Log, LogFormat, Metrics, Notifications, NotifyOn, NotifyRule, OnSuspend, Outbox, QuietRange,
    Reconnect, Server, SignIn, Store, Tls, TokenSource, Urgency, Weekday, load, load_text, reference,
};
pub use show::{show, show_json};
pub use starter::starter;

/// Exit code where the content of the configuration does not do.
pub const EXIT_INVALID: u8 = 78;
/// Exit code where owner, mode or type of a file or folder is unsafe.
pub const EXIT_UNSAFE: u8 = 77;
/// Largest configuration file that is read, in bytes.
pub const MAX_FILE: u64 = 1024 * 1024;
/// Most problems told of one file.
pub const MAX_PROBLEMS: usize = 25;
