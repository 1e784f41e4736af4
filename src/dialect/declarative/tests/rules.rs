//! Rules: which one a message meets, what it takes along, and what it comes to.

use std::time::Duration;

use super::{Bench, dialect, rows, sent};
use crate::dialect::{About, Act, Given};
use crate::model::{Failure, Frame, NewRow, Verdict};

fn bench(text: &str) -> Bench {
    Bench::new(&dialect(text), Given::default()).0
}

#[test]
fn the_first_rule_in_file_order_counts_whatever_the_filing() {
    let text = r#"
        in = [
          { as = "event", type = "one",   when = { "/t" = "a", "/x" = 1 } },
          { as = "event", type = "two",   when = { "/t" = { prefix = "a" }, "/y" = 1 } },
          { as = "event", type = "three", when = { "/t" = ["a", "b", 7, true] } },
          { as = "event", type = "four",  when = [{ "/z" = 1 }, { "/t" = "c" }] },
          { as = "event", type = "raw",   when = { raw = { prefix = "[" } } },
          { as = "event", type = "five",  when = { "/t" = { exists = true } } },
          { as = "event", type = "six",   when = { "" = { exists = true } } },
        ]"#;
    let mut bench = bench(text);
    for (frame, kind) in [
        (r#"{"t":"a","x":1,"y":1}"#, "one"),
        (r#"{"t":"a","y":1}"#, "two"),
        (r#"{"t":"ab","y":1}"#, "two"),
        (r#"{"t":"a"}"#, "three"),
        (r#"{"t":7.0}"#, "three"),
        (r#"{"t":true}"#, "three"),
        (r#"{"t":false}"#, "five"),
        (r#"{"t":"c"}"#, "four"),
        (r#"{"z":1}"#, "four"),
        (r#"{"t":"other"}"#, "five"),
        ("[", "raw"),
        ("[1]", "raw"),
        ("{}", "six"),
    ] {
        assert_eq!(rows(&bench.frame(frame))[0].split('|').next(), Some(kind), "{frame}");
    }
}

#[test]
fn a_rule_for_raw_text_has_its_place_among_the_others() {
    let text = r#"
        in = [
          { as = "event", type = "parsed", when = { "/t" = "a" } },
          { as = "event", type = "raw",    when = { raw = { prefix = "{" } } },
          { as = "event", type = "behind", when = { "/t" = "b" } },
        ]"#;
    let mut bench = bench(text);
    for (frame, kind) in [(r#"{"t":"a"}"#, "parsed"), (r#"{"t":"b"}"#, "raw"), ("{", "raw")] {
        assert_eq!(rows(&bench.frame(frame))[0].split('|').next(), Some(kind), "{frame}");
    }
}

#[test]
fn null_is_no_id_no_type_and_no_reference() {
    let text = r#"
        out = [{ frame = ["$id"] }]
        in = [
          { as = "accepted", when = { "/ok" = { exists = true } }, reply_to = "/ok/id" },
          { as = "event", type = "/t", id = "/i", reply_to = "/re" },
        ]"#;
    let mut bench = bench(text);
    assert_eq!(rows(&bench.frame(r#"{"t":"a","i":null}"#)), [r#"a|-|{"t":"a","i":null}"#]);
    assert_eq!(rows(&bench.frame(r#"{"t":"a"}"#)), [r#"a|-|{"t":"a"}"#]);
    assert_eq!(rows(&bench.frame(r#"{"t":null,"i":1}"#)), [r#"unrecognised|-|{"t":null,"i":1}"#]);
    let acts = bench.frame(r#"{"t":"a","re":null}"#);
    assert!(matches!(&acts[..], [Act::Store { .. }]), "{acts:?}");
    assert!(bench.frame(r#"{"ok":{"id":null}}"#).is_empty(), "no message is meant");
}

#[test]
fn captured_and_kept_names_take_effect_before_the_reply() {
    let text = r#"
        vars = { who = "nobody" }
        in = [
          { as = "ignore", when = { "/t" = "hello" }, capture = { who = "/who" }, keep = { session = "/session" }, reply = { who = "$who", session = "$session" } },
          { as = "ignore", when = { "/t" = "bye" }, forget = ["who", "session"], reply = { who = "$who", session = "$session" } },
        ]"#;
    let mut bench = bench(text);
    let acts = bench.frame(r#"{"t":"hello","who":"me","session":{"id":1}}"#);
    assert_eq!(sent(&acts), [r#"{"who":"me","session":{"id":1}}"#]);
    let Act::Store { unit, .. } = &acts[0] else { panic!("{acts:?}") };
    assert_eq!(unit.kept, [("session".into(), Some(r#"{"id":1}"#.into()))]);
    let acts = bench.frame(r#"{"t":"bye"}"#);
    assert_eq!(sent(&acts), [r#"{"who":"nobody"}"#]);
    let Act::Store { unit, .. } = &acts[0] else { panic!("{acts:?}") };
    assert_eq!(unit.kept, [("session".into(), None)]);
}

#[test]
fn a_value_too_large_to_capture_is_told_and_left_out() {
    let mut bench = bench(r#"in = [{ as = "ping", capture = { name = "/n" }, reply = ["$name"] }]"#);
    let acts = bench.frame(&format!(r#"{{"n":"{}"}}"#, "x".repeat(16 * 1024)));
    assert!(matches!(acts[0], Act::Health { code: "dialect_limit", .. }), "{acts:?}");
    assert_eq!(sent(&acts), ["[null]"]);
}

#[test]
fn names_cursors_and_streams_that_are_too_many_or_too_large_are_told_and_left_out() {
    let told = |acts: &[Act]| {
        acts.iter().filter(|act| matches!(act, Act::Health { code: "dialect_limit", .. })).count()
    };
    let captures =
        |from: usize| (from..from + 40).map(|n| format!("n{n} = \"/v\"")).collect::<Vec<_>>().join(", ");
    let rules = format!(
        "in = [{{ as = \"ping\", when = {{ \"/t\" = 1 }}, capture = {{ {} }}, reply = [\"$n0\"] }},\n\
         {{ as = \"ping\", capture = {{ {} }}, reply = [\"$n40\", \"$n79\"] }}]",
        captures(0),
        captures(40)
    );
    let mut names = bench(&rules);
    assert_eq!(told(&names.frame(r#"{"t":1,"v":1}"#)), 0);
    let acts = names.frame(r#"{"t":2,"v":2}"#);
    assert_eq!((told(&acts), sent(&acts)), (16, vec!["[2,null]"]), "64 are taken in all");
    assert_eq!(told(&names.frame(r#"{"t":1,"v":3}"#)), 0, "those that are known are taken anew");

    let stream = r#"
        connect = { query = { c = "$cursor" } }
        in = [{ as = "event", type = "e", data = "/n", cursor = "/c", stream = "/s", seq = "/n" }]"#;
    let mut cursors = bench(stream);
    let acts = cursors.frame(&format!(r#"{{"c":"{}"}}"#, "x".repeat(16 * 1024)));
    let Act::Store { unit, .. } = &acts[0] else { panic!("{acts:?}") };
    assert!(unit.cursors.is_empty() && told(&acts) == 1, "the cursor is too large, the event is there");
    for at in 0..4_096 {
        let acts = cursors.frame(&format!(r#"{{"c":1,"s":"{at}","n":1}}"#));
        assert_eq!(told(&acts), 0, "stream {at}");
    }
    let acts = cursors.frame(r#"{"c":1,"s":"one more","n":1}"#);
    let Act::Store { unit, .. } = &acts[0] else { panic!("{acts:?}") };
    assert!(unit.cursors.is_empty() && unit.rows.len() == 1 && told(&acts) == 1, "{acts:?}");
    assert_eq!(rows(&cursors.frame(r#"{"s":"one more","n":9}"#)), ["e|-|9"], "nor are its numbers counted");
    assert_eq!(
        rows(&cursors.frame(r#"{"c":2,"s":"7","n":9}"#)).len(),
        2,
        "the others go on: a gap, the event"
    );
}

#[test]
fn an_event_is_acknowledged_in_the_store_act_and_everything_else_at_once() {
    let text = r#"
        in = [
          { as = "event", when = { "/e" = { exists = true } }, type = "/e", id = "/i", reply = { ok = "$in/i" } },
          { as = "ping", reply = { pong = true } },
        ]"#;
    let mut bench = bench(text);
    let acts = bench.frame(r#"{"e":"x","i":1}"#);
    let [Act::Store { then, .. }] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!(then, &[Frame::Text(r#"{"ok":1}"#.into())]);
    assert!(matches!(&bench.frame("{}")[..], [Act::Send(_)]));
}

#[test]
fn a_reply_is_cumulative_where_every_rule_of_the_frame_says_so() {
    let text = r#"
        codec = "json-lines"
        in = [
          { as = "event", when = { "/all" = { exists = true } }, type = "t", reply = ["$in/all"], cumulative = true },
          { as = "event", when = { "/one" = { exists = true } }, type = "t", reply = ["$in/one"] },
          { as = "event", type = "t" },
        ]"#;
    let mut bench = bench(text);
    for (frame, wanted) in [
        (r#"{"all":1}"#, true),
        ("{\"all\":1}\n{\"all\":2}", true),
        (r#"{"one":1}"#, false),
        ("{\"all\":1}\n{\"one\":2}", false),
        ("{}", false),
    ] {
        let acts = bench.frame(frame);
        let [Act::Store { cumulative, .. }] = &acts[..] else { panic!("{acts:?}") };
        assert_eq!(*cumulative, wanted, "{frame}");
    }
}

#[test]
fn each_makes_one_event_per_item_in_one_unit() {
    let text = r#"
        connect = { query = { c = "$cursor" } }
        in = [{ as = "event", each = "/items", type = "/t", id = "/i", data = { d = "/d", at = "$outer/at" }, cursor = "/i", reply = { got = "$outer/at" } }]"#;
    let mut bench = bench(text);
    let acts = bench.frame(r#"{"at":5,"items":[{"t":"a","i":1,"d":1},{"i":2},{"t":"b","i":3}]}"#);
    assert_eq!(rows(&acts), [r#"a|1|{"d":1,"at":5}"#, r#"unrecognised|-|{"i":2}"#, r#"b|3|{"at":5}"#]);
    let [Act::Store { unit, then, .. }] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!(unit.cursors.last(), Some(&("".into(), Some("3".into()))));
    assert_eq!(then, &[Frame::Text(r#"{"got":5}"#.into())]);

    let acts = bench.frame(r#"{"at":6,"items":[]}"#);
    let [Act::Store { unit, then, .. }] = &acts[..] else { panic!("{acts:?}") };
    assert!(unit.is_empty() && then.len() == 1);
    assert_eq!(rows(&bench.frame(r#"{"items":{}}"#)), [r#"unrecognised|-|{"items":{}}"#]);
    let many = format!(r#"{{"items":[{}0]}}"#, "0,".repeat(10_000));
    assert_eq!(rows(&bench.frame(&many)), ["bad|too_many_items"]);
}

#[test]
fn a_list_without_items_still_moves_the_cursor() {
    let text = r#"
        connect = { query = { c = "$cursor" } }
        in = [{ as = "event", each = "/items", type = "t", cursor = "$outer/next", capture = { at = "$outer/next" } }]"#;
    let mut bench = bench(text);
    let acts = bench.frame(r#"{"items":[],"next":8}"#);
    let [Act::Store { unit, .. }] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!((unit.rows.len(), &unit.cursors[..]), (0, &[("".into(), Some("8".into()))][..]));
}

#[test]
fn a_frame_has_a_bound_for_its_messages_in_each_codec() {
    let rule = "in = [{ as = \"event\", type = \"e\", data = \"\" }]";
    for (codec, separator, around) in [("json-or-array", ",", ("[", "]")), ("json-lines", "\n", ("", ""))] {
        let mut bench = bench(&format!("codec = \"{codec}\"\n{rule}"));
        let frame = |count: usize| format!("{}{}{}", around.0, vec!["1"; count].join(separator), around.1);
        assert_eq!(rows(&bench.frame(&frame(10_000))).len(), 10_000, "{codec}");
        let rows = rows(&bench.frame(&frame(10_001)));
        assert_eq!(rows.last().map(String::as_str), Some("bad|too_many_items"), "{codec}");
        assert!(rows.len() <= 10_001, "{codec}: {}", rows.len());
    }
}

#[test]
fn items_that_carry_all_of_their_frame_each_have_a_bound() {
    let text = r#"
        in = [{ as = "event", each = "/items", type = "/t", data = { all = "$outer" } }]"#;
    let mut bench = bench(text);
    let frame = |items: usize| {
        let pad = "x".repeat(64 * 1024);
        format!(r#"{{"pad":"{pad}","items":[{}{{"t":"a"}}]}}"#, r#"{"t":"a"},"#.repeat(items - 1))
    };
    assert_eq!(rows(&bench.frame(&frame(100))).len(), 100);
    let acts = bench.frame(&frame(2_000));
    assert_eq!(rows(&acts), ["bad|too_many_items"]);
    let [Act::Store { unit, .. }] = &acts[..] else { panic!("{acts:?}") };
    let NewRow::Bad { frame: kept, .. } = &unit.rows[0] else { panic!("{unit:?}") };
    assert_eq!(*kept, Frame::Text(frame(2_000).as_str().into()), "all of it can be looked at");
}

#[test]
fn a_reply_that_names_the_item_goes_out_for_each() {
    let mut bench = bench(r#"in = [{ as = "event", each = "/items", type = "t", reply = ["$in"] }]"#);
    let acts = bench.frame(r#"{"items":[1,2]}"#);
    let [Act::Store { then, .. }] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!(then, &[Frame::Text("[1]".into()), Frame::Text("[2]".into())]);
}

#[test]
fn a_jump_of_the_running_number_is_a_gap_in_its_stream() {
    let mut bench = bench(r#"in = [{ as = "event", type = "t", data = "/n", seq = "/n", stream = "/s" }]"#);
    let mut of = |frame: &str| rows(&bench.frame(frame));
    assert_eq!(of(r#"{"n":5,"s":"a"}"#), ["t|-|5"]);
    assert_eq!(of(r#"{"n":"6","s":"a"}"#), ["t|-|\"6\""]);
    assert_eq!(of(r#"{"n":1,"s":"b"}"#), ["t|-|1"]);
    assert_eq!(of(r#"{"n":9,"s":"a"}"#), ["gap|the server's numbers jump from 6 to 9", "t|-|9"]);
    assert_eq!(of(r#"{"n":1,"s":"a"}"#), ["t|-|1"]);
    assert_eq!(of(r#"{"n":2,"s":"a"}"#), ["t|-|2"]);
}

#[test]
fn answers_name_the_message_they_speak_of() {
    let text = r#"
        out = [{ frame = ["$id"] }]
        in = [
          { as = "received", when = { "/s" = 100 }, reply_to = "/id", data = "/d" },
          { as = "deferred", when = { "/s" = 429 }, reply_to = "/id", code = "/s", retry_after = ["/after|ms", "5s"] },
          { as = "rejected", when = { "/s" = 400 }, reply_to = "/id", code = "/s", message = "/m" },
          { as = "accepted", when = { "/s" = 200 }, reply_to = "/id", up_to = "/no" },
          { as = "event", when = { "/echo" = { exists = true } }, type = "echo", data = "/echo", reply_to = "/id" },
        ]"#;
    let mut bench = bench(text);
    let one = |id: &str| About::One(id.to_owned());
    let acts = bench.frame(r#"{"s":100,"id":7,"d":[1]}"#);
    assert!(
        matches!(&acts[..], [Act::Received { about, data: Some(data) }] if *about == one("7") && &**data == "[1]")
    );
    let acts = bench.frame(r#"{"s":429,"id":"a","after":1500}"#);
    let wait = Some(Duration::from_millis(1500));
    assert!(matches!(&acts[..], [Act::Deferred { retry_after, .. }] if *retry_after == wait), "{acts:?}");
    let acts = bench.frame(r#"{"s":429,"id":"a"}"#);
    let wait = Some(Duration::from_secs(5));
    assert!(matches!(&acts[..], [Act::Deferred { retry_after, .. }] if *retry_after == wait), "{acts:?}");
    let acts = bench.frame(r#"{"s":200,"id":"M-1aB"}"#);
    assert!(
        matches!(&acts[..], [Act::Accepted { about, .. }] if *about == one("M-1aB")),
        "to the letter: {acts:?}"
    );
    let acts = bench.frame(r#"{"s":200,"no":3}"#);
    assert!(matches!(&acts[..], [Act::Accepted { about: About::UpTo(3), .. }]), "{acts:?}");
    let acts = bench.frame(r#"{"s":400,"id":"a","m":"no"}"#);
    let [Act::Rejected { about, code, message, otherwise: NewRow::Event { kind, .. } }] = &acts[..] else {
        panic!("{acts:?}");
    };
    assert_eq!(
        (about, code.as_deref(), message.as_deref(), kind.as_str()),
        (&one("a"), Some("400"), Some("no"), "error")
    );
    let acts = bench.frame(r#"{"s":400,"m":"no"}"#);
    assert!(matches!(&acts[..], [Act::Store { .. }, Act::Health { code: "server_error", .. }]), "{acts:?}");
    let acts = bench.frame(r#"{"echo":"x","id":"m"}"#);
    assert!(
        matches!(&acts[..], [Act::Store { .. }, Act::Accepted { about, .. }] if *about == one("m")),
        "{acts:?}"
    );
    assert!(bench.frame(r#"{"s":200}"#).is_empty());
}

#[test]
fn a_verdict_comes_after_everything_else_of_its_frame() {
    let text = r#"
        codec = "json-or-array"
        in = [
          { as = "unavailable", when = { "/t" = "busy" }, retry_after = "/after", message = "/m" },
          { as = "event", type = "e" },
        ]"#;
    let mut bench = bench(text);
    let acts = bench.frame(r#"[{"t":"busy","after":30,"m":"a\u0000b"},{"x":1}]"#);
    let wanted = Failure::Ruled {
        verdict: Verdict::Unavailable { after: Some(Duration::from_secs(30)) },
        code: None,
        message: Some("a b".into()),
    };
    let [Act::Store { .. }, Act::HangUp(failure)] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!(*failure, wanted);
}

#[test]
fn a_server_says_when_to_come_again_and_why_in_few_words() {
    let text =
        r#"in = [{ as = "retry", when = { "/t" = "bye" }, retry_after = "/after|s", message = "/m" }]"#;
    let why = "ä".repeat(200);
    let acts = bench(text).frame(&format!(r#"{{"t":"bye","after":7,"m":"{why}"}}"#));
    let [Act::HangUp(Failure::Ruled { verdict, message: Some(message), .. })] = &acts[..] else {
        panic!("{acts:?}");
    };
    assert_eq!(*verdict, Verdict::Retry { after: Some(Duration::from_secs(7)) });
    assert_eq!(*message, format!("{}…", "ä".repeat(128)), "no more than 256 bytes");
}

#[test]
fn a_lost_cursor_is_a_gap_a_forgotten_cursor_and_a_new_connection() {
    let text = r#"
        connect = { query = { c = "$cursor" } }
        in = [
          { as = "cursor_lost", when = { "/t" = "lost" } },
          { as = "cursor_lost", when = { close = 4008 }, forget = ["session"] },
          { as = "event", type = "e", cursor = "/c", keep = { session = "/s" } },
        ]
        start = [{ if = { "$session" = "never" }, send = "$session" }]"#;
    let mut bench = bench(text);
    bench.frame(r#"{"c":1,"s":2}"#);
    let acts = bench.frame(r#"{"t":"lost"}"#);
    let [Act::Store { unit, .. }, Act::HangUp(Failure::Ruled { verdict: Verdict::Reconnect, .. })] =
        &acts[..]
    else {
        panic!("{acts:?}");
    };
    assert!(matches!(unit.rows[..], [NewRow::Gap { .. }]));
    assert_eq!(unit.cursors, [("".into(), None)]);

    // What the same frame says behind it is a beginning, also where it is what was lost.
    let lines = Bench::new(&dialect(&format!("codec = \"json-lines\"\n{text}")), Given::default());
    let mut lines = lines.0;
    lines.frame(r#"{"c":1}"#);
    let acts = lines.frame("{\"t\":\"lost\"}\n{\"c\":1}");
    let Act::Store { unit, .. } = &acts[0] else { panic!("{acts:?}") };
    assert_eq!(unit.cursors, [("".into(), None), ("".into(), Some("1".into()))]);

    assert_eq!(bench.talk.closed(4007, ""), None);
    assert!(bench.talk.left_behind().is_empty());
    assert_eq!(bench.talk.closed(4008, ""), Some(Verdict::Reconnect));
    let unit = bench.talk.left_behind();
    assert_eq!(unit.kept, [("session".into(), None)]);
    assert!(matches!(unit.rows[..], [NewRow::Gap { .. }]));
    assert!(bench.talk.left_behind().is_empty());
}

#[test]
fn closes_and_refusals_have_the_verdict_of_their_rule() {
    let text = r#"
        in = [
          { as = "unauthorized", when = { close = [4401, 4403] } },
          { as = "reconnect", when = { reason = { prefix = "rotate" } } },
          { as = "unavailable", when = { close = { min = 4900, max = 4999 } }, retry_after = "1m" },
          { as = "misconfigured", when = { status = 410 } },
          { as = "event", type = "e" },
        ]"#;
    let dialect = dialect(text);
    let (mut bench, _) = Bench::new(&dialect, Given::default());
    assert_eq!(bench.talk.closed(4403, ""), Some(Verdict::Unauthorized));
    assert_eq!(bench.talk.closed(1000, "rotate now"), Some(Verdict::Reconnect));
    let minute = Some(Duration::from_secs(60));
    assert_eq!(bench.talk.closed(4950, ""), Some(Verdict::Unavailable { after: minute }));
    assert_eq!(bench.talk.closed(1000, ""), None);
    assert_eq!(dialect.refused(410), Some(Verdict::Misconfigured));
    assert_eq!(dialect.refused(500), None);
}

#[test]
fn codecs_find_the_messages_of_a_frame() {
    let of = |codec: &str, frame: &str| {
        let text = format!(
            "codec = \"{codec}\"\nin = [{{ as = \"event\", type = \"e\", data = [\"/body\", \"\"] }}]"
        );
        rows(&bench(&text).frame(frame))
    };
    assert_eq!(of("json", "[1,2]"), ["e|-|[1,2]"]);
    assert_eq!(of("json-or-array", "[1,2]"), ["e|-|1", "e|-|2"]);
    assert_eq!(of("json-or-array", "[]"), [""; 0]);
    assert_eq!(of("json-or-array", "3"), ["e|-|3"]);
    assert_eq!(of("json-lines", "1\r\n\n {\"a\":2} \nx"), ["e|-|1", "e|-|{\"a\":2}", "bad|invalid_json"]);
    assert_eq!(of("head-json", "a: b\r\n\r\n[1]"), ["e|-|[1]"]);
    assert_eq!(of("head-json", "[1]"), ["e|-|[1]"]);
    assert_eq!(of("head-json", "?"), ["bad|invalid_json"]);
}

#[test]
fn a_binary_frame_is_read_where_it_is_json_and_kept_as_bytes_where_not() {
    let mut bench = bench(r#"in = [{ as = "event", type = "e", data = "" }]"#);
    let mut of = |bytes: &[u8]| {
        let mut acts = Vec::new();
        bench.talk.frame(super::at(0), Frame::Binary(bytes.to_vec()), &mut acts);
        rows(&acts)
    };
    assert_eq!(of(b"{\"a\":1}"), ["e|-|{\"a\":1}"]);
    assert_eq!(of(b"{"), ["binary|-|bytes:[123]"]);
    assert_eq!(of(&[0xff]), ["binary|-|bytes:[255]"]);
}
