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
    for (unit, command, reload) in [
        (
            "systemd/holdline.service",
            "ExecStart=%h/.cargo/bin/holdline run",
            "ExecReload=%h/.cargo/bin/holdline --timeout 30s ctl reload",
        ),
        (
            "systemd/holdline@.service",
            "ExecStart=%h/.cargo/bin/holdline run --profile %i",
            "ExecReload=%h/.cargo/bin/holdline --profile %i --timeout 30s ctl reload",
        ),
    ] {
        let settings = settings(unit);
        for line in [
            command,
            reload,
            "Type=notify",
            "WatchdogSec=30",
            "Restart=on-failure",
            "RestartPreventExitStatus=75 77 78",
            "StartLimitBurst=5",
            "TimeoutStopSec=10",
            "NoNewPrivileges=yes",
            "WantedBy=default.target",
        ] {
            assert!(settings.iter().any(|it| it == line), "{unit} lacks {line}");
        }
        // These break or mislead in a user's manager; what needs a view of its own is in the drop-in.
        for never in [
            "StateDirectory",
            "RuntimeDirectory",
            "PrivateUsers",
            "DynamicUser",
            "PrivateDevices",
            "LoadCredential",
        ] {
            assert!(!settings.iter().any(|it| it.starts_with(never)), "{unit} has {never}");
        }
    }
}

#[test]
fn the_drop_in_makes_a_view_first_and_takes_nothing_from_below_the_socket() {
    let settings = settings("systemd/hardened.conf");
    assert!(settings.iter().any(|it| it == "PrivateUsers=yes"));
    for never in ["StateDirectory", "RuntimeDirectory", "DynamicUser", "ExecStart=", "LoadCredential"] {
        assert!(!settings.iter().any(|it| it.starts_with(never)), "{never}");
    }
}

#[test]
fn the_two_units_differ_only_in_the_profile() {
    let (one, each) = (settings("systemd/holdline.service"), settings("systemd/holdline@.service"));
    let differing = one.iter().zip(&each).filter(|(a, b)| a != b).count();
    assert_eq!((one.len(), differing), (each.len(), 3), "description and the two commands");
    let (one, each) = (settings("systemd/holdline.socket"), settings("systemd/holdline@.socket"));
    let differing = one.iter().zip(&each).filter(|(a, b)| a != b).count();
    assert_eq!((one.len(), differing), (each.len(), 2), "description and path");
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
