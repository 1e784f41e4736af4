//! What a reload does with each key of the reference: it is told, and classed as what it is.

use std::collections::BTreeSet;

use holdline::config::{Effect, effect, reference};

use super::bench::Home;

use Effect::{Live, Reconnect, Restart};

/// A key of the reference, what stands in the file before and after, and what the change takes.
type Row = (&'static str, &'static str, &'static str, Effect);

const TOKEN: &str = "auth.token_file = \"~/token\"\n";
const HEADER: &str = "auth.token_file = \"~/token\"\nauth.method = \"header\"\n";
const QUIET: &str = "[[notifications.quiet]]\nfrom = \"22:00\"\nto = \"07:00\"\n";
const NOTIFY: &str = "[[notify]]\ntype = \"a\"\n";

const ROWS: &[Row] = &[
    ("server.url", "", "server.url = \"wss://b.example/socket\"", Reconnect),
    ("server.allow_plaintext", "", "server.allow_plaintext = true", Reconnect),
    ("server.dialect", "", "server.dialect = \"text\"", Reconnect),
    ("server.subprotocols", "", "server.subprotocols = [\"a\"]", Reconnect),
    ("server.headers", "server.headers.X = \"1\"", "server.headers.X = \"2\"", Reconnect),
    ("server.connect_timeout", "", "server.connect_timeout = \"3s\"", Reconnect),
    ("server.vars", "", "server.vars.room = \"a\"", Reconnect),
    ("server.max_message", "", "server.max_message = \"1 MiB\"", Reconnect),
    ("server.proxy", "", "server.proxy = \"http://proxy.example:3128\"", Reconnect),
    ("server.tls.ca_file", "", "server.tls.ca_file = \"~/other\"", Reconnect),
    (
        "server.tls.client_cert",
        "",
        "server.tls = { client_cert = \"~/other\", client_key = \"~/token\" }",
        Reconnect,
    ),
    (
        "server.tls.client_key",
        "",
        "server.tls = { client_cert = \"~/other\", client_key = \"~/token\" }",
        Reconnect,
    ),
    ("auth.method", TOKEN, HEADER, Reconnect),
    (
        "auth.name",
        HEADER,
        "auth.token_file = \"~/token\"\nauth.method = \"header\"\nauth.name = \"X-Token\"",
        Reconnect,
    ),
    (
        "auth.prefix",
        HEADER,
        "auth.token_file = \"~/token\"\nauth.method = \"header\"\nauth.prefix = \"Token \"",
        Reconnect,
    ),
    ("auth.token_file", TOKEN, "auth.token_file = \"~/other\"", Reconnect),
    ("auth.token_env", TOKEN, "auth.token_env = \"TOKEN\"", Reconnect),
    ("auth.token_command", TOKEN, "auth.token_command = [\"pass\", \"show\"]", Reconnect),
    ("auth.token_credential", TOKEN, "auth.token_credential = \"api\"", Reconnect),
    ("auth.token_keyring", TOKEN, "auth.token_keyring = \"holdline/api\"", Reconnect),
    (
        "auth.username",
        "auth.token_file = \"~/token\"\nauth.method = \"basic\"\nauth.username = \"a\"",
        "auth.token_file = \"~/token\"\nauth.method = \"basic\"\nauth.username = \"b\"",
        Reconnect,
    ),
    ("auth.reply", TOKEN, "auth.token_file = \"~/token\"\nauth.reply = \"optional\"", Reconnect),
    ("auth.reply_timeout", TOKEN, "auth.token_file = \"~/token\"\nauth.reply_timeout = \"3s\"", Reconnect),
    ("heartbeat.mode", "", "heartbeat.mode = \"ping\"", Live),
    ("heartbeat.interval", "", "heartbeat.interval = \"7s\"", Live),
    ("heartbeat.timeout", "", "heartbeat.timeout = \"7s\"", Live),
    ("reconnect.delays", "", "reconnect.delays = [\"1s\"]", Live),
    ("reconnect.jitter", "", "reconnect.jitter = 0.1", Live),
    ("reconnect.stable_after", "", "reconnect.stable_after = \"7s\"", Live),
    ("reconnect.unavailable_after", "", "reconnect.unavailable_after = 7", Live),
    ("outbox.max_messages", "", "outbox.max_messages = 7", Live),
    ("outbox.max_bytes", "", "outbox.max_bytes = \"7 MiB\"", Live),
    ("outbox.overflow", "", "outbox.overflow = \"drop_oldest\"", Live),
    ("outbox.keep_finished", "", "outbox.keep_finished = 7", Live),
    ("outbox.keep_finished_age", "", "outbox.keep_finished_age = \"7h\"", Live),
    ("outbox.window", "", "outbox.window = 7", Live),
    ("outbox.confirm", "", "outbox.confirm = \"sent\"", Live),
    ("outbox.confirm_timeout", "", "outbox.confirm_timeout = \"7s\"", Live),
    ("outbox.max_attempts", "", "outbox.max_attempts = 7", Live),
    ("outbox.drain_rate", "", "outbox.drain_rate = 7", Live),
    ("inbox.max_events", "", "inbox.max_events = 7", Live),
    ("inbox.max_age", "", "inbox.max_age = \"7h\"", Live),
    ("inbox.max_bytes", "", "inbox.max_bytes = \"7 MiB\"", Live),
    ("types.\"NAME\".delivery", "types.x = {}", "types.x.delivery = \"ephemeral\"", Live),
    ("types.\"NAME\".key", "types.x = {}", "types.x.key = \"/a\"", Live),
    ("types.\"NAME\".ttl", "types.x = {}", "types.x.ttl = \"7s\"", Live),
    ("types.\"NAME\".lane", "types.x = {}", "types.x.lane = \"l\"", Live),
    ("types.\"NAME\".confirm", "types.x = {}", "types.x.confirm = \"sent\"", Live),
    ("types.\"NAME\".resend", "types.x = {}", "types.x.resend = \"never\"", Live),
    ("types.\"NAME\".schema", "types.x = {}", "types.x.schema = \"~/schema.json\"", Live),
    ("lanes.\"NAME\".on_failure", "lanes.x = {}", "lanes.x.on_failure = \"block\"", Live),
    ("lanes.\"NAME\".window", "lanes.x = {}", "lanes.x.window = 1", Live),
    ("link.on_suspend", "", "link.on_suspend = \"close\"", Live),
    ("notifications.enabled", "", "notifications.enabled = false", Live),
    ("notifications.burst", "", "notifications.burst = 7", Live),
    ("notifications.burst_window", "", "notifications.burst_window = \"7s\"", Live),
    ("notifications.catch_up", "", "notifications.catch_up = \"7s\"", Live),
    ("notifications.quiet.from", QUIET, "[[notifications.quiet]]\nfrom = \"21:00\"\nto = \"07:00\"", Live),
    ("notifications.quiet.to", QUIET, "[[notifications.quiet]]\nfrom = \"22:00\"\nto = \"08:00\"", Live),
    (
        "notifications.quiet.days",
        QUIET,
        "[[notifications.quiet]]\nfrom = \"22:00\"\nto = \"07:00\"\ndays = [\"mon\"]",
        Live,
    ),
    ("notify.type", NOTIFY, "[[notify]]\ntype = \"b\"", Live),
    ("notify.on", "", "[[notify]]\non = \"link\"", Live),
    ("notify.when", NOTIFY, "[[notify]]\ntype = \"a\"\nwhen = { \"/a\" = [1] }", Live),
    ("notify.if", NOTIFY, "[[notify]]\ntype = \"a\"\nif = \"data.x\"", Live),
    ("notify.title", NOTIFY, "[[notify]]\ntype = \"a\"\ntitle = \"T\"", Live),
    ("notify.body", NOTIFY, "[[notify]]\ntype = \"a\"\nbody = \"B\"", Live),
    ("notify.urgency", NOTIFY, "[[notify]]\ntype = \"a\"\nurgency = \"low\"", Live),
    ("notify.group", NOTIFY, "[[notify]]\ntype = \"a\"\ngroup = \"/a\"", Live),
    ("notify.sound", NOTIFY, "[[notify]]\ntype = \"a\"\nsound = \"bell\"", Live),
    ("notify.run", NOTIFY, "[[notify]]\ntype = \"a\"\nrun = [\"true\"]", Live),
    ("notify.run_timeout", NOTIFY, "[[notify]]\ntype = \"a\"\nrun_timeout = \"7s\"", Live),
    ("notify.show", NOTIFY, "[[notify]]\ntype = \"a\"\nshow = true", Live),
    ("ipc.max_clients", "", "ipc.max_clients = 7", Restart),
    ("ipc.max_line", "", "ipc.max_line = \"1 MiB\"", Restart),
    ("store.path", "", "store.path = \"~/other.db\"", Restart),
    ("store.durability", "", "store.durability = \"normal\"", Restart),
    ("log.level", "", "log.level = \"debug\"", Live),
    ("log.format", "", "log.format = \"json\"", Restart),
    ("metrics.textfile", "", "metrics.textfile = \"~/holdline.prom\"", Restart),
];

/// The key of the reference as an entry of the effective configuration begins.
fn shown(key: &str) -> String {
    // A list's entries have their place behind its name.
    let key = key.replace("\"NAME\"", "x");
    match ["notify.", "notifications.quiet."].into_iter().find(|list| key.starts_with(list)) {
        Some(list) => format!("{}[", list.trim_end_matches('.')),
        None => key,
    }
}

#[test]
fn every_key_of_the_reference_has_a_row() {
    let keys: BTreeSet<String> =
        reference().iter().map(|key| format!("{}.{}", key.section, key.name)).collect();
    let rows: BTreeSet<String> = ROWS.iter().map(|(key, ..)| (*key).to_owned()).collect();
    assert_eq!(keys, rows, "decide what a reload does with it, make it so, and add a row");
}

#[test]
fn a_reload_tells_each_changed_key_and_what_it_takes() {
    for (key, before, after, takes) in ROWS {
        let home = Home::new();
        for (name, text) in
            [("token", "secret"), ("other", "secret"), ("schema.json", "{\"type\":\"object\"}")]
        {
            home.file(name, text.as_bytes());
        }
        let load = |rest: &str| {
            let url =
                if rest.contains("server.url") { "" } else { "server.url = \"wss://a.example/socket\"" };
            home.write(format!("{url}\n{rest}\n").as_bytes());
            home.load()
        };
        let old = load(before).unwrap_or_else(|problems| panic!("{key}: {}", home.rendered(&problems)));
        let new = match load(after) {
            Ok(new) => new,
            Err(problems) => panic!("{key}: {}", home.rendered(&problems)),
        };
        let told = old.compare(&new);
        let shown = shown(key);
        assert!(told.changed.iter().any(|name| name.starts_with(&shown)), "{key}: {:?}", told.changed);
        assert!(told.changed.iter().all(|name| effect(name) == *takes), "{key}: {:?}", told.changed);
        assert_eq!(told.reconnect, *takes == Reconnect, "{key}");
        assert_eq!(told.needs_restart.is_empty(), *takes != Restart, "{key}");
        let again = old.compare(&old);
        assert!(again.changed.is_empty() && !again.reconnect && again.needs_restart.is_empty(), "{key}");
    }
}
