//! What a configuration means.

use std::time::Duration;

use holdline::config::{
    AuthMethod, DialectChoice, HeartbeatMode, LogFormat, NotifyOn, SignIn, TokenSource, Urgency, Weekday,
    load, show,
};
use holdline::model::{Confirm, Delivery, Durability, Resend};

use super::bench::{Home, loaded, with_server};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn one_line_is_enough_and_the_rest_has_defaults() {
    let config = loaded("server.url = \"wss://api.example.com/socket\"");
    assert_eq!(config.server.dialect, DialectChoice::Named("json".to_owned()));
    assert_eq!(config.server.connect_timeout, seconds(10));
    assert_eq!(config.server.max_message, 4 << 20);
    assert_eq!(
        (config.auth.method, config.auth.source, config.auth.sign_in),
        (AuthMethod::Default, None, None)
    );
    assert_eq!(config.heartbeat.mode, HeartbeatMode::Auto);
    assert_eq!((config.heartbeat.interval, config.heartbeat.timeout), (None, None));
    assert_eq!(config.reconnect.delays, [2, 5, 10, 20, 30, 60].map(seconds));
    assert_eq!((config.reconnect.stable_after, config.reconnect.unavailable_after), (seconds(30), 5));
    assert_eq!((config.outbox.max_messages, config.outbox.max_bytes), (100_000, 256 << 20));
    assert_eq!((config.outbox.window, config.outbox.max_attempts, config.outbox.confirm), (256, 10, None));
    assert!(!config.outbox.drop_oldest);
    assert_eq!((config.inbox.max_events, config.inbox.max_age), (1_000_000, seconds(30 * 86_400)));
    assert_eq!((config.ipc.max_clients, config.ipc.max_line), (128, 8 << 20));
    assert_eq!(config.store.durability, Durability::Full);
    assert_eq!((config.log.level.as_str(), config.log.format), ("info", LogFormat::Auto));
    assert!(config.notifications.enabled && config.types.0.is_empty() && config.lanes.is_empty());
    assert!(config.warnings.is_empty());
}

#[test]
fn every_section_says_what_it_means() {
    let config = loaded(
        r#"
[server]
url = "ws://127.0.0.1:9800/?v=2"
dialect = "text"
subprotocols = ["b", "a"]
headers = { "X-App" = "dashboard", "A" = "b" }
vars = { topics = ["room:lobby"], n = 5, deep = { x = 0.5 } }
max_message = 65536
[heartbeat]
mode = "ping"
interval = "1m30s"
[reconnect]
delays = ["250ms"]
jitter = 0
[outbox]
overflow = "drop_oldest"
confirm = "barrier"
keep_finished_age = "1h"
[lanes."chat-42"]
on_failure = "block"
window = 1
[lanes.b]
[store]
durability = "normal"
[log]
level = "info,holdline::link=trace"
format = "json"
[notifications]
quiet = [{ from = "22:00", to = "07:30", days = ["mon", "sun"] }]
[[notify]]
type = "order_*"
when = { "/status" = ["a", 1], "/x" = true }
group = "/orderId"
urgency = "critical"
[[notify]]
on = "link"
"#,
    );
    assert_eq!(config.server.url.exposed(), "ws://127.0.0.1:9800/?v=2");
    assert_eq!(config.server.subprotocols, ["b", "a"]);
    let headers: Vec<_> =
        config.server.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers, [("X-App", "dashboard"), ("A", "b")], "in file order");
    assert_eq!(config.server.vars["topics"][0].as_str(), Some("room:lobby"));
    assert_eq!(config.server.vars["n"].as_i64(), Some(5));
    assert_eq!(config.server.vars["deep"]["x"].as_f64(), Some(0.5));
    assert_eq!(config.server.max_message, 65_536);
    assert_eq!(config.heartbeat.interval, Some(seconds(90)));
    assert_eq!(
        (config.reconnect.delays.as_slice(), config.reconnect.jitter),
        ([Duration::from_millis(250)].as_slice(), 0.0)
    );
    assert!(config.outbox.drop_oldest);
    assert_eq!(
        (config.outbox.confirm, config.outbox.keep_finished_age),
        (Some(Confirm::Barrier), seconds(3600))
    );
    let lanes: Vec<_> =
        config.lanes.iter().map(|(name, lane)| (name.as_ref(), lane.block, lane.window)).collect();
    assert_eq!(lanes, [("chat-42", true, Some(1)), ("b", false, None)]);
    assert_eq!(config.store.durability, Durability::Normal);
    assert_eq!(
        (config.log.level.as_str(), config.log.format),
        ("info,holdline::link=trace", LogFormat::Json)
    );
    let quiet = &config.notifications.quiet[0];
    assert_eq!((quiet.from, quiet.to), (1320, 450));
    assert_eq!(quiet.days, [Weekday::Monday, Weekday::Sunday]);
    let [order, link] = config.notifications.rules.as_ref() else { panic!("two rules") };
    assert!(matches!(&order.on, NotifyOn::Type(glob) if glob.matches("order_status")));
    assert_eq!((order.urgency, order.when.len()), (Urgency::Critical, 2));
    assert_eq!(link.on, NotifyOn::Link);
}

#[test]
fn the_first_fitting_type_in_file_order_counts() {
    let config = loaded(&with_server(
        r#"
[types."zebra"]
delivery = "latest"
key = "/id"
ttl = "1h"
lane = "animals"
confirm = "reply"
resend = "never"
[types."*"]
delivery = "ephemeral"
[types."apple"]
"#,
    ));
    let zebra = config.types.find("zebra").expect("a rule");
    assert_eq!(
        (zebra.delivery, zebra.ttl, zebra.confirm),
        (Delivery::Latest, Some(seconds(3600)), Some(Confirm::Reply))
    );
    assert_eq!((zebra.lane.as_deref(), zebra.resend), (Some("animals"), Resend::Never));
    assert_eq!(config.types.delivery("apple"), Delivery::Ephemeral);
}

#[test]
fn each_way_of_signing_in_is_understood() {
    let source = Some(TokenSource::Variable("T".to_owned()));
    let text = str::to_owned;
    let cases: &[(&str, AuthMethod)] = &[
        ("", AuthMethod::Default),
        ("method = \"message\"", AuthMethod::Message),
        ("method = \"query\"", AuthMethod::Query { name: text("token") }),
        ("method = \"query\"\nname = \"key\"", AuthMethod::Query { name: text("key") }),
        ("method = \"header\"", AuthMethod::Header { name: text("Authorization"), prefix: text("Bearer ") }),
        (
            "method = \"header\"\nname = \"authorization\"",
            AuthMethod::Header { name: text("authorization"), prefix: text("Bearer ") },
        ),
        (
            "method = \"header\"\nname = \"X-Key\"",
            AuthMethod::Header { name: text("X-Key"), prefix: text("") },
        ),
        (
            "method = \"header\"\nprefix = \"Token \"",
            AuthMethod::Header { name: text("Authorization"), prefix: text("Token ") },
        ),
        (
            "method = \"header\"\nprefix = \"\"",
            AuthMethod::Header { name: text("Authorization"), prefix: text("") },
        ),
        ("method = \"basic\"\nusername = \"kim\"", AuthMethod::Basic { username: text("kim") }),
        ("method = \"cookie\"\nname = \"sid\"", AuthMethod::Cookie { name: text("sid") }),
        ("method = \"subprotocol\"", AuthMethod::Subprotocol { entry: text("bearer.{token}") }),
    ];
    for (rest, method) in cases {
        let config = loaded(&with_server(&format!("[auth]\ntoken_env = \"T\"\n{rest}")));
        assert_eq!((&config.auth.method, &config.auth.source), (method, &source), "{rest}");
    }
    let config = loaded(&with_server("[auth]\nmethod = \"none\""));
    assert_eq!((config.auth.method, config.auth.source), (AuthMethod::None, None));
    let config =
        loaded(&with_server("[auth]\nmethod = \"header\"\ntoken_command = [\"pass\", \"show\", \"api\"]"));
    assert_eq!(
        config.auth.source,
        Some(TokenSource::Command(["pass", "show", "api"].map(str::to_owned).to_vec()))
    );
}

#[test]
fn a_reply_to_the_sign_in_is_asked_for_only_where_it_is_written() {
    for (rest, sign_in) in [
        ("reply = \"optional\"", SignIn { required: false, timeout: seconds(10) }),
        ("reply_timeout = \"3s\"", SignIn { required: true, timeout: seconds(3) }),
    ] {
        let config = loaded(&with_server(&format!("[auth]\ntoken_env = \"T\"\n{rest}")));
        assert_eq!(config.auth.sign_in, Some(sign_in));
    }
}

#[test]
fn files_are_looked_for_at_home_and_beside_the_configuration() {
    let home = Home::with(&with_server(
        "server.dialect = \"mine.toml\"\nserver.tls = { ca_file = \"~/ca.pem\" }\nauth.token_file = \"../token\"",
    ));
    home.file(".config/holdline/mine.toml", b"");
    let ca = home.file("ca.pem", b"");
    let config = home.load().unwrap_or_else(|problems| panic!("{}", home.rendered(&problems)));
    let folder = home.path().join(".config/holdline");
    assert_eq!(config.server.dialect, DialectChoice::File(folder.join("mine.toml")));
    assert_eq!(config.server.tls.ca_file, Some(ca));
    assert_eq!(
        config.auth.source,
        Some(TokenSource::File(folder.join("../token"))),
        "a token may come later"
    );
}

#[test]
fn what_is_risky_is_allowed_and_told() {
    let config = loaded("server.url = \"ws://h.example/?access_token=x\"\nserver.allow_plaintext = true");
    let told: Vec<_> = config.warnings.iter().map(|it| (it.key.as_deref(), it.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (Some("server.url"), "everything sent to h.example is readable on the way"),
            (Some("server.url"), "the URL carries what looks like a credential (`access_token`)"),
        ]
    );
    let config = loaded(&with_server("[auth]\nmethod = \"query\"\ntoken_env = \"T\""));
    assert_eq!(config.warnings[0].key.as_deref(), Some("auth.method"));
    assert!(loaded("server.url = \"ws://localhost:1/\"").warnings.is_empty());
}

#[test]
fn a_problem_found_later_still_names_its_line() {
    let home = Home::with("\n[server]\nurl = \"wss://h/\"\ndialect = \"jsn\"\n");
    let config = home.load().expect("loaded");
    let problem =
        config.problem("server.dialect", "not_found", "there is no dialect `jsn`", "did you mean `json`?");
    assert_eq!(
        home.rendered(&[problem]),
        "error: there is no dialect `jsn`\n --> ~/.config/holdline/config.toml:4:11\n  |\n4 | dialect = \"jsn\"\n  |           ^^^^^ did you mean `json`?"
    );
    let problem = config.problem("auth.method", "conflict", "m", "h");
    assert_eq!((problem.line, problem.key.as_deref()), (None, Some("auth.method")));
}

#[test]
fn a_reload_knows_what_changed_and_what_it_takes() {
    let before = Home::with(&with_server("[server.headers]\nA = \"one\"\n[outbox]\nwindow = 5\n"));
    let same = before.load().expect("loaded").compare(&before.load().expect("loaded"));
    assert!(same.changed.is_empty() && !same.reconnect && same.needs_restart.is_empty());

    let compare = |rest: &str| {
        let old = before.load().expect("loaded");
        let after = Home::with(&with_server(rest));
        // The same places: only the content changes.
        std::fs::copy(after.config(), before.config()).expect("copied");
        let new = before.load().unwrap_or_else(|problems| panic!("{}", before.rendered(&problems)));
        before.write(with_server("[server.headers]\nA = \"one\"\n[outbox]\nwindow = 5\n").as_bytes());
        old.compare(&new)
    };
    let it = compare("[server.headers]\nA = \"one\"\n[outbox]\nwindow = 6\n");
    assert_eq!((it.changed.as_slice(), it.reconnect), (["outbox.window".to_owned()].as_slice(), false));
    let it = compare("[server.headers]\nA = \"two\"\n[outbox]\nwindow = 5\n");
    assert_eq!(
        (it.changed.as_slice(), it.reconnect),
        (["server.headers".to_owned()].as_slice(), true),
        "a secret changed"
    );
    let it = compare(
        "[server.headers]\nA = \"one\"\n[outbox]\nwindow = 5\n[ipc]\nmax_clients = 5\n[store]\npath = \"x.db\"",
    );
    assert_eq!(it.needs_restart, ["ipc.max_clients", "store.path"]);
    let it = compare("[server.headers]\nA = \"one\"\n[outbox]\nwindow = 5\n[types.x]\nkey = \"/a\"\n");
    assert_eq!(
        it.changed,
        [
            "types.x.confirm",
            "types.x.delivery",
            "types.x.key",
            "types.x.lane",
            "types.x.resend",
            "types.x.schema",
            "types.x.ttl"
        ]
    );
}

#[test]
fn a_proxy_that_is_written_stands_over_the_environment_and_none_over_both() {
    let variables = [("https_proxy", "http://env:1"), ("NO_PROXY", "api.example.com")];
    let proxy = |rest: &str, variables: &[(&str, &str)]| {
        let home = Home::with(&with_server(rest));
        let config = load(&home.sources_with(variables)).expect("in order");
        (config.server.proxy.as_ref().map(ToString::to_string), show(&config, true))
    };
    let (written, shown) = proxy("server.proxy = \"socks5://kim:CANARY@Proxy\"", &variables);
    assert_eq!(written.as_deref(), Some("socks5://***@proxy:1080"));
    assert!(shown.contains("proxy = \"socks5://***@proxy:1080\"") && !shown.contains("kim"), "{shown}");

    let (environment, shown) = proxy("", &[("https_proxy", "kim:CANARY@env:3128")]);
    assert_eq!(environment.as_deref(), Some("http://***@env:3128"));
    let line = shown.lines().find(|line| line.starts_with("proxy = ")).expect("it is shown");
    assert!(line.ends_with("# https_proxy") && !shown.contains("CANARY"), "{shown}");

    assert_eq!(proxy("", &variables).0, None, "excepted");
    assert_eq!(proxy("server.proxy = \"direct\"", &variables[..1]).0, None);
    assert_eq!(proxy("", &[("http_proxy", "http://env:1")]).0, None, "that one is for ws://");
}

#[test]
fn a_variable_that_names_no_proxy_is_not_passed_over_in_silence() {
    let home = Home::with(&with_server(""));
    let problems =
        load(&home.sources_with(&[("HTTPS_PROXY", "https://kim:CANARY@h")])).expect_err("a bad variable");
    let told = home.rendered(&problems);
    assert!(told.contains("HTTPS_PROXY: TLS to the proxy itself is not spoken"), "{told}");
    assert!(!told.contains("CANARY"), "{told}");
}

#[test]
fn plain_text_through_a_proxy_elsewhere_needs_leave() {
    for (proxy, fine) in [("socks5://localhost", true), ("http://[::1]:8080", true), ("http://proxy", false)]
    {
        for leave in ["", "allow_plaintext = true\n"] {
            let text = format!("[server]\nurl = \"ws://localhost/\"\nproxy = \"{proxy}\"\n{leave}");
            let home = Home::with(&text);
            match home.load() {
                Ok(config) => assert!(config.server.proxy.is_some() && (fine || !leave.is_empty()), "{text}"),
                Err(problems) => {
                    assert!(!fine && leave.is_empty(), "{text}");
                    let told = home.rendered(&problems);
                    assert!(
                        told.contains("through the proxy proxy:80 sends everything in the clear"),
                        "{told}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_credential_of_systemd_is_one_more_source() {
    let config = loaded(&with_server("auth.token_credential = \"api-token\"\nauth.method = \"header\""));
    assert_eq!(config.auth.source, Some(TokenSource::Credential("api-token".to_owned())));
    for name in ["a/b", "..", "", "a b", "a:b"] {
        let rest = format!("auth.token_credential = \"{name}\"\nauth.method = \"header\"");
        let told = Home::with(&with_server(&rest)).refusal();
        assert!(told.contains("this is no name of a systemd credential"), "{told}");
    }
}

#[cfg(feature = "keyring")]
#[test]
fn an_entry_of_the_keyring_is_one_more_source() {
    let config =
        loaded(&with_server("auth.token_keyring = \"https://api/v1/kim\"\nauth.method = \"header\""));
    let (service, user) = ("https://api/v1".to_owned(), "kim".to_owned());
    assert_eq!(config.auth.source, Some(TokenSource::Keyring { service, user }));
    for entry in ["pass", "/kim", "api/", "", "/", "a\\u0007/b", &format!("{}/b", "a".repeat(400))] {
        let rest = format!("auth.token_keyring = \"{entry}\"\nauth.method = \"header\"");
        let told = Home::with(&with_server(&rest)).refusal();
        assert!(told.contains("this names no entry of a keyring"), "{told}");
    }
}

#[cfg(not(feature = "keyring"))]
#[test]
fn a_build_without_keyrings_says_so_where_one_is_asked_for() {
    let rest = "auth.token_keyring = \"api/kim\"\nauth.method = \"header\"";
    let problems = Home::with(&with_server(rest)).load().expect_err("refused");
    assert_eq!((problems[0].code, problems[0].exit), ("not_built", 78));
    assert!(problems[0].message.contains("without the feature `keyring`"), "{}", problems[0].message);
}
