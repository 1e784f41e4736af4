//! `ctl events`: what the server sent, from any point, and live.

use super::Ctl;
use crate::cli::words::counted;
use crate::cli::{Exit, Failed, Outcome};
use crate::client::{Note, Subscription};
use crate::model::{Epoch, Gap, Seq};
use crate::rpc::api::{
    AckMode, AckParams, AckResult, Anchor, EndReason, EventsListParams, EventsListResult, Start,
    SubscribeParams, SubscribeResult,
};

const EXAMPLES: &str = "\
Examples:
  holdline ctl events --from earliest --limit 10
  holdline ctl events --follow --type 'order_*'       live, until interrupted
  holdline ctl events --cursor nightly --json         what is new since the last time";

/// Events asked for in one call.
const PAGE: u32 = 500;
/// Events after which a cursor is moved on, at the latest.
const ACK_EVERY: u32 = 100;

/// `ctl events`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to begin: earliest, now, or a number. Where absent: behind the cursor; else now with
    /// --follow, and the earliest kept event without it
    #[arg(long, value_name = "PLACE", value_parser = place)]
    from: Option<Start>,
    /// Only types that fit this glob (may be given more than once)
    #[arg(long = "type", value_name = "GLOB")]
    kind: Vec<String>,
    /// At most so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Stay, and show what comes
    #[arg(long)]
    follow: bool,
    /// Read with a durable cursor: it moves on behind every event shown, and is created where it
    /// does not exist
    #[arg(long, value_name = "NAME")]
    cursor: Option<String>,
}

/// `earliest`, `now`, or a number.
fn place(text: &str) -> Result<Start, String> {
    match text {
        "earliest" => Ok(Start::At(Anchor::Earliest)),
        "now" => Ok(Start::At(Anchor::Now)),
        number => match number.strip_prefix('#').unwrap_or(number).parse() {
            Ok(seq) => Ok(Start::Seq(Seq(seq))),
            Err(_) => Err("give `earliest`, `now`, or an event's number".to_owned()),
        },
    }
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        if self.follow || self.cursor.is_some() { self.subscribe(ctl).await } else { self.list(ctl).await }
    }

    fn types(&self) -> Option<Vec<String>> {
        (!self.kind.is_empty()).then(|| self.kind.clone())
    }

    async fn list(self, ctl: &mut Ctl<'_>) -> Outcome {
        let mut left = self.limit.unwrap_or(u32::MAX);
        let mut params = EventsListParams {
            from: self.from.unwrap_or(Start::At(Anchor::Earliest)),
            types: self.types(),
            limit: None,
            epoch: None,
        };
        while left > 0 {
            params.limit = Some(left.min(PAGE));
            let page: EventsListResult = ctl.call("events.list", &params).await?;
            left = left.saturating_sub(u32::try_from(page.events.len()).unwrap_or(u32::MAX));
            let mut gaps = page.gaps.iter().peekable();
            for event in &page.events {
                while let Some(gap) = gaps.next_if(|gap| Some(gap.from) < event.seq) {
                    ctl.gap(gap)?;
                }
                ctl.event(event)?;
            }
            for gap in gaps {
                ctl.gap(gap)?;
            }
            params.from = Start::Seq(page.next);
            // What is read on belongs to the same database.
            params.epoch = Some(page.epoch);
            if !page.more {
                break;
            }
        }
        Ok(Exit::Ok)
    }

    async fn subscribe(self, ctl: &mut Ctl<'_>) -> Outcome {
        let params = SubscribeParams {
            from: self.from,
            types: self.types(),
            cursor: self.cursor.clone(),
            ack: self.cursor.is_some().then_some(AckMode::Manual),
            ..SubscribeParams::default()
        };
        let (begun, mut told): (SubscribeResult, _) = ctl.subscribe("events.subscribe", &params).await?;
        let mut mark = Mark { cursor: self.cursor.clone(), epoch: begun.epoch, seq: None, since: 0 };
        let read = self.read(ctl, &mut told, &mut mark).await;
        // What was shown is read, however it ended.
        let moved = mark.settle(ctl).await;
        read?;
        moved?;
        Ok(Exit::Ok)
    }

    async fn read(&self, ctl: &mut Ctl<'_>, told: &mut Subscription, mark: &mut Mark) -> Result<(), Failed> {
        let mut left = self.limit.unwrap_or(u32::MAX);
        let mut caught_up = false;
        while left > 0 {
            match ctl.next(told).await? {
                Note::Event(note) => {
                    ctl.event(&note.event)?;
                    // Ephemeral events have no number: no cursor passes them.
                    mark.shown(note.event.seq);
                    left -= 1;
                }
                Note::Gap(gap) => {
                    ctl.gap(&Gap { from: gap.from, to: gap.to, reason: gap.reason })?;
                    mark.shown(Some(gap.to));
                }
                Note::CaughtUp(_) => {
                    if !self.follow {
                        break;
                    }
                    caught_up = true;
                    mark.settle(ctl).await?;
                }
                Note::Lagged(note) => lagged(ctl, note.missed)?,
                Note::Ended(note) => return Err(ended(note.reason)),
                // Nothing else belongs to events; later versions may tell more.
                Note::Status(_) | Note::Delivery(_) | Note::Other { .. } => {}
            }
            if mark.since >= if caught_up { 1 } else { ACK_EVERY } {
                mark.settle(ctl).await?;
            }
        }
        Ok(())
    }
}

/// How far a cursor may be moved on.
struct Mark {
    cursor: Option<String>,
    epoch: Epoch,
    seq: Option<Seq>,
    /// Rows shown since it was last moved.
    since: u32,
}

impl Mark {
    fn shown(&mut self, seq: Option<Seq>) {
        if seq.is_some() {
            self.seq = seq;
            self.since += 1;
        }
    }

    /// Moves the cursor behind everything that was shown; comes back once that is on disk.
    async fn settle(&mut self, ctl: &mut Ctl<'_>) -> Result<(), Failed> {
        self.since = 0;
        if let (Some(cursor), Some(seq)) = (&self.cursor, self.seq.take()) {
            let params = AckParams { cursor: cursor.clone(), seq, epoch: Some(self.epoch.clone()) };
            let _: AckResult = ctl.call("events.ack", &params).await?;
        }
        Ok(())
    }
}

fn lagged(ctl: &mut Ctl<'_>, missed: u64) -> Result<(), Failed> {
    if ctl.shell.json() {
        return ctl.shell.document(&serde_json::json!({ "lagged": { "missed": missed } }));
    }
    ctl.shell.note(&format!("{} missed: this reader was slow", counted(missed, "ephemeral event")));
    Ok(())
}

fn ended(reason: EndReason) -> Failed {
    match reason {
        EndReason::TakenOver => Failed::new(Exit::Failure, "another reader took this cursor over"),
        EndReason::Slow => Failed::new(Exit::Failure, "this reader was too slow, the daemon let go of it")
            .hint("with `--cursor NAME` the next call goes on where this one ended"),
        EndReason::StoreFailed => {
            Failed::new(Exit::Failure, "the daemon could not read the events from its database")
                .hint("`holdline ctl status` says what is wrong with it")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_or_a_number() {
        assert_eq!(place("earliest"), Ok(Start::At(Anchor::Earliest)));
        assert_eq!(place("now"), Ok(Start::At(Anchor::Now)));
        assert_eq!(place("42"), Ok(Start::Seq(Seq(42))));
        assert_eq!(place("#42"), Ok(Start::Seq(Seq(42))));
        assert!(place("yesterday").is_err());
    }
}
