//! The session in a simulated world: an hour of chaos, then peace, many times over.
//!
//! Everything is driven by one seed under virtual time. A failure names its seed;
//! `HOLDLINE_SIM_SEED=n` runs that one alone, `HOLDLINE_SIM_SEEDS=n` runs n of them,
//! `HOLDLINE_SIM_TRACE=1` shows all that goes into the session and comes out.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(missing_docs, unreachable_pub, missing_debug_implementations, reason = "nobody else reads this")]

mod server;
mod speech;
mod store;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use world::{Stats, World};

/// Faults planted on purpose: the simulation must find each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The session is told "on disk" before it is.
    AckBeforeCommit,
    /// What was on the wire when a link died is never read again.
    LostResend,
    /// Two frames change places.
    LaneSwap,
    /// An app has its receipt before the commit.
    ReceiptBeforeCommit,
    /// The session does not know of any TTL.
    NoTtl,
    /// Silence means nothing.
    Deaf,
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs seeds on all cores; the first failure by seed, or what was seen in all.
fn run(seeds: std::ops::Range<u64>, bug: Option<Bug>) -> Result<Stats, (u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut total = Stats::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(total);
            }
            match World::new(seed, bug).run() {
                Ok(stats) => total = total.plus(stats),
                Err(broken) => {
                    next.store(seeds.end, Ordering::Relaxed);
                    return Err((seed, broken));
                }
            }
        }
    };
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let ends: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    ends.into_iter().try_fold(Stats::default(), |total, end| Ok(total.plus(end?)))
}

#[test]
fn an_hour_of_chaos_loses_nothing_and_keeps_every_order() {
    let seeds = match setting("HOLDLINE_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("HOLDLINE_SIM_SEEDS").unwrap_or(1000),
    };
    match run(seeds, None) {
        Ok(stats) => assert!(stats.messages > 0 && stats.arrivals > 0 && stats.events > 0, "{stats:?}"),
        Err((seed, broken)) => panic!("seed {seed}, {broken}\nagain: HOLDLINE_SIM_SEED={seed}"),
    }
}

#[test]
fn each_planted_fault_is_found() {
    for bug in [
        Bug::AckBeforeCommit,
        Bug::LostResend,
        Bug::LaneSwap,
        Bug::ReceiptBeforeCommit,
        Bug::NoTtl,
        Bug::Deaf,
    ] {
        assert!(run(0..20, Some(bug)).is_err(), "20 seeds did not find {bug:?}");
    }
}
