//! What the server sends: on disk first, acknowledged then.

use super::*;
use crate::session::inbound::{Inbound, Thanks};
use crate::session::timers::Timers;
use crate::session::turn::{Outputs, Turn};

fn inbound(bench: &Bench) -> Vec<(u64, Unit)> {
    let units = bench.records().into_iter().filter_map(|(ticket, record)| match record {
        Record::Inbound { unit, .. } => Some((ticket, unit)),
        _ => None,
    });
    units.collect()
}

#[test]
fn p5_an_event_is_acknowledged_only_after_it_is_on_disk() {
    let mut bench = Setup::default().connected();
    bench.frame("event 1");
    assert_eq!(bench.written(), Vec::<&str>::new());
    let ticket = inbound(&bench)[0].0;
    bench.input(Input::Recorded { ticket, outcome: Recorded::Inbound(Vec::new()) });
    assert_eq!(bench.written(), ["ack 1"]);
}

#[test]
fn an_acknowledgement_goes_out_on_the_connection_its_event_came_on_or_not_at_all() {
    let mut bench = Setup::default().connected();
    bench.frame("event 1");
    let ticket = inbound(&bench)[0].0;
    bench.lose_link();
    bench.pass(2.0);
    bench.link_up();
    bench.input(Input::Recorded { ticket, outcome: Recorded::Inbound(Vec::new()) });
    assert_eq!(bench.written(), Vec::<&str>::new());
}

#[test]
fn a_connection_begins_with_the_cursor_that_is_on_disk() {
    let mut bench = Setup::default().connected();
    bench.frame("event 1");
    bench.commit();
    bench.take();
    bench.frame("event 2");
    bench.lose_link();
    bench.pass(2.0);
    bench.take();
    bench.input(Input::LinkUp { token: None });
    assert_eq!(bench.written(), ["hello 1"]);
}

#[test]
fn what_the_dial_takes_into_use_is_stored_and_used() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    let at = bench.moment();
    let connect = bench.session.connect(at, None);
    bench.drain();
    assert_eq!(connect.baseline.len(), 1);
    assert_eq!(inbound(&bench)[0].1.cursors, [("start".into(), Some("7".into()))]);
}

#[test]
fn classes_and_keys_come_from_the_type_rules_and_ephemeral_events_are_not_stored() {
    let rule = |glob: &str, delivery, key: Option<&str>| TypeRule {
        glob: TypeGlob::new(glob),
        delivery,
        key: key.map(|key| json::Pointer::parse(key).unwrap()),
        ttl: None,
        lane: None,
        confirm: None,
        resend: Resend::Always,
        schema: None,
    };
    let mut settings = settings();
    settings.types = Arc::new(TypeRules(vec![
        rule("typing", Delivery::Ephemeral, None),
        rule("order", Delivery::Latest, Some("/orderId")),
    ]));
    let mut bench = Setup { settings, ..Setup::default() }.connected();
    bench.frame("event 1");
    bench.frame("typing");
    let units = inbound(&bench);
    assert_eq!(units.len(), 1);
    assert!(
        matches!(&units[0].1.rows[0], NewRow::Event { delivery: Delivery::Latest, key: Some(key), .. } if key == "5")
    );
    let told = bench
        .outputs
        .iter()
        .filter(|(_, output)| matches!(output, Output::Publish(Change::EphemeralEvent(_))))
        .count();
    assert_eq!(told, 1);
    assert_eq!(bench.written(), Vec::<&str>::new(), "its acknowledgement does not overtake the event's");
    bench.commit();
    assert_eq!(bench.written(), ["ack 1", "ack typing"]);
}

#[test]
fn p6_where_the_server_does_not_resume_each_reconnect_is_a_gap_before_anything_newer() {
    let mut bench = Setup { resumes: false, ..Setup::default() }.bench();
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    assert_eq!(inbound(&bench).len(), 0, "nothing is missing before the first connection ever");
    let seen: std::collections::BTreeMap<_, _> = bench
        .records()
        .into_iter()
        .filter_map(|(_, record)| match record {
            Record::Remember { name, value: Some(value) } => Some((name, value)),
            _ => None,
        })
        .collect();
    bench.lose_link();
    bench.pass(2.0);
    bench.input(Input::LinkUp { token: None });
    bench.frame("event 9");
    let gap = |unit: &Unit| matches!(unit.rows[0], NewRow::Gap { reason: GapReason::Server, .. });
    let units = inbound(&bench);
    assert_eq!(units.iter().map(|(_, unit)| gap(unit)).collect::<Vec<_>>(), [true, false]);

    let remembered = Remembered { values: seen, ..Remembered::default() };
    let mut bench = Setup { resumes: false, eager: false, remembered, ..Setup::default() }.bench();
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    bench.frame("event 10");
    bench.frame("welcome");
    let units = inbound(&bench);
    assert_eq!(
        units.iter().map(|(_, unit)| gap(unit)).collect::<Vec<_>>(),
        [true, false],
        "after a restart too"
    );
}

#[test]
fn an_error_about_a_message_nobody_knows_is_an_event() {
    let mut bench = Setup::default().connected();
    bench.frame("no stranger");
    assert!(matches!(&inbound(&bench)[0].1.rows[0], NewRow::Event { kind, .. } if kind == "error"));
}

#[test]
fn too_much_on_its_way_to_disk_holds_reading_and_the_clock_and_after_a_minute_the_link() {
    let mut bench = Setup::default().connected();
    for number in 0..1024 {
        assert!(bench.session.accepts_frames());
        bench.frame(&format!("event {number}"));
    }
    assert!(!bench.session.accepts_frames());
    let held = bench.now;
    bench.pass(59.0);
    assert_eq!(bench.hang_ups(), [], "the silence is our own");
    bench.pass(2.0);
    let (at, failure) = bench.hang_ups()[0].clone();
    assert_eq!(at, held + 60_000);
    assert!(matches!(failure, Failure::StoreStalled { .. }));
}

#[test]
fn reading_goes_on_when_half_is_on_disk() {
    let mut bench = Setup::default().connected();
    for number in 0..1024 {
        bench.frame(&format!("event {number}"));
    }
    let tickets: Vec<u64> = inbound(&bench).into_iter().map(|(ticket, _)| ticket).collect();
    for ticket in &tickets[..511] {
        bench.input(Input::Recorded { ticket: *ticket, outcome: Recorded::Inbound(Vec::new()) });
    }
    assert!(!bench.session.accepts_frames());
    bench.input(Input::Recorded { ticket: tickets[511], outcome: Recorded::Inbound(Vec::new()) });
    bench.flush();
    assert!(bench.session.accepts_frames());
}

#[test]
fn a_store_that_takes_nothing_holds_the_clock_like_any_other_hold() {
    let mut bench = Setup::default().connected();
    bench.input(Input::StoreFull(true));
    assert!(!bench.session.accepts_frames());
    bench.pass(45.0);
    bench.input(Input::StoreFull(false));
    assert!(bench.session.accepts_frames());
    bench.pass(29.0);
    assert_eq!(bench.hang_ups(), []);
    bench.pass(1.5);
    assert_eq!(bench.hang_ups().len(), 1);
}

/// Lets in what has no `orderId` in it.
#[derive(Debug)]
struct NoOrders;

impl Judge for NoOrders {
    fn misfit(&self, payload: &Payload) -> Option<Misfit> {
        let Payload::Json(text) = payload else { return None };
        text.contains("orderId").then(|| Misfit {
            pointer: "/orderId".into(),
            keyword: "type".into(),
            sentence: "it is not of type string".into(),
        })
    }
}

fn picky(glob: &str, delivery: Delivery) -> Arc<TypeRules> {
    Arc::new(TypeRules(vec![TypeRule {
        glob: TypeGlob::new(glob),
        delivery,
        key: None,
        ttl: None,
        lane: None,
        confirm: None,
        resend: Resend::Always,
        schema: Some(Arc::new(NoOrders)),
    }]))
}

#[test]
fn an_event_that_does_not_fit_its_schema_is_put_down_as_such_and_acknowledged() {
    let settings = Settings { types: picky("order", Delivery::Latest), ..settings() };
    let mut bench = Setup { settings, ..Setup::default() }.connected();
    bench.frame("event 1");
    let units = inbound(&bench);
    let [NewRow::Misfit { id, kind, detail, .. }] = &units[0].1.rows[..] else { panic!("{units:?}") };
    assert_eq!((id.as_deref(), kind.as_str()), (Some("1"), "order"));
    assert_eq!(detail, "/orderId (type): it is not of type string");
    assert_eq!(units[0].1.cursors.len(), 1, "the server need not send it again");
    bench.commit();
    assert_eq!(bench.written(), ["ack 1"]);
}

#[test]
fn an_answer_that_names_no_message_is_counted_and_a_refusal_is_a_complaint() {
    let mut bench = Setup::default().connected();
    bench.outputs.clear();
    for frame in ["ok stranger", "got stranger", "later stranger", "upto 9"] {
        bench.frame(frame);
    }
    let counted =
        |output: &Output| matches!(output, Output::Publish(Change::Count("outbox_answers_unmatched_total")));
    assert_eq!(bench.outputs.iter().filter(|(_, output)| counted(output)).count(), 4);
    bench.frame("no stranger");
    let told = bench.outputs.iter().find_map(|(_, output)| match output {
        Output::Publish(Change::Health { code: "server_error", entry: Some((severity, text, _)) }) => {
            Some((*severity, text.clone()))
        }
        _ => None,
    });
    assert_eq!(told, Some((Severity::Info, "the server complains: bad: it is bad".to_owned())));
}

#[test]
fn an_ephemeral_event_that_does_not_fit_is_counted_and_told_to_nobody() {
    let settings = Settings { types: picky("typing", Delivery::Ephemeral), ..settings() };
    let mut bench = Setup { settings, ..Setup::default() }.connected();
    bench.frame("typing");
    assert_eq!(inbound(&bench), []);
    let published: Vec<String> = bench
        .outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::Publish(Change::EphemeralEvent(_)) => Some("told".to_owned()),
            Output::Publish(Change::Count(name)) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(published, ["inbox_ephemeral_misfits_total"]);
    assert_eq!(bench.written(), ["ack typing"]);
}

#[test]
fn a_second_look_takes_what_there_is_to_keep_and_nothing_else() {
    let traits =
        Traits { name: "words".into(), about: String::new(), uses_token: false, resumes: true, window: None };
    let pulse = Setup::default().pulse;
    let dialect = Words { traits, eager: true, pulse };
    let look = |rules: &TypeRules, text: &str| {
        look_again(&dialect, rules, HeldBody::Frame(Frame::Text(text.to_owned())), Moment::default())
    };
    let anything = TypeRules::default();
    assert_eq!(look(&anything, "event 1"), Judged::Fits(vec![event_row("order", Some("1"))]));
    assert_eq!(look(&anything, "no 7"), Judged::Fits(vec![event_row("error", None)]));
    assert!(matches!(look(&anything, "ok 7"), Judged::Stays { reason: "no_event", .. }));
    assert!(matches!(
        look(&picky("order", Delivery::Durable), "event 1"),
        Judged::Stays { reason: MISFIT, .. }
    ));

    let event = HeldBody::Event {
        stream: "s".into(),
        id: Some("1".into()),
        kind: "typing".into(),
        payload: Payload::Json("{}".into()),
    };
    let fits = look_again(&dialect, &picky("typing", Delivery::Ephemeral), event, Moment::default());
    let Judged::Fits(rows) = fits else { panic!("{fits:?}") };
    assert!(
        matches!(&rows[..], [NewRow::Event { delivery: Delivery::Durable, stream, .. }] if &**stream == "s"),
        "nobody heard of it when it came: {rows:?}"
    );
}

#[test]
fn p6_another_server_than_before_begins_with_a_gap_once() {
    for (resumes, seen_before, others_before, told) in [
        (true, false, false, 0),
        (true, false, true, 1),
        (true, true, true, 0),
        (false, true, true, 1),
        (false, false, true, 1),
    ] {
        let remembered = Remembered { seen_before, others_before, ..Remembered::default() };
        let mut bench = Setup { resumes, remembered, ..Setup::default() }.bench();
        bench.input(Input::Start);
        bench.input(Input::LinkUp { token: None });
        let gaps = |bench: &Bench| {
            let rows = inbound(bench).into_iter().flat_map(|(_, unit)| unit.rows);
            rows.filter(|row| matches!(row, NewRow::Gap { reason: GapReason::Server, .. })).count()
        };
        assert_eq!(gaps(&bench), told, "{resumes} {seen_before} {others_before}");
        bench.lose_link();
        bench.pass(2.0);
        bench.input(Input::LinkUp { token: None });
        assert_eq!(gaps(&bench), told + usize::from(!resumes), "{resumes} {seen_before} {others_before}");
    }
}

#[test]
fn of_acknowledgements_that_cover_all_before_them_one_goes_out_for_what_is_on_disk_together() {
    let mut bench = Setup::default().connected();
    for word in ["event 1 all", "event 2 all", "event 3", "event 4", "event 5 all", "event 6 all"] {
        bench.frame(word);
    }
    assert!(bench.written().is_empty(), "nothing is on disk");
    let inbound = bench.records().into_iter().filter(|(_, record)| matches!(record, Record::Inbound { .. }));
    let tickets: Vec<u64> = inbound.map(|(ticket, _)| ticket).collect();
    let moment = bench.moment();
    for ticket in &tickets[..5] {
        bench
            .session
            .take(moment, Input::Recorded { ticket: *ticket, outcome: Recorded::Inbound(Vec::new()) });
    }
    bench.session.settle(moment);
    bench.drain();
    assert_eq!(bench.written(), ["ack 2", "ack 3", "ack 4", "ack 5"], "5 is on disk, 6 is not");
    bench.input(Input::Recorded { ticket: tickets[5], outcome: Recorded::Inbound(Vec::new()) });
    assert_eq!(bench.written().last(), Some(&"ack 6"));
}

/// Hangs up as the server said, and dials at once.
fn redial(bench: &mut Bench) {
    bench.take();
    bench.lose_link();
    assert_eq!(bench.dials().len(), 1, "at once");
    let at = bench.moment();
    bench.session.connect(at, None);
    bench.drain();
    bench.input(Input::LinkUp { token: None });
}

#[test]
fn what_the_server_no_longer_knows_is_forgotten_by_a_connection_that_is_faster_than_the_disk() {
    let remembered = Remembered {
        kept: [("session".into(), "old".into())].into(),
        cursors: [("".into(), "5".into())].into(),
        ..Remembered::default()
    };
    let mut bench = Setup { eager: false, remembered, ..Setup::default() }.bench();
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    assert_eq!(bench.written(), ["hello 5", "session old"]);
    bench.frame("unknown session");
    let forgotten = bench.records();
    redial(&mut bench);
    assert_eq!(bench.written(), ["hello none"], "nothing is on disk yet");

    bench.frame("session new");
    for (ticket, record) in forgotten {
        if matches!(record, Record::Inbound { .. }) {
            bench.input(Input::Recorded { ticket, outcome: Recorded::Inbound(Vec::new()) });
        }
    }
    bench.commit();
    bench.input(Input::Reconnect(ReasonKind::Requested));
    redial(&mut bench);
    assert_eq!(bench.written(), ["hello none", "session new"], "what came after it is kept");
}

#[test]
fn a_cursor_that_the_dial_takes_into_use_counts_behind_one_that_is_to_be_forgotten() {
    let remembered = Remembered { cursors: [("start".into(), "3".into())].into(), ..Remembered::default() };
    let mut inbound = Inbound::new(&remembered);
    let (mut out, mut timers) = (Outputs::default(), Timers::default());
    let (settings, mut rng) = (settings(), fastrand::Rng::with_seed(1));
    let mut put = |connection, value: Option<&str>| {
        let unit = Unit { cursors: vec![("start".into(), value.map(Into::into))], ..Unit::default() };
        let turn = &mut Turn {
            at: Moment::default(),
            out: &mut out,
            timers: &mut timers,
            settings: &settings,
            rng: &mut rng,
        };
        if connection == 0 {
            inbound.baseline(turn, vec![("start".into(), value.unwrap().into())]);
        } else {
            inbound.store(turn, connection, unit, Thanks::default());
        }
        inbound.given(None, None).cursors.get("start").map(ToString::to_string)
    };
    assert_eq!(put(1, Some("4")).as_deref(), Some("3"), "not on disk");
    assert_eq!(put(1, None), None);
    assert_eq!(put(1, Some("6")), None);
    assert_eq!(put(0, Some("7")).as_deref(), Some("7"));
}

#[test]
fn p6_a_session_that_is_refused_until_a_new_one_begins_is_one_gap() {
    let remembered = Remembered {
        seen_before: true,
        kept: [("session".into(), "old".into())].into(),
        ..Remembered::default()
    };
    let setup = Setup { eager: false, resumes: false, remembered, ..Setup::default() };
    let mut bench = setup.bench();
    let gaps = |bench: &Bench| {
        let rows = inbound(bench).into_iter().flat_map(|(_, unit)| unit.rows);
        rows.filter(|row| matches!(row, NewRow::Gap { reason: GapReason::Server, .. })).count()
    };
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    bench.frame("unknown session");
    assert_eq!(gaps(&bench), 0, "nothing came, and nothing begins here");
    redial(&mut bench);
    bench.frame("session new");
    assert_eq!(gaps(&bench), 0);
    bench.frame("welcome");
    assert_eq!(gaps(&bench), 1);
    bench.frame("event 1");
    assert_eq!(gaps(&bench), 1);
}
