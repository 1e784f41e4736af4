//! What holds of every dialect, whatever it speaks.

use holdline::model::{Frame, LinkState};

use crate::folders::{Subject, played};
use crate::player::Player;
use crate::script::{Script, Step};
use crate::shelf::Shelf;

/// Where there was no place for anything.
const NOTHING: &str = "nothing was put in between";

/// Frames that belong to no protocol, and whether something must be left of them.
fn garbage() -> Vec<(Frame, bool)> {
    let text = |text: &str| Frame::Text(text.to_owned());
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let long = format!("{{\"nobody knows this\":\"{}\"}}", "x".repeat(64 * 1024));
    vec![
        // Nothing was said.
        (text(""), false),
        (text("not json"), true),
        (text("{"), true),
        (text("{\"a\":1}}"), true),
        (text("\u{0}\u{1}\u{feff}"), true),
        (text("null"), true),
        (text("-17.5e3"), true),
        (text("1e999"), true),
        (text("true"), true),
        (text("\"a word\""), true),
        (text("[[\"nobody knows this\"]]"), true),
        (text("{\"nobody knows this\":{\"\":[]}}"), true),
        (text("{\"a\":1,\"a\":2}"), true),
        (text("{\"\\ud800\":1}"), true),
        (Frame::Text(deep), true),
        (Frame::Text(long), true),
        (Frame::Binary(vec![0xff, 0x00, 0x01]), true),
        (Frame::Binary(b"{\"nobody knows this\":1}".to_vec()), true),
        (Frame::Binary(Vec::new()), false),
    ]
}

/// Whether something may be put between the lines before `at`: what a line came to is looked at in
/// the lines that follow it.
fn between(script: &Script, at: usize) -> bool {
    script.lines.get(at).is_none_or(|line| !line.step.follows())
}

/// What a server cannot resume is told before the first row of a connection, whichever that is.
fn is_told(row: &str) -> bool {
    row.contains("this server does not resume")
}

/// Whether nothing has come yet on the connection that is up before line `at`.
fn greets(script: &Script, at: usize) -> bool {
    let before = script.lines[..at].iter().rev().find(|line| !line.step.follows());
    before.is_some_and(|line| matches!(line.step, Step::Open { .. }))
}

fn run(subject: &Subject, script: &Script, at: Option<usize>) -> Result<Vec<String>, String> {
    let mut player = Player::new(subject.dialect(script), script, Shelf::default());
    let mut rubbish = 0;
    let mut kept = Vec::new();
    for index in 0..=script.lines.len() {
        if player.up && between(script, index) && at.map_or(!greets(script, index), |at| at == index) {
            let state = player.session.link_state();
            for (frame, stays) in garbage() {
                let before = player.shelf.rows.len() + player.shelf.duplicates;
                let shown: String = format!("{frame:?}").chars().take(80).collect();
                player.frame(frame);
                if !player.up || player.session.link_state() != state {
                    // The very first words may show that nobody there speaks this protocol.
                    if greets(script, index) && player.session.link_state() == LinkState::Misconfigured {
                        return Err(NOTHING.to_owned());
                    }
                    return Err(format!("{shown} before line {index} ended the session"));
                }
                if stays && player.shelf.rows.len() + player.shelf.duplicates == before {
                    return Err(format!("{shown} before line {index} was dropped"));
                }
                rubbish += player.shelf.rows.len();
                kept.push(before..player.shelf.rows.len());
            }
        }
        let Some(line) = script.lines.get(index) else { break };
        player.play(line);
        player.healthy(script)?;
    }
    if rubbish == 0 {
        return Err(NOTHING.to_owned());
    }
    let rows = player.rows();
    let mine = |at: &usize| !is_told(&rows[*at]) && !kept.iter().any(|range| range.contains(at));
    Ok((0..rows.len()).filter(mine).map(|at| rows[at].clone()).collect())
}

#[test]
fn garbage_between_any_two_lines_ends_nothing_and_costs_no_event() {
    for subject in played() {
        for script in &subject.scripts {
            let mut player = Player::new(subject.dialect(script), script, Shelf::default());
            player.play_all(script).unwrap();
            let mut plain = player.rows();
            plain.retain(|row| !is_told(row));
            let places = (0..=script.lines.len()).filter(|at| between(script, *at)).map(Some);
            for at in places.chain([None]) {
                match run(&subject, script, at) {
                    Ok(rows) => assert_eq!(rows, plain, "{}: garbage before line {at:?}", script.name),
                    // Between connections there is nothing to put it into.
                    Err(why) if why == NOTHING && at.is_some() => {}
                    Err(why) => panic!("{}: {why}", script.name),
                }
            }
        }
    }
}

/// A connection may break behind any line. What the next one begins with stands on disk: a daemon
/// that died begins with the very same.
#[test]
fn a_session_cut_anywhere_goes_on_from_what_is_on_disk() {
    for subject in played() {
        for script in subject.scripts.iter().filter(|script| script.of(crate::script::Case::Start).is_some())
        {
            for end in 1..=script.lines.len() {
                let cut = || {
                    let mut player = Player::new(subject.dialect(script), script, Shelf::default());
                    for line in &script.lines[..end] {
                        player.play(line);
                    }
                    player.healthy(script).unwrap();
                    player
                };
                let mut lived = cut();
                if !lived.up {
                    continue;
                }
                let before = lived.shelf.cursors.clone();
                lived.cut();
                assert_eq!(lived.shelf.cursors, before, "{}: a cut is no reason to forget", script.name);
                let mut died = cut();
                died.cut();
                died.restart(script);
                for (player, how) in [(&mut lived, "went on"), (&mut died, "was started anew")] {
                    if let Err(why) = player.reopen(script) {
                        panic!(
                            "{}: cut behind line {}: the daemon {how}: {why}",
                            script.name,
                            script.lines[end - 1].number
                        );
                    }
                }
                let (lived, died) = (lived.opening, died.opening);
                assert_eq!(lived, died, "{}: cut behind line {}", script.name, script.lines[end - 1].number);
            }
        }
    }
}

/// Nothing that anyone gets to see, or that a programmer prints, holds the credential or a kept name.
#[test]
fn no_credential_is_shown_anywhere() {
    for subject in played() {
        for script in &subject.scripts {
            let dialect = subject.dialect(script);
            let uses_token = dialect.traits().uses_token;
            let mut player = Player::new(dialect, script, Shelf::default());
            let mut secrets: Vec<String> = script.token().map(str::to_owned).into_iter().collect();
            if uses_token {
                assert!(
                    secrets.iter().any(|token| token.contains("secret")),
                    "{}: let `set` give a token that can be looked for: one with \"secret\" in it",
                    script.name
                );
            }
            let (mut keeps, mut told) = (false, false);
            for line in &script.lines {
                player.play(line);
                let kept = player.shelf.kept.values().map(|value| value.trim_matches('"').to_owned());
                let telling: Vec<String> = kept.filter(|value| value.contains("secret")).collect();
                keeps |= !player.shelf.kept.is_empty();
                told |= !telling.is_empty();
                secrets.extend(telling);
            }
            assert!(told || !keeps, "{}: let a kept value have \"secret\" in it", script.name);
            let mut shown = player.told.clone();
            shown.extend(player.shelf.told.iter().cloned());
            shown.extend(player.spy.look(|seen| std::mem::take(&mut seen.shown)));
            shown.push(format!("{:?}", player.session));
            shown.extend(player.shelf.messages.values().filter_map(|message| message.reason.clone()));
            for secret in &secrets {
                let seen = shown.iter().find(|text| text.contains(secret.as_str()));
                assert!(seen.is_none(), "{}: {secret} is shown in {seen:?}", script.name);
            }
        }
    }
}
