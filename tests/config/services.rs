//! The files for service managers.

#![expect(clippy::print_stderr, reason = "what was left out is told to who runs the tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(shipped(name)).expect("the file is shipped")
}

/// Settings of the unit, without comments.
fn settings(unit: &str) -> Vec<String> {
    let text = text(unit);
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_units_start_again_after_a_failure_that_a_start_can_heal() {
    for (unit, command) in [
        ("systemd/holdline.service", "ExecStart=%h/.cargo/bin/holdline run"),
        ("systemd/holdline@.service", "ExecStart=%h/.cargo/bin/holdline run --profile %i"),
    ] {
        let settings = settings(unit);
        for line in [
            command,
            "Type=notify",
            "Restart=on-failure",
            "RestartPreventExitStatus=75 77 78",
            "ExecReload=/bin/kill -HUP $MAINPID",
            "TimeoutStopSec=10",
            "NoNewPrivileges=yes",
            "WantedBy=default.target",
        ] {
            assert!(settings.iter().any(|it| it == line), "{unit} lacks {line}");
        }
        // Nothing keeps a watchdog fed, and these break or mislead in a user's manager.
        for never in [
            "WatchdogSec",
            "StateDirectory",
            "RuntimeDirectory",
            "PrivateUsers",
            "DynamicUser",
            "PrivateDevices",
        ] {
            assert!(!settings.iter().any(|it| it.starts_with(never)), "{unit} has {never}");
        }
    }
}

#[test]
fn the_two_units_differ_only_in_the_profile() {
    let (one, each) = (settings("systemd/holdline.service"), settings("systemd/holdline@.service"));
    let differing = one.iter().zip(&each).filter(|(a, b)| a != b).count();
    assert_eq!((one.len(), differing), (each.len(), 2), "description and command");
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_accepts_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("left out: no systemd-analyze here");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for unit in ["holdline.service", "holdline@.service"] {
        // The program stands elsewhere here.
        let text = text(&format!("systemd/{unit}"))
            .replace("%h/.cargo/bin/holdline", env!("CARGO_BIN_EXE_holdline"));
        let path = folder.path().join(unit.replace('@', "@work"));
        std::fs::write(&path, text).expect("written");
        let checked = Command::new("systemd-analyze")
            .args(["verify", "--user", "--man=no"])
            .arg(&path)
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("HOME", folder.path())
            .output()
            .expect("systemd-analyze runs");
        let said = String::from_utf8_lossy(&checked.stderr);
        // It may lack units of its own here; what it says of ours counts.
        let ours: Vec<_> = said.lines().filter(|line| line.contains("holdline")).collect();
        assert!(ours.is_empty(), "{unit}: {said}");
    }
}

#[test]
fn the_agent_for_macos_is_a_property_list_that_starts_the_daemon() {
    let text = text("launchd/holdline.plist");
    assert!(text.contains("<string>run</string>"));
    let script = "import plistlib, sys; p = plistlib.load(open(sys.argv[1], 'rb')); \
        print(p['Label'], p['ProgramArguments'][1], p['KeepAlive'], p['Umask'] == 0o077, p['StandardErrorPath'][0])";
    let Ok(read) =
        Command::new("python3").args(["-c", script]).arg(shipped("launchd/holdline.plist")).output()
    else {
        eprintln!("left out: no python3 here");
        return;
    };
    assert_eq!(
        String::from_utf8_lossy(&read.stdout).trim(),
        "org.holdline.agent run {'SuccessfulExit': False} True /",
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
}
