//! What no recording shows: limits, garbage, what outlasts a connection.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::load;
use crate::dialect::{About, Act, Conversation, Dialect, Given, Outgoing};
use crate::model::{ErrorKind, Frame, Instant, MessageId, Moment, NewRow, Payload, Unit};

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
}

#[test]
fn what_is_kept_of_one_connection_is_what_the_next_one_asks_with() {
    let dialect = dialect(json!({}));
    let (mut talk, mut acts) = started(dialect.as_ref(), Given::default());
    acts.extend(hear(talk.as_mut(), text(r#"42["a","PgWoJyS"]"#)));
    let mut given = Given::default();
    for unit in units(&acts) {
        given.kept.extend(unit.kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
        given.cursors.extend(unit.cursors.into_iter().filter_map(|(name, value)| Some((name, value?))));
    }
    let (_, acts) = started(dialect.as_ref(), given);
    let asked = acts.iter().find_map(|act| if let Act::Send(frame) = act { Some(frame) } else { None });
    assert_eq!(asked, Some(&text(r#"40{"pid":"p","offset":"PgWoJyS"}"#)));
    assert!(matches!(acts.last(), Some(Act::Started { resumed: Some(true) })), "{acts:?}");
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
}
