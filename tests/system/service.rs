//! `holdline service` at home: a real `systemd --user`, and what a person reads.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::server::ScriptedServer;
use crate::support::until_blocking;
use crate::support::user_manager::{self, HOME, UID, UserManager};

const UNIT: &str = ".config/systemd/user/holdline.service";

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Said {
    /// Which must have exited with `code`, and gives everything it said.
    #[track_caller]
    fn exits(&self, code: i32) -> String {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, Some(code), "{all}");
        all
    }
}

fn service(manager: &UserManager, arguments: &[&str]) -> Said {
    let program = format!("{HOME}/.cargo/bin/holdline");
    manager.command(&program, &["service"]).args(arguments).output().unwrap().into()
}

fn status(manager: &UserManager, more: &[&str]) -> Value {
    let said = service(manager, &[&["status", "--json"], more].concat());
    serde_json::from_str(&said.out).unwrap_or_else(|fault| panic!("{fault}: {}{}", said.out, said.err))
}

fn configure(manager: &UserManager, profile: &str, url: &str) {
    manager.write(&format!(".config/holdline/{profile}.toml"), format!("[server]\nurl = \"{url}\"\n"));
}

/// A server that nobody answers at, where it does not matter.
const NOBODY: &str = "ws://127.0.0.1:9/";

/// Everything below `folder`: what it is, and when it was changed.
fn tree(folder: &Path) -> BTreeMap<String, (u32, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            found.insert(path.display().to_string(), (meta.mode(), meta.mtime(), meta.mtime_nsec(), content));
            if meta.is_dir() {
                waiting.push(path);
            }
        }
    }
    assert!(!found.is_empty());
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_installed_used_and_taken_away() {
    if !user_manager::works() {
        return;
    }
    let server = ScriptedServer::start().await;
    let manager = UserManager::start();
    configure(&manager, "config", &server.url());

    let before = tree(&manager.home(""));
    assert!(service(&manager, &["status"]).exits(8).contains("holdline service install"));
    let told = service(&manager, &["install", "--dry-run"]).exits(0);
    for line in [
        "would write   ~/.config/systemd/user/holdline.service",
        "would run     systemctl --user enable --now holdline.service",
        "Nothing was changed",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    service(&manager, &["uninstall", "--dry-run"]).exits(0);
    assert_eq!(tree(&manager.home("")), before, "a dry run writes nothing");

    let told = service(&manager, &["install"]).exits(0);
    for line in [
        "✔ wrote     ~/.config/systemd/user/holdline.service\n",
        "✔ ran       systemctl --user daemon-reload\n",
        "✔ ran       systemctl --user enable --now holdline.service\n",
        "● holdline runs as a service, and starts when you log in.",
        "journalctl --user -u holdline -f",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let _peer = server.accept().await;
    assert_eq!(manager.property("holdline", "ActiveState"), "active");
    assert_eq!(manager.property("holdline", "UnitFileState"), "enabled");
    let pid = manager.property("holdline", "MainPID");
    // What a person typed is on disk before it is taken away, and stays there.
    manager.ctl_json(&["send", "chat", "\"kept\"", "--id", "m1"]);

    let told = service(&manager, &["status"]).exits(0);
    assert!(told.starts_with("● holdline runs as a service since "), "{told}");
    assert!(
        told.contains("~/.cargo/bin/holdline (pid ") && told.contains("holdline.service, as installed"),
        "{told}"
    );
    let report = status(&manager, &[]);
    assert_eq!(report["installed"], true);
    assert_eq!(report["enabled"], true);
    assert_eq!(report["state"], "running");
    assert_eq!(report["pid"].to_string(), pid);
    assert_eq!(report["program"], format!("{HOME}/.cargo/bin/holdline"));
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert!(report["link"].is_string(), "{report}");
    assert!(report["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{report}");

    let before = tree(&manager.home(".config"));
    for arguments in [
        &["install"][..],
        &["start"],
        &["stop", "--dry-run"],
        &["uninstall", "--dry-run"],
        &["install", "--force"],
    ] {
        service(&manager, arguments).exits(0);
    }
    assert!(service(&manager, &["install"]).exits(0).contains("Already so: "));
    assert_eq!(tree(&manager.home(".config")), before, "nothing is done twice");
    assert_eq!(manager.property("holdline", "MainPID"), pid, "and the daemon was left alone");

    service(&manager, &["stop"]).exits(0);
    assert!(service(&manager, &["status"]).exits(3).contains("holdline service start"));
    assert!(service(&manager, &["stop"]).exits(0).contains("Already so: "));
    assert_eq!(manager.property("holdline", "UnitFileState"), "enabled");
    service(&manager, &["start"]).exits(0);
    assert_eq!(status(&manager, &[])["state"], "running");

    let told = service(&manager, &["uninstall"]).exits(0);
    assert!(told.contains("✔ removed   ~/.config/systemd/user/holdline.service\n"), "{told}");
    assert!(
        told.contains("Stays       ~/.config/holdline/config.toml, ~/.local/state/holdline/default.db"),
        "{told}"
    );
    assert_eq!(manager.property("holdline", "LoadState"), "not-found");
    assert!(!manager.home(UNIT).exists());
    assert!(!manager.home(".config/systemd/user/default.target.wants/holdline.service").is_symlink());
    assert!(manager.home(".config/holdline/config.toml").exists());
    service(&manager, &["status"]).exits(8);
    service(&manager, &["start"]).exits(8);
    assert!(service(&manager, &["uninstall"]).exits(0).contains("not installed"));

    service(&manager, &["install"]).exits(0);
    assert_eq!(manager.ctl_json(&["messages", "show", "m1"])["id"], "m1", "what was queued is still there");
}

#[test]
fn what_somebody_else_wrote_or_changed_is_left_alone() {
    if !user_manager::works() {
        return;
    }
    let manager = UserManager::start();
    configure(&manager, "config", NOBODY);
    service(&manager, &["install"]).exits(0);
    let ours = fs::read_to_string(manager.home(UNIT)).unwrap();
    let edited = format!("{ours}\n[Service]\nEnvironment=HOLDLINE_LOG=debug\n");
    for theirs in [edited.as_str(), "[Service]\nExecStart=/bin/true\n"] {
        manager.write(UNIT, theirs);
        for verb in ["install", "uninstall"] {
            let told = service(&manager, &[verb]).exits(6);
            assert!(
                told.contains("~/.config/systemd/user/holdline.service: ") && told.contains("--force"),
                "{told}"
            );
            assert_eq!(fs::read_to_string(manager.home(UNIT)).unwrap(), theirs);
            assert_eq!(manager.property("holdline", "ActiveState"), "active", "and it goes on");
        }
    }
    let told = service(&manager, &["install", "--force"]).exits(0);
    assert!(told.contains("✔ kept      ~/.config/systemd/user/holdline.service as ~/.config/systemd/user/holdline.service.old"), "{told}");
    assert_eq!(fs::read_to_string(manager.home(UNIT)).unwrap(), ours);
    assert_eq!(
        fs::read_to_string(manager.home(&format!("{UNIT}.old"))).unwrap(),
        "[Service]\nExecStart=/bin/true\n"
    );

    // Of another program: ours, and out of date.
    let moved = manager.home("tools");
    fs::create_dir(&moved).unwrap();
    fs::copy(crate::support::daemon::program(), moved.join("holdline")).unwrap();
    let told: Said =
        manager.command(&format!("{HOME}/tools/holdline"), &["service", "install"]).output().unwrap().into();
    let told = told.exits(0);
    assert!(
        told.contains("✔ renewed   ~/.config") && told.contains("systemctl --user restart holdline.service"),
        "{told}"
    );
    assert!(service(&manager, &["status"]).exits(0).contains("which is not this one"));
    manager.systemctl_ok(&["restart", "holdline"]);
    let pid = manager.property("holdline", "MainPID");
    let runs = manager.as_root("readlink", &[&format!("/proc/{pid}/exe")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&runs.stdout).trim(), format!("{HOME}/tools/holdline"));

    service(&manager, &["uninstall"]).exits(0);
    // A forbidden unit is a link.
    manager.systemctl_ok(&["mask", "holdline.service"]);
    assert!(service(&manager, &["install"]).exits(6).contains("systemctl --user unmask"));
}

#[test]
fn profiles_are_services_of_their_own_by_one_file() {
    if !user_manager::works() {
        return;
    }
    let manager = UserManager::start();
    for profile in ["config", "work", "my-home.2"] {
        configure(&manager, profile, NOBODY);
    }
    let template = manager.home(".config/systemd/user/holdline@.service");
    service(&manager, &["install"]).exits(0);
    service(&manager, &["install", "--profile", "work"]).exits(0);
    service(&manager, &["install", "--profile", "my-home.2"]).exits(0);
    for (unit, profile) in
        [("holdline", "default"), ("holdline@work", "work"), ("holdline@my-home.2", "my-home.2")]
    {
        assert_eq!(manager.property(unit, "ActiveState"), "active");
        assert_eq!(status(&manager, &["--profile", profile])["service"], format!("{unit}.service"));
        assert_eq!(manager.ctl_json(&["status", "--profile", profile])["daemon"]["profile"], profile);
    }
    let told = service(&manager, &["uninstall", "--profile", "work"]).exits(0);
    assert!(told.contains("holdline@.service, for holdline@my-home.2.service"), "{told}");
    assert!(template.exists());
    assert_eq!(status(&manager, &["--profile", "work"])["state"], "stopped");
    assert_eq!(status(&manager, &["--profile", "my-home.2"])["state"], "running");
    service(&manager, &["uninstall", "--profile", "my-home.2"]).exits(0);
    assert!(!template.exists());
    assert_eq!(status(&manager, &[])["state"], "running", "and the first goes on");
}

#[test]
fn a_program_with_an_awkward_path_is_started() {
    if !user_manager::works() {
        return;
    }
    let manager = UserManager::start();
    configure(&manager, "config", NOBODY);
    let folder = "a b & 50%h/<é> $HOME; #x";
    fs::create_dir_all(manager.home(folder)).unwrap();
    fs::copy(crate::support::daemon::program(), manager.home(folder).join("holdline")).unwrap();
    let program = format!("{HOME}/{folder}/holdline");
    let said: Said = manager.command(&program, &["service", "install"]).output().unwrap().into();
    said.exits(0);
    let pid = manager.property("holdline", "MainPID");
    let runs = manager.as_root("readlink", &[&format!("/proc/{pid}/exe")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&runs.stdout).trim(), program);
    assert_eq!(status(&manager, &[])["program"], program);
    let verified = manager.systemctl(&["cat", "holdline"]);
    assert!(verified.status.success());
    for name in ["it's", "\"quoted\"", "back\\slash"] {
        fs::rename(manager.home(folder), manager.home("moving")).unwrap();
        fs::create_dir_all(manager.home(folder).parent().unwrap()).unwrap();
        fs::rename(manager.home("moving"), manager.home(name)).unwrap();
        let program = format!("{HOME}/{name}/holdline");
        let said: Said = manager.command(&program, &["service", "install"]).output().unwrap().into();
        assert!(said.exits(6).contains("quotes or backslashes"));
        fs::rename(manager.home(name), manager.home(folder)).unwrap();
    }
}

#[test]
fn where_it_may_not_write_it_says_which_path_and_what_to_do() {
    if !user_manager::works() {
        return;
    }
    let manager = UserManager::start();
    configure(&manager, "config", NOBODY);
    let folder = manager.home(".config/systemd");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(UID), Some(UID)).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let told = service(&manager, &["install"]).exits(6);
    assert!(
        told.contains("cannot make the folder ~/.config/systemd/user") && told.contains("ls -ld"),
        "{told}"
    );
    // As after `sudo` with the home of somebody else.
    chown(&folder, Some(0), Some(0)).unwrap();
    let told = service(&manager, &["install", "--force"]).exits(6);
    assert!(
        told.contains("cannot see what ~/.config/systemd/user/holdline.service is")
            && told.contains("ls -ld"),
        "{told}"
    );
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let told = service(&manager, &["install"]).exits(6);
    assert!(told.contains("~/.config/systemd belongs to another user") && told.contains("chown"), "{told}");
    chown(&folder, Some(UID), Some(UID)).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let inside = format!("{HOME}/.config/systemd");
    let mounted = manager
        .as_root("mount", &["-t", "tmpfs", "-o", &format!("ro,uid={UID}"), "none", &inside])
        .output()
        .unwrap();
    assert!(mounted.status.success());
    let told = service(&manager, &["install"]).exits(6);
    assert!(told.contains("on a disk that cannot be written") && told.contains("service print"), "{told}");
    assert!(manager.as_root("umount", &[&inside]).output().unwrap().status.success());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing half-made is left");
    service(&manager, &["install"]).exits(0);
}

#[test]
fn a_configuration_that_is_not_in_order_is_refused_and_one_that_breaks_is_told_of() {
    if !user_manager::works() {
        return;
    }
    let manager = UserManager::start();
    let told = service(&manager, &["install", "--profile", "work"]).exits(78);
    assert!(told.contains("holdline config init --profile work"), "{told}");
    manager.write(".config/holdline/config.toml", "[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconect]\n");
    let told = service(&manager, &["install"]).exits(78);
    assert!(told.contains("did you mean `reconnect`?") && told.contains("config.toml:3:2"), "{told}");
    assert!(!manager.home(".config/systemd").exists(), "nothing was installed");

    configure(&manager, "config", NOBODY);
    service(&manager, &["install"]).exits(0);
    service(&manager, &["stop"]).exits(0);
    manager.write(".config/holdline/config.toml", "[server]\nurl = 7\n");
    let told = service(&manager, &["start"]).exits(1);
    assert!(
        told.contains("`systemctl --user start holdline.service` ended with 1")
            && told.contains("holdline service status"),
        "{told}"
    );
    let told = service(&manager, &["status"]).exits(3);
    assert!(
        told.contains("✖") && told.contains("it ended with 78") && told.contains("holdline config check"),
        "{told}"
    );
    configure(&manager, "config", NOBODY);
    service(&manager, &["start"]).exits(0);
    assert_eq!(status(&manager, &[])["state"], "running");
}

#[test]
fn a_daemon_that_runs_outside_the_service_is_not_run_into() {
    if !user_manager::works() {
        return;
    }
    let manager = UserManager::start();
    configure(&manager, "config", NOBODY);
    let mut daemon = manager
        .command(&format!("{HOME}/.cargo/bin/holdline"), &["run"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until_blocking("the daemon to serve", || manager.ctl(&["status"]).status.success().then_some(()));
    let told = service(&manager, &["install"]).exits(4);
    assert!(told.contains("outside the service") && told.contains("holdline ctl stop"), "{told}");
    assert_eq!(manager.property("holdline", "UnitFileState"), "enabled");
    service(&manager, &["start"]).exits(4);
    assert_eq!(status(&manager, &[])["outside"], true);
    assert!(manager.ctl(&["stop"]).status.success());
    daemon.wait().unwrap();
    service(&manager, &["start"]).exits(0);
}

#[test]
fn a_service_manager_that_hangs_is_waited_for_no_longer_than_said() {
    let home = tempfile::tempdir().unwrap();
    let tools = home.path().join("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("systemctl"), "#!/bin/sh\nexec sleep 600\n").unwrap();
    fs::set_permissions(tools.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let mut command = Command::new(crate::support::daemon::program());
    command.env_clear().env("HOME", home.path()).env("PATH", path).env("XDG_RUNTIME_DIR", home.path());
    let said: Said = command.args(["--timeout", "200ms", "service", "start"]).output().unwrap().into();
    said.exits(8);
    fs::create_dir_all(home.path().join(".config/systemd/user")).unwrap();
    fs::write(home.path().join(UNIT), "").unwrap();
    let said: Said = command.output().unwrap().into();
    assert!(said.exits(3).contains("it did not answer in time"));
}

#[test]
fn without_a_service_manager_the_files_are_there_for_when_there_is_one() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(path, text).unwrap();
    };
    write(".config/holdline/config.toml", "[server]\nurl = \"ws://127.0.0.1:9/\"\n");
    let run = |arguments: &[&str]| -> Said {
        let mut command = Command::new(crate::support::daemon::program());
        command
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // A folder without a manager in it, whoever runs this.
        command.env("XDG_RUNTIME_DIR", home.path()).arg("service").args(arguments).output().unwrap().into()
    };
    let told = run(&["install"]).exits(3);
    assert!(told.contains("✔ wrote     ~/.config/systemd/user/holdline.service"), "{told}");
    assert!(told.contains("loginctl enable-linger") && told.contains("cannot be reached"), "{told}");
    assert!(home.path().join(UNIT).is_file());
    assert!(run(&["install"]).exits(3).contains("✔ as it is  ~/.config/systemd/user/holdline.service"));
    run(&["start"]).exits(3);
    run(&["stop"]).exits(3);
    assert!(run(&["status"]).exits(3).contains("cannot be told"));
    run(&["uninstall"]).exits(0);
    assert!(!home.path().join(UNIT).exists());
    assert!(run(&["--socket", "/x", "install"]).exits(2).contains("--socket"));
    let printed = run(&["print"]);
    printed.exits(0);
    assert!(
        printed.out.starts_with("# Installed by `holdline service install`, check ")
            && printed.out.contains("\nExecStart="),
        "{}",
        printed.out
    );
}

#[test]
fn the_socket_is_there_before_the_daemon_where_that_was_asked_for() {
    if !user_manager::works() {
        return;
    }
    let manager = UserManager::start();
    configure(&manager, "config", NOBODY);
    service(&manager, &["install"]).exits(0);
    let first = manager.property("holdline", "MainPID");
    // systemd makes no socket for a service that runs: it is stopped for it.
    let told = service(&manager, &["install", "--socket-activation"]).exits(0);
    assert!(told.contains("✔ wrote     ~/.config/systemd/user/holdline.socket"), "{told}");
    assert!(told.contains("enable --now holdline.socket holdline.service"), "{told}");
    assert_eq!(manager.property("holdline.socket", "ActiveState"), "active");
    assert_ne!(manager.property("holdline", "MainPID"), first);
    assert!(service(&manager, &["install", "--socket-activation"]).exits(0).contains("Already so: "));
    assert!(service(&manager, &["install"]).exits(0).contains("Already so: "), "it is not taken back");
    assert_eq!(status(&manager, &[])["socket_activation"], true);
    // An app that connects brings it back after an end that was asked for.
    assert!(manager.ctl(&["stop"]).status.success());
    manager.ctl_json(&["status"]);
    manager.wait_for_property("holdline", "ActiveState", |state| state == "active");
    // A stopped service is not brought back by whoever looks.
    service(&manager, &["stop"]).exits(0);
    assert_eq!(manager.ctl(&["status"]).status.code(), Some(3));
    assert_eq!(manager.property("holdline.socket", "ActiveState"), "inactive");
    service(&manager, &["start"]).exits(0);
    assert_eq!(manager.property("holdline.socket", "ActiveState"), "active");
    service(&manager, &["uninstall"]).exits(0);
    for kind in ["service", "socket"] {
        assert_eq!(manager.property(&format!("holdline.{kind}"), "LoadState"), "not-found");
        assert!(!manager.home(&format!(".config/systemd/user/holdline.{kind}")).exists());
    }
}

#[test]
fn the_stricter_rules_are_in_force_where_they_were_asked_for() {
    if !user_manager::works() {
        return;
    }
    let manager = UserManager::start();
    manager.write(
        ".config/holdline/config.toml",
        format!("[server]\nurl = \"{NOBODY}\"\n[store]\npath = \"{HOME}/my data/line.db\"\n"),
    );
    let told = service(&manager, &["install", "--hardened"]).exits(0);
    let drop_in = ".config/systemd/user/holdline.service.d/hardened.conf";
    assert!(told.contains(&format!("✔ wrote     ~/{drop_in}")), "{told}");
    assert_eq!(manager.property("holdline", "ProtectHome"), "read-only");
    assert_eq!(manager.property("holdline", "ActiveState"), "active");
    assert!(manager.home("my data/line.db").exists(), "the database is where it was asked for");
    assert!(service(&manager, &["install", "--hardened"]).exits(0).contains("Already so: "));
    manager.write(drop_in, "[Service]\nNice=5\n");
    assert!(service(&manager, &["uninstall"]).exits(6).contains("hardened.conf"));
    service(&manager, &["install", "--force"]).exits(0);
    service(&manager, &["uninstall"]).exits(0);
    // What was kept is not ours to remove.
    assert!(manager.home(&format!("{drop_in}.old")).exists() && !manager.home(drop_in).exists());
}

#[test]
fn a_unit_that_the_system_brings_is_used_and_stays() {
    if !user_manager::works() {
        return;
    }
    let shipped =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/holdline.service")).unwrap();
    let manager = UserManager::start_after("mount -t tmpfs -o mode=755 tmpfs /etc/systemd/user\n");
    let shared = manager.outside("/etc/systemd/user/holdline.service");
    fs::write(&shared, shipped.replace("%h", HOME)).unwrap();
    manager.systemctl_ok(&["daemon-reload"]);
    configure(&manager, "config", NOBODY);
    assert!(service(&manager, &["status"]).exits(3).contains("only when it is told to"));
    let told = service(&manager, &["install"]).exits(0);
    assert!(told.contains("✔ as it is  /etc/systemd/user/holdline.service"), "{told}");
    assert!(!manager.home(UNIT).exists(), "no other is written over it");
    // Which systemd may know by another way to the same folder.
    let used = manager.property("holdline", "FragmentPath");
    assert!(used.starts_with("/etc/") && used.ends_with("/systemd/user/holdline.service"), "{used}");
    assert_eq!(status(&manager, &[])["state"], "running");
    let told = service(&manager, &["uninstall"]).exits(0);
    assert!(told.contains("/etc/systemd/user/holdline.service, which came with the system"), "{told}");
    assert_eq!(manager.property("holdline", "UnitFileState"), "disabled");
    assert_eq!(manager.property("holdline", "ActiveState"), "inactive");
    assert!(shared.exists());
}
