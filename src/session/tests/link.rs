//! States, delays, reasons; heartbeat.
//!
//! Long, for each rule is a short test of its own; what they share is in the module above.

use super::*;

const NEVER: [u64; 0] = [];

fn refused(status: u16, retry_after: Option<Duration>) -> Input {
    Input::LinkDown(Failure::Refused { status, retry_after, detail: String::new(), ruled: None })
}

fn closed(code: u16) -> Input {
    Input::LinkDown(Failure::Closed { code, reason: String::new(), ruled: None, repeated_policy: false })
}

fn gone() -> Input {
    let fault = ConnectFault::Refused;
    Input::LinkDown(Failure::Connect { target: "server:443".into(), fault })
}

#[test]
fn the_first_dial_is_connecting_and_says_why() {
    let mut bench = Setup { eager: false, ..Setup::default() }.bench();
    bench.input(Input::Start);
    assert_eq!((bench.state(), bench.reason().0), (LinkState::Connecting, ReasonKind::Starting));
    bench.input(Input::LinkUp { token: None });
    assert_eq!((bench.state(), bench.reason().0), (LinkState::Authenticating, ReasonKind::SigningIn));
    bench.frame("welcome");
    let status = bench.session.link_status();
    assert_eq!((status.state, status.reason, status.attempt), (LinkState::Connected, None, 0));
    assert_eq!(status.resumed, Some(true));
    let states: Vec<_> = bench
        .records()
        .into_iter()
        .filter_map(|(_, record)| match record {
            Record::Transition(transition) => Some((transition.from, transition.to)),
            _ => None,
        })
        .collect();
    assert_eq!(
        states,
        [
            (None, LinkState::Connecting),
            (Some(LinkState::Connecting), LinkState::Authenticating),
            (Some(LinkState::Authenticating), LinkState::Connected)
        ]
    );
}

#[test]
fn a_loss_says_so_and_the_delays_grow_until_the_server_is_unavailable() {
    let mut bench = Setup::default().connected();
    bench.pass_alive(31.0);
    bench.take();
    bench.lose_link();
    let (kind, text) = bench.reason();
    assert_eq!(kind, ReasonKind::ConnectionLost);
    assert!(text.starts_with("Connection lost: "), "{text}");
    assert_eq!(bench.session.link_status().attempt, 1);
    let lost = bench.now;
    let mut states = Vec::new();
    for _ in 0..7 {
        bench.pass(61.0);
        bench.input(gone());
        states.push(bench.state());
    }
    assert_eq!(states[3], LinkState::Reconnecting);
    assert_eq!(states[4], LinkState::Unavailable, "after five failed attempts in a row");
    assert_eq!(bench.dials()[0], lost + 2_000);
    assert!(bench.session.link_status().next_retry_at.is_some());
}

#[test]
fn each_failed_attempt_waits_as_the_list_says() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    let mut waits = Vec::new();
    for _ in 0..8 {
        bench.take();
        let failed = bench.now;
        bench.input(gone());
        bench.pass(60.0);
        waits.push((bench.dials()[0] - failed) / 1000);
    }
    assert_eq!(waits, [2, 5, 10, 20, 30, 60, 60, 60]);
}

#[test]
fn a_stable_connection_or_a_reply_starts_the_delays_anew_and_nothing_less_does() {
    for (seconds, reply, expected) in [(5.0, false, 5), (31.0, false, 2), (5.0, true, 2)] {
        let mut bench = Setup::default().bench();
        bench.input(Input::Start);
        bench.input(gone());
        bench.pass(2.0);
        bench.link_up();
        if reply {
            bench.queue(row(1));
            bench.flush();
            bench.frame("ok m1");
        }
        bench.pass_alive(seconds);
        bench.take();
        bench.lose_link();
        bench.commit();
        let lost = bench.now;
        bench.pass(70.0);
        assert_eq!((bench.dials()[0] - lost) / 1000, expected, "{seconds} s, reply {reply}");
    }
}

#[test]
fn a_flapping_server_is_not_hammered() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    let start = bench.now;
    let mut dials = 1;
    while bench.now < start + 60_000 {
        bench.input(Input::LinkUp { token: None });
        bench.take();
        bench.input(closed(1000));
        bench.pass(1.0);
        while bench.dials().is_empty() {
            bench.pass(1.0);
        }
        dials += 1;
    }
    assert!(dials <= 12, "{dials} dials in a minute");
}

#[test]
fn the_server_s_wish_is_never_undercut() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.take();
    let failed = bench.now;
    bench.input(refused(503, Some(Duration::from_secs(30))));
    assert_eq!((bench.state(), bench.reason().0), (LinkState::Unavailable, ReasonKind::ServerBusy));
    bench.pass(40.0);
    let waited = bench.dials()[0] - failed;
    assert!((30_000..=36_000).contains(&waited), "{waited} ms");
}

#[test]
fn a_refused_credential_is_read_anew_once_and_then_waited_for() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.take();
    bench.input(refused(401, None));
    let fresh = |bench: &Bench| {
        bench.outputs.iter().any(|(_, output)| matches!(output, Output::Dial { fresh_credential: true, .. }))
    };
    assert!(fresh(&bench), "one fresh read, at once");
    bench.take();
    let failed = bench.now;
    bench.input(refused(401, None));
    assert_eq!((bench.state(), bench.reason().0), (LinkState::Unauthorized, ReasonKind::AuthRefused));
    bench.pass(899.0);
    assert_eq!(bench.dials(), NEVER);
    bench.pass(182.0);
    let probe = bench.dials()[0] - failed;
    assert!((900_000..=1_080_000).contains(&probe), "{probe} ms");
    bench.take();
    bench.input(refused(401, None));
    bench.pass(60.0);
    assert_eq!(bench.dials(), NEVER, "a probe is one attempt");
    bench.input(Input::CredentialChanged);
    assert_eq!(bench.dials(), [bench.now]);
    assert!(fresh(&bench));
}

#[test]
fn a_server_that_lets_us_in_and_then_refuses_is_not_hammered() {
    let mut bench = Setup::default().connected();
    let mut dials = 0;
    for _ in 0..50 {
        bench.frame("expelled");
        let failure = bench.hang_ups().pop().expect("hung up").1;
        bench.input(Input::LinkDown(failure));
        bench.pass(1.0);
        if bench.dials().is_empty() {
            break;
        }
        dials += 1;
        bench.take();
        bench.input(Input::LinkUp { token: None });
    }
    assert_eq!(dials, 1, "one fresh credential, then the wait");
    assert_eq!(bench.state(), LinkState::Unauthorized);
}

#[test]
fn without_a_credential_the_source_is_watched() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.take();
    let fault = CredentialFault { text: "the token file is empty".into(), hint: "fill it".into() };
    bench.input(Input::LinkDown(Failure::NoCredential(fault)));
    assert_eq!((bench.state(), bench.reason().0), (LinkState::Unauthorized, ReasonKind::NoCredential));
    assert_eq!(bench.dials(), NEVER, "reading it again at once would find the same");
    bench.input(Input::CredentialChanged);
    assert_eq!(bench.dials().len(), 1);
}

#[test]
fn a_configuration_that_does_not_fit_is_tried_for_ten_minutes_and_then_seldom() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    let start = bench.now;
    let mut gaps = Vec::new();
    while bench.now < start + 1_500_000 {
        bench.take();
        let failed = bench.now;
        bench.input(refused(418, None));
        assert_eq!(bench.state(), LinkState::Misconfigured);
        while bench.dials().is_empty() {
            bench.pass(1.0);
        }
        gaps.push((failed - start, bench.dials()[0] - failed));
    }
    for (since, gap) in gaps {
        if since < 600_000 {
            assert!(gap <= 60_000, "{gap} ms after {since}");
        } else {
            assert!((300_000..=360_000).contains(&gap), "{gap} ms after {since}");
        }
    }
}

#[test]
fn a_second_policy_close_in_a_row_is_a_refusal() {
    let mut bench = Setup::default().connected();
    bench.input(closed(1008));
    assert_eq!(bench.state(), LinkState::Reconnecting);
    bench.pass(2.0);
    bench.link_up();
    bench.input(closed(1008));
    assert_eq!((bench.state(), bench.reason().0), (LinkState::Unauthorized, ReasonKind::AuthRefused));
}

#[test]
fn policy_closes_with_another_failure_between_are_no_refusal() {
    let mut bench = Setup::default().connected();
    bench.input(closed(1008));
    bench.pass(2.0);
    bench.input(gone());
    bench.pass(5.0);
    bench.link_up();
    bench.input(closed(1008));
    assert_eq!(bench.state(), LinkState::Reconnecting);
}

#[test]
fn a_planned_end_dials_at_once_but_not_twice_within_the_stable_time() {
    let mut bench = Setup::default().connected();
    bench.input(closed(4000));
    assert_eq!(bench.dials(), [bench.now]);
    bench.link_up();
    bench.input(closed(4000));
    assert_eq!(bench.dials(), NEVER);
    bench.pass(2.0);
    assert_eq!(bench.dials(), [bench.now]);
}

#[test]
fn waking_and_a_new_network_dial_at_once_but_not_while_paused() {
    for hint in [Input::Woke, Input::NetworkChanged { usable: true }] {
        let mut bench = Setup::default().bench();
        bench.input(Input::Start);
        bench.pass(5.0);
        let fault = ConnectFault::NoNetwork;
        bench.input(Input::LinkDown(Failure::Connect { target: String::new(), fault }));
        assert_eq!(bench.state(), LinkState::Offline);
        bench.take();
        bench.input(hint.clone());
        assert_eq!(bench.dials(), [bench.now]);
        bench.input(Input::Pause);
        bench.take();
        bench.input(hint);
        bench.pass(600.0);
        assert_eq!(bench.dials(), NEVER);
    }
}

#[test]
fn hints_in_a_flood_dial_once_a_second() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.take();
    for _ in 0..40 {
        bench.input(gone());
        bench.input(Input::Woke);
        bench.pass(0.1);
    }
    assert!(bench.dials().len() <= 4, "{:?}", bench.dials());
}

#[test]
fn waking_asks_the_connection_at_once_and_believes_the_silence_soon() {
    let mut bench = Setup::default().connected();
    bench.pass(5.0);
    bench.input(Input::Woke);
    assert!(bench.last_ping().is_some());
    let woke = bench.now;
    bench.pass(5.0);
    assert_eq!(bench.hang_ups()[0].0, woke + 4_000);
}

#[test]
fn a_server_that_cannot_be_asked_has_its_beat_and_a_little_more_after_a_wake() {
    let beat = Some(Duration::from_secs(25));
    let timeout = Some(Duration::from_secs(20));
    for hint in [Input::Woke, Input::NetworkChanged { usable: true }] {
        let pulse = Pulse { message: false, ws_ping: false, every: None, timeout, beat };
        let mut bench = Setup { pulse, ..Setup::default() }.connected();
        bench.pass(5.0);
        bench.input(hint.clone());
        assert_eq!(bench.last_ping(), None);
        let hinted = bench.now;
        bench.pass(28.0);
        assert_eq!(bench.hang_ups(), []);
        bench.pass(2.0);
        assert_eq!(bench.hang_ups()[0].0, hinted + 29_000, "{hint:?}");
        // One that does speak has its usual time again.
        let mut bench = Setup { pulse, ..Setup::default() }.connected();
        bench.input(hint);
        bench.pass(10.0);
        bench.input(Input::Heard);
        let heard = bench.now;
        bench.pass(44.0);
        assert_eq!(bench.hang_ups(), []);
        bench.pass(2.0);
        assert_eq!(bench.hang_ups()[0].0, heard + 45_000);
    }
    // Without a network it is not hurried.
    let pulse = Pulse { message: false, ws_ping: false, every: None, timeout, beat };
    let mut bench = Setup { pulse, ..Setup::default() }.connected();
    bench.input(Input::NetworkChanged { usable: false });
    bench.pass(44.0);
    assert_eq!(bench.hang_ups(), []);
}

#[test]
fn a_night_of_sleep_kills_no_connection_that_answers() {
    let mut bench = Setup::default().connected();
    bench.pass(5.0);
    // Every deadline passes unnoticed.
    bench.now += 8 * 3_600_000;
    bench.input(Input::Woke);
    let ping = bench.last_ping().expect("asked at once");
    bench.pass(1.0);
    assert!(bench.hang_ups().is_empty());
    bench.input(Input::Pong(ping));
    bench.pass(15.0);
    assert!(bench.hang_ups().is_empty());
    assert_eq!(bench.state(), LinkState::Connected);
}

#[test]
fn a_loop_that_comes_late_asks_before_it_believes_the_silence() {
    let mut bench = Setup::default().connected();
    // Both the heartbeat and the end of the silence are past.
    bench.now += 40_000;
    let late = bench.now;
    bench.pass(0.1);
    assert!(bench.last_ping().is_some());
    assert!(bench.hang_ups().is_empty());
    bench.pass(11.0);
    assert!((late + 10_000..late + 10_100).contains(&bench.hang_ups()[0].0));
}

#[test]
fn a_server_that_takes_a_large_message_slowly_is_not_called_dead() {
    let mut bench = Setup::default().connected();
    bench.queue(row(1));
    for _ in 0..60 {
        bench.pass(5.0);
        bench.input(Input::Taken);
    }
    assert!(bench.hang_ups().is_empty());
    bench.pass(31.0);
    assert_eq!(bench.hang_ups().len(), 1, "and is once it takes no more");
}

#[test]
fn a_dial_that_runs_while_the_network_changes_is_begun_anew() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.take();
    bench.input(Input::NetworkChanged { usable: true });
    assert_eq!(bench.dials(), NEVER, "it has only just begun");
    bench.pass(1.5);
    bench.input(Input::NetworkChanged { usable: false });
    assert_eq!(bench.dials(), NEVER, "there is nothing to dial on");
    bench.input(Input::NetworkChanged { usable: true });
    assert_eq!(bench.dials(), [bench.now]);
}

#[test]
fn a_hint_starts_the_delays_anew_and_does_not_overrule_a_server_that_named_a_time() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    for _ in 0..5 {
        bench.input(gone());
        bench.pass(61.0);
    }
    bench.input(gone());
    bench.take();
    bench.input(Input::Woke);
    assert_eq!(bench.dials(), [bench.now]);
    let failed = bench.now;
    bench.take();
    bench.input(gone());
    bench.pass(3.0);
    assert_eq!(bench.dials(), [failed + 2_000]);

    let busy = Failure::Refused {
        status: 429,
        retry_after: Some(Duration::from_secs(600)),
        detail: String::new(),
        ruled: None,
    };
    bench.input(Input::LinkDown(busy));
    bench.take();
    bench.input(Input::Woke);
    bench.pass(599.0);
    assert_eq!(bench.dials(), NEVER);
    bench.pass(130.0);
    assert_eq!(bench.dials().len(), 1);
}

#[test]
fn a_clock_that_is_set_moves_what_is_shown_and_tries_a_refused_certificate_again() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.pass(5.0);
    bench.input(gone());
    let shown = bench.session.link_status().next_retry_at.expect("a time");
    let mut set = bench.moment();
    set.wall = set.wall.after(Duration::from_secs(28_800));
    bench.session.handle(set, Input::ClockSet);
    let status = bench.session.link_status();
    assert_eq!(status.next_retry_at, Some(shown.after(Duration::from_secs(28_800))));
    bench.take();
    assert_eq!(bench.dials(), NEVER);
    bench.pass(5.0);
    let fault = TlsFault::NotYetValid(Validity::default());
    bench.input(Input::LinkDown(Failure::Tls { host: "h".into(), fault }));
    assert_eq!(bench.state(), LinkState::Misconfigured);
    bench.take();
    bench.input(Input::ClockSet);
    bench.pass(1.0);
    assert_eq!(bench.dials().len(), 1);
}

#[test]
fn a_pause_lasts_over_a_restart_and_only_a_resume_ends_it() {
    let mut bench = Setup::default().connected();
    bench.input(Input::Pause);
    assert_eq!(bench.state(), LinkState::Paused);
    assert_eq!(bench.hang_ups().len(), 1);
    let mut remembered = Remembered::default();
    for (_, record) in bench.records() {
        if let Record::Remember { name, value: Some(value) } = record {
            remembered.values.insert(name, value);
        }
    }
    let mut bench = Setup { remembered, ..Setup::default() }.bench();
    bench.input(Input::Start);
    assert_eq!(bench.state(), LinkState::Paused);
    bench.input(Input::Reconnect(ReasonKind::Requested));
    bench.pass(3600.0);
    assert_eq!(bench.dials(), NEVER);
    bench.input(Input::Resume);
    assert_eq!(bench.dials().len(), 1);
    let forgotten = bench
        .records()
        .iter()
        .any(|(_, record)| matches!(record, Record::Remember { name, value: None } if name == "paused"));
    assert!(forgotten);
}

#[test]
fn resuming_while_the_old_link_still_closes_dials_when_it_is_gone() {
    let mut bench = Setup::default().connected();
    bench.input(Input::Pause);
    bench.input(Input::Resume);
    assert_eq!(bench.dials(), NEVER, "one link at a time");
    bench.input(Input::LinkDown(Failure::Redial(ReasonKind::Requested)));
    assert_eq!(bench.dials().len(), 1);
}

#[test]
fn a_dead_peer_is_noticed_after_interval_and_timeout() {
    let mut bench = Setup::default().connected();
    let heard = bench.now;
    bench.pass(31.0);
    let (at, failure) = bench.hang_ups()[0].clone();
    assert_eq!(at, heard + 30_000);
    assert!(matches!(failure, Failure::HeartbeatTimeout { silence } if silence.as_secs() == 30));
    assert!(bench.reason().1.starts_with("Connection lost: nothing was heard"), "{}", bench.reason().1);
    assert_eq!(bench.dials(), NEVER, "not before the old link is gone");
    bench.input(Input::LinkDown(failure));
    bench.pass(2.0);
    assert_eq!(bench.dials().len(), 1);
}

#[test]
fn any_inbound_byte_is_life() {
    let mut bench = Setup::default().connected();
    for _ in 0..20 {
        bench.pass(25.0);
        bench.input(Input::Heard);
    }
    assert_eq!(bench.hang_ups(), []);
}

#[test]
fn the_dialect_s_heartbeat_goes_with_the_ping_and_alone_where_pings_are_forbidden() {
    for ws_ping in [true, false] {
        let pulse = Pulse { message: true, ws_ping, every: None, timeout: None, beat: None };
        let mut bench = Setup { pulse, ..Setup::default() }.connected();
        bench.pass(20.0);
        assert_eq!(bench.written(), ["beat"]);
        assert_eq!(bench.last_ping().is_some(), ws_ping);
    }
}

#[test]
fn stopping_hangs_up_and_dials_no_more() {
    let mut bench = Setup::default().connected();
    bench.input(Input::Stop);
    assert_eq!((bench.state(), bench.reason().0), (LinkState::Stopping, ReasonKind::ShuttingDown));
    assert_eq!(bench.hang_ups().len(), 1);
    bench.lose_link();
    bench.input(Input::Woke);
    bench.pass(600.0);
    assert_eq!(bench.dials(), NEVER);
}

fn expired_too(bench: &Bench) -> Vec<bool> {
    bench
        .outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::Dial { expired_too, .. } => Some(*expired_too),
            _ => None,
        })
        .collect()
}

fn expired() -> Input {
    let at = Timestamp::from_millis(1);
    Input::LinkDown(Failure::CredentialExpired { source: "the token file t".into(), at })
}

#[test]
fn an_expired_credential_is_read_once_more_and_shown_by_the_slow_probe_alone() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    assert_eq!(expired_too(&bench), [false]);
    bench.take();
    bench.input(expired());
    assert_eq!(expired_too(&bench), [false], "the source is asked again, at once");
    bench.take();
    let failed = bench.now;
    bench.input(expired());
    assert_eq!((bench.state(), bench.reason().0), (LinkState::Unauthorized, ReasonKind::CredentialExpired));
    bench.pass(899.0);
    assert_eq!(bench.dials(), NEVER);
    bench.pass(182.0);
    let probe = bench.dials()[0] - failed;
    assert!((900_000..=1_080_000).contains(&probe), "{probe} ms");
    assert_eq!(expired_too(&bench), [true], "our clock may be wrong");
    bench.take();
    bench.input(refused(401, None));
    assert_eq!(bench.reason().0, ReasonKind::AuthRefused);
    bench.input(Input::CredentialChanged);
    assert_eq!(expired_too(&bench), [false], "another credential is looked at anew");
}

#[test]
fn a_server_that_takes_an_expired_credential_is_believed_until_it_refuses_one() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.input(expired());
    bench.input(expired());
    bench.pass(1_100.0);
    bench.link_up();
    bench.pass_alive(31.0);
    bench.take();
    bench.lose_link();
    bench.pass(3.0);
    assert_eq!(expired_too(&bench), [true], "our clock is wrong, and it stays so");
    bench.take();
    bench.input(refused(401, None));
    assert_eq!(expired_too(&bench), [false]);
}

#[test]
fn a_changed_credential_is_tried_at_once_where_the_server_just_hung_up_on_the_last_one() {
    let mut bench = Setup { eager: false, ..Setup::default() }.bench();
    bench.input(Input::Start);
    bench.input(Input::LinkUp { token: None });
    bench.input(Input::LinkDown(Failure::Lost { detail: String::new() }));
    assert_eq!(bench.state(), LinkState::Reconnecting);
    bench.take();
    bench.pass(1.5);
    assert_eq!(bench.dials(), NEVER);
    bench.input(Input::CredentialChanged);
    assert_eq!(bench.dials(), [bench.now]);

    // One that was not even reached has nothing against it.
    bench.take();
    bench.input(gone());
    bench.input(Input::CredentialChanged);
    bench.pass(1.5);
    assert_eq!(bench.dials(), NEVER);
}

#[test]
fn a_proxy_that_refuses_us_is_left_alone_and_our_own_credential_changes_nothing() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.take();
    let refusal = || {
        let fault = ProxyFault::SignInRefused;
        Input::LinkDown(Failure::Proxy { proxy: "proxy:3128".into(), fault })
    };
    bench.input(refusal());
    assert_eq!((bench.state(), bench.reason().0), (LinkState::Unauthorized, ReasonKind::ProxyAuthRefused));
    bench.input(Input::CredentialChanged);
    bench.pass(899.0);
    assert_eq!(bench.dials(), NEVER, "a directory may lock the account");
    bench.pass(182.0);
    assert_eq!(bench.dials().len(), 1);
    bench.input(refusal());
    bench.take();
    bench.input(Input::Reconnect(ReasonKind::Reloaded));
    assert_eq!(bench.dials(), [bench.now]);
}

#[test]
fn shorter_delays_shorten_the_wait_that_runs_but_not_one_that_was_asked_for() {
    let slow = || {
        let mut slow = settings();
        slow.reconnect.delays = vec![Duration::from_secs(600)];
        slow
    };
    let busy = Failure::Refused {
        status: 503,
        retry_after: Some(Duration::from_secs(100)),
        ruled: None,
        detail: String::new(),
    };
    let lost = Failure::Lost { detail: String::new() };
    for (failure, quiet, until) in [(lost, 1.9, 2.1), (busy, 99.0, 121.0)] {
        let mut bench = Setup { settings: slow(), ..Setup::default() }.bench();
        bench.input(Input::Start);
        bench.input(Input::LinkDown(failure));
        bench.take();
        bench.input(Input::Reload(Box::new(settings())));
        bench.pass(quiet);
        assert_eq!(bench.dials().len(), 0);
        bench.pass(until - quiet);
        assert_eq!(bench.dials().len(), 1);
    }
    // Longer ones hold from the next wait on.
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.lose_link();
    bench.input(Input::Reload(Box::new(slow())));
    bench.take();
    bench.pass(2.1);
    assert_eq!(bench.dials().len(), 1);
}
