//! The machine sleeps and wakes, and its network comes and goes.

use super::*;
use crate::model::ConnectFault;

const NEVER: [u64; 0] = [];

fn no_network() -> Input {
    let fault = ConnectFault::NoNetwork;
    Input::LinkDown(Failure::Connect { target: String::new(), fault })
}

fn changed() -> Input {
    Input::NetworkChanged { usable: true }
}

/// Connected, and told to close the line for a sleep.
fn falling_asleep() -> Bench {
    let mut bench = Setup::default().connected();
    bench.input(Input::Sleep);
    bench
}

/// The driver reports the end of the link that was hung up.
fn link_is_gone(bench: &mut Bench) {
    bench.input(Input::LinkDown(Failure::Redial(ReasonKind::Sleeping)));
}

#[test]
fn before_a_sleep_the_line_is_closed_and_after_it_dialled_at_once() {
    let mut bench = falling_asleep();
    assert_eq!(bench.hang_ups().len(), 1);
    assert_eq!((bench.state(), bench.reason().0), (LinkState::Reconnecting, ReasonKind::Sleeping));
    assert!(!bench.reason().1.contains("lost"), "somebody wanted it: {}", bench.reason().1);
    link_is_gone(&mut bench);
    bench.pass(3.0);
    assert_eq!(bench.dials(), NEVER, "it would only be torn away");
    bench.now += 8 * 3_600_000;
    bench.take();
    bench.input(Input::Woke);
    assert_eq!(bench.dials(), [bench.now]);
    // The deadline that was set for a machine that stays awake is past as well.
    bench.pass(0.5);
    assert_eq!(bench.dials().len(), 1);
}

#[test]
fn waking_while_the_old_line_still_closes_dials_as_soon_as_it_is_gone() {
    let mut bench = falling_asleep();
    bench.input(Input::Woke);
    bench.pass(0.3);
    assert_eq!(bench.dials(), NEVER, "one link at a time");
    link_is_gone(&mut bench);
    bench.pass(1.0);
    assert_eq!(bench.dials().len(), 1);
}

#[test]
fn a_machine_that_never_falls_asleep_is_not_left_without_a_line() {
    let mut bench = falling_asleep();
    link_is_gone(&mut bench);
    bench.pass(600.0);
    assert_eq!(bench.dials().len(), 1);
    // And not only where there was one.
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.take();
    bench.input(Input::Sleep);
    assert_eq!(bench.reason().0, ReasonKind::Sleeping);
    bench.pass(30.0);
    assert_eq!(bench.dials(), NEVER);
    bench.pass(600.0);
    assert_eq!(bench.dials().len(), 1);
}

#[test]
fn a_network_that_goes_as_the_machine_falls_asleep_brings_no_dial_about() {
    let mut bench = falling_asleep();
    link_is_gone(&mut bench);
    bench.take();
    for _ in 0..10 {
        bench.input(changed());
        bench.pass(1.0);
    }
    assert_eq!(bench.dials(), NEVER);
    bench.input(Input::Woke);
    assert_eq!(bench.dials(), [bench.now]);
    bench.pass(5.0);
    bench.input(no_network());
    bench.take();
    bench.input(changed());
    assert_eq!(bench.dials(), [bench.now], "the network comes after the wake");
}

#[test]
fn a_person_who_asks_for_a_line_gets_it_while_the_machine_falls_asleep() {
    let mut bench = falling_asleep();
    link_is_gone(&mut bench);
    bench.take();
    bench.input(Input::Reconnect(ReasonKind::Requested));
    assert_eq!(bench.dials(), [bench.now]);
    let mut bench = falling_asleep();
    bench.input(Input::Pause);
    link_is_gone(&mut bench);
    bench.input(Input::Woke);
    bench.pass(600.0);
    assert_eq!((bench.state(), bench.dials()), (LinkState::Paused, vec![]));
}

#[test]
fn a_network_that_changes_is_no_verdict_on_a_line_that_answers() {
    let mut bench = Setup::default().connected();
    for round in 0..40 {
        bench.take();
        bench.input(Input::NetworkChanged { usable: round % 2 == 1 });
        if let Some(ping) = bench.last_ping() {
            bench.pass(0.2);
            bench.input(Input::Pong(ping));
        }
        bench.pass(1.0);
        assert_eq!((bench.state(), bench.hang_ups()), (LinkState::Connected, vec![]), "{round}");
    }
}

#[test]
fn a_line_that_died_with_its_network_is_noticed_in_seconds() {
    let mut bench = Setup::default().connected();
    bench.pass(2.0);
    let change = bench.now;
    bench.input(changed());
    bench.pass(30.0);
    assert_eq!(bench.hang_ups()[0].0, change + 4_000);
}

#[test]
fn a_network_that_is_back_soon_gives_the_line_its_time_to_answer() {
    let mut bench = Setup::default().connected();
    bench.input(Input::NetworkChanged { usable: false });
    bench.pass(8.0);
    bench.input(changed());
    let back = bench.now;
    bench.pass(3.0);
    assert_eq!(bench.hang_ups(), []);
    bench.pass(5.0);
    assert_eq!(bench.hang_ups()[0].0, back + 4_000);
    // One that changes all the time puts nothing off.
    let mut bench = Setup::default().connected();
    let heard = bench.now;
    for _ in 0..40 {
        bench.input(changed());
        bench.pass(1.0);
    }
    assert_eq!(bench.hang_ups()[0].0, heard + 4_000);
}

#[test]
fn a_network_that_comes_and_goes_all_day_is_not_dialled_all_day() {
    let mut bench = Setup::default().bench();
    bench.input(Input::Start);
    bench.take();
    // Ten times a second, for ten minutes.
    for tick in 0..6_000 {
        if tick % 5 == 0 {
            bench.input(no_network());
        }
        bench.input(changed());
        bench.pass(0.1);
    }
    let dials = bench.dials();
    assert!(dials.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "once a second: {dials:?}");
    assert!((50..=80).contains(&dials.len()), "{} dials", dials.len());
    // Quiet for a while, it is at once again.
    bench.pass(120.0);
    bench.input(no_network());
    bench.take();
    bench.input(changed());
    assert_eq!(bench.dials(), [bench.now]);
}
