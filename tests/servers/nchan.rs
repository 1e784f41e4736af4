//! nchan in nginx: publishers' JSON as it is, message ids in lines before it, and memory that dies with nginx.

use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, client};

use crate::harness::cutter::Cutter;
use crate::harness::nginx::Site;
use crate::harness::program::{Program, free_port};
use crate::harness::stream::{Arrival, Scale, Server, run};
use crate::harness::{daemon, everything, http, nginx, recovers_with_another_token, shown, wait_for_status};
use crate::support::daemon::Daemon;
use crate::support::tls::Authority;
use crate::support::{needs, until_blocking};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
const TOKEN: &str = "correct horse";

fn installed() -> bool {
    needs::programs(&["nginx"])
        && needs::working("nchan (Debian: libnginx-mod-nchan)", Command::new("test").args(["-f", MODULE]))
}

/// nginx with nchan behind TLS, and somebody who listens on the channel.
struct Nchan {
    program: Program,
    /// Without TLS, for publishers of its own side.
    inside: u16,
    listener: Listener,
    authority: Authority,
}

impl Nchan {
    fn start() -> Self {
        let inside = free_port();
        let (program, authority) = nginx::behind_tls(site(inside));
        Self { program, inside, listener: Listener::start(inside), authority }
    }

    /// Publishes as programs on nginx's own side do.
    fn publish(&self, numbers: Range<u64>) {
        let mut line = http::Line::to(self.inside).expect("nginx is there");
        for n in numbers {
            let body = json!({"type": "order", "n": n}).to_string();
            let (status, _) = line.ask("POST", "/publish", &body).expect("an answer");
            assert!(matches!(status, 201 | 202), "nchan answers {status}");
        }
    }

    fn connected(&self) -> (Daemon, Cutter) {
        let (daemon, cutter) = self.refused(TOKEN);
        daemon.wait_for("connected");
        (daemon, cutter)
    }

    fn refused(&self, token: &str) -> (Daemon, Cutter) {
        let cutter = Cutter::before(self.program.port());
        let ca = self.program.path("ca.pem");
        self.authority.write_to(&ca);
        (daemon(&config(cutter.port(), "channel", &ca), token), cutter)
    }
}

/// What docs/servers.md shows for nginx, and what the tests need besides.
fn site(inside: u16) -> Site {
    let channel = shown("nchan", "nginx").replace("SECRET", TOKEN);
    let locations = format!(
        r#"{channel}
    location = /inbound {{
      if ($http_authorization != "Bearer {TOKEN}") {{ return 403; }}
      nchan_subscriber websocket;
      nchan_channel_id orders;
    }}
    location = /impatient {{
      nchan_pubsub websocket;
      nchan_channel_id quiet;
      nchan_subscriber_timeout 1;
    }}"#
    );
    let beside = format!(
        r#"  server {{
    listen 127.0.0.1:{inside};
    location = /publish {{ nchan_publisher; nchan_channel_id orders; }}
    location = /listen {{ nchan_subscriber websocket; nchan_channel_id orders; }}
  }}"#
    );
    Site { module: Some(MODULE), locations, beside }
}

/// The configuration that docs/servers.md shows.
fn config(port: u16, location: &str, ca: &Path) -> String {
    let here = format!("wss://127.0.0.1:{port}/{location}");
    let config = shown("nchan", "toml").replace("wss://push.example.com/channel", &here);
    format!("{config}\n[server.tls]\nca_file = \"{}\"\n", ca.display())
}

/// Somebody else on the channel, whose line nobody cuts: the server as others see it.
struct Listener {
    heard: Arc<Mutex<Vec<Arrival>>>,
    over: Arc<AtomicBool>,
    away: Arc<AtomicBool>,
}

impl Listener {
    fn start(inside: u16) -> Self {
        let listener = Self { heard: Arc::default(), over: Arc::default(), away: Arc::default() };
        let (heard, over) = (Arc::clone(&listener.heard), Arc::clone(&listener.over));
        let away = Arc::clone(&listener.away);
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let here = !away.load(Ordering::SeqCst);
                let line = here.then(|| TcpStream::connect(("127.0.0.1", inside)).ok()).flatten();
                let line =
                    line.and_then(|stream| client(format!("ws://127.0.0.1:{inside}/listen"), stream).ok());
                let Some((mut socket, _)) = line else {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                };
                while let Ok(message) = socket.read() {
                    let Message::Text(text) = message else { continue };
                    let message: Value = serde_json::from_str(&text).expect("what was published");
                    if message["type"] == "chat" {
                        let id = message["messageId"].as_str().map(str::to_owned);
                        let number = message["n"].as_u64().expect("a number");
                        heard.lock().expect("no panic in there").push(Arrival { number, id });
                    }
                }
            }
        });
        listener
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

impl Server for Nchan {
    // What it keeps is in its memory; that has a test of its own.
    const KILL_EVERY: u64 = 0;

    fn kill_and_start(&mut self) {
        self.program.again();
    }

    fn push(&mut self, numbers: Range<u64>) {
        self.publish(numbers);
    }

    fn received(&self) -> Vec<Arrival> {
        self.listener.heard.lock().expect("no panic in there").clone()
    }

    fn message(&self, number: u64) -> (String, Value) {
        ("chat".to_owned(), json!({"n": number, "text": "x".repeat(100)}))
    }

    fn number(&self, event: &Value) -> Option<u64> {
        (event["type"] == "order").then(|| event["data"]["n"].as_u64())?
    }

    fn is_echo(&self, event: &Value) -> bool {
        event["type"] == "chat"
    }
}

#[test]
fn over_tls_it_goes_on_behind_the_last_id_and_nothing_is_lost_either_way() {
    if !installed() {
        return;
    }
    let mut server = Nchan::start();
    let (daemon, cutter) = server.connected();
    let figures = run(&mut server, &daemon, &cutter, Scale::of_environment());
    figures.expect_kept_promises();
    assert_eq!((figures.events_missing_told, figures.gaps), (0, 0), "it resumes: {figures}");
    assert_eq!((figures.events_twice, figures.twice_other_id), (0, 0), "{figures}");
}

#[test]
fn a_refused_upgrade_recovers_and_nginx_killed_loses_no_message_of_ours() {
    if !installed() {
        return;
    }
    let mut server = Nchan::start();
    let (daemon, _cutter) = server.refused("of yesterday");
    recovers_with_another_token(&daemon, TOKEN);
    let mut client = daemon.client();
    let status = client.call("status", &json!({})).expect("an answer");
    assert_eq!(status["link"]["last_http_status"], 403);
    server.publish(0..3);
    until_blocking("the events", || (everything(&mut client).len() == 3).then_some(()));

    // Sent while nginx dies and comes back.
    for n in 0..200 {
        let (kind, data) = server.message(n);
        client.call("messages.send", &json!({"type": kind, "data": data})).expect("a receipt");
        if n == 100 {
            // nchan 1.3.6 can die of two who wait on an empty channel with different last ids.
            server.listener.away.store(true, Ordering::SeqCst);
            server.kill_and_start();
        }
    }
    wait_for_status(&mut client, "all to be confirmed", |status| status["outbox"]["confirmed_total"] == 200);
    server.listener.away.store(false, Ordering::SeqCst);
    let mut numbers: Vec<_> = Vec::new();
    until_blocking("the listener to have heard them", || {
        numbers = server.received().into_iter().map(|arrival| arrival.number).collect();
        numbers.contains(&199).then_some(())
    });
    let mut first = Vec::new();
    numbers.retain(|number| {
        !first.contains(number) && {
            first.push(*number);
            true
        }
    });
    assert!(numbers.into_iter().eq(0..200), "lost, or in another order");
    // What is published from now on comes, though nchan knows our last id no more.
    server.publish(3..6);
    until_blocking("the events behind it", || {
        let numbers = everything(&mut client).iter().filter_map(|row| server.number(row)).collect::<Vec<_>>();
        (numbers == [0, 1, 2, 3, 4, 5]).then_some(())
    });
}

#[test]
fn a_location_that_only_subscribes_is_a_configuration_problem_once_something_is_sent() {
    if !installed() {
        return;
    }
    let server = Nchan::start();
    let (daemon, cutter) = server.connected();
    let mut client = daemon.client();
    daemon.write_config(&config(cutter.port(), "inbound", &server.program.path("ca.pem")));
    client.call("config.reload", &json!({})).expect("reloaded");
    wait_for_status(&mut client, "the other location", |status| {
        status["link"]["state"] == "connected" && status["link"]["url"].to_string().contains("inbound")
    });
    let (kind, data) = server.message(0);
    client.call("messages.send", &json!({"type": kind, "data": data})).expect("a receipt");
    let status =
        wait_for_status(&mut client, "the problem", |status| status["link"]["state"] == "misconfigured");
    assert!(status["link"]["reason"].to_string().contains("Publish"), "{}", status["link"]["reason"]);
}

#[test]
fn a_time_out_of_nchan_is_a_planned_end() {
    if !installed() {
        return;
    }
    let server = Nchan::start();
    let cutter = Cutter::before(server.program.port());
    let ca = server.program.path("ca.pem");
    server.authority.write_to(&ca);
    let daemon = daemon(&config(cutter.port(), "impatient", &ca), TOKEN);
    let mut client = daemon.client();
    let status = wait_for_status(&mut client, "the next connection", |status| {
        status["link"]["reconnects"].as_u64() >= Some(1) && status["link"]["state"] == "connected"
    });
    assert_eq!(status["link"]["last_close"], json!({"code": 1000, "reason": "408 408 Request Timeout"}));
}
