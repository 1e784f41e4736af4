//! Start-up: steps, answers, timeouts, subscriptions, heartbeats.

use std::time::Duration;

use std::sync::Arc;

use super::{Bench, at, dialect, rows, sent};
use crate::dialect::{Act, Given, SignIn};
use crate::model::{Failure, Secret, Verdict};

fn given(token: &str) -> Given {
    Given { token: Some(Secret::new(token)), ..Given::default() }
}

fn started(acts: &[Act]) -> bool {
    acts.iter().any(|act| matches!(act, Act::Started { .. }))
}

const STEPS: &str = r#"
    vars = { topics = ["a", "b"], maybe = [] }
    in = [
      { as = "unauthorized", when = { "/t" = "out" } },
      { as = "event", when = { "/t" = "e" }, type = "e", data = "$item" },
    ]
    [[start]]
    wait = { "/t" = "hello" }
    send = { token = "$token", nonce = "$in/nonce" }
    ok = { "/t" = "welcome" }
    fail = { "/t" = { exists = true } }
    code = "/code"
    message = "/why"
    capture = { session = "/session" }
    [[start]]
    if = { "$maybe/0" = { exists = true } }
    send = "never"
    [[start]]
    each = "$topics"
    send = { join = "$item", n = "$counter", session = "$session" }
    ok = { "/joined" = "$counter" }
    [[subscribe]]
    each = "$topics"
    send = { sub = "$item", n = "$counter" }
    ok = { "/subbed" = "$counter" }
    fail = { "/refused" = "$counter" }
    message = "/why"
    timeout = "3s"
"#;

#[test]
fn each_step_begins_when_the_one_before_is_answered() {
    let (mut bench, acts) = Bench::new(&dialect(STEPS), given("T"));
    assert!(acts.is_empty());
    assert_eq!(sent(&bench.frame(r#"{"t":"hello","nonce":5}"#)), [r#"{"token":"T","nonce":5}"#]);
    let acts = bench.frame(r#"{"t":"welcome","session":"s"}"#);
    assert_eq!(sent(&acts), [r#"{"join":"a","n":1,"session":"s"}"#]);
    // The wrong answer is a frame like any other.
    assert_eq!(rows(&bench.frame(r#"{"joined":2}"#)), [r#"unrecognised|-|{"joined":2}"#]);
    assert_eq!(sent(&bench.frame(r#"{"joined":1}"#)), [r#"{"join":"b","n":2,"session":"s"}"#]);
    let acts = bench.frame(r#"{"joined":2,"t":"e"}"#);
    assert_eq!(rows(&acts), [r#"e|-|"b""#], "the answer is offered to the rules, with the item");
    assert_eq!(sent(&acts), [r#"{"sub":"a","n":3}"#, r#"{"sub":"b","n":4}"#]);
    assert!(started(&acts));
    assert!(
        matches!(acts.last(), Some(Act::Started { resumed: None })),
        "subscriptions go out before messages"
    );
    let acts = bench.frame(r#"{"subbed":4}"#);
    assert!(acts.is_empty(), "{acts:?}");
    let acts = bench.frame(r#"{"refused":3,"why":"no"}"#);
    let [Act::Health { code: "subscription_refused", text, .. }] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!(text, "the server refused subscribe[1] for a: no");
    assert_eq!(bench.talk.poll_timeout(), None);
}

#[test]
fn a_refused_step_hangs_up_with_its_verdict() {
    for (fail_as, verdict) in [("", Verdict::Unauthorized), ("fail_as = \"reconnect\"", Verdict::Reconnect)] {
        let text = STEPS.replace("code = \"/code\"", &format!("code = \"/code\"\n{fail_as}"));
        let (mut bench, _) = Bench::new(&dialect(&text), given("T"));
        bench.frame(r#"{"t":"hello"}"#);
        let acts = bench.frame(r#"{"t":"out","code":7,"why":"expired"}"#);
        let wanted = Failure::Ruled { verdict, code: Some("7".into()), message: Some("expired".into()) };
        assert!(matches!(&acts[..], [Act::HangUp(failure)] if *failure == wanted), "{acts:?}");
    }
    // Without the credential in it, a step that fails is a matter of configuration.
    let text = r#"start = [{ send = "hi", ok = { "/ok" = true }, fail = { "/ok" = false } }]"#;
    let (mut bench, _) = Bench::new(&dialect(text), Given::default());
    let acts = bench.frame(r#"{"ok":false}"#);
    let misconfigured =
        |failure: &Failure| matches!(failure, Failure::Ruled { verdict: Verdict::Misconfigured, .. });
    assert!(matches!(&acts[..], [Act::HangUp(failure)] if misconfigured(failure)), "{acts:?}");
}

#[test]
fn the_ok_is_looked_at_before_the_fail() {
    let text = r#"start = [{ send = "hi", ok = { "/ok" = true }, fail = { "/ok" = { exists = true } } }]"#;
    let (mut bench, _) = Bench::new(&dialect(text), Given::default());
    assert!(started(&bench.frame(r#"{"ok":true}"#)));
}

#[test]
fn a_step_that_may_go_unanswered_goes_on_in_time() {
    let text = r#"start = [{ send = "hi", ok = { "/ok" = true }, timeout = "2s", on_timeout = "continue" }]"#;
    let (mut bench, _) = Bench::new(&dialect(text), Given::default());
    assert_eq!(bench.talk.poll_timeout(), Some(at(2).instant));
    assert!(bench.time_up(1).is_empty());
    assert!(started(&bench.time_up(2)));
    assert_eq!(bench.talk.poll_timeout(), None);
}

#[test]
fn a_step_that_waited_in_vain_and_may_still_sends_what_it_has_to_say() {
    let text = r#"
        start = [{ wait = { "/t" = "hello" }, send = "hi", ok = { "/ok" = true }, timeout = "2s", on_timeout = "continue" }]"#;
    let (mut bench, acts) = Bench::new(&dialect(text), Given::default());
    assert!(acts.is_empty());
    let acts = bench.time_up(2);
    assert_eq!((sent(&acts), started(&acts)), (vec!["hi"], false), "its answer is still to come");
    assert!(started(&bench.frame(r#"{"ok":true}"#)));
}

#[test]
fn an_answer_counts_for_its_step_also_where_a_rule_takes_its_raw_text() {
    let text = r#"
        in = [{ as = "event", type = "raw", when = { raw = { prefix = "{" } } }]
        start = [{ send = "hi", ok = { "/ok" = true } }]"#;
    let (mut bench, _) = Bench::new(&dialect(text), Given::default());
    let acts = bench.frame(r#"{"ok":true}"#);
    assert!(started(&acts), "{acts:?}");
    assert_eq!(rows(&acts), [r#"raw|-|{"ok":true}"#]);
}

#[test]
fn a_heartbeat_may_carry_the_cursor() {
    let text = r#"
        heartbeat = { send = ["$cursor"], every = "30s" }
        in = [{ as = "event", type = "e", cursor = "/c" }]"#;
    let (mut bench, _) = Bench::new(&dialect(text), Given::default());
    let beat = |bench: &mut Bench| bench.talk.heartbeat(at(0));
    assert_eq!(beat(&mut bench), Some(crate::model::Frame::Text("[null]".into())));
    bench.frame(r#"{"c":7}"#);
    assert_eq!(beat(&mut bench), Some(crate::model::Frame::Text("[7]".into())));
}

#[test]
fn the_configuration_of_the_sign_in_stands_over_the_file() {
    let sign_in = |required| Some(SignIn { required, timeout: Duration::from_secs(4) });
    let given = |required| Given { sign_in: sign_in(required), ..given("T") };
    let text = r#"start = [{ send = ["$token"], ok = { "/ok" = true }, fail = { "/ok" = false } }]"#;
    let (mut bench, _) = Bench::new(&dialect(text), given(false));
    assert!(started(&bench.time_up(4)));
    let (mut bench, _) = Bench::new(&dialect(text), given(true));
    let acts = bench.time_up(4);
    let late = |failure: &Failure| matches!(failure, Failure::StartTimeout { sign_in: true, after, .. } if *after == Duration::from_secs(4));
    assert!(matches!(&acts[..], [Act::HangUp(failure)] if late(failure)), "{acts:?}");
    // Steps without the credential keep their own.
    let text = r#"start = [{ send = "hi", ok = { "/ok" = true } }]"#;
    let (bench, _) = Bench::new(&dialect(text), given(false));
    assert_eq!(bench.talk.poll_timeout(), Some(at(10).instant));
}

#[test]
fn an_unanswered_subscription_is_told_and_the_link_stays() {
    let text = r#"subscribe = [{ send = "s", ok = { "/ok" = true }, timeout = "3s" }]"#;
    let (mut bench, acts) = Bench::new(&dialect(text), Given::default());
    assert!(started(&acts));
    let acts = bench.time_up(3);
    assert!(matches!(&acts[..], [Act::Health { code: "subscription_unanswered", .. }]), "{acts:?}");
    assert_eq!(bench.talk.poll_timeout(), None);

    let text = text.replace("send =", "fail_as = \"misconfigured\", send =");
    let (mut bench, _) = Bench::new(&dialect(&text), Given::default());
    let acts = bench.time_up(3);
    assert!(
        matches!(&acts[..], [Act::HangUp(Failure::Ruled { verdict: Verdict::Misconfigured, .. })]),
        "{acts:?}"
    );
}

#[test]
fn a_raw_text_may_answer_a_step() {
    let text = r#"
        codec = "raw"
        start = [{ wait = { raw = "READY" }, send = "hello ${in}", ok = { raw = { prefix = "OK" } } }]"#;
    let (mut bench, _) = Bench::new(&dialect(text), Given::default());
    assert_eq!(rows(&bench.frame("MOTD")), ["text|-|text:MOTD"]);
    assert_eq!(sent(&bench.frame("READY")), ["hello READY"]);
    let acts = bench.frame("OK then");
    assert!(started(&acts) && rows(&acts).is_empty(), "{acts:?}");
}

#[test]
fn an_answer_is_held_against_the_cursor_of_the_stream_of_its_step() {
    let text = r#"
        vars = { rooms = ["a", "b"] }
        in = [{ as = "event", when = { "/c" = { exists = true } }, type = "e", cursor = "/c", stream = "/s" }]
        [[start]]
        each = "$rooms"
        stream = "$item"
        send = [ "$item", "$cursor" ]
        ok = { "/at" = "$cursor" }
        fail = { "/at" = { not = "$cursor" } }"#;
    let cursors = [("a".into(), "7".into()), ("b".into(), "8".into())].into();
    let (mut bench, acts) = Bench::new(&dialect(text), Given { cursors, ..Given::default() });
    assert_eq!(sent(&acts), [r#"["a",7]"#]);
    assert_eq!(sent(&bench.frame(r#"{"at":7}"#)), [r#"["b",8]"#]);
    let acts = bench.frame(r#"{"at":7}"#);
    assert!(
        matches!(&acts[..], [Act::HangUp(Failure::Ruled { verdict: Verdict::Misconfigured, .. })]),
        "{acts:?}"
    );
}

#[test]
fn the_first_cursor_of_a_stream_is_stored_when_it_is_used() {
    let text = r#"
        cursor = { initial = "$now" }
        in = [{ as = "event", type = "e", cursor = "/c", stream = "x" }]
        start = [{ send = { since = "$cursor" }, stream = "x" }]"#;
    let dialect = dialect(text);
    let (_, acts) = Bench::new(&dialect, Given::default());
    let [Act::Store { unit, .. }, Act::Send(_), Act::Started { resumed: None }] = &acts[..] else {
        panic!("{acts:?}");
    };
    assert_eq!(unit.cursors, [("x".into(), Some("\"2023-11-14T22:13:20.000Z\"".into()))]);
    assert_eq!(sent(&acts), [r#"{"since":"2023-11-14T22:13:20.000Z"}"#]);
    let cursors = [("x".into(), "7".into())].into();
    let (_, acts) = Bench::new(&dialect, Given { cursors, ..Given::default() });
    assert_eq!(sent(&acts), [r#"{"since":7}"#]);
    assert!(matches!(&acts[..], [Act::Send(_), Act::Started { .. }]), "{acts:?}");
    assert!(dialect.traits().resumes);
}

#[test]
fn a_step_takes_a_cursor_only_where_the_stream_has_none() {
    let text = r#"start = [{ send = ["$cursor"], ok = { "/at" = { exists = true } }, cursor = "/at" }]"#;
    let dialect = dialect(text);
    let (mut bench, _) = Bench::new(&dialect, Given::default());
    let acts = bench.frame(r#"{"at":9}"#);
    let Act::Store { unit, .. } = &acts[0] else { panic!("{acts:?}") };
    assert_eq!(unit.cursors, [("".into(), Some("9".into()))]);
    let cursors = [("".into(), "7".into())].into();
    let (mut bench, _) = Bench::new(&dialect, Given { cursors, ..Given::default() });
    let acts = bench.frame(r#"{"at":9}"#);
    assert!(matches!(&acts[..], [Act::Started { resumed: Some(true) }]), "{acts:?}");
}

#[test]
fn a_list_that_is_too_long_is_cut_and_told() {
    let text =
        format!("vars = {{ l = [{}] }}\nstart = [{{ each = \"$l\", send = \"$item\" }}]", "1,".repeat(300));
    let (_, acts) = Bench::new(&dialect(&text), Given::default());
    assert_eq!(sent(&acts).len(), 256);
    assert!(acts.iter().any(|act| matches!(act, Act::Health { code: "dialect_limit", .. })));
}

#[test]
fn the_pulse_may_come_from_the_server() {
    let text = r#"
        heartbeat = { send = ["$counter"], every = "$interval|ms|default:30s", timeout = "5s", beat = "$beat", ws_ping = false }
        in = [{ as = "pong", when = { "/pong" = true } }]
        start = [{ wait = { "/interval" = { exists = true } }, capture = { interval = "/interval", beat = "/beat" } }]"#;
    let (mut bench, _) = Bench::new(&dialect(text), Given::default());
    let pulse = bench.talk.pulse();
    assert_eq!(
        (pulse.every, pulse.timeout, pulse.beat),
        (Some(Duration::from_secs(30)), Some(Duration::from_secs(5)), None)
    );
    assert!(pulse.message && !pulse.ws_ping);
    bench.frame(r#"{"interval":1500,"beat":"2s"}"#);
    let pulse = bench.talk.pulse();
    assert_eq!((pulse.every, pulse.beat), (Some(Duration::from_millis(1500)), Some(Duration::from_secs(2))));
    assert_eq!(bench.talk.heartbeat(at(0)), Some(crate::model::Frame::Text("[1]".into())));
    assert!(matches!(&bench.frame(r#"{"pong":true}"#)[..], [Act::Pong]));
}

/// The server's session is gone on with: its id is the cursor.
const SESSION: &str = r#"
    in = [
      { as = "cursor_lost", when = { "/t" = "unknown" }, message = "/why", forget = ["session"] },
      { as = "error", when = { "/t" = "error" }, code = "/code", message = "/why" },
      { as = "event", when = { "/t" = "e" }, type = "e" },
    ]
    out = [{ frame = { session = "$session", data = "$data" } }]
    [[start]]
    if = { "$cursor" = { exists = false } }
    send = "new"
    ok = { "/t" = "hello" }
    cursor = "/session"
    keep = { session = "/session" }
    [[start]]
    send = { go_on = "$cursor" }
    ok = { "/t" = "welcome" }
    fail = { "/t" = "no" }
    fail_as = "reconnect"
    message = "/why"
"#;

fn of_a_session(id: &str) -> Given {
    let json: Arc<str> = format!("\"{id}\"").into();
    let kept = [("session".into(), Arc::clone(&json))].into();
    Given {
        kept,
        cursors: [("".into(), json)].into(),
        token: Some(Secret::new("sesame-open")),
        ..Given::default()
    }
}

#[test]
fn a_session_whose_id_is_the_cursor_goes_on_without_a_gap_and_ends_with_one() {
    let dialect = dialect(SESSION);
    assert!(dialect.traits().resumes, "no gap at a connection as such");
    let (mut bench, acts) = Bench::new(&dialect, of_a_session("s-123456"));
    assert_eq!(sent(&acts), [r#"{"go_on":"s-123456"}"#]);
    let acts = bench.frame(r#"{"t":"welcome"}"#);
    assert!(matches!(acts[..], [Act::Started { resumed: Some(true) }]), "{acts:?}");

    let (mut bench, _) = Bench::new(&dialect, of_a_session("s-123456"));
    let acts = bench.frame(r#"{"t":"unknown","why":"no such session"}"#);
    assert_eq!(rows(&acts), ["gap|no such session"]);
    let [Act::Store { unit, .. }, Act::HangUp(_)] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!((unit.cursors[0].1.as_deref(), unit.kept[0].1.as_deref()), (None, None));

    let (mut bench, acts) = Bench::new(&dialect, Given::default());
    assert_eq!(sent(&acts), ["new"]);
    let acts = bench.frame(r#"{"t":"hello","session":"s-654321"}"#);
    assert_eq!(sent(&acts), [r#"{"go_on":"s-654321"}"#]);
    assert_eq!(rows(&acts), Vec::<String>::new());
    let acts = bench.frame(r#"{"t":"welcome"}"#);
    assert!(matches!(acts[..], [Act::Started { resumed: None }]), "nothing was gone on with: {acts:?}");
}

#[test]
fn a_servers_words_do_not_show_what_is_kept_nor_the_credential() {
    let dialect = dialect(SESSION);
    let told = |acts: &[Act]| format!("{acts:?}");
    let (mut bench, _) = Bench::new(&dialect, of_a_session("s-123456"));
    let acts = bench.frame(r#"{"t":"unknown","why":"401:s-123456:Unknown client"}"#);
    let Some(Act::HangUp(failure)) = acts.last() else { panic!("{acts:?}") };
    assert_eq!(failure.to_string(), "the server asked for a new connection: \"401:***:Unknown client\"");
    assert_eq!(rows(&acts), ["gap|401:***:Unknown client"], "forgotten by the same rule, and not shown");

    let (mut bench, _) = Bench::new(&dialect, of_a_session("s-123456"));
    let acts = bench.frame(r#"{"t":"no","why":"s-123456 and sesame-open"}"#);
    assert!(!told(&acts).contains("s-123456") && !told(&acts).contains("sesame"), "{acts:?}");
    let acts = bench.frame(r#"{"t":"error","code":"s-123456","why":"seven"}"#);
    let health =
        acts.iter().find_map(|act| if let Act::Health { text, .. } = act { Some(text) } else { None });
    assert_eq!(health.map(String::as_str), Some("the server complains: *** \"seven\""));
}

#[test]
fn what_is_short_stays_in_a_servers_words_and_what_is_within_a_kept_value_does_not() {
    let dialect = dialect(SESSION);
    for (kept, shown) in [
        ("\"seven\"", "no seven, no 123456"),
        ("{\"no\":123456,\"at\":[\"seven\"]}", "no seven, no ***"),
        ("[\"no seven\",\"no seven, no\"]", "*** 123456"),
    ] {
        let kept = [("session".into(), kept.into())].into();
        let (mut bench, _) = Bench::new(&dialect, Given { kept, ..Given::default() });
        let acts = bench.frame(r#"{"t":"unknown","why":"no seven, no 123456"}"#);
        assert_eq!(rows(&acts), [format!("gap|{shown}")]);
    }
}
