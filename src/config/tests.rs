use std::path::Path;

use super::{Environment, Sources, load, reference, render, show};

fn sources(dir: &Path) -> Sources {
    Sources {
        config: Some(dir.join("config.toml")),
        environment: Environment {
            home: Some(dir.to_owned()),
            current_dir: dir.to_owned(),
            ..Environment::default()
        },
        ..Sources::default()
    }
}

#[test]
fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("config.toml"),
        r#"
[server]
url = "wss://api.example.com/socket?v=1"
headers = { "X-App" = "dashboard" }
[types."typing"]
delivery = "ephemeral"
[types."a*"]
key = "/x"
[[notify]]
type = "order"
when = { "/status" = ["a", "b"] }
[[notify]]
on = "link"
[notifications]
quiet = [{ from = "22:00", to = "07:00", days = ["mon"] }]
"#,
    )
    .unwrap();
    let config = load(&sources(dir.path())).map_err(|p| render(&p, None)).unwrap();
    println!("{}", show(&config, true));
    std::fs::write(
        dir.path().join("config.toml"),
        r#"
[server]
url = "wss://kim:CANARY@api.example.com/socket?v=1"
headers = { "X-App" = "dashboard", "Host" = "x" }
proxy = "http://u:p@h"
token_file = "CANARY"
max_message = 4.5
[reconect]
jitter = 2
[reconnect]
jitter = 2
delays = ["2s", "5 parsecs"]
[types."typing"]
delivry = "ephemeral"
delivery = "lates"
[auth]
token = "CANARY"
method = "header"
[[notify]]
"#,
    )
    .unwrap();
    let problems = load(&sources(dir.path())).unwrap_err();
    println!("{}", render(&problems, Some(dir.path())));
    std::fs::write(dir.path().join("config.toml"), "[server]\nurl = \"CANARY\nx = = 1\n[a\n").unwrap();
    let problems = load(&sources(dir.path())).unwrap_err();
    println!("{}", render(&problems, Some(dir.path())));
    for k in reference() {
        println!("{} | {} | {} | {}", k.section, k.name, k.kind, k.default);
    }
}
