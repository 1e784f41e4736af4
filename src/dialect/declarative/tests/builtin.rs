//! The dialects that come with the program.

use std::time::Duration;

use super::{Bench, at, built_in, rows, sent};
use crate::dialect::{About, Act, Given, Outgoing, builtin};
use crate::model::{Confirm, ErrorKind, Frame, MessageId, NewRow, Payload, Secret};

#[test]
fn the_built_in_dialects_have_nothing_wrong_with_them() {
    for dialect in builtin::list() {
        assert_eq!(crate::dialect::declarative::check(dialect.text, dialect.name), [], "{}", dialect.name);
        assert!(!dialect.about().is_empty());
        assert_eq!(built_in(dialect.name).traits().about, dialect.about());
    }
}

#[test]
fn json_signs_in_only_where_there_is_a_credential() {
    let json = built_in("json");
    let (_, acts) = Bench::new(&json, Given::default());
    assert!(matches!(acts[..], [Act::Started { resumed: None }]), "{acts:?}");

    let given = Given { token: Some(Secret::new("T\"1")), ..Given::default() };
    let (mut bench, acts) = Bench::new(&json, given);
    assert_eq!(sent(&acts), [r#"{"type":"auth","token":"T\"1"}"#]);
    assert_eq!(acts.len(), 1);
    assert_eq!(bench.talk.poll_timeout(), Some(at(10).instant));
    let acts = bench.frame(r#"{"type":"auth_ok"}"#);
    assert!(matches!(acts[..], [Act::Started { resumed: None }]), "{acts:?}");
    assert_eq!(bench.talk.poll_timeout(), None);
}

#[test]
fn json_takes_the_data_out_of_an_event_where_nothing_stands_beside_it() {
    let (mut bench, _) = Bench::new(&built_in("json"), Given::default());
    for (frame, row) in [
        (r#"{"type":"a","eventId":7,"data":{"x":1.50}}"#, r#"a|7|{"x":1.50}"#),
        (r#"{"type":"a","data":[1],"messageId":"m"}"#, "a|-|[1]"),
        (r#"{"type":"a","data":1,"z":2,"eventId":"e"}"#, r#"a|e|{"data":1,"z":2}"#),
        (r#"{"b":12345678901234567890,"type":"a","a":null}"#, r#"a|-|{"b":12345678901234567890,"a":null}"#),
        ("{\"type\":\"a\",\n \"b\": [1,\r\n 2]}", r#"a|-|{"b":[1,2]}"#),
        (r#"{"type":"a"}"#, "a|-|{}"),
        (r#"{"type":3}"#, "3|-|{}"),
        (r#"{"type":null}"#, r#"unrecognised|-|{"type":null}"#),
        (r#"{"x":1}"#, r#"unrecognised|-|{"x":1}"#),
        ("[1]", "unrecognised|-|[1]"),
        ("7", "unrecognised|-|7"),
        ("", "bad|invalid_json"),
        ("{\"type\":\"a\"", "bad|invalid_json"),
        (&("[".repeat(65) + &"]".repeat(65)), "bad|too_deep"),
        (r#"{"type":"error","code":"x"}"#, r#"error|-|{"code":"x"}"#),
    ] {
        assert_eq!(rows(&bench.frame(frame)), [row], "{frame}");
    }
    for silent in [r#"{"type":"ack"}"#, r#"{"type":"pong"}"#, r#"{"type":"auth_ok"}"#, r#"{"type":"auth_x"}"#]
    {
        assert_eq!(rows(&bench.frame(silent)), Vec::<String>::new(), "{silent}");
    }
}

#[test]
fn json_spreads_objects_and_wraps_everything_else() {
    let (mut bench, _) = Bench::new(&built_in("json"), Given::default());
    for (data, frame) in [
        (r#"{"a":1.0,"b":{}}"#, r#"{"type":"k","messageId":"m1","a":1.0,"b":{}}"#),
        ("{}", r#"{"type":"k","messageId":"m1"}"#),
        ("[1]", r#"{"type":"k","messageId":"m1","data":[1]}"#),
        ("null", r#"{"type":"k","messageId":"m1","data":null}"#),
        ("\"x\"", r#"{"type":"k","messageId":"m1","data":"x"}"#),
    ] {
        assert_eq!(bench.send("k", data), frame);
    }
}

#[test]
fn json_refuses_reserved_types_and_members_of_its_own() {
    let json = built_in("json");
    let kind_of = |kind: &str, data: &str| {
        json.check(kind, &Payload::Json(data.into())).map_err(|refusal| refusal.kind)
    };
    assert_eq!(kind_of("k", r#"{"data":1}"#), Ok(()));
    for reserved in ["auth", "ack", "ping", "pong", "resume"] {
        assert_eq!(kind_of(reserved, "{}"), Err(ErrorKind::InvalidParams));
    }
    assert_eq!(kind_of("k", r#"{"type":1}"#), Err(ErrorKind::InvalidParams));
    assert_eq!(kind_of("k", r#"{"message\u0049d":1}"#), Err(ErrorKind::InvalidParams));
    assert_eq!(json.check("text", &Payload::Text("ping".into())), Ok(()));
    assert_eq!(json.confirm("k", &Payload::Json("{}".into())), Confirm::Learned);
    assert_eq!(json.confirm("text", &Payload::Text("".into())), Confirm::Barrier);
}

#[test]
fn holdline_acknowledges_events_behind_the_commit_and_resumes_from_the_last() {
    let holdline = built_in("holdline");
    let (mut bench, acts) = Bench::new(&holdline, Given::default());
    assert_eq!(sent(&acts), [r#"{"type":"resume","since":null}"#]);
    let acts = bench.frame(r#"{"type":"resumed","from":"e1"}"#);
    let [Act::Store { unit, .. }, Act::Started { resumed: None }] = &acts[..] else {
        panic!("{acts:?}");
    };
    assert_eq!(unit.cursors, [("".into(), Some("\"e1\"".into()))]);
    let acts = bench.frame(r#"{"type":"a","eventId":"e2","n":1}"#);
    let [Act::Store { unit, then, .. }] = &acts[..] else {
        panic!("{acts:?}");
    };
    assert_eq!(unit.cursors, [("".into(), Some("\"e2\"".into()))]);
    assert_eq!(then, &[Frame::Text(r#"{"type":"ack","eventId":"e2"}"#.into())]);

    let cursors = [("".into(), "\"e2\"".into())].into();
    let (mut bench, acts) = Bench::new(&holdline, Given { cursors, ..Given::default() });
    assert_eq!(sent(&acts), [r#"{"type":"resume","since":"e2"}"#]);
    let acts = bench.frame(r#"{"type":"resumed","from":"e2"}"#);
    assert!(matches!(acts[..], [Act::Started { resumed: Some(true) }]), "{acts:?}");

    let cursors = [("".into(), "\"e2\"".into())].into();
    let (mut bench, _) = Bench::new(&holdline, Given { cursors, ..Given::default() });
    let acts = bench.frame(r#"{"type":"gap","from":"e9"}"#);
    let [Act::Store { unit, .. }, Act::Started { resumed: Some(false) }] = &acts[..] else {
        panic!("{acts:?}");
    };
    assert_eq!(unit.cursors, [("".into(), Some("\"e9\"".into()))]);
    assert!(matches!(unit.rows[..], [NewRow::Gap { .. }]));
}

#[test]
fn holdline_reads_single_and_cumulative_acknowledgements() {
    let (mut bench, _) = Bench::new(&built_in("holdline"), Given::default());
    bench.frame(r#"{"type":"resumed","from":null}"#);
    assert_eq!(bench.send("k", "{}"), r#"{"type":"k","messageId":"m1","messageNo":1}"#);
    assert_eq!(bench.send("k", "{}"), r#"{"type":"k","messageId":"m1","messageNo":2}"#);
    let acts = bench.frame(r#"{"type":"ack","upTo":2}"#);
    assert!(matches!(&acts[..], [Act::Accepted { about: About::UpTo(2), .. }]), "{acts:?}");
    let acts = bench.frame(r#"{"type":"ack","messageId":"m1"}"#);
    assert!(matches!(&acts[..], [Act::Accepted { about: About::One(id), .. }] if id == "m1"), "{acts:?}");
}

#[test]
fn text_looks_into_nothing() {
    let text = built_in("text");
    let (mut bench, _) = Bench::new(&text, Given::default());
    assert_eq!(rows(&bench.frame("{\"type\"")), ["text|-|text:{\"type\""]);
    let mut acts = Vec::new();
    bench.talk.frame(at(0), Frame::Binary(b"{}".to_vec()), &mut acts);
    assert_eq!(rows(&acts), ["binary|-|bytes:[123, 125]"]);
    let payload = Payload::Binary(vec![1, 2].into());
    let id = MessageId::new("m").unwrap();
    let encoded = bench.talk.encode(at(0), Outgoing { id: &id, kind: "binary", payload: &payload }).unwrap();
    assert_eq!((encoded.frame, encoded.reference), (Frame::Binary(vec![1, 2]), None));
    let refused = text.check("k", &Payload::Json("{}".into())).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unsupported);
}

#[test]
fn a_step_without_an_answer_ends_the_session_in_time() {
    let given = Given { token: Some(Secret::new("T")), ..Given::default() };
    let (mut bench, _) = Bench::new(&built_in("json"), given);
    let acts = bench.time_up(10);
    let wanted = crate::model::Failure::StartTimeout {
        step: "start[1]".into(),
        after: Duration::from_secs(10),
        sign_in: true,
    };
    assert!(matches!(&acts[..], [Act::HangUp(failure)] if *failure == wanted), "{acts:?}");
}
