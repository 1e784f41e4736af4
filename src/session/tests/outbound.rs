//! Messages: order, confirmation, resends, ends.
//!
//! Long, for each rule of a message's way is a short test of its own; what they share is in the module above.

use super::*;

const NONE: [&str; 0] = [];

fn in_lane(place: i64, lane: &str) -> DueRow {
    DueRow { lane: lane.into(), ..row(place) }
}

fn confirmed_by(place: i64, confirm: Confirm) -> DueRow {
    DueRow { confirm, ..row(place) }
}

fn lane(name: &str, block: bool, window: Option<usize>) -> Setup {
    let mut settings = settings();
    settings.lanes = vec![(name.into(), LaneSettings { block, window })];
    Setup { settings, ..Setup::default() }
}

/// The link dies, and a new one is there; what was released is on disk.
fn next_link(bench: &mut Bench) {
    bench.take();
    bench.lose_link();
    bench.commit();
    bench.input(Input::Woke);
    bench.pass(1.0);
    bench.take();
    bench.input(Input::LinkUp { token: None });
}

#[test]
fn a_message_goes_out_is_accepted_and_its_end_is_put_down() {
    let mut bench = Setup::default().connected();
    bench.queue(row(1));
    assert_eq!(bench.written(), ["m1"]);
    assert_eq!(bench.session.in_flight(), 1);
    assert!(bench.session.on_wire(&row(1).id));
    bench.flush();
    bench.frame("ok m1");
    assert_eq!(bench.ended("m1"), Some(MessageState::Accepted));
    assert_eq!(bench.session.in_flight(), 0);
    let (state, attempt, history) = bench.session.message_state(&row(1).id).unwrap();
    assert_eq!((state, attempt), (MessageState::Accepted, 1));
    let steps: Vec<_> = history.iter().map(|step| step.state).collect();
    assert_eq!(steps, [MessageState::Sending, MessageState::Sent, MessageState::Accepted]);
}

#[test]
fn nothing_goes_out_before_the_session_has_started() {
    let mut bench = Setup { eager: false, ..Setup::default() }.bench();
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    bench.queue(row(1));
    assert_eq!(bench.written(), ["hello none"]);
    bench.frame("welcome");
    bench.due(vec![row(1)]);
    assert_eq!(bench.written(), ["hello none", "m1"]);
}

#[test]
fn a_cumulative_reply_ends_all_up_to_it() {
    let mut bench = Setup::default().connected();
    (1..=3).for_each(|place| bench.queue(row(place)));
    bench.frame("upto 2");
    assert_eq!(bench.ends().len(), 2);
    assert_eq!(bench.session.in_flight(), 1);
}

#[test]
fn p3_p4_what_a_dead_link_left_unconfirmed_goes_out_again_first_with_the_same_id() {
    let mut bench = Setup::default().connected();
    (1..=4).for_each(|place| bench.queue(row(place)));
    bench.flush();
    bench.frame("ok m2");
    bench.take();
    bench.lose_link();
    let released: Vec<_> = bench
        .records()
        .into_iter()
        .filter_map(|(_, record)| match record {
            Record::Released { places } => Some(places),
            _ => None,
        })
        .collect();
    assert_eq!(released, [vec![Place(1), Place(3), Place(4)]]);
    bench.pass(60.0);
    bench.input(Input::LinkUp { token: None });
    assert!(bench.questions().is_empty(), "nothing is read before the release is on disk");
    let ticket = bench.release();
    bench.take();
    bench.input(Input::Recorded { ticket, outcome: Recorded::Released { gone: Vec::new() } });
    let again = |place| DueRow { was_sent: true, ..row(place) };
    bench.due(vec![again(1), row(2), again(3), again(4), row(5)]);
    assert_eq!(bench.written(), ["m1", "m3", "m4", "m5"], "2 had ended: an old answer cannot revive it");
}

#[test]
fn the_server_s_silence_counts_and_the_same_id_goes_out_again_on_the_same_link() {
    let mut bench = Setup::default().connected();
    bench.queue(row(1));
    bench.flush();
    for beat in 0..3 {
        bench.pass(15.0);
        bench.input(Input::Heard);
        assert!(beat > 0 || bench.written() == ["m1"]);
    }
    assert_eq!(bench.written(), ["m1", "m1"]);
    let failed =
        bench.records().into_iter().any(|(_, record)| matches!(record, Record::Failed { attempts: 1, .. }));
    assert!(failed);
    bench.frame("ok m1");
    assert_eq!(bench.ended("m1"), Some(MessageState::Accepted));
}

#[test]
fn attempts_that_failed_in_a_silence_go_out_in_order_on_the_next_link() {
    let mut settings = settings();
    settings.outbox.confirm_timeout = Duration::from_secs(5);
    settings.reconnect.jitter = 0.5;
    let mut bench = Setup { settings, ..Setup::default() }.connected();
    (1..=6).for_each(|place| bench.queue(row(place)));
    bench.flush();
    bench.pass(5.0);
    next_link(&mut bench);
    bench.due((1..=6).map(|place| DueRow { was_sent: true, attempts: 1, ..row(place) }).collect());
    assert_eq!(bench.written()[1..], ["m1", "m2", "m3", "m4", "m5", "m6"]);
}

#[test]
fn a_late_answer_to_an_earlier_attempt_counts() {
    let mut bench = Setup::default().connected();
    bench.queue(row(1));
    bench.flush();
    bench.pass(15.0);
    bench.input(Input::Heard);
    bench.pass(15.5);
    assert_eq!(bench.session.in_flight(), 0, "it rests");
    bench.frame("ok m1");
    assert_eq!(bench.ended("m1"), Some(MessageState::Accepted));
    bench.pass(10.0);
    assert_eq!(bench.written(), ["m1"]);
}

#[test]
fn after_max_attempts_a_message_is_parked_and_the_lane_goes_on() {
    let mut bench = Setup::default().connected();
    bench.queue(row(1));
    bench.queue(row(2));
    bench.frame("ok m2");
    for _ in 0..3 {
        bench.frame("later m1");
        bench.queue(row(bench.written().len() as i64 + 10));
        bench.pass(12.0);
    }
    assert_eq!(bench.ended("m1"), Some(MessageState::Parked));
    assert_eq!(bench.ends().iter().filter(|(id, ..)| id == "m1").count(), 1);
    assert!(bench.ends().iter().any(|(_, _, why)| why.as_deref() == Some("max_attempts: deferred")));
}

#[test]
fn a_failed_attempt_stops_first_attempts_of_its_lane_only_until_it_ends() {
    let mut bench = Setup::default().connected();
    bench.queue(row(1));
    bench.queue(row(2));
    bench.frame("later m1");
    bench.queue(row(3));
    bench.queue(in_lane(4, "other"));
    assert_eq!(bench.written(), ["m1", "m2", "m4"]);
    bench.frame("ok m2");
    bench.pass(2.5);
    assert_eq!(bench.written(), ["m1", "m2", "m4", "m1"]);
    bench.frame("ok m1");
    let query = bench.questions().pop().expect("the lane is read on");
    assert_eq!((query.lane.as_deref(), query.after), (Some("default"), Place(2)));
    bench.due(vec![row(3)]);
    assert_eq!(bench.written().last(), Some(&"m3"));
}

#[test]
fn a_lane_taken_back_behind_a_question_is_asked_for_again() {
    let mut bench = lane("default", false, Some(2)).connected();
    (1..=50).for_each(|place| bench.queue(row(place)));
    let mut next = 1;
    while bench.questions().is_empty() {
        bench.frame(&format!("ok m{next}"));
        next += 1;
    }
    let query = bench.questions().pop().unwrap();
    assert_eq!((query.lane.as_deref(), query.after), (Some("default"), Place(36)));
    bench.take();
    bench.frame(&format!("later m{next}"));
    bench.input(Input::Due(Due { query, rows: (37..=50).map(row).collect(), end: true }));
    bench.frame(&format!("ok m{}", next + 1));
    bench.pass(2.5);
    bench.frame(&format!("ok m{next}"));
    let query = bench.questions().pop().expect("what was given back is asked for");
    assert_eq!((query.lane.as_deref(), query.after), (Some("default"), Place(next + 1)));
}

#[test]
fn an_answer_from_before_the_end_cannot_revive_a_message_whose_end_is_on_disk_since() {
    let mut narrow = settings();
    narrow.outbox.window = 8;
    let mut bench = Setup { settings: narrow, ..Setup::default() }.connected();
    (1..=5_000).for_each(|place| bench.queue(row(place)));
    for place in 1..=600 {
        bench.flush();
        bench.frame(&format!("ok m{place}"));
    }
    let query = bench.questions().pop().expect("it asks for the rest");
    bench.commit();
    bench.take();
    bench.input(Input::Due(Due { query, rows: [600, 4_097, 4_098].map(row).to_vec(), end: true }));
    for place in 601..=4_096 {
        bench.flush();
        bench.frame(&format!("ok m{place}"));
    }
    let sent: Vec<String> = (609..=4_098).map(|place| format!("m{place}")).collect();
    assert_eq!(bench.written(), sent);
}

#[test]
fn a_lane_with_a_window_of_one_has_one_on_the_wire_and_holds_up_nobody_else() {
    let mut bench = lane("strict", false, Some(1)).connected();
    bench.queue(in_lane(1, "strict"));
    bench.queue(in_lane(2, "strict"));
    bench.queue(row(3));
    assert_eq!(bench.written(), ["m1", "m3"]);
    bench.frame("ok m1");
    assert_eq!(bench.written(), ["m1", "m3", "m2"]);
}

#[test]
fn a_lane_that_blocks_waits_for_a_person_over_a_restart() {
    let mut bench = lane("care", true, None).connected();
    bench.queue(in_lane(1, "care"));
    bench.frame("no m1");
    assert_eq!(bench.ends(), [("m1".into(), MessageState::Rejected, Some("bad: it is bad".into()))]);
    bench.queue(in_lane(2, "care"));
    assert_eq!(bench.written(), ["m1"]);
    let values = bench.records().into_iter().filter_map(|(_, record)| match record {
        Record::Remember { name, value: Some(value) } => Some((name, value)),
        _ => None,
    });
    let remembered = Remembered { values: values.collect(), ..Remembered::default() };
    let mut bench = Setup { remembered, ..lane("care", true, None) }.bench();
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    bench.due(vec![in_lane(2, "care"), row(3)]);
    assert_eq!(bench.written()[1..], ["m3"]);
    bench.input(Input::Gone(vec![Place(1)]));
    bench.due(vec![in_lane(2, "care")]);
    assert_eq!(bench.written()[1..], ["m3", "m2"]);
}

#[test]
fn the_window_bounds_messages_and_bytes() {
    let mut bounded = settings();
    bounded.outbox.window = 2;
    let mut bench = Setup { settings: bounded, ..Setup::default() }.connected();
    (1..=3).for_each(|place| bench.queue(row(place)));
    assert_eq!(bench.written(), ["m1", "m2"]);
    let mut bounded = settings();
    bounded.outbox.window_bytes = 3;
    let mut bench = Setup { settings: bounded, ..Setup::default() }.connected();
    (1..=2).for_each(|place| bench.queue(row(place)));
    assert_eq!(bench.written(), ["m1"]);
}

#[test]
fn the_buffer_is_bounded_and_the_rest_stays_in_the_store() {
    let mut bounded = settings();
    bounded.outbox.window = 8;
    let mut bench = Setup { settings: bounded, ..Setup::default() }.connected();
    (1..=5_000).for_each(|place| bench.queue(row(place)));
    for place in 1..=511 {
        bench.flush();
        bench.frame(&format!("ok m{place}"));
    }
    assert_eq!(bench.questions(), [], "there is no room for many more");
    bench.frame("ok m512");
    let query = bench.questions().pop().expect("it asks for the rest");
    assert_eq!((query.after, query.limit), (Place(4_096), 512));
}

#[test]
fn a_connection_begins_with_a_small_question_and_goes_on_while_its_rows_are_under_way() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    bench.frame("welcome");
    let query = bench.questions().pop().expect("it asks");
    assert_eq!((query.after, query.limit), (Place(0), 64));
    bench.input(Input::Due(Due { query, rows: (1..=64).map(row).collect(), end: false }));
    assert_eq!(bench.written().iter().filter(|text| text.starts_with('m')).count(), 64);
    let query = bench.questions().pop().expect("it asks for more");
    assert_eq!((query.after, query.limit), (Place(64), 512));
}

#[test]
fn what_is_confirmed_together_ends_in_one_record() {
    let mut bench = Setup::default().connected();
    (1..=20).for_each(|place| bench.queue(row(place)));
    bench.frame("upto 12");
    bench.frame("ok m13");
    let records = bench.records().into_iter().filter_map(|(_, record)| match record {
        Record::EndedTogether { rows, state, attempts: 1 } => Some((rows.len(), state)),
        Record::Ended { state, attempts: 1, .. } => Some((1, state)),
        _ => None,
    });
    let records: Vec<_> = records.collect();
    assert_eq!(records, [(12, MessageState::Accepted), (1, MessageState::Accepted)]);
    let ended: Vec<String> = bench.ends().into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ended, (1..=13).map(|place| format!("m{place}")).collect::<Vec<_>>());
}

#[test]
fn ends_that_share_a_record_are_all_on_their_way_until_it_is_on_disk() {
    let mut bench = Setup::default().connected();
    (1..=3).for_each(|place| bench.queue(row(place)));
    bench.frame("upto 3");
    bench.input(Input::Requeued(vec![row(9)]));
    let query = bench.questions().pop().expect("it reads again");
    // Asked before the ends were on disk: the answer has all of them.
    bench.commit();
    bench.take();
    bench.input(Input::Due(Due { query, rows: [1, 2, 3, 9].map(row).to_vec(), end: true }));
    assert_eq!(bench.written(), ["m9"]);
}

#[test]
fn writes_do_not_run_ahead_of_the_socket() {
    let mut wide = settings();
    wide.outbox.window = 1_000;
    let mut bench = Setup { settings: wide, ..Setup::default() }.connected();
    (1..=300).for_each(|place| bench.queue(row(place)));
    assert_eq!(bench.written().len(), 256);
    bench.flush();
    assert_eq!(bench.written().len(), 300);
}

#[test]
fn p8_nothing_is_sent_after_its_ttl() {
    let mut bench = Setup::default().connected();
    let expires_at = Some(Timestamp::from_millis(bench.now as i64));
    bench.queue(DueRow { expires_at, ..row(1) });
    assert_eq!(bench.written(), NONE);
    assert_eq!(bench.ended("m1"), Some(MessageState::Expired));
}

#[test]
fn on_the_wire_at_expiry_the_outcome_counts_and_a_resend_is_not_made() {
    for answered in [true, false] {
        let mut bench = Setup::default().connected();
        let expires_at = Some(Timestamp::from_millis(bench.now as i64 + 20_000));
        bench.queue(DueRow { expires_at, ..row(1) });
        bench.flush();
        bench.pass(25.0);
        bench.input(Input::Heard);
        assert_eq!(bench.ends(), [], "it is on the wire");
        if answered {
            bench.frame("ok m1");
            assert_eq!(bench.ended("m1"), Some(MessageState::Accepted));
        } else {
            bench.pass(10.0);
            let told = bench.records().into_iter().any(|(_, record)| {
                matches!(record, Record::Ended { state: MessageState::Expired, maybe_delivered: true, .. })
            });
            assert!(told, "{:?}", bench.ends());
            assert_eq!(bench.written(), ["m1"]);
        }
    }
}

#[test]
fn what_must_not_be_repeated_is_claimed_on_disk_before_it_is_written() {
    let mut bench = Setup::default().connected();
    bench.queue(DueRow { resend: Resend::Never, ..row(1) });
    bench.queue(row(2));
    assert_eq!(bench.written(), NONE, "and nothing of its lane overtakes it");
    bench.commit();
    assert_eq!(bench.written(), ["m1", "m2"]);
    bench.flush();
    bench.pass(15.0);
    bench.input(Input::Heard);
    bench.pass(15.0);
    assert_eq!(bench.ended("m1"), Some(MessageState::Uncertain));
    bench.frame("ok m1");
    assert_eq!(bench.ended("m1"), Some(MessageState::Accepted), "a late word ends the doubt");
}

#[test]
fn the_store_s_word_on_released_rows_is_told() {
    let mut bench = Setup::default().connected();
    bench.queue(DueRow { resend: Resend::Never, ..row(1) });
    bench.commit();
    bench.take();
    bench.lose_link();
    let ticket = bench.release();
    bench.take();
    let gone = vec![(Place(1), row(1).id, MessageState::Uncertain)];
    bench.input(Input::Recorded { ticket, outcome: Recorded::Released { gone } });
    let told = bench.outputs.iter().any(|(_, output)| {
        matches!(
            output,
            Output::Publish(Change::Message { state: MessageState::Uncertain, finished: false, .. })
        )
    });
    assert!(told);
}

#[test]
fn a_latest_row_on_the_wire_is_marked_and_a_queued_one_is_replaced_in_its_place() {
    let mut bench = lane("default", false, Some(1)).connected();
    let latest = |place, id: &str| DueRow {
        id: MessageId::new(id).unwrap(),
        delivery: Delivery::Latest,
        key: Some("k".into()),
        ..row(place)
    };
    bench.queue(latest(1, "a"));
    let marked =
        bench.records().into_iter().any(|(_, record)| matches!(record, Record::OnWire { place: Place(1) }));
    assert!(marked);
    bench.queue(latest(2, "b"));
    bench.input(Input::Superseded { old: MessageId::new("b").unwrap(), row: latest(2, "c") });
    bench.frame("ok a");
    assert_eq!(bench.written(), ["a", "c"]);
}

#[test]
fn a_message_the_dialect_cannot_say_is_rejected() {
    let mut bench = Setup::default().connected();
    bench.queue(DueRow { kind: "unspeakable".into(), ..row(1) });
    assert_eq!(bench.ends(), [("m1".into(), MessageState::Rejected, Some("no rule fits".into()))]);
}

#[test]
fn a_withdrawn_row_goes_out_no_more_and_one_on_the_wire_is_not_given_back() {
    let mut bench = lane("default", false, Some(1)).connected();
    bench.queue(row(1));
    bench.queue(row(2));
    assert!(!bench.session.withdraw(Place(1)));
    assert!(bench.session.withdraw(Place(2)));
    bench.queue(row(3));
    bench.frame("ok m1");
    assert_eq!(bench.session.wire_places(), []);
    assert_eq!(bench.written(), ["m1"]);
    bench.input(Input::Gone(vec![Place(2)]));
    bench.due(vec![row(3)]);
    assert_eq!(bench.written(), ["m1", "m3"]);
}

#[test]
fn a_withdrawn_row_that_stays_after_all_goes_out() {
    let mut bench = lane("default", false, Some(1)).connected();
    (1..=3).for_each(|place| bench.queue(row(place)));
    assert!(bench.session.withdraw(Place(2)));
    bench.take();
    bench.frame("ok m1");
    assert_eq!(bench.written(), NONE, "it may stay: nothing overtakes it");
    bench.input(Input::Kept(Place(2)));
    bench.due(vec![row(2), row(3)]);
    assert_eq!(bench.written(), ["m2"]);
}

#[test]
fn a_refused_attempt_of_what_must_not_be_repeated_needs_a_new_claim() {
    let mut bench = Setup::default().connected();
    bench.queue(DueRow { resend: Resend::Never, ..row(1) });
    bench.commit();
    bench.frame("later m1");
    bench.take();
    bench.pass(2.5);
    assert_eq!(bench.written(), NONE);
    bench.commit();
    assert_eq!(bench.written(), ["m1"]);
}

#[test]
fn a_lane_that_blocks_no_longer_goes_on_at_the_reload() {
    let mut bench = lane("care", true, None).connected();
    bench.queue(in_lane(1, "care"));
    bench.frame("no m1");
    bench.queue(in_lane(2, "care"));
    assert_eq!(bench.written(), ["m1"]);
    bench.input(Input::Reload(Box::new(settings())));
    bench.due(vec![in_lane(2, "care")]);
    assert_eq!(bench.written(), ["m1", "m2"]);
}

#[test]
fn a_row_that_ended_without_the_session_goes_out_no_more() {
    let mut bench = lane("default", false, Some(1)).connected();
    (1..=3).for_each(|place| bench.queue(row(place)));
    bench.input(Input::Gone(vec![Place(2)]));
    bench.frame("ok m1");
    assert_eq!(bench.written(), ["m1", "m3"]);
}

#[test]
fn a_backlog_is_paced_and_new_messages_of_other_lanes_are_not() {
    let mut paced = settings();
    paced.outbox.drain_rate = 2;
    paced.outbox.window = 4;
    let mut bench = Setup { settings: paced, ..Setup::default() }.bench();
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    bench.due((1..=8).map(row).collect());
    bench.take();
    (1..=4).for_each(|place| bench.frame(&format!("ok m{place}")));
    assert_eq!(bench.written(), NONE, "the burst is a window");
    bench.queue(row(9));
    bench.queue(in_lane(10, "new"));
    assert_eq!(bench.written(), ["m10"], "new ones wait behind the backlog of their lane only");
    bench.pass(1.1);
    assert_eq!(bench.written(), ["m10", "m5", "m6"]);
}

#[test]
fn a_barrier_pong_confirms_what_was_flushed_before_the_ping_and_nothing_else() {
    let mut bench = Setup::default().connected();
    bench.queue(confirmed_by(1, Confirm::Barrier));
    bench.flush();
    bench.queue(confirmed_by(2, Confirm::Barrier));
    assert_eq!(bench.last_ping(), None, "it waits for company");
    bench.pass(0.1);
    let ping = bench.last_ping().expect("100 ms after the flush");
    bench.flush();
    bench.input(Input::Pong(b"unasked".to_vec()));
    assert_eq!(bench.ends(), []);
    bench.input(Input::Pong(ping));
    assert_eq!(bench.ends(), [("m1".into(), MessageState::Received, None)]);
    bench.pass(0.1);
    bench.echo();
    assert_eq!(bench.ended("m2"), Some(MessageState::Received));
}

#[test]
fn a_full_window_asks_at_once() {
    let mut narrow = settings();
    narrow.outbox.window = 1;
    let mut bench = Setup { settings: narrow, ..Setup::default() }.connected();
    bench.pass(1.0);
    bench.queue(confirmed_by(1, Confirm::Barrier));
    bench.queue(confirmed_by(2, Confirm::Barrier));
    bench.flush();
    bench.pass(0.0);
    assert!(bench.last_ping().is_some());
}

#[test]
fn an_endpoint_that_does_not_echo_is_remembered_and_the_write_is_what_counts() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    bench.no_rows();
    bench.queue(confirmed_by(1, Confirm::Barrier));
    bench.flush();
    bench.input(Input::Pong(Vec::new()));
    assert_eq!(bench.ends(), []);
    bench.pass(10.0);
    assert_eq!(bench.ended("m1"), Some(MessageState::Sent));
    assert_eq!(bench.hang_ups(), [], "a missing pong alone kills nothing");
    bench.queue(confirmed_by(2, Confirm::Barrier));
    bench.flush();
    assert_eq!(bench.ended("m2"), Some(MessageState::Sent));
    assert_eq!(bench.session.link_status().confirm, "learning");
    let values = bench.records().into_iter().filter_map(|(_, record)| match record {
        Record::Remember { name, value: Some(value) } => Some((name, value)),
        _ => None,
    });
    let remembered = Remembered { values: values.collect(), ..Remembered::default() };
    let mut bench = Setup { remembered, ..Setup::default() }.bench();
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    bench.no_rows();
    bench.queue(confirmed_by(1, Confirm::Barrier));
    bench.flush();
    assert_eq!(bench.ended("m1"), Some(MessageState::Sent));
}

#[test]
fn a_pong_ends_nothing_before_a_frame_where_the_sign_in_needs_no_answer() {
    let mut lax = settings();
    lax.sign_in = Some(SignIn { required: false, timeout: Duration::from_secs(10) });
    let mut bench = Setup { settings: lax, ..Setup::default() }.connected();
    bench.queue(confirmed_by(1, Confirm::Barrier));
    bench.flush();
    bench.pass(0.1);
    bench.echo();
    assert_eq!(bench.ends(), []);
    bench.frame("anything");
    assert_eq!(bench.ended("m1"), Some(MessageState::Received));
}

#[test]
fn an_undecided_message_ends_as_received_only_if_no_reply_comes() {
    let learned = |place| confirmed_by(place, Confirm::Learned);
    let mut bench = Setup::default().connected();
    bench.queue(learned(1));
    bench.flush();
    bench.pass(0.1);
    bench.echo();
    let (state, ..) = bench.session.message_state(&row(1).id).unwrap();
    assert_eq!((state, bench.ended("m1")), (MessageState::Received, None));
    bench.pass(4.8);
    assert_eq!(bench.ends(), []);
    bench.pass(0.3);
    assert_eq!(bench.ended("m1"), Some(MessageState::Received));
    bench.frame("ok m1");
    assert_eq!(bench.ended("m1"), Some(MessageState::Accepted), "a late word lifts it");
    bench.queue(learned(2));
    bench.flush();
    bench.pass(29.0);
    bench.input(Input::Heard);
    assert_eq!(bench.ended("m2"), None, "this type is answered: only the reply ends it");
    bench.frame("no m2");
    assert_eq!(bench.ended("m2"), Some(MessageState::Rejected));
    assert_eq!(bench.session.link_status().confirm, "reply");
    let remembered = bench
        .records()
        .into_iter()
        .any(|(_, record)| matches!(record, Record::Remember { name, .. } if name == "reply server order"));
    assert!(remembered);
}

#[test]
fn an_undecided_message_on_a_link_that_dies_goes_out_again() {
    let mut bench = Setup::default().connected();
    bench.queue(confirmed_by(1, Confirm::Learned));
    bench.flush();
    bench.pass(0.1);
    bench.echo();
    next_link(&mut bench);
    bench.due(vec![DueRow { was_sent: true, ..confirmed_by(1, Confirm::Learned) }]);
    assert_eq!(bench.written()[1..], ["m1"]);
}

#[test]
fn a_frame_without_a_name_is_confirmed_by_the_barrier() {
    let mut bench = Setup::default().connected();
    bench.queue(DueRow { kind: "raw".into(), ..row(1) });
    bench.flush();
    bench.pass(0.1);
    bench.echo();
    assert_eq!(bench.ended("m1"), Some(MessageState::Received));
}

#[test]
fn a_message_that_kills_its_connection_is_isolated_and_parked() {
    let mut bench = Setup::default().connected();
    (1..=3).for_each(|place| bench.queue(row(place)));
    for strikes in 0..3 {
        next_link(&mut bench);
        let again = |place| DueRow { was_sent: true, strikes, ..row(place) };
        bench.due(vec![again(1), DueRow { strikes: 0, ..again(2) }, DueRow { strikes: 0, ..again(3) }]);
        assert_eq!(bench.written()[1..], ["m1"], "alone");
    }
    bench.take();
    bench.lose_link();
    let (id, state, why) = bench.ends().pop().expect("set aside");
    assert_eq!((id.as_str(), state), ("m1", MessageState::Parked));
    assert!(why.unwrap().starts_with("poison"));
    bench.commit();
    bench.pass(60.0);
    bench.take();
    bench.input(Input::LinkUp { token: None });
    bench.due(vec![DueRow { was_sent: true, ..row(2) }, DueRow { was_sent: true, ..row(3) }]);
    bench.frame("ok m2");
    assert_eq!(bench.written()[1..], ["m2", "m3"], "the first confirmation ends the caution");
}

#[test]
fn a_death_does_not_take_back_the_claim_of_what_must_not_be_repeated() {
    let mut bench = Setup::default().connected();
    bench.queue(DueRow { resend: Resend::Never, ..row(1) });
    bench.commit();
    bench.take();
    bench.lose_link();
    let failed = bench.records().into_iter().any(|(_, record)| matches!(record, Record::Failed { .. }));
    assert!(!failed, "a failed attempt would be one that may be repeated");
}

#[test]
fn an_isolated_message_that_is_too_large_for_the_server_is_rejected() {
    let mut bench = Setup::default().connected();
    (1..=2).for_each(|place| bench.queue(row(place)));
    next_link(&mut bench);
    bench.due(vec![DueRow { was_sent: true, ..row(1) }, DueRow { was_sent: true, ..row(2) }]);
    bench.take();
    let reason = "too big".into();
    bench.input(Input::LinkDown(Failure::Closed { code: 1009, reason, ruled: None, repeated_policy: false }));
    let (id, state, why) = bench.ends().pop().expect("an end");
    assert_eq!((id.as_str(), state), ("m1", MessageState::Rejected));
    assert!(why.unwrap().starts_with("too_large"));
}

#[test]
fn a_retried_message_is_read_again_from_its_place() {
    let mut bench = Setup::default().connected();
    bench.queue(row(1));
    bench.queue(row(2));
    bench.frame("ok m2");
    (0..3).for_each(|_| {
        bench.frame("later m1");
        bench.pass(12.0);
    });
    assert_eq!(bench.ended("m1"), Some(MessageState::Parked));
    bench.commit();
    bench.take();
    bench.input(Input::Requeued(vec![row(1)]));
    assert_eq!(bench.questions().pop().map(|query| query.after), Some(Place(0)));
    bench.due(vec![row(1)]);
    assert_eq!(bench.written(), ["m1"]);
}

#[test]
fn ephemeral_messages_are_sent_now_or_dropped_with_a_reason() {
    let mut bench = Setup::default().bench();
    let typing = |ticket| Input::Ephemeral {
        ticket,
        id: MessageId::new("e").unwrap(),
        kind: "typing".into(),
        payload: Payload::Json("{}".into()),
    };
    bench.input(Input::Start);
    bench.input(typing(1));
    bench.link_up();
    bench.input(typing(2));
    bench.flush();
    bench.input(typing(3));
    bench.lose_link();
    let told: Vec<_> = bench
        .take()
        .into_iter()
        .filter_map(|(_, output)| match output {
            Output::Publish(Change::Ephemeral { ticket, dropped }) => Some((ticket, dropped.is_some())),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(2, false), (3, true)]);
}
