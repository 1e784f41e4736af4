//! The credential, the sign-in, and the steps a dialect begins with.

use holdline::model::ReasonKind::{
    AuthRefused, ClosedByServer, ConnectionLost, CredentialExpired, NoCredential, ServerBusy, ServerError,
    ServerRestart, StartRefused, StartTimeout,
};

use super::Row;
use crate::stage::{Config, Scene, Stage};
use crate::support::server::{ScriptedServer, Upgrade};

/// A dialect with a first step and a verdict of each sort.
const OWN: &str = r#"
dialect = 1
about = "For trying out verdicts"
in = [
  { as = "unauthorized", when = { close = 4401 } },
  { as = "misconfigured", when = { close = 4406 } },
  { as = "unavailable", when = { "/type" = "busy" }, code = "/code", message = "/message", retry_after = "/after|s" },
  { as = "retry", when = { "/type" = "bye" }, code = "/code", message = "/message" },
  { as = "reconnect", when = { "/type" = "rotate" }, message = "/message" },
  { as = "misconfigured", when = { "/type" = "wrong" }, code = "/code", message = "/message" },
  { as = "event", when = { "/type" = { exists = true } }, type = "/type" },
]
[[start]]
send = { type = "hello" }
ok = { "/type" = "welcome" }
fail = { "/type" = "go_away" }
code = "/code"
message = "/message"
timeout = "1s"
"#;

const WELCOME: &str = r#"{"type":"welcome"}"#;

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("The token file does not exist.", NoCredential, |stage| file(stage, None)),
        Row::new("The token file is empty.", NoCredential, |stage| file(stage, Some("\n"))),
        Row::new("The token holds a line break.", NoCredential, |stage| file(stage, Some("one\ntwo\n"))),
        Row::new("The variable of `auth.token_env` is not set.", NoCredential, |stage| {
            given(stage, "method = \"header\"\ntoken_env = \"NOBODY_SET_THIS\"")
        }),
        Row::new("The token command fails.", NoCredential, |stage| {
            given(stage, "method = \"header\"\ntoken_command = [\"false\"]")
        }),
        Row::new("The token command is not there.", NoCredential, |stage| {
            given(stage, "method = \"header\"\ntoken_command = [\"/nowhere/get-token\"]")
        }),
        Row::new("The token command prints nothing.", NoCredential, |stage| {
            given(stage, "method = \"header\"\ntoken_command = [\"true\"]")
        }),
        Row::new("The token is a web token (JWT) whose time is over.", CredentialExpired, |stage| {
            // {"alg":"none"}.{"exp":1000000000}: the ninth of September 2001.
            file(stage, Some("eyJhbGciOiJub25lIn0.eyJleHAiOjEwMDAwMDAwMDB9.c2ln\n"))
        }),
        Row::new("The credential of `auth.token_credential` was not handed over.", NoCredential, |stage| {
            given(stage, "method = \"header\"\ntoken_credential = \"api\"")
        }),
        #[cfg(feature = "keyring")]
        Row::new(
            "There is no session bus on which `auth.token_keyring` could be asked for.",
            NoCredential,
            |stage| given(stage, "method = \"header\"\ntoken_keyring = \"api.example/kim\""),
        ),
        Row::new("HTTP 401 at the upgrade.", AuthRefused, |stage| {
            stage.answered(|_| Upgrade::refuse(401, &[], "token expired"))
        }),
        Row::new("HTTP 403 at the upgrade.", AuthRefused, |stage| {
            stage.answered(|_| Upgrade::refuse(403, &[], "<html>Forbidden</html>"))
        }),
        Row::new("The server answers the sign-in message with a refusal.", AuthRefused, |stage| {
            let (scene, peer) =
                signing_in(stage, &[r#"{"type":"auth_error","code":"expired","message":"token expired"}"#]);
            scene.keeping(peer)
        }),
        Row::new("The server does not answer the sign-in message.", StartTimeout, |stage| {
            let (scene, peer) = signing_in(stage, &[]);
            scene.keeping(peer)
        }),
        Row::new("The server hangs up after the sign-in message without a word.", ConnectionLost, |stage| {
            let (scene, mut peer) = signing_in(stage, &[]);
            stage.wait(peer.frame());
            peer.finish();
            scene.keeping(peer)
        }),
        Row::new("The server closes with 1000 after the sign-in message.", ClosedByServer, |stage| {
            let (scene, mut peer) = signing_in(stage, &[]);
            stage.wait(peer.frame());
            peer.close(1000, "");
            scene.keeping(peer)
        }),
        Row::new("The server closes with 1008 twice in a row.", AuthRefused, |stage| {
            let server = stage.server(ScriptedServer::builder());
            let scene = stage.daemon(&Config::to(server.url()).delay(std::time::Duration::from_millis(100)));
            // The third time is the one fresh try after the refusal.
            for _ in 0..3 {
                stage.wait(server.accept()).close(1008, "policy");
            }
            scene.keeping(server)
        }),
        Row::new("A close that the dialect knows as a refused sign-in.", AuthRefused, |stage| {
            let server = stage.server(ScriptedServer::builder().reply(|_, _| vec![WELCOME.into()]));
            let config = Config::to(server.url()).server("dialect = \"own.toml\"");
            let scene = stage.prepared(&config, |daemon| {
                daemon.write_private("config/holdline/own.toml", OWN);
            });
            for _ in 0..2 {
                let mut peer = stage.wait(server.accept());
                // The welcome is on its way when the hello has come.
                stage.wait(peer.frame());
                peer.close(4401, "token expired");
            }
            scene.keeping(server)
        }),
        Row::new("A close that the dialect knows as a wrong configuration.", ClosedByServer, |stage| {
            let (scene, peer) = stage.spoken(OWN, &[WELCOME]);
            scene.daemon.wait_for("connected");
            peer.close(4406, "unknown channel");
            scene.keeping(peer)
        }),
        Row::new("The server refuses the first step of the dialect.", StartRefused, |stage| {
            let refusal = r#"{"type":"go_away","code":"version","message":"speak version 2"}"#;
            let (scene, peer) = stage.spoken(OWN, &[refusal]);
            scene.keeping(peer)
        }),
        Row::new("The server does not answer the first step of the dialect.", StartTimeout, |stage| {
            let (scene, peer) = stage.spoken(OWN, &[]);
            scene.keeping(peer)
        }),
        Row::new("A frame that the dialect knows as a wrong configuration.", StartRefused, |stage| {
            told(stage, r#"{"type":"wrong","code":"E7","message":"no such tenant"}"#)
        }),
        Row::new("A frame that the dialect knows as \"busy\", with a time.", ServerBusy, |stage| {
            told(stage, r#"{"type":"busy","code":"E8","message":"too many","after":120}"#)
        })
        .wish(120),
        Row::new("A frame that the dialect knows as the end of the session.", ServerError, |stage| {
            told(stage, r#"{"type":"bye","code":"E9","message":"session expired"}"#)
        }),
        Row::new("A frame that the dialect knows as a wish for a new connection.", ServerRestart, |stage| {
            told(stage, r#"{"type":"rotate","message":"refresh requested"}"#)
        })
        .fleeting(),
    ]
}

fn given(stage: &Stage, auth: &str) -> Scene {
    let server = stage.server(ScriptedServer::builder());
    let config = Config::to(server.url()).more(&format!("[auth]\n{auth}"));
    stage.daemon(&config).then(move || assert!(server.requests().is_empty(), "it dialled without a token"))
}

/// A token file with this content, or none.
fn file(stage: &Stage, content: Option<&str>) -> Scene {
    let server = stage.server(ScriptedServer::builder());
    let config = Config::to(server.url()).more("[auth]\nmethod = \"header\"\ntoken_file = \"token\"");
    let scene = stage.prepared(&config, |daemon| {
        if let Some(content) = content {
            daemon.write_private("config/holdline/token", content);
        }
    });
    scene.then(move || assert!(server.requests().is_empty(), "a request went out"))
}

/// A daemon that signs in by message, and what it is answered.
fn signing_in(stage: &Stage, replies: &'static [&str]) -> (Scene, crate::support::server::Peer) {
    let server = stage.server(
        ScriptedServer::builder().reply(move |_, _| replies.iter().map(|text| (*text).into()).collect()),
    );
    let config = Config::to(server.url()).more("[auth]\ntoken_file = \"token\"\nreply_timeout = \"1s\"");
    let scene = stage.prepared(&config, |daemon| {
        daemon.write_private("config/holdline/token", "HLCANARY-0123456789\n");
    });
    let peer = stage.wait(server.accept());
    (scene.keeping(server), peer)
}

/// A session of the dialect [`OWN`] in which the server then says this.
fn told(stage: &Stage, frame: &str) -> Scene {
    let (scene, peer) = stage.spoken(OWN, &[WELCOME]);
    scene.daemon.wait_for("connected");
    peer.send(frame);
    scene.keeping(peer)
}
