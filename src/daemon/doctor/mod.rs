//! The doctor: looks at one thing after the other, from the configuration over the way to the
//! server to the disk, and says of each whether it is in order and what to do where it is not.
//!
//! It works beside the loop, never in it. What it asks of the server goes over a connection of its
//! own; while the daemon's own line is up, about to be tried or paused, that goes no further than
//! TLS, so a server that bears one session per user keeps ours. One doctor at a time; each step has
//! a deadline, all of them together end within half a minute.

mod house;
mod line;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use super::backend::Daemon;
use crate::clock::Clock;
use crate::config::{self, Sources};
use crate::model::{ErrorKind, Refusal};
use crate::rpc::api::Check;

/// How long the disk may take for a small answer.
const DISK: Duration = Duration::from_secs(4);
/// How long the credential's source may take. A keyring's own deadline is shorter, and says more.
const CREDENTIAL: Duration = Duration::from_secs(6);
/// How long the way to the server may take, from the name to the upgrade.
const WAY: Duration = Duration::from_secs(10);
/// How long a try of the daemon's own is waited for.
const OWN_TRY: Duration = Duration::from_secs(10);
/// How long the whole database may take to be read.
const FULL: Duration = Duration::from_secs(600);

/// Looks at a running daemon.
///
/// # Errors
/// `busy` while another one is at it.
pub(super) async fn examine(daemon: &Arc<Daemon>, full: bool) -> Result<Vec<Check>, Refusal> {
    let Ok(_turn) = daemon.doctor.try_lock() else {
        return Err(Refusal::new(ErrorKind::Busy, "a doctor is at work already")
            .hint("wait for it: it takes half a minute at most"));
    };
    let config = daemon.reloader.config();
    let (configuration, way, store, disk, notifications) = tokio::join!(
        settings::in_force(daemon),
        line::of_daemon(daemon),
        house::store(daemon, full),
        house::disk(daemon.report.store.path.clone().into()),
        house::notifications(&config),
    );
    let line::Way { credential, checks: way } = way;
    let mut checks = vec![configuration, credential, house::daemon(daemon), house::socket(daemon)];
    checks.extend(way);
    checks.extend([store, disk, house::queue(daemon)]);
    checks.extend([notifications, house::open_files(config.ipc.max_clients)]);
    checks.extend(house::health(daemon));
    Ok(checks)
}

/// Looks at what can be seen while no daemon answers: the same checks in the same order. Starts
/// nothing, takes no lock and opens no database.
pub async fn offline(sources: &Sources) -> Vec<Check> {
    let clock = Clock::start();
    let (configuration, config) = settings::on_disk(sources).await;
    let places = match &config {
        Some(config) => Some(config.places.clone()),
        None => config::locate(sources).ok(),
    };
    let Some(places) = places else { return vec![configuration] };
    let holder = super::lock::holder(&places.lock);
    let ((credential, way), store, disk) = tokio::join!(
        async {
            let line::Way { credential, checks } = match &config {
                Some(config) => line::of_config(config, clock, holder.is_some()).await,
                None => line::none("not tried: the configuration comes first"),
            };
            (credential, checks)
        },
        house::store_file(places.database.clone()),
        house::disk(places.database.clone()),
    );
    let mut checks =
        vec![configuration, credential, house::no_daemon(&places, holder), house::no_socket(&places)];
    checks.extend(way);
    let unknown = "only the running daemon knows";
    checks.extend([store, disk, Check::open("queue", unknown)]);
    checks.push(match &config {
        Some(config) => house::notifications_offline(config),
        None => Check::open("notifications", "not looked at: the configuration comes first"),
    });
    checks.extend([Check::open("open_files", unknown), Check::open("health", unknown)]);
    checks
}

/// What a look at the disk comes to, where the disk may hang.
async fn at_the_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let looking = tokio::task::spawn_blocking(work);
    // A panic in there is as good as no answer.
    tokio::time::timeout(DISK, looking).await.ok()?.ok()
}
