//! Proxies as companies run them: tinyproxy for CONNECT, microsocks and dante for SOCKS 5. The server
//! is behind nginx with TLS, under a name that only the proxies can look up.

use holdline::dev_server::{DevServer, Options};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::foreign::{Foreign, Front, Nginx, address, hand_on, port};
use crate::support::daemon::{Client, Daemon};
use crate::support::tls::{Authority, Validity};
use crate::support::{needs, until_blocking};

const NAME: &str = "front.example";
const PASSWORD: &str = "s3cret.CANARY";
/// What SOCKS can carry and a URL cannot, and how it stands in one.
const HARD: (&str, &str) = ("p@ss:CANARY/%", "p%40ss%3ACANARY%2F%25");

/// The server, nginx in front of it, and whom they claim to be.
struct Place {
    _runtime: Runtime,
    server: DevServer,
    authority: Authority,
    nginx: Nginx,
    /// TLS by the right name, and by another one.
    tls: u16,
    other: u16,
}

impl Place {
    fn new() -> Option<Self> {
        let there = needs::programs(&["tinyproxy", "microsocks", "danted", "nginx", "unshare"]);
        if !(there && needs::root()) {
            return None;
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = Options { keep_bodies: true, ..Options::default() };
        let server = runtime.block_on(DevServer::start(options)).unwrap();
        let authority = Authority::new();
        let (tls, other) = (port(), port());
        let behind = hand_on(server.addr().port());
        let fronts = [
            Front {
                port: tls,
                identity: &authority.issue(NAME, Validity::Now),
                lines: "",
                locations: behind.clone(),
            },
            Front {
                port: other,
                identity: &authority.issue("other.example", Validity::Now),
                lines: "",
                locations: behind,
            },
        ];
        let nginx = Nginx::start(&fronts);
        Some(Self { _runtime: runtime, server, authority, nginx, tls, other })
    }

    fn url(&self) -> String {
        format!("wss://{NAME}:{}/socket", self.tls)
    }

    /// A daemon with these lines in `[server]`, ready to start.
    fn prepared(&self, url: &str, lines: &str) -> Daemon {
        let daemon = Daemon::prepare("");
        self.configure(&daemon, url, lines);
        daemon
    }

    fn configure(&self, daemon: &Daemon, url: &str, lines: &str) {
        self.authority.write_to(&daemon.write_private("config/holdline/ca.pem", ""));
        daemon.write_config(&format!(
            "[server]\nurl = \"{url}\"\ndialect = \"holdline\"\ntls = {{ ca_file = \"ca.pem\" }}\n{lines}\n\
             [reconnect]\ndelays = [\"200ms\", \"500ms\"]\n"
        ));
    }

    fn daemon(&self, url: &str, lines: &str) -> Daemon {
        let mut daemon = self.prepared(url, lines);
        daemon.restart();
        daemon
    }

    /// Waits until the message has arrived.
    fn arrived(&self, id: &str) {
        until_blocking("the message to arrive", || {
            self.server.received().iter().any(|message| message.id.as_deref() == Some(id)).then_some(())
        });
    }
}

fn hosts() -> String {
    format!("127.0.0.1 localhost\n{} {NAME}\n", address())
}

fn tinyproxy(port: u16, lines: &str) -> Foreign {
    Foreign::start(port, Some(&hosts()), |folder| {
        let file = folder.join("tinyproxy.conf");
        let config = format!(
            "Port {port}\nListen {}\nTimeout 60\nMaxClients 20\nLogFile \"{}\"\nLogLevel Connect\n{lines}\n",
            address(),
            folder.join("log").display()
        );
        std::fs::write(&file, config).unwrap();
        ["tinyproxy", "-d", "-c", &file.display().to_string()].map(str::to_owned).to_vec()
    })
}

fn microsocks(port: u16, more: &[&str]) -> Foreign {
    Foreign::start(port, Some(&hosts()), |_| {
        let (ip, port) = (address().to_string(), port.to_string());
        [&["microsocks", "-i", &ip, "-p", &port], more].concat().into_iter().map(str::to_owned).collect()
    })
}

fn dante(port: u16, rules: &str) -> Foreign {
    Foreign::start(port, Some(&hosts()), |folder| {
        let file = folder.join("danted.conf");
        let config = format!(
            "logoutput: stderr\ninternal: {ip} port = {port}\nexternal: {ip}\nclientmethod: none\nsocksmethod: none\n\
             user.privileged: root\nuser.unprivileged: nobody\n\
             client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n{rules}\n",
            ip = address()
        );
        std::fs::write(&file, config).unwrap();
        let pid = folder.join("pid").display().to_string();
        ["danted", "-f", &file.display().to_string(), "-p", &pid].map(str::to_owned).to_vec()
    })
}

const PASS_ALL: &str = "socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }";

fn send(client: &mut Client) -> String {
    let receipt = client.call("messages.send", &json!({"type": "t", "data": {}})).unwrap();
    receipt["id"].as_str().unwrap().to_owned()
}

/// Waits until the link is in this state for this reason, and gives the reason. It names no secret.
fn wait_for(client: &mut Client, state: &str, kind: &str) -> Value {
    let mut last = Value::Null;
    let link = until_blocking(&format!("{state} with {kind}"), || {
        let link = client.call("status", &json!({})).unwrap()["link"].take();
        if last != link["reason"]["text"] {
            last = link["reason"]["text"].clone();
            eprintln!("  {} {last}", link["state"]);
        }
        // Between two tries: while one runs, none is due.
        let waits = link["next_retry_at"].is_string();
        (waits && link["state"] == state && link["reason"]["kind"] == kind).then_some(link)
    });
    assert!(!link.to_string().contains("CANARY"), "{link}");
    assert!(link["reason"]["hint"].as_str().is_some_and(|hint| hint.len() > 10), "what to do: {link}");
    link["reason"].clone()
}

fn text(reason: &Value) -> &str {
    reason["text"].as_str().unwrap()
}

#[test]
fn each_proxy_opens_the_way_and_only_the_proxy_looks_the_name_up() {
    let Some(place) = Place::new() else { return };
    let at = |port| format!("{}:{port}", address());
    let ports = [port(), port(), port(), port(), port()];
    let proxies = [
        tinyproxy(ports[0], ""),
        tinyproxy(ports[1], &format!("BasicAuth kim {PASSWORD}")),
        microsocks(ports[2], &[]),
        microsocks(ports[3], &["-u", "kim", "-P", HARD.0]),
        dante(ports[4], PASS_ALL),
    ];
    let urls = [
        format!("http://{}", at(ports[0])),
        format!("http://kim:{PASSWORD}@{}", at(ports[1])),
        format!("socks5://{}", at(ports[2])),
        format!("socks5h://kim:{}@{}", HARD.1, at(ports[3])),
        format!("socks5://{}", at(ports[4])),
    ];
    for url in &urls {
        let daemon = place.daemon(&place.url(), &format!("proxy = \"{url}\""));
        let mut client = daemon.client();
        place.arrived(&send(&mut client));
        let shown = daemon.ctl(&["status"]);
        let config = daemon
            .command(&["config", "show", "--origin", "--config"])
            .arg(daemon.config_path())
            .output()
            .unwrap();
        for said in [&shown.stdout, &config.stdout, &config.stderr, &daemon.log().into_bytes()] {
            assert!(!String::from_utf8_lossy(said).contains("CANARY"), "{url}");
        }
        eprintln!(
            "{}: {}",
            url.split("CANARY").next().unwrap(),
            String::from_utf8_lossy(&shown.stdout).lines().next().unwrap()
        );
    }
    // The name went to each proxy as a name, and TLS went through it to the server itself.
    assert!(
        proxies[0].read("log").contains(&format!("CONNECT {NAME}:{}", place.tls)),
        "{}",
        proxies[0].read("log")
    );
    let asked = format!("\"{NAME}\" HTTP/1.1");
    until_blocking("nginx to log each connection", || {
        (place.nginx.requests().matches(&asked).count() == urls.len()).then_some(())
    });
}

#[test]
fn behind_a_proxy_the_server_must_still_be_who_it_says() {
    let Some(place) = Place::new() else { return };
    let port = port();
    let _proxy = tinyproxy(port, "");
    let daemon = place.daemon(
        &format!("wss://{NAME}:{}/socket", place.other),
        &format!("proxy = \"http://{}:{port}\"", address()),
    );
    let mut client = daemon.client();
    let id = send(&mut client);
    let reason = wait_for(&mut client, "misconfigured", "tls_wrong_name");
    assert!(text(&reason).contains(&format!("other.example, not {NAME}")), "{reason}");
    assert_eq!(place.nginx.requests(), "", "a request was sent to a server that is somebody else");
    assert_eq!(place.server.stats().connections, 0);
    place.configure(&daemon, &place.url(), &format!("proxy = \"http://{}:{port}\"", address()));
    daemon.ctl_json(&["reload"]);
    place.arrived(&id);
}

#[test]
fn what_a_proxy_refuses_is_told_and_what_waited_goes_out_when_it_is_mended() {
    let Some(place) = Place::new() else { return };
    let ports = [port(), port(), port(), port(), port(), port(), port()];
    let at = |index: usize| format!("{}:{}", address(), ports[index]);
    let narrow = format!("ConnectPort {}\n", place.other);
    let proxies = [
        tinyproxy(ports[0], &format!("BasicAuth kim {PASSWORD}")),
        tinyproxy(ports[1], &narrow),
        tinyproxy(ports[2], ""),
        microsocks(ports[3], &["-u", "kim", "-P", HARD.0]),
        microsocks(ports[4], &[]),
        dante(ports[5], &format!("socks block {{ from: 0.0.0.0/0 to: {NAME} }}\n{PASS_ALL}")),
    ];
    let good = format!("proxy = \"socks5://{}\"", at(4));
    let gone = format!("wss://{NAME}:{}/socket", port());
    let unknown = "wss://nobody.example/socket".to_owned();
    let url = place.url();
    let cases: [(&str, &str, String, &str, &str, &str); 10] = [
        (
            "no sign-in",
            &url,
            format!("http://{}", at(0)),
            "unauthorized",
            "proxy_auth_refused",
            "wants a user name and a password",
        ),
        (
            "wrong password",
            &url,
            format!("http://kim:CANARY@{}", at(0)),
            "unauthorized",
            "proxy_auth_refused",
            "refused our user name and password",
        ),
        ("forbidden port", &url, format!("http://{}", at(1)), "misconfigured", "proxy_denied", "HTTP 403"),
        (
            "no server behind CONNECT",
            &gone,
            format!("http://{}", at(2)),
            "reconnecting",
            "proxy_target_unreachable",
            "HTTP 500",
        ),
        (
            "no sign-in for SOCKS",
            &url,
            format!("socks5://{}", at(3)),
            "unauthorized",
            "proxy_auth_refused",
            "wants a user name and a password",
        ),
        (
            "wrong SOCKS password",
            &url,
            format!("socks5://kim:CANARY@{}", at(3)),
            "unauthorized",
            "proxy_auth_refused",
            "refused our user name and password",
        ),
        (
            "no server behind SOCKS",
            &gone,
            format!("socks5://{}", at(4)),
            "reconnecting",
            "proxy_target_unreachable",
            "SOCKS 5",
        ),
        (
            "unknown name",
            &unknown,
            format!("socks5://{}", at(4)),
            "reconnecting",
            "proxy_target_unreachable",
            "could not reach the server",
        ),
        (
            "forbidden by rule",
            &url,
            format!("socks5://{}", at(5)),
            "misconfigured",
            "proxy_denied",
            "SOCKS 2",
        ),
        (
            "no proxy",
            &url,
            format!("http://{}", at(6)),
            "reconnecting",
            "proxy_unreachable",
            "the connection was refused",
        ),
    ];
    let mut daemons = Vec::new();
    for (name, url, proxy, state, kind, words) in &cases {
        eprintln!("{name}:");
        let delays = format!("proxy = \"{proxy}\"\n");
        let daemon = place.daemon(url, &delays);
        let mut client = daemon.client();
        let id = send(&mut client);
        let reason = wait_for(&mut client, state, kind);
        assert!(text(&reason).contains(words), "{name}: {reason}");
        assert!(text(&reason).contains(&address().to_string()), "{name} names the proxy: {reason}");
        assert!(!daemon.log().contains("CANARY"), "{name}: {}", daemon.log());
        daemons.push((daemon, client, id));
    }
    assert_eq!(place.nginx.requests(), "", "nothing got through: {}", place.nginx.errors());
    assert_eq!(place.server.stats().connections, 0);
    for (daemon, _, id) in &daemons {
        place.configure(daemon, &place.url(), &good);
        daemon.ctl_json(&["reload"]);
        place.arrived(id);
    }
    drop(proxies);
}

#[test]
fn the_proxy_of_the_environment_is_taken_where_nothing_is_written() {
    let Some(place) = Place::new() else { return };
    let port = port();
    let proxy = tinyproxy(port, "");
    let at = format!("{}:{port}", address());

    let mut daemon = place.prepared(&place.url(), "");
    daemon.set_variable("HTTPS_PROXY", &at);
    daemon.restart();
    let mut client = daemon.client();
    place.arrived(&send(&mut client));
    assert!(proxy.read("log").contains(&format!("CONNECT {NAME}:")), "{}", proxy.read("log"));

    // Listed: without, and our own resolver does not know the name.
    let mut daemon = place.prepared(&place.url(), "");
    daemon.set_variable("https_proxy", &format!("http://{at}"));
    daemon.set_variable("NO_PROXY", ".example");
    daemon.restart();
    let mut client = daemon.client();
    let link = until_blocking("the name to be looked up here", || {
        let link = client.call("status", &json!({})).unwrap()["link"].take();
        let kind = link["reason"]["kind"].as_str().unwrap_or_default().to_owned();
        ["name_not_found", "name_lookup_failed"].contains(&kind.as_str()).then_some(link)
    });
    assert!(text(&link["reason"]).contains(NAME), "{link}");

    // A server of this machine is never reached through one: there is none at that port.
    let plain = place.server.url();
    let mut daemon = place.prepared(&plain, "");
    for name in ["http_proxy", "all_proxy"] {
        daemon.set_variable(name, "http://127.0.0.1:1");
    }
    daemon.restart();
    place.arrived(&send(&mut daemon.client()));
}
