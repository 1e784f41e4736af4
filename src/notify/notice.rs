//! One notification, and the trait of who can show one.

use async_trait::async_trait;

/// What is to be shown, ready: rendered, without control characters, cut to length. Nothing in it
/// is markup; whoever shows it escapes what its service would read as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// One line.
    pub title: String,
    /// A few lines, or `""`.
    pub body: String,
    /// How loud.
    pub urgency: Urgency,
    /// Name of a sound of the desktop's theme, such as `message-new-instant`.
    pub sound: Option<String>,
    /// The shown notification, by the number [`Screen::show`] gave, that this one takes the place of.
    pub replaces: Option<u32>,
}

/// How loud a notification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Urgency {
    Low,
    Normal,
    Critical,
}

/// Who shows notifications.
#[async_trait]
pub trait Screen: Send + Sync + std::fmt::Debug {
    /// Shows one, and gives the number by which a later one can replace it. Callers bound the time
    /// they wait; dropping the future gives the attempt up.
    ///
    /// # Errors
    /// Why it was not shown.
    async fn show(&self, notice: &Notice) -> Result<u32, Trouble>;

    /// Who it is, for people: `dunst 1.9.0`.
    ///
    /// # Errors
    /// Why none can be shown now.
    async fn identify(&self) -> Result<String, Trouble>;
}

/// Why a notification was not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// There is no session bus, or nobody on it who shows notifications: `(why)`.
    #[error("no notification service: {0}")]
    Absent(String),
    /// It did not answer in time.
    #[error("the notification service did not answer in time")]
    Silent,
    /// It refused, or broke down: `(why)`.
    #[error("the notification service failed: {0}")]
    Failed(String),
}
