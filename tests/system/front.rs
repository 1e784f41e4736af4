//! nginx as the front of a server: whom it claims to be, which TLS it speaks, whom it lets in, and
//! what it answers in the server's place.

use std::net::TcpListener;

use holdline::dev_server::{DevServer, Options};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::foreign::{Front, Nginx, address, hand_on, port};
use crate::support::daemon::{Client, Daemon};
use crate::support::tls::{Authority, Identity, Validity};
use crate::support::{needs, until_blocking};

const TOKEN: &str = "HLCANARY0123456789";

/// A server, and an authority that the daemons trust.
struct Place {
    _runtime: Runtime,
    server: DevServer,
    authority: Authority,
}

/// A daemon, what talks to it, and the message that waits.
struct Visitor {
    daemon: Daemon,
    client: Client,
    id: String,
}

impl Place {
    fn new() -> Option<Self> {
        if !(needs::programs(&["nginx", "unshare"]) && needs::root()) {
            return None;
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = Options { keep_bodies: true, ..Options::default() };
        let server = runtime.block_on(DevServer::start(options)).unwrap();
        Some(Self { _runtime: runtime, server, authority: Authority::new() })
    }

    fn behind(&self) -> String {
        hand_on(self.server.addr().port())
    }

    fn good(&self) -> Identity {
        self.authority.issue_for(&["localhost", &address().to_string()], Validity::Now)
    }

    /// A daemon that is to reach this, and a message that waits in it. The token would stand in the
    /// first line that any server sees.
    fn visit(&self, url: &str, lines: &str) -> Visitor {
        self.visit_with(url, lines, |_| {})
    }

    fn visit_with(&self, url: &str, lines: &str, prepare: impl FnOnce(&mut Daemon)) -> Visitor {
        let mut daemon = Daemon::prepare("");
        self.authority.write_to(&daemon.write_private("config/holdline/ca.pem", ""));
        daemon.write_private("config/holdline/token", TOKEN);
        daemon.write_config(&format!(
            "[server]\nurl = \"{url}\"\ndialect = \"holdline\"\ntls.ca_file = \"ca.pem\"\n{lines}\n\
             [auth]\nmethod = \"query\"\ntoken_file = \"token\"\n[reconnect]\ndelays = [\"200ms\", \"500ms\"]\n"
        ));
        prepare(&mut daemon);
        daemon.restart();
        let mut client = daemon.client();
        let receipt = client.call("messages.send", &json!({"type": "t", "data": {}})).unwrap();
        let id = receipt["id"].as_str().unwrap().to_owned();
        Visitor { daemon, client, id }
    }

    fn arrived(&self, id: &str) {
        until_blocking("the message to arrive", || {
            self.server.received().iter().any(|message| message.id.as_deref() == Some(id)).then_some(())
        });
    }
}

impl Visitor {
    /// Waits until the link is in this state for this reason, and gives its status.
    fn is(&mut self, state: &str, kind: &str, words: &str) -> Value {
        let mut last = Value::Null;
        let link = until_blocking(&format!("{state} with {kind}"), || {
            let link = self.client.call("status", &json!({})).unwrap()["link"].take();
            if last != link["reason"]["text"] {
                last = link["reason"]["text"].clone();
                eprintln!("  {} {last}", link["state"]);
            }
            // Between two tries: while one runs, none is due.
            let waits = link["next_retry_at"].is_string();
            (waits && link["state"] == state && link["reason"]["kind"] == kind).then_some(link)
        });
        let said = link["reason"]["text"].as_str().unwrap();
        assert!(said.contains(words), "\"{words}\" in {link}");
        assert!(!link.to_string().contains(TOKEN), "{link}");
        assert!(link["reason"]["hint"].is_string() || kind == "handshake_rejected", "what to do: {link}");
        link
    }
}

fn wss(port: u16) -> String {
    format!("wss://localhost:{port}/socket")
}

/// `localhost` is where nginx listens: a loopback address of this run's own.
fn here(url: &str) -> String {
    url.replace("localhost", &address().to_string())
}

#[test]
fn nobody_is_shown_the_token_who_is_not_whom_the_url_names() {
    let Some(place) = Place::new() else { return };
    let ip = address().to_string();
    let own = |validity| place.authority.issue_for(&[&ip], validity);
    let good = own(Validity::Now);
    let old_tls = "ssl_protocols TLSv1.1; ssl_ciphers DEFAULT@SECLEVEL=0;";
    let cases: Vec<(Identity, &str, &str, &str, &str)> = vec![
        (own(Validity::Over), "", "misconfigured", "tls_expired", "has expired"),
        (own(Validity::Later), "", "misconfigured", "tls_not_yet_valid", "not valid yet"),
        (
            place.authority.issue("other.example", Validity::Now),
            "",
            "misconfigured",
            "tls_wrong_name",
            "other.example",
        ),
        (Identity::self_signed(&ip, false), "", "misconfigured", "tls_self_signed", "signed by itself"),
        (Identity::self_signed(&ip, true), "", "misconfigured", "tls_self_signed", "signed by itself"),
        (
            Authority::named("Another CA").issue(&ip, Validity::Now),
            "",
            "misconfigured",
            "tls_unknown_issuer",
            "signed by nobody this machine trusts",
        ),
        (own(Validity::Now), old_tls, "misconfigured", "tls_version", "speaks no TLS 1.2"),
    ];
    let ports: Vec<u16> = cases.iter().map(|_| port()).collect();
    let fronts = |mended: bool| -> Vec<Front<'_>> {
        let each = ports.iter().zip(&cases);
        each.map(|(&port, (identity, lines, ..))| Front {
            port,
            identity: if mended { &good } else { identity },
            lines: if mended { "" } else { lines },
            locations: place.behind(),
        })
        .collect()
    };
    let nginx = Nginx::start(&fronts(false));
    let silent = TcpListener::bind((address(), port())).unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let mut stalled = place.visit(&here(&wss(silent_port)), "connect_timeout = \"1s\"");
    let mut visitors: Vec<Visitor> = ports.iter().map(|port| place.visit(&here(&wss(*port)), "")).collect();
    for (visitor, (_, _, state, kind, words)) in visitors.iter_mut().zip(&cases) {
        visitor.is(state, kind, words);
    }
    stalled.is("reconnecting", "tls_timeout", "not finished within 1 s");
    assert_eq!(nginx.requests(), "", "a request was read: {}", nginx.errors());
    assert_eq!(place.server.stats().connections, 0, "a request was handed on");

    nginx.replace(&fronts(true));
    for visitor in &visitors {
        place.arrived(&visitor.id);
    }
    drop(visitors);
    nginx.logged(&format!("GET /socket?token={TOKEN} HTTP/1.1"));
}

#[test]
fn a_front_that_would_rather_speak_http_2_is_spoken_to_in_http_1_and_an_address_has_no_name() {
    let Some(place) = Place::new() else { return };
    let port = port();
    let good = place.good();
    let lines = "# h2\nssl_protocols TLSv1.2;";
    let nginx = Nginx::start(&[Front { port, identity: &good, lines, locations: place.behind() }]);
    let by_address = place.visit(&here(&wss(port)), "");
    place.arrived(&by_address.id);
    // By name: `localhost` is nginx's address for this daemon, and for nobody else.
    let by_name = place.visit_with(&wss(port), "", |daemon| {
        let hosts = daemon.write_private("hosts", &format!("{} localhost\n", address()));
        let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
        daemon.set_before(["unshare", "--mount", "sh", "-c", &script, "sh"].map(str::to_owned).into());
    });
    place.arrived(&by_name.id);
    drop((by_address, by_name));
    // No name is sent for an address.
    nginx.logged("\"-\" HTTP/1.1 \"GET ");
    nginx.logged("\"localhost\" HTTP/1.1 \"GET ");
    let requests = nginx.requests();
    assert!(!requests.contains("HTTP/2"), "{requests}");
}

#[test]
fn a_front_that_wants_our_certificate_says_so_and_takes_a_good_one() {
    let Some(place) = Place::new() else { return };
    let port = port();
    let good = place.good();
    let clients = Authority::named("Clients");
    let folder = tempfile::tempdir().unwrap();
    clients.write_to(&folder.path().join("clients.pem"));
    let lines =
        format!("ssl_verify_client on; ssl_client_certificate {}/clients.pem;", folder.path().display());
    let nginx = Nginx::start(&[Front { port, identity: &good, lines: &lines, locations: place.behind() }]);
    let show = |daemon: &Daemon, identity: &Identity| {
        daemon.write_private("config/holdline/me.pem", &identity.cert);
        daemon.write_private("config/holdline/me.key", &identity.key);
    };
    let ours = "tls.client_cert = \"me.pem\"\ntls.client_key = \"me.key\"";
    let url = here(&wss(port));

    let mut none = place.visit(&url, "");
    let link = none.is("misconfigured", "handshake_rejected", "No required SSL certificate was sent");
    assert!(link["reason"]["hint"].as_str().unwrap().contains("server.tls.client_cert"), "{link}");

    let expired = clients.issue("kim", Validity::Over);
    let stranger = Authority::named("Strangers").issue("kim", Validity::Now);
    for identity in [&expired, &stranger] {
        let mut visitor = place.visit_with(&url, ours, |daemon| show(daemon, identity));
        visitor.is("misconfigured", "handshake_rejected", "The SSL certificate error");
        let status = visitor.client.call("status", &json!({})).unwrap();
        let warned = status["health"].to_string().contains("certificate_expires");
        assert_eq!(warned, std::ptr::eq(identity, &expired), "{}", status["health"]);
        let heard = place.server.received();
        assert!(heard.iter().all(|message| message.id.as_ref() != Some(&visitor.id)), "{heard:?}");

        show(&visitor.daemon, &clients.issue("kim", Validity::Now));
        visitor.daemon.ctl_json(&["reload"]);
        place.arrived(&visitor.id);
        until_blocking("the warning to go", || {
            let status = visitor.client.call("status", &json!({})).unwrap();
            (!status["health"].to_string().contains("certificate_expires")).then_some(())
        });
    }
    drop((none, nginx));

    // What can be known at the start is told at the start.
    let visitor = place.visit_with(&url, ours, |daemon| show(daemon, &clients.issue("kim", Validity::Now)));
    visitor.daemon.write_private("config/holdline/me.key", &stranger.key);
    let check = visitor
        .daemon
        .command(&["config", "check", "--config"])
        .arg(visitor.daemon.config_path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert_eq!(check.status.code(), Some(78), "{said}");
    assert!(
        said.contains("me.key: it is not the key of the certificate in") && said.contains("me.pem"),
        "{said}"
    );
}

#[test]
fn what_a_front_answers_in_the_servers_place_has_its_reason() {
    let Some(place) = Place::new() else { return };
    let port = port();
    let good = place.good();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let statuses = [
        (426, "misconfigured", "handshake_rejected"),
        (429, "unavailable", "server_busy"),
        (502, "reconnecting", "handshake_rejected"),
        (503, "unavailable", "server_busy"),
    ];
    let mut locations: String = place.behind();
    for (status, ..) in statuses {
        let line = match status {
            // Nobody is behind it.
            502 => format!("location /s502 {{ proxy_pass http://127.0.0.1:{gone}; }}\n"),
            _ => format!("location /s{status} {{ return {status}; }}\n"),
        };
        locations.push_str(&line);
    }
    let nginx = Nginx::start(&[Front { port, identity: &good, lines: "", locations }]);
    let url = |status| here(&wss(port)).replace("/socket", &format!("/s{status}"));
    let mut visitors: Vec<Visitor> =
        statuses.iter().map(|(status, ..)| place.visit(&url(status), "")).collect();
    for (visitor, (status, state, kind)) in visitors.iter_mut().zip(statuses) {
        let link = visitor.is(state, kind, &format!("HTTP {status} "));
        assert_eq!(link["last_http_status"], status, "{link}");
    }
    nginx.replace(&[Front { port, identity: &good, lines: "", locations: place.behind() }]);
    for visitor in &mut visitors {
        visitor.client.call("link.reconnect", &json!({})).unwrap();
        place.arrived(&visitor.id);
    }
}

#[test]
fn a_front_that_cuts_idle_lines_loses_nothing_and_a_quick_heartbeat_keeps_the_line() {
    let Some(place) = Place::new() else { return };
    let port = port();
    let good = place.good();
    let locations = place.behind().replace("proxy_http_version", "proxy_read_timeout 4s; proxy_http_version");
    let nginx = Nginx::start(&[Front { port, identity: &good, lines: "", locations }]);
    let url = here(&wss(port));
    let mut lively = place.visit(&url, "[heartbeat]\ninterval = \"1s\"");
    let mut idle = place.visit(&url, "");
    let cut = until_blocking("the idle line to be cut", || {
        let history = idle.client.call("link.history", &json!({})).unwrap();
        let entries = history["history"].as_array().unwrap().clone();
        entries
            .into_iter()
            .find(|entry| entry["reason"]["text"].as_str().unwrap_or("").starts_with("Connection lost: "))
    });
    assert_eq!(cut["reason"]["kind"], "connection_lost", "{cut}");
    let receipt = idle.client.call("messages.send", &json!({"type": "t", "data": {}})).unwrap();
    place.arrived(receipt["id"].as_str().unwrap());
    // It has stood as long as the other, and longer.
    let status = lively.client.call("status", &json!({})).unwrap();
    assert_eq!(
        (&status["link"]["state"], &status["link"]["reconnects"]),
        (&json!("connected"), &json!(0)),
        "{status}"
    );
    drop(nginx);
}
