//! Telling the service manager where the daemon stands. Without one, nothing happens.

/// The daemon serves.
pub(super) fn ready() {
    #[cfg(target_os = "linux")]
    tell(&[sd_notify::NotifyState::Ready]);
}

/// The daemon reads its configuration anew; [`ready`] ends it.
pub(super) fn reloading() {
    #[cfg(target_os = "linux")]
    if let Ok(now) = sd_notify::NotifyState::monotonic_usec_now() {
        tell(&[sd_notify::NotifyState::Reloading, now]);
    }
}

/// One line for `systemctl status`.
pub(super) fn status(line: &str) {
    #[cfg(target_os = "linux")]
    tell(&[sd_notify::NotifyState::Status(line)]);
    #[cfg(not(target_os = "linux"))]
    let _ = line;
}

/// The daemon ends.
pub(super) fn stopping() {
    #[cfg(target_os = "linux")]
    tell(&[sd_notify::NotifyState::Stopping]);
}

#[cfg(target_os = "linux")]
fn tell(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager could not be told: {error}");
    }
}
