//! The plans of all three service managers, built wherever this is tested.
//!
//! Long, for each verb is planned for all three, with tidy and with hostile surroundings.

use std::io::Write as _;
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use serde_json::{Value as Json, json};

use super::plan::{Activity, Answer, Ended, Found, Plan, Seen, Site, Step, Wanted};
use super::{Manager, manager, offers, passing, say, template, unfit};
use crate::cli::words::Reader;
use crate::cli::{Exit, Failed};
use crate::config::Platform;
use crate::model::Timestamp;

const ALL: [Platform; 3] = [Platform::Linux, Platform::MacOs, Platform::Windows];
const FORCE: Wanted = Wanted { force: true, ..ASKED };
const ASKED: Wanted = Wanted { hardened: false, socket: false, force: false };

fn site(platform: Platform, profile: &str) -> Site {
    let (home, program) = match platform {
        Platform::Linux => ("/home/kim", "/home/kim/.cargo/bin/holdline"),
        Platform::MacOs => ("/Users/kim", "/opt/homebrew/bin/holdline"),
        Platform::Windows => ("C:\\Users\\kim", "C:\\Users\\kim\\.cargo\\bin\\holdline.exe"),
    };
    Site {
        program: program.to_owned(),
        profile: profile.to_owned(),
        home: home.to_owned(),
        units: "/home/kim/.config/systemd/user".to_owned(),
        state: "C:\\Users\\kim\\AppData\\Local\\holdline".to_owned(),
        data: "/home/kim/.local/state/holdline".to_owned(),
        uid: 501,
        user: "S-1-5-21-1-2-3-1001".to_owned(),
    }
}

/// Homes and programs that break what is not written with care.
fn hostile(platform: Platform) -> Site {
    let (home, program) = match platform {
        Platform::Linux => ("/home/ki m", "/home/ki m/50% & <Söhne> $HOME; #é/100%h/holdline"),
        Platform::MacOs => ("/Users/ki m & \"Co\"", "/Users/ki m & \"Co\"/50%/<Söhne>/--/holdline"),
        Platform::Windows => ("C:\\Users\\ki m & Söhne", "C:\\Users\\ki m & Söhne\\50%\\it's\\holdline.exe"),
    };
    Site { home: home.to_owned(), program: program.to_owned(), ..site(platform, "work") }
}

fn at(platform: Platform, profile: &str) -> Box<dyn Manager> {
    manager(platform, site(platform, profile))
}

fn said(code: i32, out: &str, err: &str) -> Answer {
    Answer { ended: Ended::Code(code), out: out.to_owned(), err: err.to_owned() }
}

/// A service manager that knows nothing of holdline.
fn blank(platform: Platform) -> Seen {
    let answers = match platform {
        Platform::Linux => {
            vec![said(0, "LoadState=not-found\nActiveState=inactive\nSubState=dead\n", ""), said(0, "", "")]
        }
        Platform::MacOs => {
            vec![said(113, "", "Could not find service"), said(0, "gui/501 = {}", ""), said(0, "", "")]
        }
        Platform::Windows => vec![said(1, "", "ERROR: The system cannot find the file specified.")],
    };
    Seen { answers, ..Seen::default() }
}

/// A service manager that cannot be reached.
fn deaf(platform: Platform) -> Seen {
    let answers = match platform {
        Platform::Linux => vec![said(1, "", "Failed to connect to bus: No medium found"); 2],
        Platform::MacOs => vec![
            said(113, "", "Could not find service"),
            said(125, "", "Domain does not support specified action"),
            said(125, "", ""),
        ],
        Platform::Windows => vec![Answer { ended: Ended::Missing, out: String::new(), err: String::new() }],
    };
    Seen { answers, ..Seen::default() }
}

/// As it is after `install`: the files of `of`, and a service manager that runs them.
fn running(platform: Platform, of: &dyn Manager) -> Seen {
    let mut seen = blank(platform);
    for item in of.items(ASKED, &seen) {
        seen.files.insert(item.path.clone(), Found::Text(item.text));
    }
    seen.daemon = true;
    seen.answers[0] = match platform {
        Platform::Linux => said(
            0,
            "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nSubState=running\nMainPID=4121\n\
             ActiveEnterTimestamp=Thu 2026-11-26 10:02:11 UTC\nNeedDaemonReload=no\nExecMainStatus=0\n",
            "",
        ),
        Platform::MacOs => said(
            0,
            "gui/501/org.holdline.agent = {\n\tactive count = 1\n\tstate = running\n\tpid = 4121\n\t\
             last exit code = (never exited)\n\tsockets = {\n\t\tstate = idle\n\t}\n}\n",
            "",
        ),
        Platform::Windows => {
            let text = of.items(ASKED, &seen).remove(0).text;
            said(0, &text, "")
        }
    };
    seen
}

/// Installed, enabled, and not running.
fn stopped(platform: Platform, of: &dyn Manager) -> Seen {
    let mut seen = running(platform, of);
    seen.daemon = false;
    match platform {
        Platform::Linux => {
            seen.answers[0].out = seen.answers[0].out.replace("=active", "=inactive").replace("4121", "0");
        }
        Platform::MacOs => seen.answers[0] = said(113, "", "Could not find service"),
        Platform::Windows => {
            seen.answers[0].out =
                seen.answers[0].out.replace("<Enabled>true</Enabled>", "<Enabled>false</Enabled>");
        }
    }
    seen
}

/// What a person reads of a plan under `--dry-run`.
fn told(of: &dyn Manager, plan: Result<Plan, Failed>) -> String {
    let styled = match plan {
        Ok(plan) => {
            let settled = plan.settled.iter().map(|what| say::settled(&of.site().short(what), true));
            let steps = plan.steps.iter().map(|step| say::step(step, of.site(), true));
            let lines: String = settled.chain(steps).collect();
            format!("{lines}{}[exits {}]\n", say::conclusion(&plan, true), plan.exit.code())
        }
        Err(failed) => format!("{}\n[exits {}]\n", failed.to_text(), failed.exit.code()),
    };
    anstream::adapter::strip_str(&styled).to_string()
}

/// `seen` as it would be after the files of `plan` were written.
fn after(mut seen: Seen, plan: &Plan) -> Seen {
    for step in &plan.steps {
        match step {
            Step::Write { item, .. } => {
                seen.files.insert(item.path.clone(), Found::Text(item.text.clone()));
            }
            Step::SetAside { path, to } => {
                let moved = seen.files.remove(path).expect("what is set aside is there");
                assert!(seen.files.insert(to.clone(), moved).is_none(), "nothing is lost under {to}");
            }
            Step::Remove { path } => {
                seen.files.remove(path).expect("what is removed is there");
            }
            Step::Run { .. } => {}
        }
    }
    seen
}

fn writes(plan: &Plan) -> usize {
    plan.steps.iter().filter(|step| !matches!(step, Step::Run { .. })).count()
}

fn commands(plan: &Plan) -> Vec<String> {
    let all = plan.steps.iter().filter_map(|step| match step {
        Step::Run { command, .. } => Some(command.join(" ")),
        Step::Write { .. } | Step::SetAside { .. } | Step::Remove { .. } => None,
    });
    all.collect()
}

/// What python makes of `bytes`.
fn python(script: &str, bytes: &[u8]) -> Json {
    let mut child = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    child.stdin.take().expect("piped").write_all(bytes).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{script}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_files_are_written_for_the_program_and_the_profile() {
    for platform in [Platform::MacOs, Platform::Windows] {
        let of = at(platform, "default");
        assert_snapshot!(format!("file_{platform:?}_default"), of.items(ASKED, &Seen::default())[0].text);
        let of = manager(platform, hostile(platform));
        assert_snapshot!(format!("file_{platform:?}_hostile"), of.items(ASKED, &Seen::default())[0].text);
    }
}

#[test]
fn a_unit_differs_from_the_shipped_one_in_its_head_and_its_program() {
    let shipped = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
        std::fs::read_to_string(path).expect("it is shipped")
    };
    for (site, name, program, arguments) in [
        (
            site(Platform::Linux, "default"),
            "holdline.service",
            "ExecStart=/home/kim/.cargo/bin/holdline",
            "run",
        ),
        (
            hostile(Platform::Linux),
            "holdline@.service",
            "ExecStart=\"/home/ki m/50%% & <Söhne> $HOME; #é/100%%h/holdline\"",
            "run --profile %i",
        ),
    ] {
        let item = manager(Platform::Linux, site).items(ASKED, &Seen::default()).remove(0);
        assert!(item.path.ends_with(name), "{}", item.path);
        let shipped = shipped(name);
        let (_, shipped) = shipped.split_once("\n\n").expect("a head and the rest");
        let (head, text) = item.text.split_once("\n\n").expect("a head and the rest");
        assert!(head.starts_with("# Installed by `holdline service install`, check "), "{head}");
        assert!(head.lines().all(|line| line.starts_with('#')), "{head}");
        assert!(text.contains(&format!("\n{program} {arguments}\n")), "{text}");
        // Nothing else is another, and what was said of `cargo install` is not so any more.
        let put = program.strip_prefix("ExecStart=").expect("it begins so");
        let meant = shipped.lines().filter(|line| !line.contains("`cargo install`"));
        let meant: Vec<String> = meant.map(|line| line.replace("%h/.cargo/bin/holdline", put)).collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), meant);
        assert!(shipped.contains("`cargo install`") && !item.text.contains("`cargo install`"), "{text}");
    }
}

const ALL_OF_IT: Wanted = Wanted { hardened: true, socket: true, ..ASKED };

/// As it is after `install --hardened --socket-activation`.
fn all_of_it(of: &dyn Manager) -> Seen {
    let mut seen = running(Platform::Linux, of);
    for item in of.items(ALL_OF_IT, &seen) {
        seen.files.insert(item.path.clone(), Found::Text(item.text));
    }
    seen.answers.push(said(0, "UnitFileState=enabled\nActiveState=active\n", ""));
    seen
}

#[test]
fn socket_and_hardening_are_installed_where_they_are_asked_for() {
    for (profile, unit) in [("default", "holdline"), ("work", "holdline@work")] {
        let of = at(Platform::Linux, profile);
        let text = [
            told(of.as_ref(), of.install(ALL_OF_IT, &blank(Platform::Linux))),
            // The service runs without a socket.
            told(of.as_ref(), of.install(ALL_OF_IT, &running(Platform::Linux, of.as_ref()))),
            told(of.as_ref(), of.install(ASKED, &all_of_it(of.as_ref()))),
            told(of.as_ref(), of.stop(&all_of_it(of.as_ref()))),
            told(of.as_ref(), of.uninstall(false, &all_of_it(of.as_ref()))),
        ];
        assert_snapshot!(format!("all_of_it_{profile}"), text.join("\n"));
        let mut down = all_of_it(of.as_ref());
        down.daemon = false;
        down.answers[0].out = down.answers[0].out.replace("=active", "=inactive");
        assert_eq!(
            commands(&of.start(&down).expect("planned")),
            [format!("systemctl --user start {unit}.socket {unit}.service")]
        );
    }
}

#[test]
fn options_of_systemd_are_refused_elsewhere() {
    for platform in [Platform::MacOs, Platform::Windows] {
        for wanted in [Wanted { hardened: true, ..ASKED }, Wanted { socket: true, ..ASKED }] {
            assert_eq!(offers(platform, wanted).expect_err("refused").exit, Exit::Usage);
            assert!(offers(Platform::Linux, wanted).is_ok());
        }
        assert!(offers(platform, FORCE).is_ok());
    }
}

#[test]
fn a_database_elsewhere_is_let_in() {
    let usual = at(Platform::Linux, "default").items(ALL_OF_IT, &Seen::default()).remove(2).text;
    assert!(!usual.contains("elsewhere."), "{usual}");
    let site = Site { data: "/da ta/50%/$x/\"q\"".to_owned(), ..site(Platform::Linux, "default") };
    let moved = manager(Platform::Linux, site).items(ALL_OF_IT, &Seen::default()).remove(2).text;
    assert!(moved.contains("\nReadWritePaths=\"-/da ta/50%%/$x/\\\"q\\\"\"\n"), "{moved}");
    assert!(moved.contains("mkdir -p -m 0700 \"/da ta/50%%/$$x/\\\"q\\\"\"\n"), "{moved}");
    assert_eq!(template::author(&moved), template::Author::Us);
}

#[test]
fn a_property_list_says_the_same_to_who_reads_it_properly() {
    let of = manager(Platform::MacOs, hostile(Platform::MacOs));
    let item = of.items(ASKED, &Seen::default()).remove(0);
    let read = python(
        "import plistlib, json, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))",
        &item.bytes(),
    );
    let home = "/Users/ki m & \"Co\"";
    assert_eq!(
        read,
        json!({
            "Label": "org.holdline.agent.work",
            "ProgramArguments": [format!("{home}/50%/<Söhne>/--/holdline"), "run", "--profile", "work"],
            "RunAtLoad": true,
            "KeepAlive": { "SuccessfulExit": false },
            "ThrottleInterval": 30,
            "ExitTimeOut": 10,
            "ProcessType": "Background",
            "LimitLoadToSessionType": "Aqua",
            "SoftResourceLimits": { "NumberOfFiles": 4096 },
            "Umask": 0o077,
            "StandardOutPath": format!("{home}/Library/Logs/holdline-work.log"),
            "StandardErrorPath": format!("{home}/Library/Logs/holdline-work.log"),
        })
    );
}

#[test]
fn a_task_says_the_same_to_who_reads_it_properly() {
    let of = manager(Platform::Windows, hostile(Platform::Windows));
    let item = of.items(ASKED, &Seen::default()).remove(0);
    let bytes = item.bytes();
    assert_eq!(bytes[..4], [0xff, 0xfe, b'<', 0], "little endian, with its mark");
    let script = "import json, sys, xml.etree.ElementTree as E; ns = '{http://schemas.microsoft.com/windows/2004/02/mit/task}'; \
        t = E.fromstring(sys.stdin.buffer.read()); \
        print(json.dumps([[e.tag.replace(ns, ''), e.text] for e in t.iter() if e.text and e.text.strip()]))";
    let read = python(script, &bytes);
    let read: Vec<(String, String)> = serde_json::from_value(read).expect("names and texts");
    let all = |name: &str| -> Vec<&str> {
        read.iter().filter(|(found, _)| found == name).map(|(_, text)| text.as_str()).collect()
    };
    assert_eq!(all("Command"), ["%SystemRoot%\\System32\\conhost.exe"]);
    let program = "C:\\Users\\ki m & Söhne\\50%\\it's\\holdline.exe";
    assert_eq!(all("Arguments"), [format!("--headless \"{program}\" run --profile work")]);
    assert_eq!(all("WorkingDirectory"), ["C:\\Users\\ki m & Söhne"]);
    assert_eq!(all("UserId"), ["S-1-5-21-1-2-3-1001"; 2]);
    assert!(
        all("Description")[0]
            .starts_with("The WebSocket session for all apps of this user, profile work. Installed by")
    );
    for (name, value) in [
        ("LogonType", "InteractiveToken"),
        ("RunLevel", "LeastPrivilege"),
        ("MultipleInstancesPolicy", "IgnoreNew"),
        ("DisallowStartIfOnBatteries", "false"),
        ("StopIfGoingOnBatteries", "false"),
        ("ExecutionTimeLimit", "PT0S"),
    ] {
        assert_eq!(all(name), [value], "{name}");
    }
    assert_eq!(all("Interval"), ["PT5M", "PT1M"]);
    assert!(!item.text.contains("YOU"), "nothing of the template is left: {}", item.text);
}

#[test]
fn the_program_is_found_again_in_what_was_written() {
    for platform in ALL {
        for site in [site(platform, "default"), site(platform, "work"), hostile(platform)] {
            let program = site.program.clone();
            let of = manager(platform, site);
            let state = of.state(&running(platform, of.as_ref()));
            assert_eq!(state.program.as_deref(), Some(program.as_str()), "{platform:?}");
        }
    }
}

#[test]
fn every_file_knows_who_wrote_it() {
    for platform in ALL {
        for site in [site(platform, "default"), site(platform, "work"), hostile(platform)] {
            for item in manager(platform, site).items(ASKED, &Seen::default()) {
                assert_eq!(template::author(&item.text), template::Author::Us, "{}", item.text);
            }
        }
    }
}

#[test]
fn what_a_service_manager_could_not_start_is_refused() {
    for (platform, program, why) in [
        (Platform::Linux, "/home/kim/\"x\"/holdline", "quotes"),
        (Platform::Linux, "/home/kim/it's/holdline", "quotes"),
        (Platform::Linux, "/home/kim/a\\b/holdline", "backslashes"),
        (Platform::Linux, "/home/kim/a\nExecStartPre=x/holdline", "control characters"),
        (Platform::MacOs, "/Users/kim/\u{7}/holdline", "control characters"),
        (Platform::Windows, "C:\\%TEMP%\\holdline.exe", "variable"),
    ] {
        let said = unfit(platform, program).unwrap_or_default();
        assert!(said.contains(why), "{program:?}: {said}");
    }
    for platform in ALL {
        assert_eq!(unfit(platform, &hostile(platform).program), None);
    }
}

#[test]
fn a_program_in_a_passing_place_is_spoken_of() {
    for program in [
        "/src/holdline/target/debug/holdline",
        "/t/target/x86_64-unknown-linux-gnu/release/holdline",
        "C:\\s\\target\\release\\holdline.exe",
    ] {
        assert!(passing(program).is_some_and(|it| it.contains("cargo clean")), "{program}");
    }
    assert!(passing("/tmp/x/holdline").is_some_and(|it| it.contains("temporary")));
    for program in
        ["/usr/bin/holdline", "/home/target/bin/holdline", "/home/kim/release/holdline", "/opt/tmp/holdline"]
    {
        assert_eq!(passing(program), None, "{program}");
    }
}

#[test]
fn an_installation_from_nothing() {
    for platform in ALL {
        let (one, work) = (at(platform, "default"), at(platform, "work"));
        let text = told(one.as_ref(), one.install(ASKED, &blank(platform)))
            + "\n"
            + &told(work.as_ref(), work.install(ASKED, &blank(platform)));
        assert_snapshot!(format!("install_{platform:?}"), text);
    }
}

#[test]
fn installing_twice_changes_nothing() {
    for platform in ALL {
        for site in [site(platform, "default"), hostile(platform)] {
            let of = manager(platform, site);
            let first = of.install(ASKED, &blank(platform)).expect("planned");
            assert!(writes(&first) > 0, "{platform:?}");
            let second = of.install(ASKED, &after(running(platform, of.as_ref()), &first)).expect("planned");
            assert_eq!(second.steps, [], "{platform:?}");
            assert_eq!(second.exit, Exit::Ok);
        }
    }
}

#[test]
fn only_what_differs_is_done() {
    for platform in ALL {
        let of = at(platform, "default");
        // Installed by a program that lay elsewhere.
        let moved = Site { program: format!("{}2", of.site().program), ..of.site().clone() };
        let seen = running(platform, manager(platform, moved).as_ref());
        let text = told(of.as_ref(), of.install(ASKED, &seen))
            + "\n"
            + &told(of.as_ref(), of.install(ASKED, &stopped(platform, of.as_ref())));
        assert_snapshot!(format!("renew_{platform:?}"), text);
    }
}

#[test]
fn what_was_edited_or_is_not_ours_is_never_touched_unless_it_is_kept() {
    for platform in ALL {
        let of = at(platform, "default");
        let path = of.files().remove(0);
        let ours = of.items(ASKED, &Seen::default()).remove(0).text;
        for there in [
            Found::Text(ours.replace("run", "run -v")),
            Found::Text("by somebody".to_owned()),
            Found::Other("a symbolic link to /dev/null".to_owned()),
        ] {
            let mut seen = running(platform, of.as_ref());
            seen.files.insert(path.clone(), there.clone());
            for refused in [of.install(ASKED, &seen), of.uninstall(false, &seen)] {
                let refused = refused.expect_err("refused");
                assert_eq!(refused.exit, Exit::Refused);
                assert!(refused.detail.contains(&of.site().short(&path)), "{}", refused.detail);
                assert!(!refused.hint.is_empty());
            }
            // With an older one kept already: nothing is lost either.
            seen.files.insert(format!("{path}.old"), Found::Text("older".to_owned()));
            for forced in [of.install(FORCE, &seen), of.uninstall(true, &seen)] {
                let then = after(seen.clone(), &forced.expect("planned"));
                assert_eq!(*then.file(&format!("{path}.old")), Found::Text("older".to_owned()));
                assert_eq!(*then.file(&format!("{path}.old2")), there);
            }
        }
        assert_snapshot!(format!("edited_{platform:?}"), {
            let mut seen = running(platform, of.as_ref());
            seen.files.insert(path.clone(), Found::Text(ours.replace("run", "run -v")));
            told(of.as_ref(), of.install(ASKED, &seen)) + "\n" + &told(of.as_ref(), of.install(FORCE, &seen))
        });
    }
}

#[test]
fn what_may_not_be_seen_is_not_forced() {
    for platform in ALL {
        let of = at(platform, "default");
        let mut seen = running(platform, of.as_ref());
        seen.files.insert(of.files().remove(0), Found::Hidden("Permission denied".to_owned()));
        for refused in [of.install(FORCE, &seen), of.uninstall(true, &seen)] {
            let refused = refused.expect_err("refused");
            assert_eq!(refused.exit, Exit::Refused);
            assert!(refused.message.contains("Permission denied"), "{}", refused.message);
            assert!(refused.hint.contains("ls -ld"), "{}", refused.hint);
        }
    }
}

#[test]
fn a_task_of_somebody_else_is_left_alone() {
    let of = at(Platform::Windows, "default");
    let mut seen = blank(Platform::Windows);
    seen.answers[0] = said(0, "<Task><Description>Backup</Description></Task>", "");
    for refused in [of.install(ASKED, &seen), of.uninstall(false, &seen)] {
        let refused = refused.expect_err("refused");
        assert_eq!(refused.exit, Exit::Refused);
        assert!(refused.message.contains("`holdline`"), "{}", refused.message);
    }
    let forced = of.install(FORCE, &seen).expect("planned");
    assert!(commands(&forced)[0].starts_with("schtasks /Create /TN holdline "), "{forced:?}");
}

#[test]
fn without_a_service_manager_it_says_what_to_do() {
    for platform in ALL {
        let of = at(platform, "default");
        let seen = deaf(platform);
        let mut there = running(platform, of.as_ref());
        there.answers = seen.answers.clone();
        let text = [
            told(of.as_ref(), of.install(ASKED, &seen)),
            told(of.as_ref(), of.start(&there)),
            told(of.as_ref(), of.uninstall(false, &there)),
        ];
        assert_snapshot!(format!("deaf_{platform:?}"), text.join("\n"));
    }
}

#[test]
fn a_link_that_nobody_can_take_back_is_removed() {
    let of = at(Platform::Linux, "default");
    let mut seen = running(Platform::Linux, of.as_ref());
    seen.answers = deaf(Platform::Linux).answers;
    let wants = "/home/kim/.config/systemd/user/default.target.wants";
    seen.folders.insert(wants.to_owned(), ["holdline.service", "other.service"].map(str::to_owned).into());
    assert!(of.state(&seen).enabled);
    let plan = of.uninstall(false, &seen).expect("planned");
    assert_eq!(plan.steps[0], Step::Remove { path: format!("{wants}/holdline.service") });
}

#[test]
fn taking_it_away() {
    for platform in ALL {
        let of = at(platform, "default");
        let text = [
            told(of.as_ref(), of.uninstall(false, &running(platform, of.as_ref()))),
            told(of.as_ref(), of.uninstall(false, &stopped(platform, of.as_ref()))),
            told(of.as_ref(), of.uninstall(false, &blank(platform))),
        ];
        assert_snapshot!(format!("uninstall_{platform:?}"), text.join("\n"));
        let plan = of.uninstall(false, &running(platform, of.as_ref())).expect("planned");
        let then = after(running(platform, of.as_ref()), &plan);
        assert!(then.files.is_empty(), "{:?}", then.files);
    }
}

#[test]
fn the_file_of_many_profiles_stays_while_another_one_starts_by_it() {
    let of = at(Platform::Linux, "work");
    let mut seen = running(Platform::Linux, of.as_ref());
    let wants = "/home/kim/.config/systemd/user/default.target.wants".to_owned();
    seen.folders
        .insert(wants.clone(), ["holdline@work.service", "holdline@home.service"].map(str::to_owned).into());
    let plan = of.uninstall(false, &seen).expect("planned");
    assert_eq!(commands(&plan), ["systemctl --user disable --now holdline@work.service"]);
    assert_eq!(writes(&plan), 0);
    assert!(
        plan.notes.iter().any(|(_, text)| text.contains("holdline@.service, for holdline@home.service")),
        "{plan:?}"
    );
    seen.folders.insert(wants, ["holdline@work.service"].map(str::to_owned).into());
    assert_eq!(writes(&of.uninstall(false, &seen).expect("planned")), 1);
}

#[test]
fn a_unit_that_came_with_the_program_is_used_as_it_is() {
    let site = Site { program: "/usr/bin/holdline".to_owned(), ..site(Platform::Linux, "default") };
    let of = manager(Platform::Linux, site);
    let mut seen = blank(Platform::Linux);
    let shared = "/usr/lib/systemd/user/holdline.service".to_owned();
    let text = "[Service]\nExecStart=/usr/bin/holdline run\n";
    seen.files.insert(shared.clone(), Found::Text(text.to_owned()));
    let plan = of.install(ASKED, &seen).expect("planned");
    assert_eq!(commands(&plan), ["systemctl --user enable --now holdline.service"]);
    assert_eq!(writes(&plan), 0);
    assert!(of.state(&seen).installed);
    // Of another program: ours goes before it.
    seen.files.insert(shared, Found::Text(text.replace("/usr/bin", "/opt")));
    assert_eq!(writes(&of.install(ASKED, &seen).expect("planned")), 1);
}

#[test]
fn a_daemon_outside_the_service_is_not_run_into() {
    for platform in [Platform::Linux, Platform::MacOs] {
        let of = at(platform, "default");
        let mut seen = blank(platform);
        seen.daemon = true;
        let plan = of.install(ASKED, &seen).expect("planned");
        assert_eq!(plan.exit, Exit::Unhealthy, "{platform:?}");
        assert!(
            !commands(&plan).iter().any(|it| it.contains("--now") || it.contains("bootstrap")),
            "{plan:?}"
        );
        let mut seen = stopped(platform, of.as_ref());
        seen.daemon = true;
        let refused = of.start(&seen).expect_err("refused");
        assert_eq!(refused.exit, Exit::Unhealthy, "{platform:?}");
        assert!(refused.hint.contains("holdline ctl stop"), "{}", refused.hint);
    }
}

#[test]
fn start_and_stop_do_what_is_needed_and_nothing_twice() {
    for platform in ALL {
        let of = at(platform, "work");
        let (up, down) = (running(platform, of.as_ref()), stopped(platform, of.as_ref()));
        assert_eq!(of.start(&up).expect("planned").steps, [], "{platform:?}");
        assert_eq!(of.stop(&down).expect("planned").steps, [], "{platform:?}");
        let text = told(of.as_ref(), of.start(&down)) + "\n" + &told(of.as_ref(), of.stop(&up));
        assert_snapshot!(format!("start_stop_{platform:?}"), text);
        for missing in [of.start(&blank(platform)), of.stop(&blank(platform))] {
            let missing = missing.expect_err("not installed");
            assert_eq!(missing.exit, Exit::NotFound);
            assert_eq!(missing.hint, "holdline service install --profile work");
        }
    }
}

fn shown(of: &dyn Manager, seen: &Seen) -> String {
    let now = Timestamp::parse("2026-11-26T13:14:11Z").expect("written here");
    let reader = Reader { now, zone: jiff::tz::TimeZone::UTC };
    let state = of.state(seen);
    let text = say::status(of, seen, &state, None, &reader);
    format!("{}[exits {}]\n", anstream::adapter::strip_str(&text), say::verdict(&state).code())
}

#[test]
fn the_status_says_how_it_stands_and_what_to_do() {
    for platform in ALL {
        let of = at(platform, "default");
        let mut outside = stopped(platform, of.as_ref());
        outside.daemon = true;
        let mut edited = running(platform, of.as_ref());
        let path = of.files().remove(0);
        edited.files.insert(path, Found::Text(of.items(ASKED, &edited)[0].text.replace("run", "run -v")));
        let mut deaf_but_there = running(platform, of.as_ref());
        deaf_but_there.answers = deaf(platform).answers;
        deaf_but_there.daemon = false;
        let text = [
            shown(of.as_ref(), &running(platform, of.as_ref())),
            shown(of.as_ref(), &stopped(platform, of.as_ref())),
            shown(of.as_ref(), &blank(platform)),
            shown(of.as_ref(), &outside),
            shown(of.as_ref(), &edited),
            shown(of.as_ref(), &deaf_but_there),
        ];
        assert_snapshot!(format!("status_{platform:?}"), text.join("\n"));
    }
}

#[test]
fn a_failed_service_says_why_and_what_to_do() {
    let of = at(Platform::Linux, "default");
    let mut seen = running(Platform::Linux, of.as_ref());
    seen.daemon = false;
    let with = |out: &str| Seen { answers: vec![said(0, out, ""), said(0, "", "")], ..seen.clone() };
    let failed = with(
        "UnitFileState=enabled\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainStatus=78\n",
    );
    let looping = with(
        "UnitFileState=enabled\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainStatus=74\n",
    );
    assert!(matches!(of.state(&failed).activity, Activity::Failed(_)));
    let mac = at(Platform::MacOs, "default");
    let mut throttled = running(Platform::MacOs, mac.as_ref());
    throttled.answers[0].out =
        "gui/501/x = {\n\tstate = spawn scheduled\n\tlast exit code = 78: EX_CONFIG\n}\n".to_owned();
    let text = [
        shown(of.as_ref(), &failed),
        told(of.as_ref(), of.install(ASKED, &failed)),
        told(of.as_ref(), of.start(&failed)),
        shown(of.as_ref(), &looping),
        shown(mac.as_ref(), &throttled),
    ];
    assert_snapshot!("failed", text.join("\n"));
}

#[test]
fn an_agent_that_was_disabled_is_enabled_before_it_is_brought_up() {
    let of = at(Platform::MacOs, "default");
    for word in ["disabled", "true"] {
        let mut seen = stopped(Platform::MacOs, of.as_ref());
        seen.answers[2] =
            said(0, &format!("\tdisabled services = {{\n\t\t\"org.holdline.agent\" => {word}\n\t}}\n"), "");
        assert!(!of.state(&seen).enabled);
        let plan = of.start(&seen).expect("planned");
        assert_eq!(commands(&plan)[0], "launchctl enable gui/501/org.holdline.agent");
    }
    let mut seen = stopped(Platform::MacOs, of.as_ref());
    seen.answers[2] =
        said(0, "\t\"org.holdline.agent.work\" => disabled\n\t\"org.holdline.agent\" => enabled\n", "");
    assert!(of.state(&seen).enabled);
}

#[test]
fn a_manager_that_looks_elsewhere_is_noticed() {
    let of = at(Platform::Linux, "default");
    let mut seen = blank(Platform::Linux);
    seen.answers[1] = said(0, "UnitPath=/home/kim/.config/systemd/user /usr/lib/systemd/user\n", "");
    assert!(of.install(ASKED, &seen).is_ok());
    seen.answers[1] = said(0, "UnitPath=/home/other/systemd/user /usr/lib/systemd/user\n", "");
    let refused = of.install(ASKED, &seen).expect_err("refused");
    assert!(refused.hint.contains("XDG_CONFIG_HOME"), "{refused:?}");
}
