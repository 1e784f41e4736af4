//! The desktop of this session, as a [`Screen`].

use std::sync::Arc;

use super::Screen;
use crate::model::misleads;

#[cfg(target_os = "linux")]
mod dbus;
#[cfg(target_os = "linux")]
use dbus::Desktop;

#[cfg(any(target_os = "macos", windows))]
mod native;
#[cfg(any(target_os = "macos", windows))]
use native::Desktop;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod none;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
use none::Desktop;

/// Longest text of a service that is passed on, in characters.
const QUOTE_MAX: usize = 160;

/// The one who shows notifications here. Nothing is looked for before the first one.
#[must_use]
pub fn screen() -> Arc<dyn Screen> {
    Arc::new(Desktop::default())
}

/// Text of a service on one line, cut.
#[cfg_attr(
    not(any(target_os = "linux", target_os = "macos", windows)),
    allow(dead_code, reason = "where there is no service there is no text of one")
)]
fn plain(text: &str) -> String {
    let text: String = text.chars().take(QUOTE_MAX).map(|c| if misleads(c) { ' ' } else { c }).collect();
    text.trim().to_owned()
}
