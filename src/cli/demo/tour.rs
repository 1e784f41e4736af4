//! The steps of the tour.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::stage::{NOTICE, Stage};
use super::story::Story;
use super::tally::Tally;
use crate::cli::show::{GOOD, WAITING, styled};
use crate::cli::words::{count, cut, length, plain};
use crate::cli::{Exit, Failed, Shell};
use crate::client::{Client, Note, Subscription};
use crate::model::{Event, LinkState, LinkStatus, MessageId, Receipt, Seq, StatusReport};
use crate::rpc::api::{
    AckMode, AckParams, AckResult, Anchor, EventsListParams, EventsListResult, SendParams, Start,
    SubscribeParams, SubscribeResult, SubscriptionResult,
};

/// The app's durable place in the events.
const CURSOR: &str = "demo-app";
/// Messages sent while the server is away.
const SENT_OFFLINE: u64 = 25;
/// Events that come while the app is closed.
const MISSED: usize = 14;
/// Apps that send at the same time before the daemon is killed, and messages of each.
const APPS: u64 = 10;
const PER_APP: u64 = 100;
/// Steps there are.
const STEPS: u32 = 8;
/// How long each wait within a step may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often is looked whether something has happened that nobody tells of.
const LOOK: Duration = Duration::from_millis(20);
/// Share of the time that is kept for work; the rest is for reading.
const WORK: Duration = Duration::from_secs(6);

pub(super) struct Tour<'a> {
    stage: &'a mut Stage,
    shell: &'a mut Shell,
    story: Story,
    /// Time between the beginnings of two steps.
    slot: Duration,
    began: crate::model::Instant,
    step: u32,
    title: String,
    receipts: Vec<MessageId>,
    /// Events published so far.
    told: usize,
}

impl<'a> Tour<'a> {
    pub(super) fn new(stage: &'a mut Stage, shell: &'a mut Shell, story: Story, within: Duration) -> Self {
        let began = stage.clock.instant();
        let slot = within.saturating_sub(WORK) / STEPS;
        Self {
            stage,
            shell,
            story,
            slot,
            began,
            step: 0,
            title: String::new(),
            receipts: Vec::new(),
            told: 0,
        }
    }

    pub(super) async fn give(&mut self) -> Result<Tally, Failed> {
        let client = self.start().await?;
        let app_at = self.an_app_listens().await?;
        self.a_fleeting_event(&client).await?;
        self.the_server_dies(&client).await?;
        self.the_server_is_back().await?;
        self.the_app_comes_back(app_at).await?;
        drop(client);
        let (client, tally) = self.the_daemon_is_killed().await?;
        self.the_desktop_tells(&client).await?;
        Ok(tally)
    }

    async fn start(&mut self) -> Result<Client, Failed> {
        self.begin("The server runs on loopback; now the daemon starts.").await?;
        let from = self.stage.clock.instant();
        let client = self.stage.start_daemon().await?;
        self.wait_for_link(&client, |link| link.state == LinkState::Connected).await?;
        let took = self.stage.clock.instant() - from;
        self.end(&format!("{} connected in {}", styled(GOOD, "●"), length(took)))?;
        Ok(client)
    }

    /// Gives the place that the app has acknowledged.
    async fn an_app_listens(&mut self) -> Result<Seq, Failed> {
        self.begin(&format!("An app subscribes; {}.", self.story.title())).await?;
        let app = self.stage.connect().await?;
        let mut events = subscribe(&app).await?;
        let words = self.tell(3);
        let mut shown = Vec::new();
        let mut last = Seq(0);
        for word in words {
            let event = next_event(&mut events).await?;
            last = event.seq.unwrap_or(last);
            shown.push(format!("#{last} {word}"));
        }
        acknowledge(&app, last).await?;
        self.end(&shown.join("  "))?;
        Ok(last)
    }

    async fn a_fleeting_event(&mut self, client: &Client) -> Result<(), Failed> {
        let (title, kind, data, words) = self.story.fleeting();
        self.begin(title).await?;
        let now = SubscribeParams { from: Some(Start::At(Anchor::Now)), ..SubscribeParams::default() };
        let (_, mut events) = client.subscribe::<_, SubscribeResult>("events.subscribe", &now).await?;
        self.stage.server.push_ephemeral(kind, &data);
        let event = next_event(&mut events).await?;
        let list = EventsListParams {
            from: Start::At(Anchor::Earliest),
            types: Some(vec![kind.to_owned()]),
            limit: None,
            epoch: None,
        };
        let stored: EventsListResult = client.call("events.list", &list).await?;
        if event.kind != kind || event.seq.is_some() || !stored.events.is_empty() {
            return Err(Failed::new(Exit::Failure, "an ephemeral event was stored"));
        }
        self.end(&format!("{words} (told, and not in the log)"))
    }

    async fn the_server_dies(&mut self, client: &Client) -> Result<(), Failed> {
        self.begin("The server dies. The app goes on sending.").await?;
        self.stage.server.go_down().await;
        self.wait_for_link(client, |link| link.state != LinkState::Connected).await?;
        self.send(client, 0, SENT_OFFLINE).await?;
        let status: StatusReport = client.call("status", &()).await?;
        let reason =
            status.link.reason.map_or_else(String::new, |reason| format!(" ({})", plain(&reason.text)));
        self.end(&format!(
            "{} {}{}; {} messages on disk",
            styled(WAITING, "○"),
            status.link.label.trim_end_matches('…').to_lowercase(),
            cut(&reason, 60),
            count(status.outbox.queued + status.outbox.in_flight),
        ))
    }

    async fn the_server_is_back(&mut self) -> Result<(), Failed> {
        self.begin("The server is back.").await?;
        let from = self.stage.clock.instant();
        self.let_server_back().await?;
        let tally = self.all_delivered().await;
        let took = self.stage.clock.instant() - from;
        self.end(&format!("{} {}, {} after it came back", styled(GOOD, "●"), tally, length(took)))
    }

    async fn the_app_comes_back(&mut self, left_at: Seq) -> Result<(), Failed> {
        self.begin("The app was closed meanwhile; it comes back to its cursor.").await?;
        self.tell(MISSED);
        let published = self.told as u64;
        // The daemon acknowledges an event when it is on its disk.
        if self.stage.server.until(PATIENCE, |stats| stats.events_acked >= published).await.is_err() {
            return Err(Failed::new(Exit::Failure, "the daemon did not store the events in time"));
        }
        let app = self.stage.connect().await?;
        let mut events = subscribe(&app).await?;
        let mut seen = Vec::new();
        loop {
            match next_note(&mut events).await? {
                Note::Event(note) => seen.extend(note.event.seq),
                Note::CaughtUp(_) => break,
                Note::Gap(_)
                | Note::Lagged(_)
                | Note::Status(_)
                | Note::Delivery(_)
                | Note::Ended(_)
                | Note::Other { .. } => {}
            }
        }
        let distinct: HashSet<_> = seen.iter().filter(|seq| **seq > left_at).collect();
        if distinct.len() != MISSED || seen.len() != MISSED {
            let message = format!("the app was to get {MISSED} events and got {}", seen.len());
            return Err(Failed::new(Exit::Failure, message));
        }
        acknowledge(&app, seen.iter().copied().max().unwrap_or(left_at)).await?;
        self.end(&format!("{} events caught up, none missed, none twice", distinct.len()))
    }

    async fn the_daemon_is_killed(&mut self) -> Result<(Client, Tally), Failed> {
        let total = APPS * PER_APP;
        let title = format!("kill -9 to the daemon with {} messages queued; start.", count(total));
        self.begin(&title).await?;
        self.stage.server.go_down().await;
        let mut apps = JoinSet::new();
        for app in 1..=APPS {
            let client = self.stage.connect().await?;
            let kind = self.story.message_type();
            apps.spawn(async move { send_all(&client, kind, app, PER_APP).await });
        }
        while let Some(sent) = apps.join_next().await {
            let sent = sent.map_err(|error| Failed::new(Exit::Failure, format!("an app failed: {error}")))?;
            self.receipts.extend(sent?);
        }
        self.stage.kill_daemon().await;
        let before = self.tally();
        let client = self.stage.start_daemon().await?;
        self.let_server_back().await?;
        let after = self.all_delivered().await;
        let here = Tally {
            queued: total,
            delivered: after.delivered - before.delivered,
            reordered: after.reordered - before.reordered,
        };
        self.end(&here.to_string())?;
        Ok((client, after))
    }

    async fn the_desktop_tells(&mut self, client: &Client) -> Result<(), Failed> {
        self.begin("A desktop notification (if a service is there).").await?;
        let title = self.story.notice();
        self.stage.server.push(NOTICE, &json!({ "title": title }));
        let showing = async {
            loop {
                let status: StatusReport = client.call("status", &()).await?;
                let it = status.notifications;
                if it.shown + it.failed > 0 {
                    return Ok::<_, Failed>(it);
                }
                sleep(LOOK).await;
            }
        };
        let Ok(status) = timeout(PATIENCE, showing).await else {
            return Err(Failed::new(Exit::Failure, "the daemon said nothing of its notification in time"));
        };
        let status = status?;
        if status.shown == 0 {
            return self.end("not shown: nobody here shows notifications");
        }
        let by = status.backend.map_or_else(String::new, |name| format!(" by {}", cut(&plain(&name), 30)));
        self.end(&format!("shown{by}: “{title}”"))
    }

    /// Shows what comes now, when it is time for it.
    async fn begin(&mut self, title: &str) -> Result<(), Failed> {
        let at = self.slot * self.step;
        let passed = self.stage.clock.instant() - self.began;
        sleep(at.saturating_sub(passed)).await;
        self.step += 1;
        title.clone_into(&mut self.title);
        if !self.shell.json() {
            self.shell.print(&format!("{}/{STEPS}  {title:<62}  ", self.step))?;
        }
        Ok(())
    }

    /// Shows what came of it.
    fn end(&mut self, result: &str) -> Result<(), Failed> {
        if self.shell.json() {
            let result = anstream::adapter::strip_str(result).to_string();
            return self.shell.document(&json!({ "step": self.step, "title": self.title, "result": result }));
        }
        self.shell.print(&format!("{result}\n"))
    }

    /// Lets the server publish events of the story; gives their words.
    fn tell(&mut self, events: usize) -> Vec<String> {
        let mut words = Vec::new();
        for _ in 0..events {
            let (word, data) = self.story.event(self.told);
            self.stage.server.push(self.story.event_type(), &data);
            self.told += 1;
            words.push(word);
        }
        words
    }

    async fn send(&mut self, client: &Client, app: u64, messages: u64) -> Result<(), Failed> {
        let sent = send_all(client, self.story.message_type(), app, messages).await?;
        self.receipts.extend(sent);
        Ok(())
    }

    async fn let_server_back(&self) -> Result<(), Failed> {
        self.stage.server.come_back().await.map_err(|error| {
            Failed::new(Exit::Failure, format!("the server could not listen again: {error}"))
        })
    }

    async fn wait_for_link(
        &self,
        client: &Client,
        condition: impl Fn(&LinkStatus) -> bool,
    ) -> Result<(), Failed> {
        let (_, mut notes) = client.subscribe::<_, SubscriptionResult>("status.watch", &()).await?;
        loop {
            if let Note::Status(note) = next_note(&mut notes).await?
                && condition(&note.link)
            {
                return Ok(());
            }
        }
    }

    /// Waits until the server has all that was queued, or for as long as is sensible.
    async fn all_delivered(&self) -> Tally {
        let wanted = self.receipts.len() as u64;
        // Not in time: the tally says so.
        let _ = self.stage.server.until(PATIENCE, |stats| stats.received >= wanted).await;
        self.tally()
    }

    fn tally(&self) -> Tally {
        Tally::of(&self.receipts, &self.stage.server.received())
    }
}

/// Sends messages one after the other, each once the one before has its receipt, in the app's
/// own lane.
async fn send_all(client: &Client, kind: &str, app: u64, messages: u64) -> Result<Vec<MessageId>, Failed> {
    let mut ids = Vec::new();
    for n in 1..=messages {
        let message = SendParams {
            kind: Some(kind.to_owned()),
            data: Some(raw(&json!({ "app": app, "n": n }))?),
            lane: Some(format!("app-{app}")),
            ..SendParams::default()
        };
        let receipt: Receipt = client.call("messages.send", &message).await?;
        ids.push(receipt.id);
    }
    Ok(ids)
}

fn raw(value: &Value) -> Result<Box<RawValue>, Failed> {
    to_raw_value(value).map_err(|error| Failed::new(Exit::Failure, error.to_string()))
}

async fn subscribe(app: &Client) -> Result<Subscription, Failed> {
    let params = SubscribeParams {
        cursor: Some(CURSOR.to_owned()),
        ack: Some(AckMode::Manual),
        ..SubscribeParams::default()
    };
    Ok(app.subscribe::<_, SubscribeResult>("events.subscribe", &params).await?.1)
}

async fn acknowledge(app: &Client, seq: Seq) -> Result<(), Failed> {
    let params = AckParams { cursor: CURSOR.to_owned(), seq, epoch: None };
    let _: AckResult = app.call("events.ack", &params).await?;
    Ok(())
}

async fn next_note(notes: &mut Subscription) -> Result<Note, Failed> {
    match timeout(PATIENCE, notes.next()).await {
        Ok(Some(Ok(note))) => Ok(note),
        Ok(Some(Err(error))) => {
            Err(Failed::new(Exit::Failure, format!("the daemon said something unreadable: {error}")))
        }
        Ok(None) => Err(Failed::new(Exit::Failure, "the daemon hung up")),
        Err(_) => Err(Failed::new(Exit::Failure, "the daemon said nothing in time")),
    }
}

async fn next_event(notes: &mut Subscription) -> Result<Event, Failed> {
    loop {
        if let Note::Event(note) = next_note(notes).await? {
            return Ok(note.event);
        }
    }
}
