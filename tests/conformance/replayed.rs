//! `dialect check` and `dialect replay`: no dialect has anything wrong with it, and every recorded
//! session, also those of other clients, comes out as it was recorded. Dialects in code have nothing to check.

use std::fs;

use holdline::dialect::declarative::{Replay, check};
use holdline::dialect::replay;

use crate::folders::{Subject, subjects};

fn play(subject: &Subject, recording: &str, name: &str) -> Replay {
    replay(&subject.reference, &subject.folder, (recording, name), false).unwrap_or_else(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", problems.join("\n"))
    })
}

#[test]
fn every_dialect_has_nothing_wrong_with_it() {
    for subject in subjects() {
        let Some(text) = subject.text() else { continue };
        let problems: Vec<String> =
            check(&text, &subject.name).into_iter().map(|problem| problem.to_string()).collect();
        assert_eq!(problems, [""; 0]);
    }
}

#[test]
fn every_recorded_session_comes_out_as_recorded() {
    let mut sessions = 0;
    for subject in subjects() {
        for file in &subject.transcripts {
            let recording = fs::read_to_string(file).unwrap();
            let name = file.display().to_string();
            let replay = play(&subject, &recording, &name);
            let wrong: Vec<_> = replay.lines.iter().filter(|line| !line.mismatches.is_empty()).collect();
            assert!(wrong.is_empty(), "{name}: {wrong:#?}");
            assert_eq!(replay.mismatches, 0);
            sessions += 1;
        }
    }
    assert!(sessions >= 13, "only {sessions} sessions were found");
}

/// A recording proves something only if another one would not do as well: with any one of its
/// frames of ours taken away, something is missing.
#[test]
fn a_recording_that_lacks_one_of_our_frames_does_not_pass() {
    for subject in subjects() {
        for file in &subject.transcripts {
            let recording = fs::read_to_string(file).unwrap();
            let lines: Vec<&str> = recording.lines().collect();
            for (index, line) in lines.iter().enumerate() {
                // Heartbeats are due at any time, so nobody misses one.
                if !line.contains("\"dir\":\"out\"") || line.contains("ping") || line.contains("heartbeat") {
                    continue;
                }
                let fewer: Vec<&str> =
                    lines.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, line)| *line).collect();
                let name = file.display().to_string();
                let replay = play(&subject, &fewer.join("\n"), &name);
                assert!(replay.mismatches > 0, "{name} passes without line {}", index + 1);
            }
        }
    }
}

/// What is printed of a replay, also of one that fails, holds neither the credential nor a kept name.
#[test]
fn a_replay_shows_no_credential() {
    for subject in subjects() {
        for script in &subject.scripts {
            let Some(token) = script.token() else { continue };
            let recording = fs::read_to_string(&script.name).unwrap();
            // Also where nothing fits: each frame of ours is told then.
            let silent: Vec<&str> =
                recording.lines().filter(|line| !line.contains("\"dir\":\"out\"")).collect();
            for recording in [recording.as_str(), &silent.join("\n")] {
                let shown = serde_json::to_string(&play(&subject, recording, &script.name)).unwrap();
                assert!(!shown.contains(token), "{}: {shown}", script.name);
            }
        }
    }
}
