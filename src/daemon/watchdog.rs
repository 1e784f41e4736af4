//! Proof for the service manager that the daemon lives: the loop around the session and the store's
//! writer have both answered a question. A timer alone proves nothing but itself.
//!
//! Whoever does not answer is not asked again, so there is no sign of life until it does; when that
//! takes longer than the service manager waits, it ends this process and starts another. One thing
//! another process heals as little as this one: a disk that takes long. A writer that waits for it
//! counts as alive for [`DISK_PERIODS`] periods.

use std::pin::pin;
use std::time::Duration;

use super::ready;
use crate::engine;
use crate::model::Refusal;
use crate::store::Store;

/// As many periods of the watchdog the disk may take for one commit.
const DISK_PERIODS: u32 = 4;

/// Who is asked.
pub(super) trait Patient {
    /// Comes back once the loop has answered; an error where it has ended.
    fn engine(&self) -> impl Future<Output = Result<(), Refusal>> + Send;
    /// Comes back once the store has answered; an error where it has ended.
    fn store(&self) -> impl Future<Output = Result<(), Refusal>> + Send;
    /// How long the store has been waiting for the disk, while it does.
    fn at_disk(&self) -> Option<Duration>;
}

/// The loop and the store of this process.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) engine: engine::Handle,
    pub(super) store: Store,
}

impl Patient for Ours {
    async fn engine(&self) -> Result<(), Refusal> {
        self.engine.alive().await
    }

    async fn store(&self) -> Result<(), Refusal> {
        self.store.alive().await
    }

    fn at_disk(&self) -> Option<Duration> {
        self.store.at_disk()
    }
}

/// Gives signs of life as long as there is a service manager that wants them.
pub(super) async fn keep(ours: Ours) {
    if let Some(period) = ready::watchdog_period() {
        tracing::debug!(?period, "the service manager watches");
        watch(&ours, period, ready::alive).await;
    }
}

/// Calls `alive` at least once in each `period` for which both have answered; ends with them.
async fn watch(patient: &impl Patient, period: Duration, alive: impl Fn()) {
    while round(patient, period, &alive).await.is_ok() {
        alive();
        tokio::time::sleep(period / 2).await;
    }
}

/// One question to each.
async fn round(patient: &impl Patient, period: Duration, alive: &impl Fn()) -> Result<(), Refusal> {
    patient.engine().await?;
    let mut answer = pin!(patient.store());
    loop {
        tokio::select! {
            answered = &mut answer => return answered,
            () = tokio::time::sleep(period / 4) => {
                let slow_disk = || patient.at_disk().is_some_and(|took| took < period * DISK_PERIODS);
                if slow_disk() {
                    patient.engine().await?;
                    alive();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
