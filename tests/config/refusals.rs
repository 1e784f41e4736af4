//! What is refused, in the very words.

use super::bench::{Home, with_server};

/// Each configuration with everything that is said of it. Each is loaded as `~/.config/holdline/config.toml`.
#[test]
fn p13_each_mistake_is_told_with_file_line_key_and_a_fix() {
    let cases: &[(&str, &str)] = &[
        (
            "",
            "error: `server.url` is missing\n --> FILE\n hint: write it like \"wss://api.example.com/socket\"",
        ),
        (
            "[server]\nurl = \"wss://h/\"\n\n[reconect]\njitter = 0.1\n",
            "error: unknown key `reconect`\n --> FILE:4:2\n  |\n4 | [reconect]\n  |  ^^^^^^^^ did you mean `reconnect`?",
        ),
        (
            "[server]\nurl = \"wss://h/\"\nconect_timeout = \"1s\"\n",
            "error: unknown key `server.conect_timeout`\n --> FILE:3:1\n  |\n3 | conect_timeout = \"***\"\n  | ^^^^^^^^^^^^^^ did you mean `connect_timeout`?",
        ),
        (
            "url = \"wss://h/\"\n",
            "error: unknown key `url`\n --> FILE:1:1\n  |\n1 | url = \"***\"\n  | ^^^ `url` belongs into `[server]`\n\nerror: `server.url` is missing\n --> FILE\n hint: write it like \"wss://api.example.com/socket\"",
        ),
        (
            "[server]\nurl = \"wss://h/\"\n[auth]\nxyzzy = 1\n",
            "error: unknown key `auth.xyzzy`\n --> FILE:4:1\n  |\n4 | xyzzy = 1\n  | ^^^^^ known here: `method`, `name`, `prefix`, `token_file`, `token_env`, `token_command`, `token_credential`, `token_keyring`, `username`, `reply`, `reply_timeout`",
        ),
        (
            "[server]\nurl = 5\n",
            "error: `server.url` takes a URL, not a whole number\n --> FILE:2:7\n  |\n2 | url = 5\n  |       ^ write it like \"wss://api.example.com/socket\"",
        ),
        (
            "server = \"wss://h/\"\n",
            "error: `server` is a section\n --> FILE:1:1\n  |\n1 | server = \"***\"\n  | ^^^^^^ write `[server]` above its keys\n\nerror: `server.url` is missing\n --> FILE\n hint: write it like \"wss://api.example.com/socket\"",
        ),
        (
            "[server]\nurl = \"http://h/\"\n",
            "error: `server.url`: a WebSocket URL begins with `wss://` or `ws://`\n --> FILE:2:7\n  |\n2 | url = \"http://h/\"\n  |       ^^^^^^^^^^^ write `ws://` instead",
        ),
        (
            "[server]\nurl = \"wss://kim:pw@h/\"\n",
            "error: `server.url`: user name and password do not belong into the URL\n --> FILE:2:7\n  |\n2 | url = \"wss://***@h/\"\n  |       ^^^^^^^^^^^^^^ use [auth] method = \"basic\" with `username` and a token source",
        ),
        (
            "[server]\nurl = \"ws://h.example/\"\n",
            "error: `ws://` to another machine sends everything in the clear\n --> FILE:2:7\n  |\n2 | url = \"ws://h.example/\"\n  |       ^^^^^^^^^^^^^^^^^ use `wss://`, or set allow_plaintext = true",
        ),
        (
            "[server]\nurl = \"wss://h/\"\nallow_plaintext = \"yes\"\n",
            "error: `server.allow_plaintext` takes true or false, not text\n --> FILE:3:19\n  |\n3 | allow_plaintext = \"yes\"\n  |                   ^^^^^ write `true` or `false`, without quotes",
        ),
        (
            "[server]\nurl = \"wss://h/\"\ndialect = \"dialects/mine.toml\"\n",
            "error: there is no file ~/.config/holdline/dialects/mine.toml\n --> FILE:3:11\n  |\n3 | dialect = \"dialects/mine.toml\"\n  |           ^^^^^^^^^^^^^^^^^^^^ relative paths begin beside this file",
        ),
        (
            "[server]\nurl = \"wss://h/\"\nheaders = { \"X-A\" = \"s3cret\", Host = \"s3cret\" }\n",
            "error: `server.headers`: this header belongs to the WebSocket upgrade itself\n --> FILE:3:31\n  |\n3 | headers = { \"X-A\" = \"***\", Host = \"***\" }\n  |                            ^^^^ take another one",
        ),
        (
            "[server]\nurl = \"wss://h/\"\nsubprotocols = [\"a\", \"b c\"]\n",
            "error: `server.subprotocols`: this is no sub-protocol name\n --> FILE:3:22\n  |\n3 | subprotocols = [\"a\", \"b c\"]\n  |                      ^^^^^ they have letters, digits and `.-_+`, no blanks and no commas",
        ),
        (
            "[server]\nurl = \"wss://h/\"\ntls = { client_cert = \"config.toml\" }\n",
            "error: a certificate needs its private key\n --> FILE:3:23\n  |\n3 | tls = { client_cert = \"config.toml\" }\n  |                       ^^^^^^^^^^^^^ add `client_key`",
        ),
        (
            "server.url = \"wss://h/\"\n[heartbeat]\ninterval = \"20 parsecs\"\n",
            "error: `heartbeat.interval`: unknown unit `parsecs`\n --> FILE:3:12\n  |\n3 | interval = \"20 parsecs\"\n  |            ^^^^^^^^^^^^ the units are `ms`, `s`, `m`, `h` and `d`, as in `250ms` or `10s`",
        ),
        (
            "server.url = \"wss://h/\"\n[heartbeat]\ninterval = 20\n",
            "error: `heartbeat.interval` takes a duration, not a whole number\n --> FILE:3:12\n  |\n3 | interval = 20\n  |            ^^ write it in quotes with a unit, like \"10s\" or \"250ms\"",
        ),
        (
            "server.url = \"wss://h/\"\n[heartbeat]\ninterval = \"1ms\"\n",
            "error: `heartbeat.interval`: `1ms` is too little\n --> FILE:3:12\n  |\n3 | interval = \"1ms\"\n  |            ^^^^^ it goes from `10ms` to `1d`",
        ),
        (
            "server.url = \"wss://h/\"\n[heartbeat]\nmode = \"pong\"\n",
            "error: `heartbeat.mode`: it cannot be `pong`\n --> FILE:3:8\n  |\n3 | mode = \"pong\"\n  |        ^^^^^^ did you mean `ping`?",
        ),
        (
            "server.url = \"wss://h/\"\n[reconnect]\njitter = 1.5\n",
            "error: `reconnect.jitter`: it cannot be 1.5\n --> FILE:3:10\n  |\n3 | jitter = 1.5\n  |          ^^^ it goes from 0 to 1",
        ),
        (
            "server.url = \"wss://h/\"\n[reconnect]\njitter = nan\n",
            "error: `reconnect.jitter`: it cannot be nan\n --> FILE:3:10\n  |\n3 | jitter = nan\n  |          ^^^ it goes from 0 to 1",
        ),
        (
            "server.url = \"wss://h/\"\n[reconnect]\ndelays = []\n",
            "error: `reconnect.delays`: the list is too short\n --> FILE:3:10\n  |\n3 | delays = []\n  |          ^^ it has at least 1",
        ),
        (
            "server.url = \"wss://h/\"\n[reconnect]\ndelays = [\"1s\", \"0s\"]\n",
            "error: `reconnect.delays`: `0s` is too little\n --> FILE:3:17\n  |\n3 | delays = [\"1s\", \"0s\"]\n  |                 ^^^^ it goes from `1ms` to `1d`",
        ),
        (
            "server.url = \"wss://h/\"\n[outbox]\nwindow = 0\n",
            "error: `outbox.window`: 0 is too little\n --> FILE:3:10\n  |\n3 | window = 0\n  |          ^ it goes from 1 to 65536",
        ),
        (
            "server.url = \"wss://h/\"\n[outbox]\nmax_messages = -1\n",
            "error: `outbox.max_messages`: it cannot be -1\n --> FILE:3:16\n  |\n3 | max_messages = -1\n  |                ^^ it goes from 1 to 100000000",
        ),
        (
            "server.url = \"wss://h/\"\n[outbox]\nmax_bytes = \"256 MB\"\n",
            "error: `outbox.max_bytes`: unknown unit `MB`\n --> FILE:3:13\n  |\n3 | max_bytes = \"256 MB\"\n  |             ^^^^^^^^ write `256 MiB`",
        ),
        (
            "server.url = \"wss://h/\"\n[types.\"x\"]\nkey = \"orderId\"\n",
            "error: `types.x.key`: a JSON Pointer begins with `/`: `orderId`\n --> FILE:3:7\n  |\n3 | key = \"orderId\"\n  |       ^^^^^^^^^ write it like \"/orderId\"",
        ),
        (
            "server.url = \"wss://h/\"\n[types.\"\"]\ndelivery = \"latest\"\n",
            "error: the name of a type is not empty\n --> FILE:2:8\n  |\n2 | [types.\"\"]\n  |        ^^ a glob like `*` fits all types",
        ),
        (
            "server.url = \"wss://h/\"\n[outbox]\nconfirm = \"reply\"\n[types.x]\nconfirm = \"auto\"\n",
            "error: `auto` for one type needs `auto` in [outbox], which says otherwise\n --> FILE:5:11\n  |\n5 | confirm = \"auto\"\n  |           ^^^^^^ write `reply`, `barrier` or `sent` here, or take `outbox.confirm` out",
        ),
        (
            "server.url = \"wss://h/\"\n[auth]\nmethod = \"header\"\n",
            "error: method `header` needs a token\n --> FILE:3:10\n  |\n3 | method = \"header\"\n  |          ^^^^^^^^ add `token_file`, `token_env`, `token_command`, `token_credential` or `token_keyring`",
        ),
        (
            "server.url = \"wss://h/\"\n[auth]\nmethod = \"none\"\ntoken_env = \"T\"\n",
            "error: method `none` shows no token, and one is given\n --> FILE:3:10\n  |\n3 | method = \"none\"\n  |          ^^^^^^ take the token out, or say where it goes",
        ),
        (
            "server.url = \"wss://h/\"\n[auth]\nmethod = \"basic\"\ntoken_env = \"T\"\n",
            "error: method `basic` needs a user name\n --> FILE:3:10\n  |\n3 | method = \"basic\"\n  |          ^^^^^^^ add `username`",
        ),
        (
            "server.url = \"wss://h/\"\n[auth]\nmethod = \"header\"\ntoken_env = \"T\"\ntoken_command = [\"pass\", \"s3cret\"]\n",
            "error: there is one token source, and `token_env` is one already\n --> FILE:5:17\n  |\n5 | token_command = [\"pass\", \"***\"]\n  |                 ^^^^^^^^^^^^^^^ keep one of them",
        ),
        (
            "server.url = \"wss://h/\"\n[auth]\nmethod = \"header\"\ntoken_env = \"eyJ.abc\"\n",
            "error: `auth.token_env`: this is no name of a variable\n --> FILE:4:13\n  |\n4 | token_env = \"***\"\n  |             ^^^^^ write the name only, like \"HOLDLINE_TOKEN\", never the token itself",
        ),
        (
            "server.url = \"wss://h/\"\n[auth]\nmethod = \"subprotocol\"\nname = \"bearer\"\ntoken_env = \"T\"\n",
            "error: `auth.name`: the sub-protocol entry has `{token}` in it once, no blanks and no commas\n --> FILE:4:8\n  |\n4 | name = \"bearer\"\n  |        ^^^^^^^^ write it like \"bearer.{token}\"",
        ),
        (
            "server.url = \"wss://h/\"\n[auth]\nmethod = \"query\"\nprefix = \"Bearer \"\ntoken_env = \"T\"\n",
            "warning: a token in the URL ends up in the logs of servers and proxies\n --> FILE:3:10\n  |\n3 | method = \"query\"\n  |          ^^^^^^^ use `header` if the server takes it there\n\nerror: `auth.prefix` means something only with method `header`\n --> FILE:4:10\n  |\n4 | prefix = \"Bearer \"\n  |          ^^^^^^^^^ take it out, or set `method`",
        ),
        (
            "server.url = \"wss://h/\"\n[notifications]\nquiet = [{ from = \"22:00\", to = \"7:00\" }]\n",
            "error: `notifications.quiet[0].to`: this is no time of day\n --> FILE:3:33\n  |\n3 | quiet = [{ from = \"22:00\", to = \"7:00\" }]\n  |                                 ^^^^^^ write it like \"22:00\"",
        ),
        (
            "server.url = \"wss://h/\"\n[[notify]]\ntitle = \"x\"\n",
            "error: this rule does not say what it is about\n --> FILE:2:1\n  |\n2 | [[notify]]\n  | ^^^^^^^^^^ add `type = \"…\"` or `on = \"link\"`",
        ),
        (
            "server.url = \"wss://h/\"\n[[notify]]\ntype = \"x\"\nbody = \"a\\tb {{ dta.x }}\" # note\n",
            "error: `notify[0].body`: unknown name `dta`\n --> FILE:4:17\n  |\n4 | body = \"a\\tb {{ dta.x }}\"\n  |                 ^^^ known here: data, type, id, seq, text, received_at; what an event holds is below `data`",
        ),
        (
            "server.url = \"wss://h/\"\n[[notify]]\ntype = \"x\"\nbody = \"\"\"\nOrder\n# {{ data.x | upcase }}\"\"\"\n",
            "error: `notify[0].body`: unknown filter `upcase`\n --> FILE:6:15\n  |\n6 | # {{ data.x | upcase\n  |               ^^^^^^ the manual lists the filters",
        ),
        (
            "server.url = \"wss://h/\"\n[[notify]]\ntype = \"x\"\ntitle = \"Order #{{ data.id }\"\n",
            "error: `notify[0].title`: unexpected `}`, expected end of variable block\n --> FILE:4:28\n  |\n4 | title = \"Order #{{ data.id }\"\n  |                            ^ see the examples in the manual",
        ),
        (
            "server.url = \"wss://h/\"\n[[notify]]\ntype = \"x\"\nif = \"data.x >\"\n",
            "error: `notify[0].if`: unexpected end of input, expected expression\n --> FILE:4:14\n  |\n4 | if = \"data.x >\"\n  |              ^ see the examples in the manual",
        ),
        (
            "server.url = \"wss://h/\"\n[[notify]]\ntype = \"x\"\nbody = \"{% include 'x' %}\"\n",
            "error: `notify[0].body`: unknown statement include\n --> FILE:4:12\n  |\n4 | body = \"{% include 'x' %}\"\n  |            ^^^^^^^ see the examples in the manual",
        ),
        (
            "server.url = \"wss://h/\"\n[[notify]]\ntype = \"x\"\nshow = false\n",
            "error: this rule does nothing\n --> FILE:4:8\n  |\n4 | show = false\n  |        ^^^^^ give it `run`, or take the rule out",
        ),
        (
            "server.url = \"wss://h/\"\n[[notify]]\ntype = \"x\"\nsound = \"../bell\"\n",
            "error: `notify[0].sound`: this names no sound\n --> FILE:4:9\n  |\n4 | sound = \"../bell\"\n  |         ^^^^^^^^^ write it like \"message-new-instant\"",
        ),
        (
            "server.url = \"wss://h/\"\n[[notify]]\ntype = \"x\"\nrun = []\n",
            "error: `notify[0].run`: the list is too short\n --> FILE:4:7\n  |\n4 | run = []\n  |       ^^ it has at least 1",
        ),
        (
            "server.url = \"wss://h/\"\n[notify]\ntype = \"x\"\n",
            "error: `notify` is a list of tables\n --> FILE:2:2\n  |\n2 | [notify]\n  |  ^^^^^^ write `[[notify]]` above the keys of each one",
        ),
        (
            "server.url = \"wss://h/\"\n[log]\nlevel = \"loud\"\n",
            "error: `log.level`: this is no log level\n --> FILE:3:9\n  |\n3 | level = \"loud\"\n  |         ^^^^^^ write one of `off`, `error`, `warn`, `info`, `debug`, `trace`, or parts like `info,holdline::link=debug`",
        ),
        (
            "server.url = \"wss://h/\"\n[store]\npath = \"my.lock\"\n",
            "error: `.lock` is the ending of the lock beside the database\n --> FILE:3:8\n  |\n3 | path = \"my.lock\"\n  |        ^^^^^^^^^ take another ending, like `.db`",
        ),
        (
            "[server]\nurl = \"wss://h/\"\nurl = \"wss://s3cret/\"\n",
            "error: this is not TOML: duplicate key\n --> FILE:3:1\n  |\n3 | url = \"***\"\n  | ^^^",
        ),
        (
            "[server]\nurl = \"wss://h/\n",
            "error: this is not TOML: invalid basic string, expected `\"`\n --> FILE:2:16\n  |\n2 | url = \"***\n  |           ^",
        ),
    ];
    for (text, said) in cases {
        let home = Home::with(text);
        let said = said.replace("FILE", "~/.config/holdline/config.toml");
        assert_eq!(home.refusal(), said, "\nof\n{text}");
        let problems = home.load().expect_err("refused");
        assert!(problems.iter().all(|problem| problem.exit == 78), "{text}");
    }
}

#[test]
fn all_problems_of_a_file_are_told_in_one_go_in_its_order() {
    let home = Home::with(
        "[server]\nurl = \"wss://h/\"\nmax_message = 1\n[bogus]\n[outbox]\nwindow = \"a\"\n[types.a]\nttl = \"x\"\n[types.b]\nttk = 1\n",
    );
    let problems = home.load().expect_err("refused");
    let keys: Vec<_> = problems
        .iter()
        .map(|problem| (problem.code, problem.key.clone().unwrap_or_default(), problem.line))
        .collect();
    let expected = [
        ("bad_value", "server.max_message", 3),
        ("unknown_key", "bogus", 4),
        ("wrong_type", "outbox.window", 6),
        ("bad_value", "types.a.ttl", 8),
        ("unknown_key", "types.b.ttk", 10),
    ];
    let expected: Vec<_> = expected.map(|(code, key, line)| (code, key.to_owned(), Some(line))).into();
    assert_eq!(keys, expected);
}

#[test]
fn a_wrong_value_of_a_rare_key_is_refused_as_any() {
    for rest in ["link.on_suspend = \"sleep\"", "types.x.schema = 5"] {
        let problems = Home::with(&with_server(rest)).load().expect_err("refused");
        assert!(matches!(problems[0].code, "bad_value" | "wrong_type"), "{rest}");
    }
}

/// Wherever a secret can stand in the file, whatever is wrong around it.
#[test]
fn p12_no_error_and_no_warning_shows_a_secret() {
    let broken = [
        "[server]\nurl = \"wss://kim:CANARY@h/\"",
        "[server]\nurl = \"wss://h/?token=CANARY\"\nurl2 = 1",
        "[server]\nurl = \"wss://h/#?token=CANARY\"",
        "[server]\nurl = \"wss://h/?token=CANARY\"",
        "[server]\nurl = 'ws://h.example/?token=CANARY'",
        "[server]\nurl = \"wss://h/\"\nheaders = { Authorization = \"Bearer CANARY\", \"a b\" = \"CANARY\" }",
        "[server]\nurl = \"wss://h/\"\nheaders = { A = \"CANARY\\n\" }",
        "[server]\nurl = \"wss://h/\"\nheader = { A = \"CANARY\" }",
        "[server]\nurl = \"wss://h/\"\nheaders = \"CANARY\"",
        "[server]\nurl = \"wss://h/\"\nproxy = \"http://kim:CANARY@h\"\nurl2 = 1",
        "[server]\nurl = \"wss://h/\"\nproxy = \"http://kim:CANARY@h\" x",
        "[server]\nurl = \"wss://h/\"\nproxy = \"kim:CANARY@h\"",
        "[server]\nurl = \"wss://h/\"\nproxy = \"http:/kim:CANARY:h\"",
        "[server]\nurl = \"wss://h/\"\nproxy = \"socks5://kim:CANA/RY@h/CANARY\"",
        "[server]\nurl = \"ws://localhost/\"\nproxy = \"socks5://CANARY:CANARY@h\"",
        "[server]\nurl = \"wss://h/\"\nproxies = \"http://kim:CANARY@h\"",
        "server.url = \"wss://h/\"\n[auth]\ntoken_credential = \"CANARY/\"",
        "server.url = \"wss://h/\"\n[auth]\ntoken_keyring = \"CANARY\"",
        "server.url = \"wss://h/\"\n[auth]\ntoken_keyring = \"/CANARY\"",
        "[server]\nurl = \"wss://h/\"\nvars = { a = \"CANARY\", b = nan }",
        "server.url = \"wss://h/\"\nauth = { token = \"CANARY\" }",
        "server.url = \"wss://h/\"\nauth = { token = [\"CANARY\", { x = \"CANARY\" }] }",
        "server.url = \"wss://h/\"\nauth = \"CANARY\"",
        "server.url = \"wss://h/\"\n[auth]\ntoken_env = \"CANARY.\"",
        "server.url = \"wss://h/\"\n[auth]\ntoken_command = [\"pass\", \"CANARY\", 5]",
        "server.url = \"wss://h/\"\n[auth]\ntoken_command = \"pass CANARY\"",
        "server.url = \"wss://h/\"\n[auth]\ntoken_command = [\"pass\", \"CANARY\"]\ntoken_env = \"X\"",
        "token = \"CANARY\"",
        "server.url = \"wss://h/?CANARY",
        "[auth]\ntoken = \"CANARY\" x",
        "[auth]\ntoken = 'CANARY",
        "[auth]\ntoken = \"\"\"\nCANARY",
        "password = CANARY",
    ];
    for text in broken {
        let home = Home::with(text);
        let problems = match home.load() {
            Ok(config) => {
                assert!(!format!("{config:?}").contains("CANARY"), "{text}");
                config.warnings
            }
            Err(problems) => problems,
        };
        assert!(!problems.is_empty(), "{text}");
        let said =
            format!("{}{:?}{}", home.rendered(&problems), problems, holdline::config::render_json(&problems));
        assert!(!said.contains("CANARY"), "{said}\nof\n{text}");
    }
}
