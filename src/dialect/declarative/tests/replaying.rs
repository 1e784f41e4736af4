//! Recorded sessions: what passes, what does not, and what is never shown.

use super::super::replay;

const DIALECT: &str = r#"
dialect = 1
heartbeat = { send = { ping = "$counter" } }
in = [
  { as = "pong", when = { "/pong" = { exists = true } } },
  { as = "unauthorized", when = { close = 4401 } },
  { as = "accepted", when = { "/ok" = { exists = true } }, reply_to = "/ok" },
  { as = "event", when = { "/t" = { exists = true } }, type = "/t", id = "/id", cursor = "/id" },
]
out = [{ frame = { n = "$counter", at = "$now", key = "${id}-${counter}", "..." = "$data" }, ref = "$counter" }]
[[start]]
send = { auth = "$token", since = "$cursor" }
ok = { "/welcome" = true }
fail = { "/welcome" = false }
"#;

const OPEN: &str = r#"{"dir":"set","token":"secret-token"}
{"dir":"open"}
{"dir":"out","frame":{"auth":"secret-token"}}
{"dir":"in","frame":{"welcome":true}}
"#;

/// What does not fit, with the line; or the problems of the transcript.
fn mismatches(lines: &str, lenient: bool) -> Vec<(usize, String)> {
    let recording = format!("{OPEN}{lines}");
    let replay = replay((DIALECT, "d"), (&recording, "t"), lenient).unwrap();
    let shown = serde_json::to_string(&replay).unwrap();
    assert!(!shown.contains("secret-token"), "{shown}");
    replay
        .lines
        .into_iter()
        .flat_map(|line| line.mismatches.into_iter().map(move |what| (line.line, what)))
        .collect()
}

#[test]
fn a_recording_of_another_client_passes_with_its_own_counters_ids_and_times() {
    let lines = r#"
{"dir":"send","type":"x","id":"ours","data":{"a":1}}
{"dir":"out","frame":{"n":41,"at":"2020-02-02T02:02:02Z","key":"theirs-41","a":1}}
{"dir":"in","frame":{"ok":41}}
{"dir":"expect","as":"accepted"}
{"dir":"out","frame":{"ping":99}}
{"dir":"in","frame":{"pong":99}}
{"dir":"expect","as":"pong"}
"#;
    assert_eq!(mismatches(lines, false), []);
}

#[test]
fn nothing_comes_on_a_connection_that_we_have_ended() {
    let dialect = r#"
dialect = 1
in = [
  { as = "retry", when = { "/t" = "bye" } },
  { as = "event", type = "/t" },
]
"#;
    let of = |lines: &str| {
        let recording =
            format!("{{\"dir\":\"open\"}}\n{{\"dir\":\"in\",\"frame\":{{\"t\":\"bye\"}}}}\n{lines}");
        replay((dialect, "d"), (&recording, "t"), false).unwrap().mismatches
    };
    let event = r#"{"dir":"in","frame":{"t":"a"}}"#;
    assert_eq!(of(event), 1, "an end that no line names");
    assert_eq!(of(&format!("{{\"dir\":\"close\",\"by\":\"us\"}}\n{{\"dir\":\"open\"}}\n{event}")), 0);
}

#[test]
fn the_items_of_a_spread_list_must_be_the_recorded_ones() {
    let dialect = r#"
dialect = 1
in = [{ as = "event", type = "/t" }]
out = [{ frame = ["$counter", { "..." = "$data" }, "end"] }]
"#;
    for (frame, passes) in [
        (r#"[7,1,{"x":2},"end"]"#, true),
        (r#"[7,1,"end"]"#, false),
        (r#"[7,1,{"x":2},3,"end"]"#, false),
        (r#"[7,1,{"x":3},"end"]"#, false),
        (r#"[7,1,{"x":2},"end","more"]"#, false),
    ] {
        let recording = format!(
            "{{\"dir\":\"open\"}}\n{{\"dir\":\"send\",\"type\":\"k\",\"data\":[1,{{\"x\":2}}]}}\n\
             {{\"dir\":\"out\",\"frame\":{frame}}}\n"
        );
        let replay = replay((dialect, "d"), (&recording, "t"), false).unwrap();
        assert_eq!(replay.mismatches == 0, passes, "{frame}: {replay:?}");
    }
}

#[test]
fn time_passes_up_to_the_time_of_a_line_and_never_back() {
    let dialect = r#"
dialect = 1
in = [{ as = "event", type = "/t" }]
[[start]]
send = { hello = true }
ok = { "/welcome" = true }
timeout = "5s"
"#;
    for at in [4_999, 5_000] {
        let recording = format!(
            "{{\"dir\":\"open\",\"at\":3}}\n{{\"dir\":\"out\",\"at\":1,\"frame\":{{\"hello\":true}}}}\n\
             {{\"dir\":\"close\",\"at\":{},\"by\":\"us\"}}\n",
            at + 3
        );
        let replay = replay((dialect, "d"), (&recording, "t"), false).unwrap();
        let came: Vec<_> = replay.lines.iter().flat_map(|line| line.came_to.clone()).collect();
        assert_eq!(came.contains(&"link reconnecting".to_owned()), at == 5_000, "{came:?}");
    }
    let wrong = replay((dialect, "d"), ("{\"dir\":\"open\",\"at\":\"soon\"}", "t"), false).unwrap_err();
    assert!(wrong[0].message.contains("milliseconds"), "{wrong:?}");
}

#[test]
fn what_is_not_open_must_be_equal() {
    for (frame, passes) in [
        (r#"{"n":4,"at":"x","key":"y-4","a":1}"#, true),
        (r#"{"n":4,"at":"x","key":"y-5","a":1}"#, false),
        (r#"{"n":4,"at":"x","key":"y-4","a":2}"#, false),
        (r#"{"n":4,"at":"x","key":"y-4"}"#, false),
        (r#"{"n":4,"at":"x","key":"y-4","a":1,"b":2}"#, false),
        (r#"{"n":4,"key":"y-4","a":1}"#, false),
        (r#"{"n":4,"at":"x","key":"y4","a":1}"#, false),
        (r#"[]"#, false),
    ] {
        let lines = format!(
            "{{\"dir\":\"send\",\"type\":\"x\",\"data\":{{\"a\":1}}}}\n{{\"dir\":\"out\",\"frame\":{frame}}}\n"
        );
        assert_eq!(mismatches(&lines, false).is_empty(), passes, "{frame}");
    }
}

#[test]
fn expectations_must_be_met() {
    for (expect, passes) in [
        (r#""as":"event""#, true),
        (r#""as":"event","type":"e","id":7,"data":{"t":"e","id":7},"cursor":7"#, true),
        (r#""as":"event","id":"7""#, true),
        (r#""as":"ping""#, false),
        (r#""type":"f""#, false),
        (r#""data":{"t":"e"}"#, false),
        (r#""cursor":8"#, false),
        (r#""as":"link""#, false),
    ] {
        let lines = format!(
            "{{\"dir\":\"in\",\"frame\":{{\"t\":\"e\",\"id\":7}}}}\n{{\"dir\":\"expect\",{expect}}}\n"
        );
        assert_eq!(mismatches(&lines, false).is_empty(), passes, "{expect}");
    }
    let twice = "{\"dir\":\"in\",\"frame\":{\"t\":\"e\"}}\n{\"dir\":\"expect\"}\n{\"dir\":\"expect\"}\n";
    assert_eq!(mismatches(twice, false).len(), 1);
}

#[test]
fn frames_the_recording_lacks_are_mismatches_unless_it_is_lenient() {
    let lines = "{\"dir\":\"send\",\"type\":\"x\",\"data\":{\"a\":1}}\n{\"dir\":\"close\"}\n";
    let found = mismatches(lines, false);
    assert_eq!(found.len(), 1);
    assert!(found[0].1.starts_with("not in the recording: we would send {\"n\":1"), "{found:?}");
    assert_eq!(mismatches(lines, true), []);
}

#[test]
fn a_cursor_must_be_the_one_that_was_taken() {
    let lines = |cursor: u32| {
        format!(
            "{{\"dir\":\"in\",\"frame\":{{\"t\":\"e\",\"id\":7}}}}\n{{\"dir\":\"close\",\"code\":4401}}\n{{\"dir\":\"expect\",\"as\":\"unauthorized\"}}\n{{\"dir\":\"open\"}}\n{{\"dir\":\"out\",\"frame\":{{\"auth\":\"T\",\"since\":{cursor}}}}}\n"
        )
    };
    assert_eq!(mismatches(&lines(7), false), []);
    assert!(!mismatches(&lines(8), false).is_empty());
    assert_eq!(mismatches(&lines(8), true), []);
}

#[test]
fn a_frame_we_would_not_send_is_a_mismatch_that_hides_what_is_secret() {
    let recording = "{\"dir\":\"set\",\"token\":\"secret-token\"}\n{\"dir\":\"open\"}\n{\"dir\":\"out\",\"frame\":{\"hello\":1}}\n";
    let replay = replay((DIALECT, "d"), (recording, "t"), false).unwrap();
    assert_eq!(replay.mismatches, 2, "the frame that is not ours, and ours that is not there");
    let shown = serde_json::to_string(&replay).unwrap();
    assert!(shown.contains("***") && !shown.contains("secret-token"), "{shown}");
}

#[test]
fn a_last_line_that_breaks_off_is_left_out_and_told_and_no_other() {
    let come_to = |text: &str| replay((DIALECT, "d"), (text, "t"), false);
    let replayed = come_to("{\"dir\":\"open\"}\n{\"dir\":\"in\",\"fra").unwrap();
    let torn = replayed.lines.iter().find(|line| line.dir == "torn").unwrap();
    assert_eq!((torn.line, &*torn.notes), (2, &["the recording breaks off here".to_owned()][..]));
    for whole in ["{\"dir\":\"open\"}\n{\"dir\":\"fly\"}", "{\"dir\":\"op\n{\"dir\":\"open\"}", "{\"dir\""] {
        assert_eq!(come_to(whole).unwrap_err()[0].code, "bad_transcript", "{whole}");
    }
}

#[test]
fn a_transcript_that_cannot_be_read_is_told_with_its_line() {
    for (line, wanted) in [
        ("{", 2),
        ("{\"dir\":\"fly\"}", 2),
        ("{\"frame\":{}}", 2),
        ("{\"dir\":\"in\",\"frame\":1,\"text\":\"x\"}", 2),
        ("{\"dir\":\"in\",\"frmae\":1}", 2),
        ("{\"dir\":\"wait\",\"for\":\"long\"}", 2),
        ("{\"dir\":\"set\"}\n{\"dir\":\"set\"}", 3),
    ] {
        let problems = replay((DIALECT, "d"), (&format!("# a comment\n{line}\n"), "t"), false).unwrap_err();
        assert_eq!((problems[0].code, problems[0].line), ("bad_transcript", wanted), "{line}");
    }
}
