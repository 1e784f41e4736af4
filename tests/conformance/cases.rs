//! The nine cases: each is shown by lines of a transcript that really show it, or there is a reason
//! why it does not exist for this server, and nothing in the dialect says otherwise.

use std::sync::Arc;

use holdline::dialect::Given;
use holdline::model::{LinkState, MessageId, MessageState, NewRow, Payload};

use crate::folders::{Subject, played};
use crate::player::Player;
use crate::script::{Case, Script, Step};
use crate::shelf::Shelf;

#[test]
fn every_dialect_shows_all_nine_cases_or_says_why_it_cannot() {
    for subject in played() {
        for case in Case::ALL {
            let (shown, reason) = (subject.showing(case), subject.cannot.get(&case));
            let name = &subject.name;
            assert!(
                shown.is_some() || reason.is_some(),
                "{name}: no transcript shows `{}`; mark the lines that do with `# case: {0}`, or write `# cannot {0}: why`",
                case.name()
            );
            assert!(
                shown.is_none() || reason.is_none(),
                "{name}: `{}` is shown, and there is a reason why it cannot be",
                case.name()
            );
        }
        for (case, reason) in &subject.cannot {
            assert!(
                !can(&subject, *case),
                "{}: the dialect can do `{}` after all, whatever is said ({reason})",
                subject.name,
                case.name()
            );
        }
    }
}

/// Whether the dialect itself says that it does such a thing.
fn can(subject: &Subject, case: Case) -> bool {
    let script = subject.showing(Case::Start).expect("every dialect can begin");
    let dialect = subject.dialect(script);
    let object = Payload::Json("{}".into());
    let pulse = dialect.converse(Given::default(), 1).pulse();
    match case {
        Case::Start | Case::Event | Case::Garbage => true,
        Case::Refusal => dialect.traits().uses_token,
        Case::Send => dialect.check("message", &object).is_ok(),
        Case::Confirm => dialect.answers("message", &object),
        Case::Reject => subject.text().is_some_and(|text| text.contains("as = \"rejected\"")),
        Case::Heartbeat => pulse.message,
        Case::Resume => dialect.traits().resumes,
    }
}

#[test]
fn every_case_comes_out_as_recorded_and_shows_what_it_says() {
    let mut failures = Vec::new();
    for subject in played() {
        for script in &subject.scripts {
            let mut player = Player::new(subject.dialect(script), script, Shelf::default());
            let mut shown = Shown::default();
            let mut case = None;
            for line in &script.lines {
                if line.case != case {
                    if let Some(before) = case {
                        failures.extend(shown.lacks(before).map(|what| format!("{}: {what}", script.name)));
                    }
                    (case, shown) = (line.case, Shown::default());
                }
                let before = player.faults.len();
                player.play(line);
                shown.note(&player, &line.step, player.faults.len() == before);
            }
            if let Some(last) = case {
                failures.extend(shown.lacks(last).map(|what| format!("{}: {what}", script.name)));
            }
            failures.extend(player.faults.iter().map(|fault| format!("{}: {fault}", script.name)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What the lines of a case have shown so far.
#[derive(Debug, Default)]
struct Shown {
    opened: usize,
    connected: bool,
    unauthorized: bool,
    event: bool,
    handed_in: usize,
    /// Messages that nobody answered yet, but for those put off, also of cases before.
    unanswered: usize,
    sent: bool,
    accepted: bool,
    rejected: bool,
    /// A frame of the server came last.
    heard: bool,
    beat: bool,
    garbage: bool,
}

impl Shown {
    fn note(&mut self, player: &Player, step: &Step, fits: bool) {
        if !fits {
            return;
        }
        let state = player.session.link_state();
        self.connected |= state == LinkState::Connected;
        self.unauthorized |= state == LinkState::Unauthorized;
        match step {
            Step::Open { .. } => self.opened += 1,
            Step::In(_) => self.heard = true,
            Step::Send { .. } => self.handed_in += 1,
            // Where no message was handed in, it is the answer to what came.
            Step::Out(_) => {
                self.sent |= self.handed_in > 0;
                self.beat |= self.heard && self.handed_in == 0;
            }
            Step::Expect(expected) => match expected.get("as").and_then(|to| to.as_str()) {
                // Type and content of one at least are held against what came.
                Some("event") if expected.contains_key("type") => {
                    self.event |= expected.contains_key("data");
                    self.garbage |= expected["type"] == "binary" || expected["type"] == "text";
                }
                Some("ping" | "pong") => self.beat = true,
                Some("unrecognised" | "quarantine") => self.garbage = true,
                _ => {}
            },
            _ => {}
        }
        self.unanswered = player.shelf.open().len().saturating_sub(player.put_off());
        self.accepted |= ended(player, MessageState::Accepted);
        self.rejected |= ended(player, MessageState::Rejected);
    }

    fn lacks(&self, case: Case) -> Option<String> {
        let (holds, what) = match case {
            Case::Start => (self.opened > 0 && self.connected, "a connection that came to `connected`"),
            Case::Refusal => (self.unauthorized, "a sign-in that ended in `unauthorized`"),
            Case::Event => (self.event, "an event with its type and data"),
            Case::Send => (self.sent, "a message and its frame"),
            Case::Confirm | Case::Reject if self.unanswered > 0 => {
                (false, "the end of every message before it: an answer was taken for none, or is missing")
            }
            Case::Confirm => (self.accepted, "a message that ended as accepted"),
            Case::Reject => (self.rejected, "a message that ended as rejected"),
            Case::Heartbeat => (self.beat, "a ping or a pong"),
            Case::Resume => (self.opened > 0 && self.connected, "a second connection"),
            Case::Garbage => {
                (self.garbage && self.connected, "a frame that fits nothing, and the session going on")
            }
        };
        (!holds).then(|| format!("`# case: {}` does not show {what}", case.name()))
    }
}

fn ended(player: &Player, state: MessageState) -> bool {
    player.shelf.messages.values().any(|message| message.state == state)
}

/// The very transcript of a resume, played by a daemon that forgets cursors and kept names whenever
/// a connection ends: were it to pass, it would show nothing.
#[test]
fn a_resume_is_one_only_because_of_what_is_on_disk() {
    for subject in played() {
        let Some(script) = subject.showing(Case::Resume) else { continue };
        let mut player = Player::new(subject.dialect(script), script, Shelf::default());
        for line in &script.lines {
            if let Step::Open { .. } = line.step
                && !player.up
            {
                player.shelf.cursors.clear();
                player.shelf.kept.clear();
                if line.case == Some(Case::Resume) {
                    player.restart(script);
                }
            }
            player.play(line);
        }
        assert!(!player.faults.is_empty(), "{} passes without anything remembered", script.name);
    }
}

/// A server that has no past to send leaves a gap for apps to see; one that resumes leaves none.
#[test]
fn what_cannot_be_resumed_is_told_as_a_gap() {
    for subject in played() {
        let script = subject.showing(Case::Start).unwrap();
        let dialect = subject.dialect(script);
        let resumes = dialect.traits().resumes;
        let mut player = Player::new(dialect, script, Shelf::default());
        for round in 0..2 {
            if let Err(why) = player.reopen(script) {
                panic!("{}: {why}", subject.name);
            }
            // From here the server can go on, if it can.
            let shown = script.of(Case::Event).filter(|_| round == 0).unwrap_or_default();
            for line in &script.lines[shown] {
                if let Step::In(frame) = &line.step {
                    player.frame(frame.clone());
                }
            }
            let gaps = player.shelf.rows.iter().filter(|row| matches!(row, NewRow::Gap { .. })).count();
            let wanted = usize::from(round > 0 && !resumes);
            assert_eq!(gaps, wanted, "{}: gaps on connection {}", subject.name, round + 1);
            player.cut();
        }
    }
}

/// A refused sign-in waits for another credential, without trying on and on, and goes on with it.
#[test]
fn a_refused_sign_in_waits_for_another_credential_and_goes_on_with_it() {
    use holdline::session::Input;
    use std::time::Duration;

    for subject in played() {
        let Some(script) = subject.showing(Case::Refusal) else { continue };
        let start = subject.showing(Case::Start).unwrap();
        let mut player = Player::new(subject.dialect(script), script, Shelf::default());
        let until = refused_at(script);
        for line in &script.lines[..=until] {
            player.play(line);
        }
        player.healthy(script).unwrap();
        assert_eq!(player.session.link_state(), LinkState::Unauthorized, "{}", script.name);
        assert!(!player.up, "{}: a refused session is ended", script.name);
        // A second look with a fresh credential, and then slowly, in case it was the server's fault.
        let before = player.dials;
        player.wait(Duration::from_secs(600));
        assert!(player.dials <= before + 1, "{}: it dials on and on", script.name);
        if player.dialling {
            player.dialling = false;
            let refused = holdline::model::Failure::Refused {
                status: 401,
                retry_after: None,
                detail: String::new(),
                ruled: None,
            };
            player.input(Input::LinkDown(refused));
        }
        player.input(Input::CredentialChanged);
        assert!(player.dialling, "{}: another credential is tried at once", script.name);
        if let Err(why) = player.reopen(start) {
            panic!("{}: {why}", script.name);
        }
    }
}

/// The line that says that the sign-in was refused.
fn refused_at(script: &Script) -> usize {
    let lines = script.of(Case::Refusal).unwrap();
    let says = |at: &usize| match &script.lines[*at].step {
        Step::Expect(expected) => expected.get("state").is_some_and(|state| state == "unauthorized"),
        _ => false,
    };
    let found = lines.clone().find(says);
    found.unwrap_or_else(|| panic!("{}: no line expects `unauthorized`", script.name))
}

/// Messages that nobody confirmed when the connection was cut go out anew on the next one, with the
/// same id and in the same order, also after the daemon itself died.
#[test]
fn a_message_that_was_cut_off_goes_out_again_with_the_same_id() {
    for subject in played() {
        let Some(script) = subject.showing(Case::Send) else { continue };
        for dies in [false, true] {
            let dialect = subject.dialect(script);
            let mut player = Player::new(Arc::clone(&dialect), script, Shelf::default());
            // No pong: it would be a receipt.
            player.echoes = false;
            let end = script.of(Case::Send).unwrap().end;
            for line in &script.lines[..end] {
                player.play(line);
            }
            player.healthy(script).unwrap();
            let open = player.shelf.open();
            assert!(!open.is_empty(), "{}: nothing was on the wire", script.name);
            let first = player.spy.look(|seen| std::mem::take(&mut seen.encoded));
            player.cut();
            if dies {
                player.restart(script);
            }
            if let Err(why) = player.reopen(script) {
                panic!("{}: {why}", script.name);
            }
            let again = player.spy.look(|seen| std::mem::take(&mut seen.encoded));
            let of =
                |all: &[(String, _, _)]| -> Vec<String> { all.iter().map(|(id, ..)| id.clone()).collect() };
            let wanted: Vec<String> = open.iter().map(|id: &MessageId| id.as_str().to_owned()).collect();
            // After a death in the middle of things they go out one by one at first.
            let again_ids = of(&again);
            let begins = !again_ids.is_empty() && wanted.starts_with(&again_ids);
            assert!(begins, "{}: {again_ids:?} were sent again, not {wanted:?}", script.name);
            for (id, frame, reference) in &again {
                let before = first.iter().find(|(other, ..)| other == id).unwrap();
                let (ours, theirs) = (format!("{frame:?}"), format!("{:?}", before.1));
                assert_eq!(ours.contains(id.as_str()), theirs.contains(id.as_str()), "{}: {id}", script.name);
                assert_eq!(reference.is_some(), before.2.is_some(), "{}: {id}", script.name);
            }
        }
    }
}
