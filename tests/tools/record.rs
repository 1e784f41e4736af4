//! `holdline dialect record`: what it writes down, what it keeps out, how it ends.

use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::desk::{Desk, said};
use crate::support::server::{ScriptedServer, Upgrade};
use crate::support::{soon, until};

const TOKEN: &str = "s3sam3-0pen-canary";

/// A server that wants to be greeted, keeps sessions, and goes on where one ended.
const SHOP: &str = r#"
dialect = 1
about = "A shop"
connect = { query = { since = "$cursor", key = "$token", session = "$session" }, headers = { X-Key = "${token}" } }
cursor = { initial = "$now" }
in = [
  { as = "accepted", when = { "/type" = "done" }, reply_to = "/no" },
  { as = "ignore", when = { "/type" = "welcome" }, keep = { session = "/session" } },
  { as = "event", when = { "/type" = { exists = true } }, type = "/type", data = "/body", cursor = "/at" },
]
out = [{ frame = { type = "$type", no = "$counter", body = "$data" }, ref = "$counter" }]
[[start]]
send = { type = "hello", token = "$token", session = "$session" }
ok = { "/type" = "welcome" }
fail = { "/type" = "denied" }
message = "/why"
"#;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("shop.toml", SHOP);
    desk.write("token", TOKEN);
    desk
}

/// Records the shop at `url` into `transcript`, with what else is said.
fn record<'a>(transcript: &'a str, url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["dialect", "record", "shop.toml", transcript, "--url", url, "--token-file", "token"];
    [&args, more].concat()
}

/// A server that answers a `hello` and each message.
async fn shop() -> ScriptedServer {
    ScriptedServer::builder()
        .reply(|connection, frame| {
            let Message::Text(text) = frame else { return Vec::new() };
            let Ok(frame) = serde_json::from_str::<Value>(text) else { return Vec::new() };
            let answer = match frame["type"].as_str().unwrap() {
                "hello" => json!({ "type": "welcome", "session": format!("session-{connection}-canary") }),
                _ => json!({ "type": "done", "no": frame["no"] }),
            };
            vec![Message::text(answer.to_string())]
        })
        .start()
        .await
}

/// Runs the program to its end beside the server.
async fn finish(child: std::process::Child) -> Output {
    soon("the recording to end", async {
        tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap()
    })
    .await
}

/// What a recording prints, while it runs.
struct Told {
    child: std::process::Child,
    lines: Arc<Mutex<String>>,
    reading: std::thread::JoinHandle<()>,
}

impl Told {
    fn by(mut child: std::process::Child) -> Self {
        let output = std::io::BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&lines);
        let reading = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Self { child, lines, reading }
    }

    async fn until(&self, what: &str, condition: impl Fn(&str) -> bool) {
        until(what, || condition(&self.lines.lock().unwrap()).then_some(())).await;
    }

    /// Asks for the end, as a service manager does.
    async fn end(self) -> Output {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut ended = finish(self.child).await;
        self.reading.join().unwrap();
        ended.stdout = self.lines.lock().unwrap().clone().into_bytes();
        ended
    }
}

fn assert_replays(desk: &Desk, dialect: &str, transcript: &str) {
    let replayed = desk.run(&["dialect", "replay", dialect, transcript]);
    assert!(replayed.status.success(), "{}\n{}", said(&replayed), desk.read(transcript));
}

fn dirs(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["dir"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_recorded_session_replays_and_has_no_secret_in_it() {
    let (desk, server) = (desk(), shop().await);
    let url = format!("{}?api=urlsecret-canary", server.url());
    let child =
        desk.spawn(&record("a.jsonl", &url, &["--send", "chat", r#"{"text":"Hi"}"#, "--frames", "6"]));
    let peer = server.accept().await;
    server.received("the message", |frames| (frames.len() == 2).then_some(())).await;
    let coded = BASE64.encode(format!("user:{TOKEN}"));
    peer.send(&json!({ "type": "leak", "at": "2026-01-01T00:00:00Z", "body": [TOKEN, coded, "urlsecret-canary", "session-1-canary"] }).to_string());
    peer.send(r#"{"type":"news","at":"2026-01-01T00:00:01Z","body":{"n":9007199254740993}}"#);
    let ended = finish(child).await;

    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    let mode = std::fs::metadata(desk.path("a.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = desk.read("a.jsonl");
    for secret in [TOKEN, "canary", &coded[8..24]] {
        assert!(!text.contains(secret), "{secret}: {text}");
        assert!(!said(&ended).contains(secret), "{secret}: {}", said(&ended));
    }
    assert!(text.contains("9007199254740993"), "{text}");
    let lines = desk.transcript("a.jsonl");
    assert_eq!(dirs(&lines)[..4], ["set", "open", "out", "in"], "{text}");
    assert_eq!(lines[1]["query"]["key"], lines[0]["token"], "{text}");
    assert_eq!(lines[1]["headers"]["X-Key"], lines[0]["token"], "{text}");
    assert_replays(&desk, "shop.toml", "a.jsonl");
    assert!(said(&ended).contains("It replays as recorded"), "{}", said(&ended));
    // Nothing of the session's own database is left.
    let left: Vec<_> = std::fs::read_dir(desk.path("runtime/holdline")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_cut_is_written_down_and_the_next_connection_goes_on_in_a_replay_too() {
    let (desk, server) = (desk(), shop().await);
    desk.write(
        "config.toml",
        &format!(
            "[server]\nurl = \"{}\"\n[auth]\ntoken_file = \"token\"\n[reconnect]\ndelays = [\"10ms\"]\n",
            server.url()
        ),
    );
    let child =
        desk.spawn(&["--json", "dialect", "record", "shop.toml", "a.jsonl", "--config", "config.toml"]);
    let told = Told::by(child);
    let first = server.accept().await;
    told.until("the greeting is answered", |lines| lines.contains("session-removed")).await;
    first.send(r#"{"type":"news","at":"2026-01-01T00:00:01Z","body":1}"#);
    told.until("the first news", |lines| lines.contains("00:00:01Z")).await;
    first.reset();
    let second = server.accept().await;
    told.until("the second greeting is answered", |lines| lines.contains("session-2-removed")).await;
    second.close(1001, "going away");
    let third = server.accept().await;
    third.send(r#"{"type":"news","at":"2026-01-01T00:00:02Z","body":2}"#);
    told.until("the second news", |lines| lines.contains("00:00:02Z")).await;
    let ended = told.end().await;

    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    let lines = desk.transcript("a.jsonl");
    let text = desk.read("a.jsonl");
    assert_eq!(dirs(&lines).iter().filter(|dir| **dir == "open").count(), 3, "{text}");
    let closes: Vec<_> = lines.iter().filter(|line| line["dir"] == "close").collect();
    assert_eq!(closes[0].get("code"), None, "{text}");
    assert_eq!(closes[1]["code"], 1001, "{text}");
    assert_eq!(closes[2]["by"], "us", "{text}");
    let opens: Vec<_> = lines.iter().filter(|line| line["dir"] == "open").collect();
    assert_eq!(opens[1]["query"]["since"], "2026-01-01T00:00:01Z", "{text}");
    assert_eq!(opens[1]["query"]["session"], "kept-session-removed", "{text}");
    assert!(!text.contains("canary"), "{text}");
    assert_replays(&desk, "shop.toml", "a.jsonl");
}

/// The recording when it has `word` in it; it need not be there yet.
async fn grown(desk: &Desk, what: &str, is: impl Fn(&str) -> bool) -> String {
    until(what, || std::fs::read_to_string(desk.path("a.jsonl")).ok().filter(|text| is(text))).await
}

#[tokio::test]
async fn a_recording_that_is_killed_is_a_transcript_of_what_came_before() {
    let (desk, server) = (desk(), shop().await);
    let url = server.url();
    let args = ["dialect", "record", "shop.toml", "a.jsonl", "--url", &url, "--token-file", "token"];
    let mut child = desk.spawn(&[&args[..], &["--send", "chat", r#"{"text":"Hi"}"#]].concat());
    let peer = server.accept().await;
    grown(&desk, "the answer to the message", |text| text.contains(r#""done""#)).await;
    peer.send(r#"{"type":"news","at":"2026-01-01T00:00:01Z","body":1}"#);
    grown(&desk, "the news", |text| text.contains("00:00:01Z")).await;
    // Nobody knows yet that this will be the name of a session.
    peer.send(r#"{"type":"news","at":"2026-01-01T00:00:02Z","body":"session-late-canary"}"#);
    grown(&desk, "the late session", |text| text.contains("late-canary")).await;
    peer.send(r#"{"type":"welcome","session":"session-late-canary"}"#);
    grown(&desk, "it to be taken out again", |text| !text.contains("late-canary")).await;
    peer.send(r#"{"type":"news","at":"2026-01-01T00:00:03Z","body":3}"#);
    grown(&desk, "more behind it", |text| text.contains("00:00:03Z")).await;
    child.kill().unwrap();
    child.wait().unwrap();

    let text = desk.read("a.jsonl");
    let lines = desk.transcript("a.jsonl");
    assert_eq!(
        dirs(&lines),
        ["set", "open", "out", "in", "send", "out", "in", "in", "in", "in", "in"],
        "{text}"
    );
    assert!(!text.contains("canary"), "{text}");
    let mode = std::fs::metadata(desk.path("a.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_replays(&desk, "shop.toml", "a.jsonl");
    let beside: Vec<_> =
        std::fs::read_dir(desk.path("")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!beside.iter().any(|name| name.to_string_lossy().starts_with("a.jsonl.")), "{beside:?}");

    // Even one that breaks off within a line.
    desk.write("b.jsonl", &text[..text.trim_end().len() - 4]);
    assert_replays(&desk, "shop.toml", "b.jsonl");
    let told = said(&desk.run(&["dialect", "replay", "shop.toml", "b.jsonl"]));
    assert!(told.contains("breaks off here"), "{told}");
    // What is wrong anywhere else is an error as before.
    desk.write("c.jsonl", &text.replacen("{\"dir\":\"send\"", "{\"dir\":", 1));
    assert_ne!(desk.run(&["dialect", "replay", "shop.toml", "c.jsonl"]).status.code(), Some(0));
}

#[tokio::test]
async fn a_step_whose_time_ran_out_does_so_in_the_replay() {
    let (desk, server) = (desk(), ScriptedServer::start().await);
    desk.write("shop.toml", &format!("{SHOP}timeout = \"300ms\"\non_timeout = \"continue\"\n"));
    let url = server.url();
    let child = desk.spawn(&record("a.jsonl", &url, &["--send", "chat", "1", "--frames", "2"]));
    let ended = finish(child).await;
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    let lines = desk.transcript("a.jsonl");
    assert_eq!(dirs(&lines), ["set", "open", "out", "send", "out", "close"]);
    assert!(lines[3]["at"].as_u64().unwrap() >= 300, "{lines:?}");
    assert_replays(&desk, "shop.toml", "a.jsonl");
    // Without the times the message would have to wait for ever.
    let timeless: String = lines
        .iter()
        .map(|line| {
            let mut line = line.clone();
            line.as_object_mut().unwrap().remove("at");
            format!("{line}\n")
        })
        .collect();
    desk.write("timeless.jsonl", &timeless);
    assert_eq!(desk.run(&["dialect", "replay", "shop.toml", "timeless.jsonl"]).status.code(), Some(1));
}

#[tokio::test]
async fn a_refused_sign_in_ends_the_recording_and_stands_in_it() {
    let desk = desk();
    let server = ScriptedServer::builder()
        .reply(|_, _| vec![Message::text(r#"{"type":"denied","why":"no such key"}"#)])
        .start()
        .await;
    let url = server.url();
    let ended = finish(desk.spawn(&record("a.jsonl", &url, &[]))).await;
    assert_eq!(ended.status.code(), Some(4), "{}", said(&ended));
    assert!(said(&ended).contains("no such key"), "{}", said(&ended));
    let lines = desk.transcript("a.jsonl");
    // With the token read anew it may have been tried once more.
    assert_eq!(dirs(&lines)[..5], ["set", "open", "out", "in", "close"]);
    assert_replays(&desk, "shop.toml", "a.jsonl");

    let upgrade = ScriptedServer::builder().answer(|_, _| Upgrade::refuse(401, &[], "no")).start().await;
    let url = upgrade.url();
    let ended = finish(desk.spawn(&record("b.jsonl", &url, &[]))).await;
    assert_eq!(ended.status.code(), Some(4), "{}", said(&ended));
    let lines = desk.transcript("b.jsonl");
    assert_eq!((lines[1]["dir"].clone(), lines[1]["status"].clone()), (json!("refused"), json!(401)));
    assert_replays(&desk, "shop.toml", "b.jsonl");
}

#[tokio::test]
async fn messages_come_from_standard_input_until_a_signal_ends_it() {
    let (desk, server) = (desk(), shop().await);
    let url = server.url();
    let mut child = desk.spawn(&record("a.jsonl", &url, &["--json"]));
    let mut input = child.stdin.take().unwrap();
    let told = Told::by(child);
    writeln!(input, r#"{{"type":"chat","data":{{"text":"one"}},"id":"m1"}}"#).unwrap();
    writeln!(input, "nonsense").unwrap();
    writeln!(input, r#"{{"text":"a raw frame"}}"#).unwrap();
    told.until("the raw frame", |lines| lines.matches("a raw frame").count() == 2).await;
    let ended = told.end().await;
    drop(input);

    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("a line is a message like"), "{}", said(&ended));
    let lines = desk.transcript("a.jsonl");
    let sent: Vec<_> = lines.iter().filter(|line| line["dir"] == "send").collect();
    assert_eq!((&sent[0]["id"], &sent[0]["data"]["text"]), (&json!("m1"), &json!("one")));
    assert_eq!(sent[1]["text"], "a raw frame");
    assert_replays(&desk, "shop.toml", "a.jsonl");
    // Programs get each line as it is written, and at the end what came of it.
    let printed: Vec<Value> = String::from_utf8(ended.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (last, told) = printed.split_last().unwrap();
    assert_eq!(dirs(told), dirs(&lines)[1..].to_vec());
    assert_eq!((&last["mismatches"], &last["complete"]), (&json!(0), &json!(true)));
}

#[tokio::test]
async fn a_transcript_that_is_there_stays_unless_it_is_meant() {
    let (desk, server) = (desk(), shop().await);
    desk.write("a.jsonl", "# mine\n");
    let url = server.url();
    let mut args = record("a.jsonl", &url, &["--frames", "2"]);
    let refused = desk.run(&args);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("--force"), "{}", said(&refused));
    assert_eq!(desk.read("a.jsonl"), "# mine\n");
    // Nor does one that cannot begin harm it.
    let broken = ["dialect", "record", "shop.toml", "a.jsonl", "--url", "http://x/", "--force"];
    assert_ne!(desk.run(&broken).status.code(), Some(0));
    assert_eq!(desk.read("a.jsonl"), "# mine\n");
    args.push("--force");
    let ended = finish(desk.spawn(&args)).await;
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert!(!desk.read("a.jsonl").contains("# mine"));
    assert_replays(&desk, "shop.toml", "a.jsonl");
}

#[test]
fn what_cannot_begin_says_why_and_leaves_no_file() {
    let desk = desk();
    for (args, word) in [
        (
            vec!["dialect", "record", "nowhere.toml", "a.jsonl", "--url", "ws://127.0.0.1:1/"],
            "cannot be read",
        ),
        (vec!["dialect", "record", "shop.toml", "a.jsonl"], "--url"),
        (vec!["dialect", "record", "shop.toml", "a.jsonl", "--url", "ws://example.com/"], "ws://"),
        (
            vec![
                "dialect",
                "record",
                "shop.toml",
                "a.jsonl",
                "--url",
                "ws://127.0.0.1:1/",
                "--send",
                "x",
                "{",
            ],
            "JSON",
        ),
        (vec!["dialect", "record", "shop.toml", "nowhere/a.jsonl", "--url", "ws://127.0.0.1:1/"], "nowhere"),
    ] {
        let refused = desk.run(&args);
        assert!(!refused.status.success(), "{args:?}");
        assert!(said(&refused).contains(word), "{args:?}: {}", said(&refused));
        assert!(!desk.path("a.jsonl").exists(), "{args:?}");
    }
}
