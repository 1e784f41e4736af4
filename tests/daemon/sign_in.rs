//! The credential: refused in each way servers refuse one, expired by its own word, handed over by
//! the service manager; and the server never sees more of it than it has to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holdline::clock::Clock;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::daemon::{Client, Daemon};
use crate::support::server::{ScriptedServer, Upgrade};
use crate::support::until;
use crate::{blocking, send, wait_for_status};

/// How a server refuses a sign-in by message: what it says, and whether it then hangs up, and how.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    /// At the upgrade.
    Status,
    /// A close code that the dialect knows.
    Code,
    /// A close as for a broken policy.
    Policy,
    /// A frame, then a close without a code.
    FrameThenClose,
    /// A frame, and the socket stays open.
    FrameAlone,
    /// It just ends the connection.
    Silence,
}

const DIALECT: &str = r#"
dialect = 1
about = "Signs in by message"
in = [
  { as = "unauthorized", when = { close = 4401 } },
  { as = "unauthorized", when = { "/type" = "auth_error" }, message = "/message" },
  { as = "accepted", when = { "/type" = "ack" }, reply_to = "/messageId" },
  { as = "ignore", when = { "/type" = "auth_ok" } },
]
out = [{ frame = { type = "$type", messageId = "$id", data = "$data" }, confirm = "reply" }]
[[start]]
send = { type = "auth", token = "$token" }
ok = { "/type" = "auth_ok" }
fail = { "/type" = "auth_error" }
message = "/message"
"#;

fn token_of(frame: &Message) -> Option<String> {
    let frame: Value = serde_json::from_str(frame.to_text().ok()?).ok()?;
    (frame["type"] == "auth").then(|| frame["token"].as_str().unwrap_or_default().to_owned())
}

/// A server that takes the token "right", refuses any other in this way, and acknowledges.
async fn refusing(how: Refusal) -> ScriptedServer {
    ScriptedServer::builder()
        .answer(move |_, request| {
            let right = request.header("Authorization").is_empty()
                || request.header("Authorization") == ["Bearer right"];
            if matches!(how, Refusal::Status) && !right {
                Upgrade::refuse(401, &[], "no such token")
            } else {
                Upgrade::Accept(None)
            }
        })
        .reply(move |_, frame| {
            let refusal = Message::text(r#"{"type":"auth_error","message":"no such token"}"#);
            let close = |code: u16| {
                let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
                    code: code.into(),
                    reason: "no such token".into(),
                };
                Message::Close(Some(frame))
            };
            match token_of(frame) {
                Some(token) if token == "right" => vec![Message::text(r#"{"type":"auth_ok"}"#)],
                Some(_) => match how {
                    Refusal::Status => Vec::new(),
                    Refusal::Code => vec![close(4401)],
                    Refusal::Policy => vec![close(1008)],
                    Refusal::FrameThenClose => vec![refusal, Message::Close(None)],
                    Refusal::FrameAlone => vec![refusal],
                    // An answer that the test takes as the sign to hang up.
                    Refusal::Silence => Vec::new(),
                },
                None => {
                    let frame: Value =
                        serde_json::from_str(frame.to_text().unwrap_or_default()).unwrap_or_default();
                    vec![Message::text(json!({"type": "ack", "messageId": frame["messageId"]}).to_string())]
                }
            }
        })
        .start()
        .await
}

/// A daemon with this token in its file, and a message that waits.
async fn visitor(url: String, method: &'static str, token: &str) -> (Daemon, Client, String) {
    let token = token.to_owned();
    blocking(move || {
        let mut daemon = Daemon::prepare("");
        daemon.write_private("config/holdline/own.toml", DIALECT);
        daemon.write_private("config/holdline/token", &token);
        let dialect = if method == "message" { "own.toml" } else { "json" };
        daemon.write_config(&format!(
            "[server]\nurl = \"{url}\"\ndialect = \"{dialect}\"\n[auth]\nmethod = \"{method}\"\ntoken_file = \"token\"\n\
             [reconnect]\ndelays = [\"5m\"]\njitter = 0.0\n"
        ));
        daemon.restart();
        let mut client = daemon.client();
        let id = send(&mut client, "waiting", &json!({"n": 1}));
        (daemon, client, id)
    })
    .await
}

async fn reason(client: Client, state: &'static str, kind: &'static str) -> (Client, Value) {
    blocking(move || {
        let mut client = client;
        let status = wait_for_status(&mut client, &format!("{state} with {kind}"), |status| {
            status["link"]["state"] == state && status["link"]["reason"]["kind"] == kind
        });
        (client, status)
    })
    .await
}

async fn arrives(server: &ScriptedServer, id: &str) {
    let id = id.to_owned();
    server
        .received("the message that waited", |frames| {
            frames.iter().any(|(_, frame)| frame.to_text().is_ok_and(|text| text.contains(&id))).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_a_sign_in_is_refused_another_token_is_tried_at_once() {
    for how in [
        Refusal::Status,
        Refusal::Code,
        Refusal::Policy,
        Refusal::FrameThenClose,
        Refusal::FrameAlone,
        Refusal::Silence,
    ] {
        let server = refusing(how).await;
        let method = if matches!(how, Refusal::Status) { "header" } else { "message" };
        let (daemon, client, id) = visitor(server.url(), method, "wrong\n").await;
        let (state, kind) = match how {
            Refusal::Silence => {
                let mut peer = server.accept().await;
                peer.frame().await;
                peer.finish();
                ("reconnecting", "connection_lost")
            }
            // The first one could be about anything: it is told, and waited out as any close.
            Refusal::Policy => ("reconnecting", "closed_by_server"),
            Refusal::Status | Refusal::Code | Refusal::FrameThenClose | Refusal::FrameAlone => {
                ("unauthorized", "auth_refused")
            }
        };
        let (client, status) = reason(client, state, kind).await;
        let said = status["link"]["reason"]["text"].as_str().unwrap();
        assert!(said.contains("no such token") || matches!(how, Refusal::Silence), "{how:?}: {said}");
        // The next try is five or fifteen minutes away, but for this.
        daemon.write_private("config/holdline/token", "right\n");
        arrives(&server, &id).await;
        reason_is_gone(client).await;
    }
}

async fn reason_is_gone(client: Client) {
    blocking(move || {
        let mut client = client;
        wait_for_status(&mut client, "connected", |status| status["link"]["state"] == "connected");
    })
    .await;
}

/// A web token that expires so many seconds from now.
fn web_token(seconds: i64) -> String {
    let exp = Clock::start().now().wall.as_millis() / 1000 + seconds;
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"HS256"}"#.into()),
        part(json!({"sub": "kim", "exp": exp}).to_string()),
        part("HLCANARY".into())
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_web_token_is_not_shown_and_a_fresh_one_is_picked_up() {
    let server = ScriptedServer::start().await;
    let (daemon, client, id) = visitor(server.url(), "header", &web_token(-3600)).await;
    let (client, status) = reason(client, "unauthorized", "credential_expired").await;
    let link = &status["link"];
    assert!(link["reason"]["text"].as_str().unwrap().contains("token expired at 20"), "{link}");
    assert!(link["reason"]["hint"].as_str().unwrap().contains("clock"), "{link}");
    assert_eq!(server.connections(), 0, "nobody was dialled");
    assert!(status["health"].to_string().contains("credential_expires"), "{}", status["health"]);

    // One that is good for half an hour is taken, and spoken of.
    daemon.write_private("config/holdline/token", &web_token(1_800));
    arrives(&server, &id).await;
    let client = blocking(move || {
        let mut client = client;
        let status = wait_for_status(&mut client, "the warning of its end", |status| {
            let health = status["health"].as_array().unwrap();
            health.iter().any(|entry| {
                entry["code"] == "credential_expires"
                    && entry["severity"] == "warning"
                    && entry["text"].as_str().unwrap().contains("expires at 20")
            })
        });
        assert_eq!(status["link"]["state"], "connected", "{status}");
        client
    })
    .await;
    // One that is good for long is not, though the line stays as it is.
    daemon.write_private("config/holdline/token", &web_token(30 * 86_400));
    blocking(move || {
        let mut client = client;
        let status = wait_for_status(&mut client, "the warning to go", |status| {
            !status["health"].to_string().contains("credential_expires")
        });
        assert_eq!(status["link"]["reconnects"], 0, "{status}");
        assert!(!daemon.log().contains("HLCANARY") && !daemon.log().contains("eyJ"), "{}", daemon.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_hands_out_an_expired_token_is_asked_once_more() {
    let server = ScriptedServer::start().await;
    let (url, stale, fresh) = (server.url(), web_token(-60), web_token(3_600));
    let shown = format!("Bearer {fresh}");
    let _daemon = blocking(move || {
        let mut daemon = Daemon::prepare("");
        let stale = daemon.write_private("stale", &stale);
        let fresh = daemon.write_private("fresh", &fresh);
        // The stale one the first time, the fresh one from then on.
        let script =
            format!("cat {stale}; mv {fresh} {stale}", stale = stale.display(), fresh = fresh.display());
        daemon.write_config(&format!(
            "[server]\nurl = \"{url}\"\n[auth]\nmethod = \"header\"\n\
             token_command = [\"sh\", \"-c\", \"{script} 2>/dev/null || true\"]\n"
        ));
        daemon.restart();
        daemon
    })
    .await;
    let peer = server.accept().await;
    assert_eq!(peer.request.header("Authorization"), [shown]);
    assert_eq!(server.connections(), 1, "the stale one was not shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_of_systemd_is_read_where_the_service_manager_put_it() {
    let server = ScriptedServer::start().await;
    let url = server.url();
    let (daemon, client, folder) = blocking(move || {
        let mut daemon = Daemon::prepare("");
        let folder = daemon.path("credentials");
        std::fs::create_dir(&folder).unwrap();
        daemon.set_variable("CREDENTIALS_DIRECTORY", folder.to_str().unwrap());
        daemon.write_config(&format!(
            "[server]\nurl = \"{url}\"\n[auth]\nmethod = \"header\"\ntoken_credential = \"api-token\"\n"
        ));
        daemon.restart();
        let client = daemon.client();
        (daemon, client, folder)
    })
    .await;
    let (client, status) = reason(client, "unauthorized", "no_credential").await;
    let said = &status["link"]["reason"];
    assert_eq!(said["text"], "the systemd credential api-token does not exist");
    assert!(said["hint"].as_str().unwrap().contains("LoadCredential=api-token:"), "{said}");
    // As systemd makes it: for its owner to read alone.
    let file = folder.join("api-token");
    daemon.write_private("credentials/.new", "from-systemd\n");
    std::fs::rename(folder.join(".new"), file).unwrap();
    let peer = server.accept().await;
    assert_eq!(peer.request.header("Authorization"), ["Bearer from-systemd"]);
    reason_is_gone(client).await;
    until("nothing of it in the log", || (!daemon.log().contains("from-systemd")).then_some(())).await;
}
