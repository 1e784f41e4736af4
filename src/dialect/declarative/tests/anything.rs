//! Whatever a server, an app or an author writes, nothing panics and nothing is lost.

use proptest::prelude::*;

use super::super::tape::Tape;
use super::super::{check, odd};
use super::{Bench, at, built_in, dialect};
use crate::dialect::{Act, Dialect, Given, Outgoing};
use crate::model::{Frame, MessageId, Payload, Secret};

/// A dialect that uses as much of the language as one file can.
const EVERYTHING: &str = r#"
    codec = "json-or-array"
    vars = { topics = ["a"] }
    cursor = { initial = 0 }
    heartbeat = { send = ["$counter", "$cursor|add:1"] }
    out = [{ frame = { type = "$type", id = "$id", n = "$counter", j = { "$json" = { x = "$data" } }, "..." = "$data|wrap:data|omit:type" } }]
    in = [
      { as = "event", when = { "/type" = "list" }, each = "/items", type = ["/t", "$outer/type"], id = "/i", seq = "/n", stream = "/s", cursor = { a = "/i", b = "$outer/b" }, reply = ["$in|json"] },
      { as = "accepted", when = { "/type" = ["ack", "data"] }, reply_to = "/id|add:1", up_to = "/upTo", data = "/data|parse|unwrap:data" },
      { as = "deferred", when = { "/type" = "error" }, reply_to = "/id", retry_after = "/after|s" },
      { as = "gap", when = { "/a" = { equals = [1] } }, keep = { k = "/a|key" }, message = "${/b|before:x}${/c|after:y}" },
      { as = "event", when = { "/type" = { exists = true } }, type = "/type", id = "/id|unbase64", capture = { c = "/data|value" }, cursor = "/id|unix", reply = { "..." = "$in", c = "$c", k = "$k" } },
      { as = "ping", when = { raw = { prefix = "p" } } },
    ]
    [[start]]
    wait = { "/type" = "hello" }
    send = { t = "$token", in = "$in/x" }
    ok = { "/id" = "$counter|default:1" }
    fail = { "/data" = { min = 3 } }
    on_timeout = "continue"
    [[subscribe]]
    each = "$topics"
    send = ["$item", "$cursor"]
    ok = { "/ok" = { not = [1, "$item"] } }
"#;

/// JSON with the members that rules look for, and others.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|is| is.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        Just("1e999".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        "[a-z:/|$ ]{0,8}".prop_map(|text| format!("\"{text}\"")),
        Just("\"\\u00e4\\ud83d\\ude00\\\"\"".to_owned()),
        prop_oneof!["list", "ack", "error", "hello", "event", "ping", "gap", "resumed", "auth_ok"]
            .prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let name = prop_oneof![
            "type",
            "id",
            "items",
            "data",
            "messageId",
            "eventId",
            "upTo",
            "from",
            "a",
            "t",
            "[a-z]{0,3}"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec((name, inner), 0..6).prop_map(|members| {
                let members: Vec<String> =
                    members.into_iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let frame = prop_oneof![
        4 => json().prop_map(Frame::Text),
        1 => any::<String>().prop_map(Frame::Text),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Frame::Binary),
    ];
    prop::collection::vec(frame, 0..12)
}

fn talk(dialect: &std::sync::Arc<dyn Dialect>, frames: Vec<Frame>) {
    let given = Given { token: Some(Secret::new("T")), ..Given::default() };
    let (mut bench, _) = Bench::new(dialect, given);
    for (second, frame) in (0..).zip(frames) {
        let mut acts = Vec::new();
        bench.talk.frame(at(second), frame, &mut acts);
        let last = acts.len().saturating_sub(1);
        assert!(acts.iter().take(last).all(|act| !matches!(act, Act::HangUp(_))), "{acts:?}");
        bench.talk.handle_timeout(at(second * 5), &mut acts);
        bench.talk.heartbeat(at(second));
        bench.talk.pulse();
    }
    bench.talk.closed(1000, "x");
    bench.talk.left_behind();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_frame_is_a_reason_to_panic(frames in frames()) {
        for dialect in [dialect(EVERYTHING), built_in("json"), built_in("holdline"), built_in("text")] {
            talk(&dialect, frames.clone());
        }
    }

    #[test]
    fn every_frame_of_the_text_dialect_becomes_an_event(frame in any::<String>()) {
        let (mut bench, _) = Bench::new(&built_in("text"), Given::default());
        prop_assert_eq!(super::rows(&bench.frame(&frame)), [format!("text|-|text:{frame}")]);
    }

    #[test]
    fn what_may_be_handed_in_can_be_sent_and_comes_back_the_same(data in json()) {
        let payload = Payload::Json(crate::model::json::compact(&data).into());
        let json = built_in("json");
        if json.check("kind", &payload).is_ok() {
            let (mut bench, _) = Bench::new(&json, Given::default());
            let frame = bench.try_send("kind", &payload).unwrap();
            let row = super::rows(&bench.frame(&frame)).remove(0);
            let body = row.trim_start_matches("kind|-|");
            let Payload::Json(sent) = &payload else { unreachable!("made above") };
            let mut tape = Tape::default();
            tape.read(sent).unwrap();
            if odd::look(tape.doc(sent)).is_err() {
                // What no two programs read alike is not handed on to apps.
                prop_assert!(row.starts_with("bad|"), "{row}");
                return Ok(());
            }
            // The id goes along, and data that is no object is wrapped and unwrapped.
            let expected = if sent.starts_with('{') && sent.len() > 2 {
                let inner: serde_json::Result<serde_json::Value> = serde_json::from_str(sent);
                inner.ok().filter(|inner| inner.get("data").is_none() && inner.get("eventId").is_none())
                    .map(|_| format!("{{\"messageId\":\"m1\",{}", &sent[1..]))
            } else if sent.starts_with('{') {
                Some("{\"messageId\":\"m1\"}".to_owned())
            } else {
                Some(sent.to_string())
            };
            if let Some(expected) = expected {
                prop_assert_eq!(body, expected);
            }
        }
        // What is looked at when a message is handed in is what decides when it goes out.
        let everything = dialect(EVERYTHING);
        let (mut bench, _) = Bench::new(&everything, Given::default());
        let id = MessageId::new("m").unwrap();
        let sent = bench.talk.encode(at(0), Outgoing { id: &id, kind: "k", payload: &payload });
        prop_assert_eq!(everything.check("k", &payload).err(), sent.err());
    }

    #[test]
    fn no_file_is_a_reason_to_panic(cut in 0..EVERYTHING.len(), put in "[\\[\\]{}\"=$|/a-z\n]{0,6}") {
        let mut text = format!("dialect = 1\n{EVERYTHING}");
        let at = (cut..).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.insert_str(at, &put);
        for text in [&text[..], &text[at..]] {
            let problems = check(text, "t");
            prop_assert!(problems.iter().all(|problem| problem.line <= text.matches('\n').count() + 1));
        }
    }
}
