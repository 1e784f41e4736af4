//! What the integration tests share: a server that does as it is told, and a real daemon to try.
//!
//! Nothing here sleeps to let something happen: whatever is waited for is waited for by its
//! condition, with a deadline that is far longer than it ever takes.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of this")]
#![allow(missing_debug_implementations, reason = "nobody prints a fixture")]
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a fixture that cannot go on fails the test"
)]

pub mod canary;
pub mod daemon;
#[cfg(target_os = "linux")]
pub mod desktop;
pub mod frames;
#[cfg(target_os = "linux")]
pub mod logind;
pub mod needs;
pub mod raw;
pub mod server;
pub mod tls;
#[cfg(target_os = "linux")]
pub mod user_manager;

use std::time::Duration;

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `future`, or fails the test naming what did not come.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {} s in vain for {what}", PATIENCE.as_secs()),
    }
}

/// Waits until `condition` gives something, or fails the test naming what did not come.
pub async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// As [`until`], for tests without a runtime.
#[allow(clippy::disallowed_methods, reason = "a deadline of a test")]
pub fn until_blocking<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {} s in vain for {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(5));
    }
}
