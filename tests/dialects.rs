//! Every dialect under `tests/fixtures/dialect` is sound, and its recorded sessions come out as
//! they were recorded. A folder without a `dialect.toml` is about the built-in of its name.

use std::fs;
use std::path::{Path, PathBuf};

use holdline::dialect::builtin;
use holdline::dialect::declarative::{check, replay};

fn folders() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dialect");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(all).expect("fixtures").map(|entry| entry.expect("a folder").path()).collect();
    folders.sort();
    folders
}

fn dialect(folder: &Path) -> String {
    fs::read_to_string(folder.join("dialect.toml")).unwrap_or_else(|_| {
        let name = folder.file_name().expect("a name").to_string_lossy();
        builtin::find(&name)
            .unwrap_or_else(|| panic!("{name} has no dialect.toml and is not built in"))
            .text
            .to_owned()
    })
}

fn transcripts(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files
}

#[test]
fn every_dialect_has_nothing_wrong_with_it() {
    for folder in folders() {
        let problems: Vec<String> = check(&dialect(&folder), &folder.display().to_string())
            .into_iter()
            .filter(holdline::dialect::Problem::is_error)
            .map(|problem| problem.to_string())
            .collect();
        assert_eq!(problems, [""; 0]);
    }
}

#[test]
fn every_recorded_session_comes_out_as_recorded() {
    let mut sessions = 0;
    for folder in folders() {
        let text = dialect(&folder);
        for file in transcripts(&folder) {
            let recording = fs::read_to_string(&file).expect("a transcript");
            let name = file.display().to_string();
            let replay =
                replay((&text, "dialect.toml"), (&recording, &name), false).expect("a sound transcript");
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
    for folder in folders() {
        let text = dialect(&folder);
        for file in transcripts(&folder) {
            let recording = fs::read_to_string(&file).expect("a transcript");
            let lines: Vec<&str> = recording.lines().collect();
            for (index, line) in lines.iter().enumerate() {
                // Heartbeats are due at any time, so nobody misses one.
                if !line.contains("\"dir\":\"out\"") || line.contains("ping") || line.contains("heartbeat") {
                    continue;
                }
                let fewer: Vec<&str> =
                    lines.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, line)| *line).collect();
                let name = file.display().to_string();
                let replay =
                    replay((&text, "dialect.toml"), (&fewer.join("\n"), &name), false).expect("a transcript");
                assert!(replay.mismatches > 0, "{name} passes without line {}", index + 1);
            }
        }
    }
}
