//! nginx as people put it before a server: TLS, and a line that is quiet for a second is dropped without a word.

use std::path::Path;

use serde_json::{Value, json};

use crate::graphql_ws::{GraphqlWs, TOKEN, config, resuming};
use crate::harness::cutter::Cutter;
use crate::harness::nginx::Site;
use crate::harness::program::Program;
use crate::harness::stream::Server as _;
use crate::harness::{daemon, everything, nginx, npm_installed, wait_for_status};
use crate::support::needs;
use crate::support::until_blocking;

fn installed() -> bool {
    npm_installed() && needs::programs(&["nginx"])
}

/// The front, and the file with who vouches for it.
fn front(server: u16) -> (Program, std::path::PathBuf) {
    let locations = format!(
        r#"    location / {{
      proxy_pass http://127.0.0.1:{server};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_read_timeout 1s;
    }}"#
    );
    let (program, authority) = nginx::behind_tls(Site { locations, ..Site::default() });
    let ca = program.path("ca.pem");
    authority.write_to(&ca);
    (program, ca)
}

fn behind(port: u16, ca: &Path, more: &str) -> String {
    let config = config(port, &resuming()).replace("ws://", "wss://");
    format!("{config}\n[server.tls]\nca_file = \"{}\"\n{more}", ca.display())
}

#[test]
fn a_front_that_drops_what_is_quiet_loses_nothing_and_a_quicker_heartbeat_keeps_the_line() {
    if !installed() {
        return;
    }
    let mut server = GraphqlWs::start();
    let (program, ca) = front(server.0.port());
    let cutter = Cutter::before(program.port());
    let daemon = daemon(&behind(cutter.port(), &ca, ""), TOKEN);
    daemon.wait_for("connected");
    let mut client = daemon.client();
    // Dropped again and again, with the usual heartbeat of 20 s.
    let mut sent = 0;
    for drops in 1..=3 {
        wait_for_status(&mut client, "the line to be dropped and made anew", |status| {
            status["link"]["reconnects"].as_u64() >= Some(drops) && status["link"]["state"] == "connected"
        });
        server.push(0..drops * 10);
        let (kind, data) = server.message(sent);
        client.call("messages.send", &json!({"type": kind, "data": data})).expect("a receipt");
        sent += 1;
    }
    let came = |rows: &[Value], server: &GraphqlWs| {
        rows.iter().filter_map(|row| server.number(row)).collect::<Vec<_>>()
    };
    until_blocking("all events", || {
        came(&everything(&mut client), &server).into_iter().eq(0..30).then_some(())
    });
    wait_for_status(&mut client, "all messages", |status| status["outbox"]["confirmed_total"] == sent);

    // Kept open, it is the same line after several times the front's patience.
    daemon.write_config(&behind(cutter.port(), &ca, "\n[heartbeat]\ninterval = \"300ms\"\n"));
    client.call("config.reload", &json!({})).expect("reloaded");
    wait_for_status(&mut client, "a line with that heartbeat", |status| {
        status["link"]["state"] == "connected"
    });
    let (connections, carried) = (cutter.connections(), cutter.carried());
    // A beat and its answer are some 150 bytes under TLS; ten of them take 3 s.
    until_blocking("ten heartbeats", || (cutter.carried() > carried + 1500).then_some(()));
    assert_eq!(cutter.connections(), connections, "dropped all the same");
}
