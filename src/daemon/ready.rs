//! Telling the service manager where the daemon stands. Without one, nothing happens.

use std::pin::pin;
use std::time::Duration;

/// Longest line for `systemctl status`, in characters. (systemd takes 4 KiB in all.)
const LINE: usize = 512;
/// How often a start that takes long says that it goes on …
const STEP: Duration = Duration::from_secs(10);
/// … and how long the service manager waits for the next time …
#[cfg(target_os = "linux")]
const PATIENCE: Duration = Duration::from_secs(30);
/// … until it took this long. A database of many gigabytes is salvaged by then.
const LONGEST_START: Duration = Duration::from_secs(3_600);

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

/// One line for `systemctl status`. Foreign text in it must have been made harmless: a line break would
/// be the beginning of another message to the service manager.
pub(super) fn status(line: &str) {
    let line: String = line.lines().next().unwrap_or_default().chars().take(LINE).collect();
    #[cfg(target_os = "linux")]
    tell(&[sd_notify::NotifyState::Status(&line)]);
    #[cfg(not(target_os = "linux"))]
    let _ = line;
}

/// The daemon ends.
pub(super) fn stopping() {
    #[cfg(target_os = "linux")]
    tell(&[sd_notify::NotifyState::Stopping, sd_notify::NotifyState::Status("The daemon is stopping.")]);
}

/// How often a sign of life is wanted; none where nobody wants it.
pub(super) fn watchdog_period() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return sd_notify::watchdog_enabled().filter(|period| !period.is_zero());
    #[cfg(not(target_os = "linux"))]
    return None;
}

/// A sign of life.
pub(super) fn alive() {
    #[cfg(target_os = "linux")]
    tell(&[sd_notify::NotifyState::Watchdog]);
}

/// Does what may take long before the daemon serves, and has the service manager wait for it.
pub(super) async fn starting<T>(line: &str, work: impl Future<Output = T>) -> T {
    status(line);
    let mut work = pin!(work);
    let mut left = LONGEST_START;
    loop {
        if !left.is_zero() {
            #[cfg(target_os = "linux")]
            tell(&[sd_notify::NotifyState::ExtendTimeoutUsec(
                u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX),
            )]);
        }
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(STEP) => left = left.saturating_sub(STEP),
        }
    }
}

#[cfg(target_os = "linux")]
fn tell(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager could not be told: {error}");
    }
}
