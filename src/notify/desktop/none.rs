//! Systems of which we know no notifications.

use async_trait::async_trait;

use crate::notify::{Notice, Screen, Trouble};

/// Where nobody shows any.
#[derive(Debug, Default)]
pub(super) struct Desktop;

#[async_trait]
impl Screen for Desktop {
    async fn show(&self, _: &Notice) -> Result<u32, Trouble> {
        Err(Trouble::Absent("this build knows none for this system".to_owned()))
    }

    async fn identify(&self) -> Result<String, Trouble> {
        Err(Trouble::Absent("this build knows none for this system".to_owned()))
    }
}
