//! macOS and Windows: their own notifications, by calls that wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::plain;
use crate::notify::{Notice, Screen, Trouble, Urgency};

/// The notification centre of the system.
#[derive(Debug)]
pub(super) struct Desktop {
    /// One call at a time: it takes a thread, and one that hangs keeps it.
    turn: Arc<Semaphore>,
    /// These systems know no number of a notification, nor replace one.
    number: AtomicU32,
}

impl Default for Desktop {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), number: AtomicU32::new(1) }
    }
}

#[async_trait]
impl Screen for Desktop {
    async fn show(&self, notice: &Notice) -> Result<u32, Trouble> {
        // Whoever waited for the one before has given it up, and it has not come back since.
        let turn = Arc::clone(&self.turn).try_acquire_owned().map_err(|_| Trouble::Silent)?;
        let notification = notification(notice);
        let showing = tokio::task::spawn_blocking(move || {
            let shown = notification.show();
            // On macOS this is what shows it.
            let shown = shown.map(drop).map_err(|error| Trouble::Failed(plain(&error.to_string())));
            drop(turn);
            shown
        });
        showing.await.unwrap_or_else(|_| Err(Trouble::Failed("showing it broke off".to_owned())))?;
        Ok(self.number.fetch_add(1, Ordering::Relaxed))
    }

    async fn identify(&self) -> Result<String, Trouble> {
        Ok(if cfg!(windows) { "Windows" } else { "macOS" }.to_owned())
    }
}

fn notification(notice: &Notice) -> notify_rust::Notification {
    let mut notification = notify_rust::Notification::new();
    notification.appname("holdline").summary(&notice.title).body(&notice.body);
    if let Some(sound) = &notice.sound {
        notification.sound_name(sound);
    }
    #[cfg(windows)]
    notification.urgency(match notice.urgency {
        Urgency::Low => notify_rust::Urgency::Low,
        Urgency::Normal => notify_rust::Urgency::Normal,
        Urgency::Critical => notify_rust::Urgency::Critical,
    });
    #[cfg(target_os = "macos")]
    {
        // A program without a bundle shows in the name of one that has: without this the system asks
        // a person for the application "use_default". It may have been set before.
        let _ = notify_rust::set_application("com.apple.Terminal");
        if notice.urgency == Urgency::Critical && notice.sound.is_none() {
            notification.sound_name("default");
        }
    }
    notification
}
