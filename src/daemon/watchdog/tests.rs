//! Who counts as alive, under a clock that stands still but for what waits for it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::*;

const PERIOD: Duration = Duration::from_secs(30);

/// How long each takes to answer; for ever where there is nothing.
struct Stage {
    engine: Option<Duration>,
    store: Option<Duration>,
    /// The store says that it waits for the disk.
    at_disk: bool,
    asked: Mutex<Option<Instant>>,
    /// After so many questions the loop is gone.
    lives: AtomicU32,
}

impl Stage {
    fn of(engine: Option<u64>, store: Option<u64>) -> Self {
        let seconds = |it: Option<u64>| it.map(Duration::from_secs);
        let (engine, store) = (seconds(engine), seconds(store));
        Self { engine, store, at_disk: false, asked: Mutex::default(), lives: AtomicU32::new(u32::MAX) }
    }
}

async fn takes(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

impl Patient for Stage {
    async fn engine(&self) -> Result<(), Refusal> {
        if self.lives.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(Refusal::new(crate::model::ErrorKind::ShuttingDown, "gone"));
        }
        takes(self.engine).await;
        Ok(())
    }

    async fn store(&self) -> Result<(), Refusal> {
        *self.asked.lock().expect("no panic") = Some(Instant::now());
        takes(self.store).await;
        Ok(())
    }

    fn at_disk(&self) -> Option<Duration> {
        let asked = *self.asked.lock().expect("no panic");
        asked.filter(|_| self.at_disk).map(|asked| asked.elapsed())
    }
}

/// When there were signs of life in ten minutes, in seconds from the start.
async fn signs(stage: &Stage) -> Vec<u64> {
    let start = Instant::now();
    let signs = Mutex::default();
    let alive = || Vec::push(&mut *signs.lock().expect("no panic"), start.elapsed().as_secs());
    let _ = tokio::time::timeout(Duration::from_secs(600), watch(stage, PERIOD, alive)).await;
    signs.into_inner().expect("no panic")
}

#[tokio::test(start_paused = true)]
async fn whoever_answers_at_once_is_alive_twice_in_a_period_and_no_oftener() {
    let signs = signs(&Stage::of(Some(0), Some(0))).await;
    assert_eq!(signs, (0..=40).map(|n| n * 15).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_does_not_answer_is_not_alive() {
    assert!(signs(&Stage::of(None, Some(0))).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_not_alive() {
    assert!(signs(&Stage::of(Some(0), None)).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_counts_when_it_comes() {
    let signs = signs(&Stage::of(Some(10), Some(5))).await;
    assert_eq!(signs[..3], [15, 45, 75]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_waits_for_the_disk_is_alive_for_some_periods_and_no_longer() {
    let slow = Stage { at_disk: true, ..Stage::of(Some(0), Some(100)) };
    let signs_of_slow = signs(&slow).await;
    assert!(signs_of_slow.windows(2).all(|two| two[1] - two[0] < PERIOD.as_secs()), "{signs_of_slow:?}");
    assert!(signs_of_slow.last().is_some_and(|last| *last > 570), "{signs_of_slow:?}");
    let hanging = Stage { at_disk: true, ..Stage::of(Some(0), None) };
    let last = signs(&hanging).await.last().copied();
    assert!(last.is_some_and(|last| (90..120).contains(&last)), "{last:?}");
    let neither = Stage { at_disk: true, ..Stage::of(None, None) };
    assert!(signs(&neither).await.is_empty(), "the loop has to answer all the same");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_those_it_asks() {
    let stage = Stage { lives: AtomicU32::new(3), ..Stage::of(Some(0), Some(0)) };
    let ended = tokio::time::timeout(Duration::from_secs(600), watch(&stage, PERIOD, || {})).await;
    assert!(ended.is_ok());
}
