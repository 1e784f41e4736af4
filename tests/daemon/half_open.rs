//! P9: a peer that says nothing any more, on a connection that looks alive, with the default
//! settings.

use std::collections::BTreeSet;

use holdline::dev_server::Control;
use serde_json::json;

use crate::{SOON, blocking, server, start, support};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_dead_peer_is_noticed_nothing_on_it_is_called_delivered_and_all_goes_out_again() {
    let server = server().await;
    let url = server.url();
    let daemon = start(format!("[server]\nurl = \"{url}\"\ndialect = \"json\"\n")).await;
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        daemon
    })
    .await;
    server.control(Control::Silent { ms: None });
    let ids: BTreeSet<String> = {
        let daemon_ref = daemon;
        let (daemon, ids) = blocking(move || {
            let mut client = daemon_ref.client();
            client.call("messages.watch", &json!({})).expect("watching");
            let ids: BTreeSet<String> =
                (0..50).map(|n| crate::send(&mut client, "into_the_hole", &json!({"n": n}))).collect();
            // Every word about these messages until the loss is told.
            let mut states = BTreeSet::new();
            let mut status = daemon_ref.client();
            let begin = holdline::clock::Clock::start();
            let at = begin.instant();
            let noticed = loop {
                let now = status.call("status", &json!({})).expect("an answer");
                if now["link"]["reason"]["kind"] == "heartbeat_timeout" {
                    break begin.instant().since(at);
                }
                assert!(begin.instant().since(at) < SOON * 2, "never noticed: {now}");
                for id in &ids {
                    let message = status.call("messages.get", &json!({"id": id})).expect("kept");
                    states.insert(message["state"].as_str().expect("a state").to_owned());
                }
                std::thread::park_timeout(std::time::Duration::from_millis(200));
            };
            assert!(!states.contains("received") && !states.contains("accepted"), "{states:?}");
            eprintln!("the dead peer was noticed after {} ms (31 s by default)", noticed.as_millis());
            (daemon_ref, ids)
        })
        .await;
        server.control(Control::Speak {});
        let arrived = server.until(SOON, |stats| stats.received >= 50).await;
        assert!(arrived.is_ok(), "not everything went out again: {arrived:?}");
        drop(daemon);
        ids
    };
    let arrived: BTreeSet<String> = server.received().into_iter().filter_map(|message| message.id).collect();
    assert_eq!(arrived, ids);
    server.stop().await;
    let _ = support::PATIENCE;
}
