//! `holdline config …` as people type it.

use std::process::{Command, Output};

use super::bench::{Home, with_server};

fn holdline(home: &Home, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_holdline"))
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .current_dir(home.path())
        .output()
        .expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

#[test]
fn init_writes_what_check_accepts_and_never_writes_twice() {
    let home = Home::new();
    let made = holdline(&home, &["config", "init", "--url", "wss://api.example.com/socket?v=2"]);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    assert!(out(&made).starts_with("~/.config/holdline/config.toml is written.\n"), "{}", out(&made));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&home.config()), 0o600);
        assert_eq!(mode(home.config().parent().expect("a folder")), 0o700);
    }
    let checked = holdline(&home, &["config", "check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", err(&checked));
    assert_eq!(out(&checked), "~/.config/holdline/config.toml is in order (profile default).\n");

    let before = std::fs::read(home.config()).expect("there");
    let again = holdline(&home, &["config", "init", "--url", "wss://other.example/"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        err(&again).contains("there is a configuration already, and it stays as it is"),
        "{}",
        err(&again)
    );
    assert_eq!(std::fs::read(home.config()).expect("there"), before);
}

#[test]
fn init_makes_nothing_for_a_bad_url() {
    let home = Home::new();
    for url in ["https://h/", "ws://h.example/", "wss://kim:CANARY@h/"] {
        let refused = holdline(&home, &["config", "init", "--url", url]);
        assert_eq!(refused.status.code(), Some(78), "{url}");
        assert!(!err(&refused).contains("CANARY"), "{}", err(&refused));
    }
    assert!(!home.path().join(".config").exists());
    assert_eq!(holdline(&home, &["config", "init"]).status.code(), Some(2), "without --url");
}

#[test]
fn each_profile_is_written_to_its_own_file() {
    let home = Home::new();
    let made =
        holdline(&home, &["--json", "--profile", "work", "config", "init", "--url", "ws://localhost:9800/"]);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    let path = home.path().join(".config/holdline/work.toml");
    assert_eq!(json(&made)["written"], path.to_string_lossy().as_ref());
    assert!(path.exists());
}

#[test]
fn check_tells_everything_at_once_and_exits_78() {
    let home = Home::with("[server]\nurl = \"wss://h/\"\n[reconect]\n[outbox]\nwindow = 0\n");
    let refused = holdline(&home, &["config", "check"]);
    assert_eq!(refused.status.code(), Some(78));
    assert_eq!(out(&refused), "");
    assert_eq!(
        err(&refused),
        "error: unknown key `reconect`\n --> ~/.config/holdline/config.toml:3:2\n  |\n3 | [reconect]\n  |  ^^^^^^^^ did you mean `reconnect`?\n\nerror: `outbox.window`: 0 is too little\n --> ~/.config/holdline/config.toml:5:10\n  |\n5 | window = 0\n  |          ^ it goes from 1 to 65536\n"
    );
    let refused = holdline(&home, &["config", "check", "--json"]);
    assert_eq!(refused.status.code(), Some(78));
    let document = json(&refused);
    assert_eq!(document["ok"], false);
    assert_eq!(document["problems"][0]["key"], "reconect");
    assert_eq!(document["problems"][0]["line"], 3);
    assert_eq!(document["problems"][0]["hint"], "did you mean `reconnect`?");
    assert_eq!(document["problems"][1]["exit"], 78);
}

#[cfg(unix)]
#[test]
fn check_exits_77_for_an_unsafe_file() {
    let home = Home::with(&with_server(""));
    super::bench::mode(&home.config(), 0o666);
    assert_eq!(holdline(&home, &["config", "check"]).status.code(), Some(77));
}

#[test]
fn check_looks_into_the_dialect() {
    let home = Home::with(&with_server("server.dialect = \"jsn\"\n"));
    let refused = holdline(&home, &["config", "check"]);
    assert_eq!(refused.status.code(), Some(78), "{}", out(&refused));
    assert!(err(&refused).contains("config.toml:2:18"), "{}", err(&refused));

    let home = Home::with(&with_server("server.dialect = \"text\"\nauth.token_env = \"T\"\n"));
    let refused = holdline(&home, &["config", "check"]);
    assert_eq!(refused.status.code(), Some(78), "{}", out(&refused));
    assert!(
        err(&refused).contains("the dialect `text` has no place for the credential"),
        "{}",
        err(&refused)
    );

    let signed_in = |dialect: &str| {
        format!("server.dialect = \"{dialect}\"\nauth.token_env = \"T\"\nauth.reply = \"optional\"\n")
    };
    let home = Home::with(&with_server(&signed_in("socketio")));
    let refused = holdline(&home, &["config", "check"]);
    assert_eq!(refused.status.code(), Some(78), "{}", out(&refused));
    assert!(err(&refused).contains("does not begin without the server's answer"), "{}", err(&refused));
    assert!(err(&refused).contains("config.toml:4:"), "{}", err(&refused));
    let home = Home::with(&with_server(&signed_in("holdline")));
    let taken = holdline(&home, &["config", "check"]);
    assert!(taken.status.success(), "{}", err(&taken));
}

#[test]
fn p13_the_daemon_touches_nothing_before_the_configuration_is_in_order() {
    let home = Home::with("[server]\nurl = \"ws://127.0.0.1:9/\"\nbogus = 1\n");
    let refused = holdline(&home, &["run"]);
    assert_eq!(refused.status.code(), Some(78), "{}", err(&refused));
    assert!(err(&refused).contains("error: unknown key `server.bogus`"), "{}", err(&refused));
    let there: Vec<_> =
        std::fs::read_dir(home.path()).expect("there").flatten().map(|it| it.file_name()).collect();
    assert_eq!(there, [".config"], "no state, no socket");
}

#[cfg(unix)]
#[test]
fn the_daemon_refuses_a_folder_for_state_that_others_can_write_to() {
    let home = Home::with("server.url = \"ws://127.0.0.1:9/\"\n");
    let state = home.path().join(".local/state/holdline");
    std::fs::create_dir_all(&state).expect("made");
    super::bench::mode(&state, 0o777);
    let refused = holdline(&home, &["run"]);
    assert_eq!(refused.status.code(), Some(77), "{}", err(&refused));
    assert!(err(&refused).contains("other users can write to this folder (mode 0777)"), "{}", err(&refused));
    assert_eq!(std::fs::read_dir(&state).expect("there").count(), 0);
}

#[test]
fn p12_show_prints_what_is_in_force_and_no_secret() {
    let home = Home::with(
        "[server]\nurl = \"wss://h/?token=CANARY\"\nheaders = { Authorization = \"Bearer CANARY\" }\nvars = { pass = \"CANARY\" }\n[auth]\nmethod = \"header\"\nname = \"X-Key\"\ntoken_command = [\"pass\", \"CANARY\"]\n",
    );
    let shown = holdline(&home, &["config", "show"]);
    assert_eq!(shown.status.code(), Some(0), "{}", err(&shown));
    let text = out(&shown);
    for line in [
        "url = \"wss://h/?token=***\"",
        "headers = { \"Authorization\" = \"***\" }",
        "vars = { pass = \"***\" }",
        "token_command = [\"pass\", \"***\"]",
        "window = 256",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\nin\n{text}");
    }
    let document = holdline(&home, &["config", "show", "--json"]);
    let keys = json(&document);
    let find = |key: &str| {
        let rows = keys["keys"].as_array().expect("a list");
        rows.iter().find(|row| row["key"] == key).cloned().unwrap_or_default()
    };
    assert_eq!(find("outbox.window")["value"], 256);
    assert_eq!(find("reconnect.delays")["value"][5], "1m");
    assert_eq!(
        (find("auth.method")["origin"].as_str(), find("auth.method")["line"].as_u64()),
        (Some("file"), Some(6))
    );
    assert_eq!(find("heartbeat.interval")["value"], serde_json::Value::Null);
    for output in [
        &shown,
        &document,
        &holdline(&home, &["config", "show", "--origin"]),
        &holdline(&home, &["config", "check"]),
    ] {
        assert!(!format!("{}{}", out(output), err(output)).contains("CANARY"));
    }
}

#[test]
fn what_show_prints_can_be_loaded_again() {
    let text = with_server(
        "[types.\"a b\"]\nkey = \"/x\"\n[[notify]]\ntype = \"a\"\n[lanes.x]\nwindow = 2\n[notifications]\nquiet = [{ from = \"22:00\", to = \"07:00\" }]\n",
    );
    let first = holdline(&Home::with(&text), &["config", "show"]);
    let home = Home::with(&out(&first));
    let second = holdline(&home, &["config", "show"]);
    assert_eq!(second.status.code(), Some(0), "{}", err(&second));
    let settings = |text: &str| {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(settings(&out(&first)), settings(&out(&second)));
}

#[test]
fn path_says_where_things_are_even_before_they_are() {
    let home = Home::new();
    let told = holdline(&home, &["config", "path"]);
    assert_eq!((told.status.code(), out(&told)), (Some(0), format!("{}\n", home.config().display())));
    let told =
        json(&holdline(&home, &["config", "path", "--json", "--profile", "x", "--socket", "/s/x.sock"]));
    assert_eq!(told["socket"], "/s/x.sock");
    assert_eq!(told["database"], home.path().join(".local/state/holdline/x.db").to_string_lossy().as_ref());
}
