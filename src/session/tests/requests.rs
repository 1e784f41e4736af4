//! Requests: sent once, kept nowhere, answered by the server's own reply.

use super::*;

fn ask(bench: &mut Bench, ticket: u64) {
    ask_as(bench, ticket, &format!("r{ticket}"));
}

fn ask_as(bench: &mut Bench, ticket: u64, id: &str) {
    bench.input(Input::Request {
        ticket,
        id: MessageId::new(id).unwrap(),
        kind: "ask".into(),
        payload: Payload::Json("{}".into()),
    });
}

/// What became of requests since the last look.
fn replies(bench: &mut Bench) -> Vec<(u64, Result<Option<String>, ErrorKind>)> {
    let changes = bench.take().into_iter().filter_map(|(_, output)| match output {
        Output::Publish(Change::Replied { ticket, outcome }) => Some((
            ticket,
            outcome.map(|body| body.map(|body| body.to_string())).map_err(|refusal| refusal.kind),
        )),
        _ => None,
    });
    changes.collect()
}

fn refusals(bench: &mut Bench) -> Vec<Refusal> {
    let changes = bench.take().into_iter().filter_map(|(_, output)| match output {
        Output::Publish(Change::Replied { outcome: Err(refusal), .. }) => Some(refusal),
        _ => None,
    });
    changes.collect()
}

fn body(text: &str) -> Result<Option<String>, ErrorKind> {
    Ok(Some(text.to_owned()))
}

#[test]
fn a_request_is_answered_by_its_reply_or_by_the_reason_there_is_none() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    ask(&mut bench, 1);
    assert_eq!(replies(&mut bench), [(1, Err(ErrorKind::NotConnected))]);
    bench.link_up();
    (2..=4).for_each(|ticket| ask(&mut bench, ticket));
    bench.frame("ok r2");
    bench.frame("no r3");
    bench.lose_link();
    assert_eq!(
        replies(&mut bench),
        [(2, body("{}")), (3, Err(ErrorKind::Ended)), (4, Err(ErrorKind::Uncertain))]
    );
    bench.link_up();
    assert_eq!(bench.written(), [""; 0], "one attempt, and no other on the next link");
}

#[test]
fn before_the_sign_in_is_through_there_is_no_link_for_requests() {
    let mut bench = Setup { eager: false, ..Setup::default() }.bench();
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    ask(&mut bench, 1);
    assert_eq!(replies(&mut bench), [(1, Err(ErrorKind::NotConnected))]);
    bench.frame("welcome");
    ask(&mut bench, 2);
    bench.frame("ok r2");
    assert_eq!(replies(&mut bench), [(2, body("{}"))]);
}

#[test]
fn what_the_server_said_before_its_last_word_is_the_reply_where_that_has_none() {
    let mut bench = Setup::default().connected();
    (1..=3).for_each(|ticket| ask(&mut bench, ticket));
    bench.frame("got r1 1");
    bench.frame("got r1 2");
    bench.frame("got r2 1");
    assert_eq!(replies(&mut bench), [], "the last word is still to come");
    bench.frame("done r1");
    bench.frame("ok r2");
    bench.frame("done r3");
    assert_eq!(replies(&mut bench), [(1, body("2")), (2, body("{}")), (3, Ok(None))]);
}

#[test]
fn replies_that_are_never_completed_cannot_fill_the_memory() {
    let mut bench = Setup::default().connected();
    (1..=3).for_each(|ticket| ask(&mut bench, ticket));
    let large = "9".repeat(3 << 20);
    (1..=3).for_each(|ticket| bench.frame(&format!("got r{ticket} {large}")));
    assert_eq!(replies(&mut bench), [(3, Err(ErrorKind::TooLarge))], "the third is past 8 MiB");
    // Its room is there again once others are through, and a newer word takes an older one's place.
    bench.frame("done r1");
    ask(&mut bench, 4);
    bench.frame(&format!("got r4 {large}"));
    bench.frame(&format!("got r4 {large}"));
    bench.frame("done r4");
    bench.frame("done r3");
    assert_eq!(replies(&mut bench), [(1, body(&large)), (4, body(&large))]);
}

#[test]
fn a_refusal_carries_the_servers_code_words_and_body() {
    let mut bench = Setup::default().connected();
    (1..=2).for_each(|ticket| ask(&mut bench, ticket));
    bench.frame("no r1");
    bench.frame("later r2");
    let told = refusals(&mut bench);
    assert_eq!(told[0].message, "the server refused the request: bad: it is bad");
    let data = serde_json::Value::Object(told[0].extra.clone());
    let said = serde_json::json!({
        "state": "rejected", "code": "bad", "reason": "it is bad", "reply": {"orderId": 5}
    });
    assert_eq!(data, said);
    assert!(!told[0].retryable && told[1].retryable, "`not now` may be asked again");
    assert_eq!((told[1].kind, bench.records().len()), (ErrorKind::Ended, 0), "no event comes of it");
}

#[test]
fn a_number_that_covers_several_answers_requests_and_messages_alike() {
    let mut bench = Setup::default().connected();
    ask(&mut bench, 1);
    bench.queue(row(1));
    ask(&mut bench, 2);
    ask(&mut bench, 3);
    bench.frame("upto 3");
    assert_eq!(bench.ended("m1"), Some(MessageState::Accepted));
    assert_eq!(replies(&mut bench), [(1, Ok(None)), (2, Ok(None))]);
    bench.frame("upto 4");
    assert_eq!(replies(&mut bench), [(3, Ok(None))], "and each once");
}

#[test]
fn a_reply_nobody_waits_for_any_more_is_counted_and_is_no_event() {
    let mut bench = Setup::default().connected();
    (1..=3).for_each(|ticket| ask(&mut bench, ticket));
    (1..=3).for_each(|ticket| bench.input(Input::ForgetRequest(ticket)));
    bench.take();
    bench.frame("ok r1");
    bench.frame("no r2");
    bench.frame("got r3");
    bench.frame("later r3");
    let counted = |bench: &Bench| {
        let counts =
            |output: &Output| matches!(output, Output::Publish(Change::Count("request_replies_late_total")));
        bench.outputs.iter().filter(|(_, output)| counts(output)).count()
    };
    assert_eq!(counted(&bench), 3);
    assert_eq!(bench.records().len(), 0, "a refusal that comes late is no event either");
    bench.frame("no r2");
    assert_eq!((counted(&bench), bench.records().len()), (3, 1), "a second one belongs to nothing");
    assert_eq!(replies(&mut bench), []);
}

#[test]
fn a_request_that_was_given_up_makes_room_for_another() {
    let mut bench = Setup::default().connected();
    for ticket in 0..MOST_REQUESTS as u64 {
        ask(&mut bench, ticket);
    }
    assert_eq!(replies(&mut bench), [], "as many as there may be, and none of them flushed");
    ask(&mut bench, 900);
    assert_eq!(replies(&mut bench), [(900, Err(ErrorKind::Busy))]);
    bench.input(Input::ForgetRequest(7));
    ask(&mut bench, 901);
    bench.frame("ok r901");
    assert_eq!(replies(&mut bench), [(901, body("{}"))]);
}

#[test]
fn large_requests_wait_until_the_socket_has_taken_those_before_them() {
    let mut bench = Setup::default().connected();
    let large = |bench: &mut Bench, ticket: u64| {
        bench.input(Input::Request {
            ticket,
            id: MessageId::new(&format!("r{ticket}")).unwrap(),
            kind: "whole".into(),
            payload: Payload::Json("1".repeat(5 << 20).into()),
        });
    };
    large(&mut bench, 1);
    large(&mut bench, 2);
    assert_eq!(replies(&mut bench), [(2, Err(ErrorKind::Busy))], "5 MiB and 5 MiB are more than 8");
    large(&mut bench, 3);
    bench.flush();
    assert_eq!(replies(&mut bench), [(3, Err(ErrorKind::Busy))], "nothing was flushed yet");
    bench.input(Input::Written(u64::MAX));
    large(&mut bench, 4);
    bench.frame("ok r4");
    assert_eq!(replies(&mut bench), [(4, body("{}"))]);
}

#[test]
fn a_name_that_waits_for_its_answer_already_is_refused_and_nobody_gets_the_others_reply() {
    let mut bench = Setup::default().connected();
    bench.queue(row(1));
    ask_as(&mut bench, 1, "m1");
    ask_as(&mut bench, 2, "x");
    ask_as(&mut bench, 3, "x");
    assert_eq!(replies(&mut bench), [(1, Err(ErrorKind::Conflict)), (3, Err(ErrorKind::Conflict))]);
    bench.frame("ok x");
    assert_eq!(replies(&mut bench), [(2, body("{}"))]);
    bench.frame("ok m1");
    assert_eq!(bench.ended("m1"), Some(MessageState::Accepted));
    ask_as(&mut bench, 4, "m1");
    bench.frame("ok m1");
    assert_eq!(replies(&mut bench), [(4, body("{}"))], "the name is free again");
}

#[test]
fn a_request_the_server_cannot_answer_by_name_is_refused() {
    let mut bench = Setup::default().connected();
    bench.input(Input::Request {
        ticket: 1,
        id: MessageId::new("r1").unwrap(),
        kind: "raw".into(),
        payload: Payload::Text("x".into()),
    });
    assert_eq!(replies(&mut bench), [(1, Err(ErrorKind::Unsupported))]);
}

#[test]
fn a_reply_shows_that_the_session_works() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    (0..3).for_each(|_| {
        bench.lose_link();
        bench.pass(60.0);
    });
    bench.link_up();
    ask(&mut bench, 1);
    bench.frame("ok r1");
    bench.take();
    bench.lose_link();
    bench.pass(2.1);
    assert_eq!(bench.dials().len(), 1, "the delays start anew with the first one");
}
