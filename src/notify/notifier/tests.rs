//! The notifier by virtual time: a desktop that takes what it is shown, or does not.

use super::*;
use crate::model::{LinkState, Reason, ReasonKind};
use crate::notify::rules::Rule;
use crate::notify::template::{Condition, Template};
use crate::notify::testing::{event, rule};
use crate::notify::{QuietRange, Weekday};

/// A desktop beside the notifier, and the time.
struct Desk {
    notifier: Notifier,
    /// Milliseconds.
    time: u64,
    local: LocalTime,
    /// What was shown, with what it took the place of.
    shown: Vec<(String, Option<u32>)>,
    log: Vec<String>,
    runs: usize,
    identified: usize,
    works: Result<(), Trouble>,
    asked: usize,
}

fn settings(rules: Vec<Rule>) -> Settings {
    Settings {
        enabled: true,
        quiet: Vec::new(),
        burst: 5,
        burst_window: Duration::from_secs(10),
        catch_up: Duration::from_secs(5),
        rules: rules.into(),
    }
}

impl Desk {
    /// With the link up for long.
    fn with(settings: Settings) -> Self {
        let mut desk = Self::before_the_link(settings);
        desk.link(LinkState::Connected);
        desk.pass(60_000);
        desk
    }

    fn before_the_link(settings: Settings) -> Self {
        Self {
            notifier: Notifier::new(settings, None),
            time: 1_000,
            local: LocalTime { day: Weekday::Monday, minute: 720 },
            shown: Vec::new(),
            log: Vec::new(),
            runs: 0,
            identified: 0,
            works: Ok(()),
            asked: 0,
        }
    }

    fn now(&self) -> Now {
        let at = Timestamp::from_millis(i64::try_from(self.time).expect("small"));
        let instant = Instant::from_nanos(self.time * 1_000_000);
        Now { moment: Moment { instant, steady: at, wall: at }, local: self.local }
    }

    fn tell(&mut self, input: Input) {
        self.notifier.handle(self.now(), input);
        while let Some(output) = self.notifier.poll_output() {
            match output {
                Output::Show(notice) => {
                    self.asked += 1;
                    let outcome = self.works.clone().map(|()| u32::try_from(self.asked).expect("few"));
                    if outcome.is_ok() {
                        self.shown.push((notice.title, notice.replaces));
                    }
                    self.notifier.handle(self.now(), Input::Shown(outcome));
                }
                Output::Identify => {
                    self.identified += 1;
                    let outcome = self.works.clone().map(|()| "dunst".to_owned());
                    self.notifier.handle(self.now(), Input::Identified(outcome));
                }
                Output::Run(..) => self.runs += 1,
                Output::Log(_, text) => self.log.push(text),
            }
        }
    }

    fn event(&mut self, kind: &str, data: &str) {
        let seq = i64::try_from(self.time).expect("small");
        self.tell(Input::Event(event(seq, kind, data)));
    }

    fn link(&mut self, state: LinkState) {
        let trouble = state != LinkState::Connected;
        let reason = trouble.then(|| Reason {
            kind: ReasonKind::AuthRefused,
            text: "HTTP 401".into(),
            hint: "a new token".into(),
            at: Timestamp::default(),
        });
        let status = LinkStatus {
            state,
            label: state.label().into(),
            since: Timestamp::default(),
            reason,
            url: "wss://h/".into(),
            attempt: 0,
            next_retry_at: None,
            last_connected_at: None,
            last_close: None,
            last_http_status: None,
            rtt_ms: None,
            reconnects: 0,
            resumed: None,
            dialect: "json".into(),
            confirm: "learning".into(),
        };
        self.tell(Input::Link(Box::new(status)));
    }

    /// Lets time pass, with a tick wherever the notifier asks for one.
    fn pass(&mut self, millis: u64) {
        let end = self.time + millis;
        while let Some(due) = self.notifier.poll_timeout(self.now().moment) {
            let due = due.as_nanos().div_ceil(1_000_000).max(self.time);
            if due > end {
                break;
            }
            self.time = due;
            self.tell(Input::Tick);
        }
        self.time = end;
    }

    fn titles(&self) -> Vec<&str> {
        self.shown.iter().map(|(title, _)| title.as_str()).collect()
    }

    /// Shown, collapsed, suppressed, failed.
    fn counts(&self) -> (u64, u64, u64, u64) {
        let status = self.notifier.status(self.now());
        (status.shown, status.collapsed, status.suppressed, status.failed)
    }

    fn last(&self) -> NoticeEntry {
        self.notifier.history(1).pop().expect("a line")
    }
}

fn titled(glob: &str, title: &str) -> Rule {
    Rule { title: Some(Template::compile(title).expect("in order")), ..rule(glob) }
}

#[test]
fn what_fits_is_shown_and_what_does_not_is_not_looked_at() {
    let mut desk = Desk::with(settings(vec![titled("order_*", "Order {{ data.id }}")]));
    desk.event("order_status", r#"{"id":7}"#);
    desk.event("chat", r#"{"id":8}"#);
    assert_eq!(desk.titles(), ["Order 7"]);
    assert_eq!(desk.counts(), (1, 0, 0, 0));
    assert_eq!(desk.notifier.poll_timeout(desk.now().moment), None, "nothing wakes up for it");
}

#[test]
fn the_first_rule_that_fits_is_shown_and_commands_of_all_run() {
    let run = || Some(Run { argv: ["true".to_owned()].into(), timeout: Duration::from_secs(1) });
    let large = Condition::compile("data.n > 10").expect("in order");
    let mut desk = Desk::with(settings(vec![
        Rule { condition: Some(large), ..titled("t", "large") },
        Rule { show: false, run: run(), ..rule("*") },
        Rule { run: run(), ..titled("t", "any") },
        titled("t", "never"),
    ]));
    desk.event("t", r#"{"n":11}"#);
    desk.event("t", r#"{"n":1}"#);
    desk.event("u", "{}");
    assert_eq!(desk.titles(), ["large", "any"]);
    assert_eq!(desk.runs, 5);
}

#[test]
fn ten_thousand_in_a_second_are_at_most_burst_and_one() {
    let mut desk = Desk::with(settings(vec![rule("t")]));
    for n in 0..10_000 {
        desk.event("t", "{}");
        desk.time += u64::from(n % 10 == 0);
    }
    desk.pass(60_000);
    assert_eq!(desk.shown.len(), 6);
    assert_eq!(desk.shown[5].0, "9,995 notifications at once");
    assert_eq!(desk.counts(), (6, 9_995, 0, 0));
    assert_eq!(desk.notifier.history(99).len(), 7, "many of one sort do not drive the others out");
}

#[test]
fn one_too_many_is_shown_itself_at_the_end_of_the_window() {
    let mut desk = Desk::with(settings(vec![titled("t", "{{ data.n }}")]));
    for n in 0..6 {
        desk.event("t", &format!("{{\"n\":{n}}}"));
    }
    assert_eq!(desk.titles(), ["0", "1", "2", "3", "4"]);
    desk.pass(9_999);
    assert_eq!(desk.shown.len(), 5);
    desk.pass(1);
    assert_eq!(desk.titles()[5..], ["5"]);
    assert_eq!(desk.counts(), (6, 0, 0, 0));
}

#[test]
fn a_burst_that_goes_on_is_one_notification_with_a_number_that_grows() {
    let mut desk = Desk::with(settings(vec![rule("t")]));
    for _ in 0..300 {
        desk.event("t", "{}");
        desk.pass(100);
    }
    desk.pass(20_000);
    let sums: Vec<_> = desk.shown.iter().filter(|(title, _)| title.contains("at once")).cloned().collect();
    assert_eq!(sums.len(), 3);
    assert_eq!(sums[0], ("95 notifications at once".into(), None));
    assert!(sums[1].1.is_some() && sums[2].1.is_some(), "{sums:?}");
    assert_eq!(sums[2].0, "285 notifications at once");
    // A burst of another time is another one.
    desk.pass(600_000);
    for _ in 0..10 {
        desk.event("t", "{}");
    }
    desk.pass(20_000);
    assert_eq!(desk.shown.last().expect("one more"), &("5 notifications at once".into(), None));
}

#[test]
fn a_backlog_after_the_link_came_up_is_one_notification() {
    let mut desk = Desk::before_the_link(settings(vec![titled("t", "{{ data.n }}")]));
    desk.link(LinkState::Connected);
    for n in 0..500 {
        desk.event("t", &format!("{{\"n\":{n}}}"));
        desk.time += 5;
    }
    desk.pass(60_000);
    assert_eq!(desk.titles(), ["500 notifications while the line was away"]);
    assert_eq!(desk.counts(), (1, 500, 0, 0));
    // Again after it was lost; and a single one is shown itself.
    desk.link(LinkState::Reconnecting);
    desk.event("t", "{\"n\":1}");
    desk.link(LinkState::Connected);
    desk.pass(5_000);
    assert_eq!(desk.titles()[1..], ["1"]);
    desk.event("t", "{\"n\":2}");
    assert_eq!(desk.titles()[2..], ["2"], "later ones are shown at once");
}

#[test]
fn a_newer_one_of_a_group_takes_the_place_of_the_shown_one() {
    let group = Some(crate::model::json::Pointer::parse("/id").expect("in order"));
    let mut desk = Desk::with(settings(vec![Rule { group, ..titled("t", "{{ data.id }} {{ data.n }}") }]));
    for data in [r#"{"id":"a","n":1}"#, r#"{"id":"b","n":1}"#, r#"{"id":"a","n":2}"#, r#"{"n":1,"id":null}"#]
    {
        desk.event("t", data);
    }
    let replaced: Vec<_> = desk.shown.iter().map(|(_, replaces)| *replaces).collect();
    assert_eq!(replaced, [None, None, Some(1), None]);
    // Over a reload too.
    let same = desk.notifier.settings.clone();
    desk.tell(Input::Settings(Settings { burst: 9, ..same }));
    desk.event("t", r#"{"id":"a","n":3}"#);
    assert_eq!(desk.shown.last().expect("shown").1, Some(3));
    assert_eq!(desk.counts().0, 5, "nothing is forgotten by a reload");
}

#[test]
fn mute_stops_all_and_quiet_hours_all_but_critical() {
    let critical = Rule { urgency: Urgency::Critical, ..rule("alarm") };
    let night = QuietRange { from: 22 * 60, to: 7 * 60, days: vec![Weekday::Sunday] };
    let mut desk = Desk::with(Settings { quiet: vec![night], ..settings(vec![critical, rule("t")]) });
    desk.local.minute = 6 * 60 + 59;
    desk.event("t", "{}");
    desk.event("alarm", "{}");
    assert_eq!((desk.titles(), desk.counts()), (vec!["alarm"], (1, 0, 1, 0)));
    desk.local.minute = 7 * 60;
    desk.event("t", "{}");
    assert_eq!(desk.shown.len(), 2);

    let until = Timestamp::from_millis(i64::try_from(desk.time + 3_600_000).expect("small"));
    desk.tell(Input::Mute(Some(until)));
    desk.event("alarm", "{}");
    desk.event("t", "{}");
    assert_eq!(desk.shown.len(), 2);
    assert_eq!((desk.counts().2, desk.last().reason.as_deref()), (3, Some("muted")));
    assert_eq!(desk.notifier.muted_until(desk.now().moment), Some(until));
    desk.pass(3_600_000);
    assert_eq!(desk.notifier.muted_until(desk.now().moment), None);
    desk.event("t", "{}");
    assert_eq!(desk.shown.len(), 3, "what was stopped is not shown later, what comes is");
}

#[test]
fn what_waits_is_stopped_by_a_mute_that_comes_meanwhile() {
    let mut desk = Desk::with(settings(vec![rule("t")]));
    for _ in 0..20 {
        desk.event("t", "{}");
    }
    desk.tell(Input::Mute(Some(FOR_EVER)));
    desk.pass(60_000);
    assert_eq!(desk.shown.len(), 5);
    assert_eq!(desk.counts(), (5, 15, 1, 0));
    assert_eq!(desk.notifier.poll_timeout(desk.now().moment), None, "a mute without end wakes nobody");
}

#[test]
fn a_change_of_the_link_is_told_once_and_its_end_to_whoever_was_told() {
    let mut desk = Desk::before_the_link(settings(vec![Rule { on: On::Link, ..rule("") }]));
    for state in [LinkState::Connecting, LinkState::Connected, LinkState::Reconnecting, LinkState::Connected]
    {
        desk.link(state);
    }
    assert_eq!(desk.shown.len(), 0, "what passes by itself is no news");
    for _ in 0..5 {
        desk.link(LinkState::Unavailable);
        desk.link(LinkState::Offline);
    }
    desk.link(LinkState::Unauthorized);
    desk.link(LinkState::Unauthorized);
    desk.link(LinkState::Connected);
    desk.link(LinkState::Connected);
    assert_eq!(desk.titles(), ["Server unavailable", "Sign-in refused", "Connected again"]);
    let replaced: Vec<_> = desk.shown.iter().map(|(_, replaces)| *replaces).collect();
    assert_eq!(replaced, [None, Some(1), Some(2)], "they take each other's place");

    desk.tell(Input::Mute(Some(FOR_EVER)));
    desk.link(LinkState::Unauthorized);
    desk.link(LinkState::Unauthorized);
    desk.tell(Input::Mute(None));
    desk.link(LinkState::Connected);
    assert_eq!(desk.shown.len(), 3, "nobody was told of the trouble");
    assert_eq!(desk.counts().2, 1, "and it was counted once");
}

#[test]
fn a_rule_for_the_link_knows_its_state_and_reason() {
    let when = vec![(crate::model::json::Pointer::parse("/state").expect("ok"), vec!["unauthorized".into()])];
    let link = Rule { on: On::Link, when, ..titled("", "{{ data.label }}: {{ data.reason }}") };
    let mut desk = Desk::with(settings(vec![link]));
    desk.link(LinkState::Unavailable);
    desk.link(LinkState::Unauthorized);
    desk.event("link", r#"{"state":"unauthorized"}"#);
    assert_eq!(desk.titles(), ["Sign-in refused: HTTP 401"], "and an event of that name is none of it");
}

#[test]
fn a_failed_template_leaves_the_type_is_counted_and_told_seldom() {
    let mut desk = Desk::with(Settings { burst: 1_000, ..settings(vec![titled("t", "{{ data.gone }}")]) });
    for _ in 0..100 {
        desk.event("t", r#"{"secret":"HLCANARY"}"#);
        desk.pass(1_000);
    }
    assert_eq!(desk.shown.len(), 100);
    assert!(desk.titles().iter().all(|title| *title == "t"));
    assert_eq!(desk.log.len(), 2, "{:?}", desk.log);
    assert!(!desk.log[0].contains("HLCANARY") && desk.log[0].contains("data.gone"), "{:?}", desk.log);
    assert_eq!(desk.notifier.status(desk.now()).template_failed, 100);
    assert_eq!(desk.last().reason.as_deref(), Some("template"));
}

#[test]
fn where_nobody_shows_notifications_that_is_told_once_and_looked_for_seldom() {
    let mut desk = Desk::before_the_link(settings(vec![rule("t")]));
    desk.works = Err(Trouble::Absent("there is no session bus".into()));
    desk.link(LinkState::Connected);
    desk.pass(10_000);
    for _ in 0..600 {
        desk.event("t", "{}");
        desk.pass(1_000);
    }
    assert_eq!(desk.log, ["notifications cannot be shown: no notification service: there is no session bus"]);
    assert!((60..=121).contains(&desk.asked), "{} tries in ten minutes", desk.asked);
    let status = desk.notifier.status(desk.now());
    assert!(!status.available && status.reason.expect("why").contains("no session bus"));
    assert_eq!(status.shown, 0);
    // It comes.
    desk.works = Ok(());
    desk.pass(60_000);
    let before = desk.shown.len();
    desk.event("t", "{}");
    assert_eq!(desk.shown.len(), before + 1);
    assert!(desk.notifier.status(desk.now()).available && desk.notifier.missing().is_none());
    assert_eq!(desk.notifier.status(desk.now()).backend.as_deref(), Some("dunst"));
    assert_eq!(desk.log.len(), 2);
}

#[test]
fn one_that_hangs_is_left_alone_after_three() {
    let mut desk = Desk::with(Settings { burst: 100, ..settings(vec![rule("t")]) });
    desk.works = Err(Trouble::Silent);
    for _ in 0..50 {
        desk.event("t", "{}");
    }
    assert_eq!((desk.asked, desk.counts()), (3, (0, 0, 0, 50)));
    assert_eq!(desk.last().reason.as_deref(), Some("service"));
    assert_eq!(desk.log.len(), 1);
}

#[test]
fn what_waits_for_the_desktop_has_an_end() {
    let mut notifier =
        Notifier::new(Settings { burst: 1_000, catch_up: Duration::ZERO, ..settings(vec![rule("t")]) }, None);
    let now = Desk::before_the_link(settings(Vec::new())).now();
    for seq in 0..100 {
        notifier.handle(now, Input::Event(event(seq, "t", "{}")));
    }
    let shows =
        std::iter::from_fn(|| notifier.poll_output()).filter(|it| matches!(it, Output::Show(_))).count();
    assert_eq!(shows, 1, "one at a time");
    assert_eq!(notifier.status(now).failed, 100 - 1 - desk::QUEUE as u64);
    for _ in 0..desk::QUEUE + 1 {
        notifier.handle(now, Input::Shown(Ok(1)));
    }
    assert_eq!(notifier.status(now).shown, 1 + desk::QUEUE as u64);
}

#[test]
fn a_newer_one_of_a_group_replaces_the_one_that_waits() {
    let group = Some(crate::model::json::Pointer::parse("/id").expect("in order"));
    let rule = Rule { group, ..titled("t", "{{ data.n }}") };
    let mut notifier =
        Notifier::new(Settings { burst: 1_000, catch_up: Duration::ZERO, ..settings(vec![rule]) }, None);
    let now = Desk::before_the_link(settings(Vec::new())).now();
    for n in 0..4 {
        notifier.handle(now, Input::Event(event(n, "t", &format!("{{\"id\":1,\"n\":{n}}}"))));
    }
    let mut shown = Vec::new();
    while let Some(output) = notifier.poll_output() {
        if let Output::Show(notice) = output {
            shown.push((notice.title, notice.replaces));
            notifier.handle(now, Input::Shown(Ok(7)));
        }
    }
    assert_eq!(shown, [("0".to_owned(), None), ("3".to_owned(), Some(7))]);
    let lines = notifier.history(99);
    let told: Vec<_> = lines.iter().map(|it| (it.outcome, it.reason.as_deref(), it.count)).collect();
    let shown = (NoticeOutcome::Shown, None, 1);
    assert_eq!(told, [(NoticeOutcome::Collapsed, Some("replaced"), 2), shown, shown], "two in one line");
}

#[test]
fn without_rules_nobody_is_asked_and_nothing_is_looked_at() {
    let mut desk = Desk::with(settings(Vec::new()));
    assert_eq!((desk.identified, desk.notifier.wants_events()), (0, false));
    assert_eq!(desk.notifier.status(desk.now()).reason.as_deref(), Some("no rule asks for any"));
    desk.tell(Input::Settings(settings(vec![Rule { on: On::Link, ..rule("") }])));
    assert_eq!(
        (desk.identified, desk.notifier.wants_events()),
        (1, false),
        "a rule for the link needs no events"
    );
    desk.tell(Input::Settings(Settings { enabled: false, ..settings(vec![rule("t")]) }));
    assert!(!desk.notifier.wants_events());
    desk.event("t", "{}");
    assert_eq!(desk.counts(), (0, 0, 0, 0));
}

#[test]
fn a_test_is_recorded_and_tells_whether_it_works() {
    let mut desk = Desk::with(settings(Vec::new()));
    desk.tell(Input::Tested(Err(Trouble::Absent("nobody".into()))));
    assert_eq!((desk.counts(), desk.last().reason.as_deref()), ((0, 0, 0, 1), Some("test")));
    assert!(
        !desk.notifier.status(desk.now()).available && desk.notifier.missing().is_none(),
        "no rule needs it"
    );
    desk.tell(Input::Tested(Ok(1)));
    assert_eq!(desk.counts(), (1, 0, 0, 1));
    assert!(desk.notifier.status(desk.now()).available);
}

#[test]
fn what_says_the_same_as_the_line_before_is_counted_in_it_but_for_what_was_shown() {
    let mut desk = Desk::with(settings(vec![rule("t"), rule("u")]));
    desk.tell(Input::Missed(10));
    desk.tell(Input::Missed(5));
    desk.tell(Input::Mute(Some(FOR_EVER)));
    for kind in ["t", "t", "u", "t"] {
        desk.event(kind, "{}");
        desk.pass(1);
    }
    desk.tell(Input::Mute(None));
    desk.event("t", "{}");
    desk.event("t", "{}");
    let lines = desk.notifier.history(99);
    let told: Vec<_> = lines.iter().map(|it| (it.outcome, it.kind.as_str(), it.count)).collect();
    let (collapsed, stopped) = (NoticeOutcome::Collapsed, NoticeOutcome::Suppressed);
    assert_eq!(
        told,
        [
            (collapsed, "several", 15),
            (stopped, "t", 2),
            (stopped, "u", 1),
            (stopped, "t", 1),
            (NoticeOutcome::Shown, "t", 1),
            (NoticeOutcome::Shown, "t", 1),
        ]
    );
    let newest = lines[2].seq.map(|Seq(next)| Seq(next - 1));
    assert!(newest.is_some() && lines[1].seq == newest, "the number of the newest in it: {lines:?}");
}
