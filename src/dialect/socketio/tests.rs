//! What no recording shows: limits, garbage, what outlasts a connection.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::load;
use crate::dialect::{About, Act, Conversation, Dialect, Given, Outgoing, SignIn};
use crate::model::{ErrorKind, Failure, Frame, Instant, MessageId, Moment, NewRow, Payload, Unit, Verdict};

const OPEN: &str = r#"0{"sid":"s","pingInterval":25000,"pingTimeout":20000,"maxPayload":200}"#;

fn vars(vars: Value) -> Map<String, Value> {
    vars.as_object().expect("an object").clone()
}

fn dialect(wanted: Value) -> std::sync::Arc<dyn Dialect> {
    load(&vars(wanted)).expect("sound vars")
}

fn text(text: &str) -> Frame {
    Frame::Text(text.to_owned())
}

fn hear(talk: &mut dyn Conversation, frame: Frame) -> Vec<Act> {
    let mut acts = Vec::new();
    talk.frame(Moment::default(), frame, &mut acts);
    acts
}

/// A conversation that has begun, with what `given` brings.
fn started(dialect: &dyn Dialect, given: Given) -> (Box<dyn Conversation>, Vec<Act>) {
    let mut talk = dialect.converse(given, 1);
    let mut acts = Vec::new();
    talk.begin(Moment::default(), &mut acts);
    for frame in [OPEN, r#"40{"sid":"x","pid":"p"}"#] {
        acts.extend(hear(talk.as_mut(), text(frame)));
    }
    (talk, acts)
}

fn units(acts: &[Act]) -> Vec<Unit> {
    let unit = |act: &Act| match act {
        Act::Store { unit, .. } => Some(unit.clone()),
        Act::Send(_)
        | Act::Started { .. }
        | Act::Accepted { .. }
        | Act::Received { .. }
        | Act::Rejected { .. }
        | Act::Deferred { .. }
        | Act::Pong
        | Act::Health { .. }
        | Act::HangUp(_) => None,
    };
    acts.iter().filter_map(unit).collect()
}

fn json_payload(json: &str) -> Payload {
    Payload::Json(json.into())
}

#[test]
fn vars_are_read_and_what_is_wrong_with_them_says_what_to_write() {
    dialect(json!({
        "namespaces": ["/admin", "/"], "auth": { "room": 1 }, "token": "jwt", "lists": ["d.*"],
        "message_id": "/a~1b", "reject": "/error", "event_id": "", "offset": "last", "refusals": ["no"],
        "attachments": 0,
    }));
    for (wrong, message, advice) in [
        (json!({ "namespace": ["/"] }), "no variable `namespace`", "`namespaces`"),
        (json!({ "namespaces": [] }), "1 to 16", "[\"/\", \"/admin\"]"),
        (json!({ "namespaces": ["admin"] }), "\"admin\"", "begins with `/`"),
        (json!({ "namespaces": ["/a", "/a"] }), "twice", ""),
        (json!({ "auth": { "pid": 1 } }), "`pid`", "leave it out"),
        (json!({ "auth": { "jwt": 1 }, "token": "jwt" }), "`jwt`", "another name"),
        (json!({ "message_id": "id" }), "carries its id", "\"argument\""),
        (json!({ "message_id": "/a/b" }), "first argument itself", "member"),
        (json!({ "reject": "error" }), "JSON Pointer", "\"/id\""),
        (json!({ "offset": true }), "offsets", "\"never\""),
        (json!({ "attachments": 1025 }), "1024", "maxAttachments"),
    ] {
        let problems = load(&vars(wrong.clone())).expect_err("a problem");
        let said = problems.iter().map(ToString::to_string).collect::<String>();
        assert!(said.contains(message) && said.contains(advice), "{wrong}: {said}");
    }
}

#[test]
fn an_event_is_acknowledged_to_the_server_only_behind_what_is_stored() {
    let (mut talk, _) = started(dialect(json!({})).as_ref(), Given::default());
    let acts = hear(talk.as_mut(), text(r#"42/x,17["ask",1,"PgWoJyS"]"#));
    let [Act::Store { unit, then, cumulative: false }] = acts.as_slice() else {
        panic!("{acts:?}");
    };
    assert_eq!(then, &[text("43/x,17[]")]);
    // Its last argument is its own: an event that is acknowledged has no offset.
    let [NewRow::Event { id: None, payload, .. }] = unit.rows.as_slice() else {
        panic!("{unit:?}");
    };
    assert_eq!(*payload, json_payload(r#"[1,"PgWoJyS"]"#));
    assert!(unit.cursors.is_empty());
}

#[test]
fn which_last_arguments_are_offsets_can_be_said() {
    for (wanted, frame, id) in [
        ("known", r#"42["a",1,"PgWoJyS"]"#, Some("PgWoJyS")),
        ("known", r#"42["a",1,"custom:7"]"#, None),
        // Its acknowledgement is awaited, and such events have none.
        ("known", r#"4217["a",1,"PgWoJyS"]"#, None),
        ("last", r#"42["a",1,"custom:7"]"#, Some("custom:7")),
        ("never", r#"42["a",1,"PgWoJyS"]"#, None),
    ] {
        let (mut talk, _) = started(dialect(json!({ "offset": wanted })).as_ref(), Given::default());
        let units = units(&hear(talk.as_mut(), text(frame)));
        let [NewRow::Event { id: found, payload, .. }] = units[0].rows.as_slice() else {
            panic!("{units:?}");
        };
        assert_eq!(found.as_deref(), id, "{wanted} {frame}");
        assert_eq!(payload == &json_payload("1"), id.is_some(), "an offset is no data");
    }
    let (mut talk, _) = started(dialect(json!({ "offset": "last" })).as_ref(), Given::default());
    for (length, taken) in [(256, true), (257, false)] {
        let units = units(&hear(talk.as_mut(), text(&format!(r#"42["a","{}"]"#, "o".repeat(length)))));
        assert_eq!(units[0].cursors.len(), usize::from(taken), "an offset of {length} bytes");
    }
}

#[test]
fn what_is_kept_of_one_connection_is_what_the_next_one_asks_with() {
    let dialect = dialect(json!({}));
    let (mut talk, mut acts) = started(dialect.as_ref(), Given::default());
    acts.extend(hear(talk.as_mut(), text(r#"42["a","PgWoJyS"]"#)));
    let mut given = Given::default();
    put_down(&mut given, &acts);
    let (_, acts) = started(dialect.as_ref(), given);
    assert_eq!(sent(&acts), [&text(r#"40{"pid":"p","offset":"PgWoJyS"}"#)]);
    assert!(matches!(acts.last(), Some(Act::Started { resumed: Some(true) })), "{acts:?}");
}

/// What the next connection is given, with what these acts put on disk.
fn put_down(given: &mut Given, acts: &[Act]) {
    for unit in units(acts) {
        for (stored, new) in [(&mut given.kept, unit.kept), (&mut given.cursors, unit.cursors)] {
            for (name, value) in new {
                match value {
                    Some(value) => stored.insert(name, value),
                    None => stored.remove(&name),
                };
            }
        }
    }
}

fn sent(acts: &[Act]) -> Vec<&Frame> {
    acts.iter().filter_map(|act| if let Act::Send(frame) = act { Some(frame) } else { None }).collect()
}

fn gaps(acts: &[Act]) -> usize {
    let rows = units(acts).into_iter().flat_map(|unit| unit.rows);
    rows.filter(|row| matches!(row, NewRow::Gap { .. })).count()
}

#[test]
fn a_session_that_was_lost_is_followed_by_another_that_is_asked_for_next() {
    let dialect = dialect(json!({}));
    let mut given = Given::default();
    let mut asked = Vec::new();
    for pid in ["p1", "p2", "p2"] {
        let mut talk = dialect.converse(given.clone(), 1);
        let mut acts = Vec::new();
        talk.begin(Moment::default(), &mut acts);
        for frame in [OPEN, &format!(r#"40{{"sid":"x","pid":"{pid}"}}"#), r#"42["a","PgWoJyS"]"#] {
            acts.extend(hear(talk.as_mut(), text(frame)));
        }
        put_down(&mut given, &acts);
        asked.push((sent(&acts)[0].clone(), gaps(&acts)));
    }
    let ask = |pid: &str| text(&format!(r#"40{{"pid":"{pid}","offset":"PgWoJyS"}}"#));
    assert_eq!(asked, [(text("40"), 0), (ask("p1"), 1), (ask("p2"), 0)]);
}

#[test]
fn a_session_that_was_not_asked_for_is_not_resumed() {
    let dialect = dialect(json!({}));
    let mut given = Given::default();
    // No event came that had an offset.
    let (_, acts) = started(dialect.as_ref(), Given::default());
    put_down(&mut given, &acts);
    let (_, acts) = started(dialect.as_ref(), given);
    assert_eq!((sent(&acts), gaps(&acts)), (vec![&text("40")], 1));
    assert!(matches!(acts.last(), Some(Act::Started { resumed: Some(false) })), "{acts:?}");
}

#[test]
fn a_session_id_that_is_too_long_is_not_kept() {
    for (length, kept) in [(1024, true), (1025, false)] {
        let mut talk = dialect(json!({})).converse(Given::default(), 1);
        talk.begin(Moment::default(), &mut Vec::new());
        hear(talk.as_mut(), text(OPEN));
        let pid = "p".repeat(length);
        let acts = hear(talk.as_mut(), text(&format!(r#"40{{"sid":"x","pid":"{pid}"}}"#)));
        let held = units(&acts)
            .iter()
            .flat_map(|unit| &unit.kept)
            .any(|(_, value)| value.as_ref().is_some_and(|value| value.contains(&pid)));
        assert_eq!(held, kept, "{length} bytes");
    }
}

/// Joins both namespaces, each with this answer; all acts.
fn join_both(given: Given, home: &str, admin: &str) -> (Box<dyn Conversation>, Vec<Act>) {
    let mut talk = dialect(json!({ "namespaces": ["/", "/admin"] })).converse(given, 1);
    let mut acts = Vec::new();
    talk.begin(Moment::default(), &mut acts);
    for frame in [OPEN, &format!("40{home}"), &format!("40/admin,{admin}")] {
        acts.extend(hear(talk.as_mut(), text(frame)));
    }
    (talk, acts)
}

#[test]
fn two_namespaces_may_give_their_events_the_same_offset() {
    let pid = r#"{"sid":"x","pid":"p"}"#;
    let (mut talk, _) = join_both(Given::default(), pid, pid);
    let streams: Vec<String> = [r#"42["a",1,"PgWoJyS"]"#, r#"42/admin,["a",1,"PgWoJyS"]"#]
        .into_iter()
        .flat_map(|frame| units(&hear(talk.as_mut(), text(frame))))
        .map(|unit| {
            let NewRow::Event { stream, id: Some(_), .. } = &unit.rows[0] else { panic!("{unit:?}") };
            assert_eq!(*stream, unit.cursors[0].0);
            stream.to_string()
        })
        .collect();
    // An id is known within its stream alone.
    assert_eq!(streams, ["", "/admin"]);
}

#[test]
fn where_one_namespace_of_two_goes_on_the_session_as_a_whole_does_not() {
    let pid = r#"{"sid":"x","pid":"p"}"#;
    let (mut talk, mut acts) = join_both(Given::default(), pid, pid);
    acts.extend(hear(talk.as_mut(), text(r#"42["a","PgWoJyS"]"#)));
    acts.extend(hear(talk.as_mut(), text(r#"42/admin,["a","PgWoJyS"]"#)));
    let mut given = Given::default();
    put_down(&mut given, &acts);
    for (home, admin, gone_on) in [("p", "p", true), ("p", "q", false), ("q", "p", false)] {
        let answer = |pid: &str| format!(r#"{{"sid":"x","pid":"{pid}"}}"#);
        let (_, acts) = join_both(given.clone(), &answer(home), &answer(admin));
        assert!(
            matches!(acts.last(), Some(Act::Started { resumed: Some(resumed) }) if *resumed == gone_on),
            "{home} {admin}: {acts:?}"
        );
        assert_eq!(gaps(&acts), usize::from(!gone_on), "{home} {admin}");
    }
}

#[test]
fn answers_that_nobody_asked_for_are_kept_and_end_nothing() {
    let pid = r#"{"sid":"x","pid":"p"}"#;
    let is_odd = |acts: &[Act]| {
        let kept = |unit: &Unit| matches!(unit.rows[..], [NewRow::Bad { reason: "unexpected_packet", .. }]);
        matches!(acts, [Act::Store { unit, .. }] if kept(unit) && unit.kept.is_empty())
    };
    // While the second namespace is still to answer.
    let mut talk = dialect(json!({ "namespaces": ["/", "/admin"] })).converse(Given::default(), 1);
    talk.begin(Moment::default(), &mut Vec::new());
    hear(talk.as_mut(), text(OPEN));
    hear(talk.as_mut(), text(&format!("40{pid}")));
    for frame in
        [OPEN, r#"40{"sid":"y","pid":"q"}"#, r#"40/other,{"sid":"y"}"#, r#"44/other,{"message":"no"}"#]
    {
        let acts = hear(talk.as_mut(), text(frame));
        assert!(is_odd(&acts), "{frame}: {acts:?}");
    }
    let acts = hear(talk.as_mut(), text(&format!("40/admin,{pid}")));
    assert!(matches!(acts.last(), Some(Act::Started { .. })), "{acts:?}");
    // And behind the start.
    for frame in [OPEN, r#"40{"sid":"y","pid":"q"}"#, r#"44{"message":"not authorized"}"#] {
        let acts = hear(talk.as_mut(), text(frame));
        assert!(is_odd(&acts), "{frame}: {acts:?}");
    }
    assert!(hear(talk.as_mut(), text("41/other,")).is_empty(), "a namespace that is none of ours");
}

#[test]
fn a_server_that_opens_or_lets_in_without_a_session_speaks_another_version() {
    let misconfigured = |acts: &[Act]| match acts {
        [Act::HangUp(Failure::Ruled { verdict: Verdict::Misconfigured, message: Some(message), .. })] => {
            message.clone()
        }
        other => panic!("{other:?}"),
    };
    let mut talk = dialect(json!({})).converse(Given::default(), 1);
    talk.begin(Moment::default(), &mut Vec::new());
    let said = misconfigured(&hear(talk.as_mut(), text(r#"0{"pingInterval":25000}"#)));
    assert!(said.contains("Engine.IO 4"), "{said}");
    for answer in ["40", "40{}", r#"40{"pid":"p"}"#] {
        let mut talk = dialect(json!({})).converse(Given::default(), 1);
        talk.begin(Moment::default(), &mut Vec::new());
        hear(talk.as_mut(), text(OPEN));
        let said = misconfigured(&hear(talk.as_mut(), text(answer)));
        assert!(said.contains("Socket.IO 2"), "{answer}: {said}");
    }
}

#[test]
fn a_ping_is_answered_with_its_own_words() {
    let (mut talk, _) = started(dialect(json!({})).as_ref(), Given::default());
    for (ping, pong) in [("2", "3"), ("2probe", "3probe")] {
        let acts = hear(talk.as_mut(), text(ping));
        assert_eq!(sent(&acts), [&text(pong)], "{ping}");
    }
}

#[test]
fn names_that_the_protocol_keeps_for_itself_are_refused_in_each_namespace() {
    let dialect = dialect(json!({ "namespaces": ["/", "/admin"] }));
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        for kind in [name.to_owned(), format!("/admin,{name}")] {
            let refused = dialect.check(&kind, &json_payload("1")).expect_err(&kind);
            assert!(refused.message.contains("belong to the protocol"), "{kind}: {}", refused.message);
        }
    }
    assert!(dialect.check("connected", &json_payload("1")).is_ok());
}

#[test]
fn a_server_that_recovers_nothing_is_one_gap_at_each_connection_but_the_first() {
    let dialect = dialect(json!({}));
    let mut given = Given::default();
    for gaps in [0, 1, 1] {
        let mut talk = dialect.converse(given.clone(), 1);
        talk.begin(Moment::default(), &mut Vec::new());
        hear(talk.as_mut(), text(OPEN));
        let acts = hear(talk.as_mut(), text(r#"40{"sid":"x"}"#));
        let units = units(&acts);
        let rows: Vec<&NewRow> = units.iter().flat_map(|unit| &unit.rows).collect();
        assert_eq!(rows.iter().filter(|row| matches!(row, NewRow::Gap { .. })).count(), gaps);
        let resumed = (gaps > 0).then_some(false);
        assert!(matches!(acts.last(), Some(Act::Started { resumed: said }) if *said == resumed), "{acts:?}");
        for (name, value) in units.into_iter().flat_map(|unit| unit.kept) {
            given.kept.insert(name, value.expect("a value"));
        }
    }
}

#[test]
fn a_message_too_large_for_the_server_is_refused_when_it_is_handed_in_also_after_a_restart() {
    let message = json_payload(&format!("\"{}\"", "x".repeat(200)));
    let before = dialect(json!({}));
    assert!(before.check("say", &message).is_ok(), "nobody has said how much is too much");
    let (mut talk, acts) = started(before.as_ref(), Given::default());
    let refused = before.check("say", &message).expect_err("too large");
    assert_eq!(refused.kind, ErrorKind::TooLarge);
    assert!(refused.message.ends_with("the server takes 200 B"), "{}", refused.message);
    // One that was queued before the limit was known ends with the same words.
    let id = MessageId::new("m").expect("an id");
    let outgoing = Outgoing { id: &id, kind: "say", payload: &message };
    let late = talk.encode(Moment::default(), outgoing).map_err(|refused| refused.kind);
    assert_eq!(late, Err(ErrorKind::TooLarge));
    let parts = json_payload(&format!("{{\"$binary\":\"{}\"}}", "AAAA".repeat(67)));
    assert_eq!(before.check("say", &parts).map_err(|refused| refused.kind), Err(ErrorKind::TooLarge));

    let mut given = Given::default();
    let kept = units(&acts).into_iter().flat_map(|unit| unit.kept);
    given.kept.extend(kept.filter_map(|(name, value)| Some((name, value?))));
    let after = dialect(json!({}));
    after.connect(&given, Moment::default());
    assert!(after.check("say", &message).is_err());
}

#[test]
fn a_server_that_beats_is_dead_after_its_interval_and_its_timeout() {
    let (talk, _) = started(dialect(json!({})).as_ref(), Given::default());
    let pulse = talk.pulse();
    assert_eq!(pulse.every.map(|every| every.as_secs()), Some(25));
    assert_eq!(pulse.timeout.map(|timeout| timeout.as_secs()), Some(20));
    let mut talk = dialect(json!({})).converse(Given::default(), 1);
    talk.begin(Moment::default(), &mut Vec::new());
    hear(talk.as_mut(), text(r#"0{"sid":"s","pingInterval":-1,"pingTimeout":1e300}"#));
    assert_eq!((talk.pulse().every, talk.pulse().timeout), (None, None));
}

#[test]
fn texts_and_bytes_go_out_as_socket_send_would_send_them() {
    let (mut talk, _) = started(dialect(json!({ "message_id": "argument" })).as_ref(), Given::default());
    let id = MessageId::new("m1").expect("an id");
    let mut say = |payload: &Payload| {
        let encoded =
            talk.encode(Moment::default(), Outgoing { id: &id, kind: "text", payload }).expect("a frame");
        (encoded.frame, encoded.behind, encoded.reference.map(|reference| reference.to_string()))
    };
    let hi = say(&Payload::Text("h\"i".into()));
    assert_eq!(hi, (text(r#"420["message","h\"i","m1"]"#), Vec::new(), Some("0".to_owned())));
    let bytes = say(&Payload::Binary([1, 2].into()));
    let wire = r#"451-1["message",{"_placeholder":true,"num":0},"m1"]"#;
    assert_eq!(bytes, (text(wire), vec![Frame::Binary(vec![1, 2])], Some("1".to_owned())));
}

#[test]
fn attachments_that_are_too_many_or_too_large_are_kept_and_the_next_packet_is_read() {
    let (mut talk, _) = started(dialect(json!({})).as_ref(), Given::default());
    let acts = hear(talk.as_mut(), text(r#"45999999-["a"]"#));
    assert!(matches!(units(&acts)[0].rows[0], NewRow::Bad { reason: "too_many_items", .. }), "{acts:?}");
    hear(talk.as_mut(), text(r#"45100-["a"]"#));
    let mut bad = 0;
    for _ in 0..6 {
        let acts = hear(talk.as_mut(), Frame::Binary(vec![0; 4 << 20]));
        let rows = units(&acts).into_iter().flat_map(|unit| unit.rows);
        bad += rows.filter(|row| matches!(row, NewRow::Bad { reason: "too_large", .. })).count();
    }
    assert_eq!(bad, 6, "the packet and the five parts it took to be too much");
    let acts = hear(talk.as_mut(), text(r#"42["b"]"#));
    assert!(matches!(&units(&acts)[0].rows[0], NewRow::Event { kind, .. } if kind == "b"));
}

#[test]
fn a_frame_on_its_own_is_read_as_on_a_connection() {
    let mut talk = dialect(json!({})).converse(Given::default(), 0);
    let acts = hear(talk.as_mut(), text(r#"42["news",1]"#));
    assert!(matches!(&units(&acts)[0].rows[0], NewRow::Event { kind, .. } if kind == "news"));
}

#[test]
fn nothing_is_awaited_for_ever() {
    let dialect = dialect(json!({}));
    let mut talk = dialect.converse(Given::default(), 1);
    talk.begin(Moment::default(), &mut Vec::new());
    let deadline = talk.poll_timeout().expect("a deadline");
    let mut acts = Vec::new();
    talk.handle_timeout(Moment::default(), &mut acts);
    assert!(acts.is_empty(), "not yet");
    talk.handle_timeout(Moment { instant: deadline, ..Moment::default() }, &mut acts);
    assert!(matches!(acts.as_slice(), [Act::HangUp(_)]), "{acts:?}");
    assert_eq!(started(dialect.as_ref(), Given::default()).0.poll_timeout(), None::<Instant>);
    // How long a sign-in may take is the configuration's to say.
    let sign_in = Some(SignIn { required: true, timeout: Duration::from_secs(3) });
    let mut talk = dialect.converse(Given { sign_in, ..Given::default() }, 1);
    talk.begin(Moment::default(), &mut Vec::new());
    hear(talk.as_mut(), text(OPEN));
    assert_eq!(talk.poll_timeout(), Some(Instant::default() + Duration::from_secs(3)));
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{0,3}-?",
        Just("4".to_owned()),
        Just("42[\"a\",".to_owned()),
        Just("451-[\"a\",{\"_placeholder\":true,\"num\":0}]".to_owned()),
        Just(OPEN.to_owned()),
        Just("40{\"sid\":\"x\",\"pid\":\"p\"}".to_owned()),
        Just("/admin,".to_owned()),
        Just("\"PgWoJyS\"]".to_owned()),
        Just("{\"_placeholder\":true,\"num\":1}".to_owned()),
        any::<String>(),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        4 => proptest::collection::vec(part(), 0..5).prop_map(|parts| Frame::Text(parts.concat())),
        1 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Frame::Binary),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_nothing_panics_and_nothing_is_kept_twice(
        begun in any::<bool>(),
        frames in proptest::collection::vec(frame(), 0..20),
    ) {
        let mut talk = dialect(json!({ "namespaces": ["/", "/admin"], "event_id": "/id" }))
            .converse(Given::default(), 1);
        let mut acts = Vec::new();
        if begun {
            talk.begin(Moment::default(), &mut acts);
        }
        let bytes: usize = frames.iter().map(Frame::len).sum();
        for frame in frames {
            talk.frame(Moment::default(), frame, &mut acts);
        }
        let mut held = 0;
        for unit in units(&acts) {
            for row in unit.rows {
                held += match row {
                    NewRow::Event { payload, .. } | NewRow::Misfit { payload, .. } => payload.len(),
                    NewRow::Bad { frame, .. } => frame.len(),
                    NewRow::Gap { .. } => 0,
                };
            }
        }
        // Base64 takes four bytes for three, and each part a few around it.
        prop_assert!(held <= 2 * bytes + 64 * 20, "{held} of {bytes}");
    }

    #[test]
    fn whatever_is_sent_is_one_packet_of_its_own_or_refused(kind in any::<String>(), data in any::<String>()) {
        let dialect = dialect(json!({}));
        let json = Value::from(data).to_string();
        for payload in [json_payload(&json), json_payload(&format!("[{json}]")), Payload::Text(json.clone().into())] {
            if dialect.check(&kind, &payload).is_err() {
                continue;
            }
            let (mut talk, _) = started(dialect.as_ref(), Given::default());
            let id = MessageId::new("m").expect("an id");
            let encoded = talk.encode(Moment::default(), Outgoing { id: &id, kind: &kind, payload: &payload });
            let encoded = encoded.expect("it was checked");
            let Frame::Text(frame) = encoded.frame else { panic!("a packet is text") };
            let array: Vec<Value> = serde_json::from_str(frame.strip_prefix("420").expect("an event")).expect("JSON");
            prop_assert_eq!(array.len(), 2);
        }
    }
}

#[test]
fn an_answer_names_its_message() {
    let (mut talk, _) = started(dialect(json!({ "reject": "/error" })).as_ref(), Given::default());
    let acts = hear(talk.as_mut(), text(r#"437[{"error":{"a":1}}]"#));
    let [Act::Rejected { about: About::One(number), message: Some(message), .. }] = acts.as_slice() else {
        panic!("{acts:?}");
    };
    assert_eq!((number.as_str(), message.as_str()), ("7", r#"{"a":1}"#));
    for answer in [r#"437[{"error":null}]"#, r#"437[{"error":false}]"#, "437[]"] {
        let acts = hear(talk.as_mut(), text(answer));
        assert!(matches!(acts.as_slice(), [Act::Accepted { .. }]), "{answer}: {acts:?}");
    }
}
