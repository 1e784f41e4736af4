use proptest::prelude::*;

use super::{App, House, SOON, code, until};
use crate::rpc::error::{INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR};
use crate::rpc::{Limits, metric};

const STATUS: &str = r#"{"jsonrpc":"2.0","id":"after","method":"status"}"#;

#[tokio::test]
async fn what_is_no_request_gets_the_code_of_the_specification_and_the_next_one_is_served() {
    let deep_params = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"status","params":{deep_params}}}"#);
    let many = format!("[{}]", vec!["1"; 1_000_000].join(","));
    let batch_of_101 = format!("[{}]", vec![STATUS; 101].join(","));
    let cases: &[(&str, &[u8], i64, &str)] = &[
        ("no JSON", b"{foo", PARSE_ERROR, "null"),
        ("a word", b"hello", PARSE_ERROR, "null"),
        ("half a batch", b"[{\"jsonrpc\":\"2.0\",\"method\"", PARSE_ERROR, "null"),
        ("a NUL", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\0", PARSE_ERROR, "null"),
        ("only NULs", b"\0\0\0", PARSE_ERROR, "null"),
        (
            "a byte order mark",
            b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}",
            PARSE_ERROR,
            "null",
        ),
        ("not UTF-8", b"\"\xff\"", PARSE_ERROR, "null"),
        ("two on a line", b"{} {}", PARSE_ERROR, "null"),
        ("a number", b"1", INVALID_REQUEST, "null"),
        ("a string", b"\"status\"", INVALID_REQUEST, "null"),
        ("null", b"null", INVALID_REQUEST, "null"),
        ("an empty object", b"{}", INVALID_REQUEST, "null"),
        ("an empty batch", b"[]", INVALID_REQUEST, "null"),
        ("an empty batch with spaces", b" [ ] ", INVALID_REQUEST, "null"),
        ("no version", br#"{"id":1,"method":"status"}"#, INVALID_REQUEST, "1"),
        ("another version", br#"{"jsonrpc":"1.0","id":1,"method":"status"}"#, INVALID_REQUEST, "1"),
        ("a version as a number", br#"{"jsonrpc":2.0,"id":1,"method":"status"}"#, INVALID_REQUEST, "1"),
        ("a method as a number", br#"{"jsonrpc":"2.0","id":1,"method":1}"#, INVALID_REQUEST, "1"),
        ("no method", br#"{"jsonrpc":"2.0","id":1}"#, INVALID_REQUEST, "1"),
        (
            "an id that is an object",
            br#"{"jsonrpc":"2.0","id":{},"method":"status"}"#,
            INVALID_REQUEST,
            "null",
        ),
        ("an id that is true", br#"{"jsonrpc":"2.0","id":true,"method":"status"}"#, INVALID_REQUEST, "null"),
        (
            "scalar parameters",
            br#"{"jsonrpc":"2.0","id":1,"method":"status","params":1}"#,
            INVALID_REQUEST,
            "1",
        ),
        (
            "null parameters",
            br#"{"jsonrpc":"2.0","id":1,"method":"status","params":null}"#,
            INVALID_REQUEST,
            "1",
        ),
        ("a foreign member", br#"{"jsonrpc":"2.0","id":1,"method":"status","x":1}"#, INVALID_REQUEST, "1"),
        ("a member twice", br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"status"}"#, INVALID_REQUEST, "null"),
        ("an answer", br#"{"jsonrpc":"2.0","id":1,"result":1}"#, INVALID_REQUEST, "1"),
        ("depth 100,000", deep_call.as_bytes(), INVALID_REQUEST, "null"),
        ("open brackets only", &[b'['; 100_000], INVALID_REQUEST, "null"),
        ("a batch of 101", batch_of_101.as_bytes(), INVALID_REQUEST, "null"),
        ("a batch of 10^6", many.as_bytes(), INVALID_REQUEST, "null"),
        (
            "an unknown method",
            br#"{"jsonrpc":"2.0","id":1,"method":"messages.requests"}"#,
            METHOD_NOT_FOUND,
            "1",
        ),
        (
            "parameters by position",
            br#"{"jsonrpc":"2.0","id":1,"method":"messages.get","params":["a"]}"#,
            INVALID_PARAMS,
            "1",
        ),
        (
            "parameters by position where there are none",
            br#"{"jsonrpc":"2.0","id":1,"method":"status","params":[1]}"#,
            INVALID_PARAMS,
            "1",
        ),
        (
            "an unknown parameter",
            br#"{"jsonrpc":"2.0","id":1,"method":"status","params":{"x":1}}"#,
            INVALID_PARAMS,
            "1",
        ),
        (
            "a parameter twice",
            br#"{"jsonrpc":"2.0","id":1,"method":"messages.get","params":{"id":"a","id":"b"}}"#,
            INVALID_PARAMS,
            "1",
        ),
        ("a missing parameter", br#"{"jsonrpc":"2.0","id":1,"method":"messages.get"}"#, INVALID_PARAMS, "1"),
        (
            "an empty message id",
            br#"{"jsonrpc":"2.0","id":1,"method":"messages.get","params":{"id":""}}"#,
            INVALID_PARAMS,
            "1",
        ),
    ];
    let house = House::new();
    let mut app = house.app();
    for (what, line, expected, id) in cases {
        app.write(line).await;
        app.write("\n").await;
        let answer = app.next().await.unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(code(&answer), *expected, "{what}: {answer}");
        assert_eq!(answer["id"].to_string(), *id, "{what}: {answer}");
    }
    assert_eq!(app.reply(STATUS).await["id"], "after");
    app.gone().await;
}

#[tokio::test]
async fn a_bad_item_of_a_batch_is_answered_among_the_good_ones() {
    let mut app = House::new().app();
    let answers = app
        .reply(concat!(
            r#"[{"jsonrpc":"2.0","id":1,"method":"status"},1,{"jsonrpc":"2.0","method":"status"},"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"nope"},{"jsonrpc":"2.0","method":"nope"}]"#
        ))
        .await;
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 3, "notifications are not answered: {answers:?}");
    assert!(answers[0]["result"].is_object());
    assert_eq!((code(&answers[1]), &answers[1]["id"]), (INVALID_REQUEST, &serde_json::Value::Null));
    assert_eq!(code(&answers[2]), METHOD_NOT_FOUND);
    app.line(r#"[{"jsonrpc":"2.0","method":"status"},{"jsonrpc":"2.0","method":"nope"}]"#).await;
    app.quiet().await;
}

#[tokio::test]
async fn notifications_are_never_answered_not_even_with_errors() {
    let house = House::new();
    let mut app = house.app();
    for _ in 0..10_000 {
        app.line(r#"{"jsonrpc":"2.0","method":"nope"}"#).await;
    }
    app.line(r#"{"jsonrpc":"2.0","method":"messages.get","params":{"id":7}}"#).await;
    app.line(r#"{"jsonrpc":"2.0","method":"messages.send","params":{"type":"t","data":null}}"#).await;
    app.quiet().await;
    assert_eq!(house.memory.kinds(), ["t"]);
}

#[tokio::test]
async fn line_endings_of_other_systems_and_blank_lines_are_taken() {
    let mut app = House::new().app();
    app.write(format!("\n\r\n  \n{STATUS}\r\n\n")).await;
    assert_eq!(app.next().await.unwrap()["id"], "after");
    app.quiet().await;
}

#[tokio::test]
async fn an_id_comes_back_as_it_was_written() {
    let mut app = House::new().app();
    for id in [
        "null",
        "0",
        "-1",
        "1.5",
        "1.50",
        "1e3",
        "-0",
        "18446744073709551616",
        "123456789012345678901234567890123456789012345678901234567890",
        r#""""#,
        r#""a b""#,
        r#""é\n""#,
    ] {
        app.write(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"metrics\"}}\n")).await;
        app.next().await.expect("an answer");
        app.write(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"metrics\"}}\n")).await;
        let line = raw_line(&mut app).await;
        assert!(line.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result""#)), "{id}: {line}");
    }
}

async fn raw_line(app: &mut App) -> String {
    use tokio::io::AsyncReadExt as _;
    loop {
        if let Some(end) = app.read.iter().position(|byte| *byte == b'\n') {
            return String::from_utf8(app.read.drain(..=end).collect()).unwrap();
        }
        tokio::time::timeout(SOON, app.stream.read_buf(&mut app.read)).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn calls_with_the_same_id_are_answered_each() {
    let mut app = House::new().app();
    app.line(&format!("{STATUS}\n{STATUS}\n[{STATUS},{STATUS}]")).await;
    let mut answers = 0;
    while answers < 4 {
        let answer = app.next().await.unwrap();
        for answer in answer.as_array().unwrap_or(&vec![answer.clone()]) {
            assert_eq!(answer["id"], "after");
            answers += 1;
        }
    }
    app.quiet().await;
}

#[tokio::test]
async fn a_line_over_the_limit_is_refused_and_the_connection_closed() {
    let house = House::with(Limits { max_line: 1000, ..Limits::default() });
    let mut app = house.app();
    let fits = format!("{STATUS}{}", " ".repeat(1000 - STATUS.len()));
    assert_eq!(app.reply(&fits).await["id"], "after", "the longest line that may be");
    app.write(format!("{}\r\n", &fits)).await;
    assert_eq!(app.next().await.unwrap()["id"], "after", "line endings do not count");
    app.line(&format!("{fits} ")).await;
    assert_eq!(code(&app.next().await.unwrap()), INVALID_REQUEST);
    assert!(app.next().await.is_none(), "closed");
    app.gone().await;
}

#[tokio::test]
async fn an_endless_line_is_not_kept_and_the_app_still_reads_why() {
    let house = House::with(Limits { max_line: 10_000, ..Limits::default() });
    let mut app = house.app_with_room(64 * 1024);
    for _ in 0..1_000 {
        app.write([b'x'; 10_000]).await;
    }
    app.write("\n").await;
    assert_eq!(code(&app.next().await.unwrap()), INVALID_REQUEST);
    assert!(app.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn half_a_request_is_given_ten_seconds_and_has_no_effect() {
    let house = House::new();
    let mut app = house.app();
    app.quiet().await;
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    app.quiet().await;
    app.write(r#"{"jsonrpc":"2.0","method":"messages.send","params":{"type":"t","data":1}}"#).await;
    let asked = tokio::time::Instant::now();
    assert_eq!(code(&app.next().await.unwrap()), INVALID_REQUEST);
    assert_eq!(asked.elapsed().as_secs(), 10);
    assert!(app.next().await.is_none());
    assert!(house.memory.kinds().is_empty());
    app.gone().await;
}

#[tokio::test]
async fn half_a_request_before_the_end_has_no_effect() {
    let house = House::new();
    let mut app = house.app();
    app.write(r#"{"jsonrpc":"2.0","method":"messages.send","params":{"type":"t","data":1}}"#).await;
    app.gone().await;
    assert!(house.memory.kinds().is_empty());
}

#[tokio::test]
async fn an_app_that_dies_in_mid_call_leaves_its_message_and_nothing_else() {
    let house = House::new();
    let mut app = house.app();
    app.line(
        r#"{"jsonrpc":"2.0","id":1,"method":"messages.send","params":{"type":"later","data":1,"id":"a"}}"#,
    )
    .await;
    app.line(r#"{"jsonrpc":"2.0","id":2,"method":"events.subscribe"}"#).await;
    until(|| house.memory.gauged(metric::SUBSCRIPTIONS) == 1).await;
    drop(app.stream);
    house.memory.release.notify_waiters();
    until(|| house.memory.gauged(metric::CLIENTS) == 0).await;
    assert_eq!(house.memory.gauged(metric::SUBSCRIPTIONS), 0);
    let mut again = house.app();
    house.memory.release.notify_one();
    let answer = again.call("messages.send", r#"{"type":"later","data":1,"id":"a"}"#).await;
    assert_eq!(answer["result"]["duplicate"], true, "{answer}");
    assert_eq!(house.memory.kinds().len(), 1);
}

#[tokio::test]
async fn an_app_that_is_gone_altogether_waits_for_no_answers() {
    let house = House::new();
    let mut app = house.app();
    app.line(r#"{"jsonrpc":"2.0","id":1,"method":"messages.request","params":{"type":"later","data":1}}"#)
        .await;
    until(|| std::sync::Arc::strong_count(&house.memory.release) == 2).await;
    // It is neither answered nor released: only that it has gone ends this in time.
    app.gone().await;
    assert_eq!(
        std::sync::Arc::strong_count(&house.memory.release),
        1,
        "the daemon waits for nothing any more"
    );
}

#[tokio::test]
async fn an_app_that_closes_its_half_still_gets_its_answers() {
    use tokio::io::AsyncWriteExt as _;
    let house = House::new();
    let mut app = house.app();
    app.line(r#"{"jsonrpc":"2.0","id":1,"method":"messages.send","params":{"type":"later","data":1}}"#).await;
    app.stream.shutdown().await.unwrap();
    until(|| house.memory.kinds().len() == 1).await;
    house.memory.release.notify_one();
    assert_eq!(app.next().await.unwrap()["result"]["state"], "queued");
    assert!(app.next().await.is_none());
}

#[tokio::test]
async fn a_fault_of_ours_ends_one_connection_only() {
    let house = House::new();
    let (mut unlucky, mut other) = (house.app(), house.app());
    unlucky
        .line(r#"{"jsonrpc":"2.0","id":1,"method":"messages.send","params":{"type":"panic","data":1}}"#)
        .await;
    assert!(unlucky.next().await.is_none());
    other.quiet().await;
    until(|| house.memory.gauged(metric::CLIENTS) == 1).await;
}

#[tokio::test]
async fn header_framing_is_spoken_with_those_who_begin_with_it() {
    use tokio::io::AsyncReadExt as _;
    let mut app = House::new().app();
    let body = r#"{"jsonrpc":"2.0","id":1,
        "method":"metrics"}"#;
    app.write("content-le").await;
    app.write(format!(
        "ngth: {}\r\nContent-Type: x\r\n\r\n{body}Content-Length: {}\r\n\r\n{body}",
        body.len(),
        body.len()
    ))
    .await;
    let mut seen = String::new();
    while seen.matches("holdline_clients").count() < 2 {
        assert_ne!(app.stream.read_buf(&mut app.read).await.unwrap(), 0);
        seen = String::from_utf8(app.read.clone()).unwrap();
    }
    let (head, rest) = seen.split_once("\r\n\r\n").unwrap();
    let length: usize = head.strip_prefix("Content-Length: ").unwrap().parse().unwrap();
    assert!(rest[..length].ends_with("}}") && rest[length..].starts_with("Content-Length: "), "{seen}");
}

#[tokio::test]
async fn lost_framing_ends_the_connection() {
    use tokio::io::AsyncReadExt as _;
    for headers in [
        "Content-Length: x\r\n\r\n".to_owned(),
        "Content-Length: -1\r\n\r\n".to_owned(),
        "Content-Length:\r\n\r\n".to_owned(),
        "Content-Length: 99999999999999999999999\r\n\r\n".to_owned(),
        "Content-Length: 1\r\nnonsense\r\n\r\n".to_owned(),
        format!("Content-Length: 1\r\nx: {}", "y".repeat(10_000)),
    ] {
        let mut app = House::new().app();
        app.write(&headers).await;
        tokio::time::timeout(SOON, app.stream.read_to_end(&mut app.read)).await.unwrap().unwrap();
        let said = String::from_utf8(app.read.clone()).unwrap();
        assert!(said.starts_with("Content-Length: ") && said.contains("-32700"), "{headers}: {said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is written, the next proper request on a new line is answered (or the
    /// connection was closed on purpose), and nothing panics.
    #[test]
    fn no_bytes_whatever_harm_the_house(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let house = House::new();
            let mut app = house.app();
            app.write(&noise).await;
            app.line("").await;
            let headers = noise.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'c'));
            if !headers {
                app.line(STATUS).await;
                loop {
                    let answer = app.next().await.expect("an answer");
                    if answer["id"] == "after" {
                        break;
                    }
                    prop_assert!(answer.is_array() || code(&answer) < 0);
                }
            }
            let mut other = house.app();
            other.quiet().await;
            Ok(())
        })?;
    }
}
