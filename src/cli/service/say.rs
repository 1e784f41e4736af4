//! What people and programs read. Pure.

use serde_json::{Value as Json, json};

use super::Manager;
use super::files::{Standing, standing};
use super::plan::{Activity, Plan, Seen, Site, State, Step, outside};
use crate::cli::Exit;
use crate::cli::show::{BAD, FAINT, GOOD, WAITING, field, styled};
use crate::cli::words::{Reader, plain};
use crate::model::StatusReport;

/// The version of this program.
const OURS: &str = env!("CARGO_PKG_VERSION");

/// A step as one line: done, or with `dry` what would be done.
pub(super) fn step(step: &Step, site: &Site, dry: bool) -> String {
    let (done, would, what) = match step {
        Step::Write { item, new: true } => ("wrote", "would write", site.short(&item.path)),
        Step::Write { item, new: false } => ("renewed", "would renew", site.short(&item.path)),
        Step::SetAside { path, to } => {
            ("kept", "would keep", format!("{} as {}", site.short(path), site.short(to)))
        }
        Step::Remove { path } => ("removed", "would remove", site.short(path)),
        Step::Run { command, .. } => ("ran", "would run", command.join(" ")),
    };
    let (mark, word) = if dry { (styled(FAINT, "–"), would) } else { (styled(GOOD, "✔"), done) };
    let width = if dry { 14 } else { 10 };
    format!("{mark} {word:<width$}{}\n", plain(&what))
}

/// What is as it should be already.
pub(super) fn settled(what: &str, dry: bool) -> String {
    let width = if dry { 14 } else { 10 };
    format!("{} {:<width$}{}\n", styled(GOOD, "✔"), "as it is", plain(what))
}

/// How it ended, and what else to know.
pub(super) fn conclusion(plan: &Plan, dry: bool) -> String {
    let mut text = String::new();
    if dry {
        text.push_str(if plan.steps.is_empty() {
            "There is nothing to do. "
        } else {
            "\nNothing was changed. With this done: "
        });
        text.push_str(&plan.headline);
        text.push('\n');
    } else {
        let dot = if plan.exit == Exit::Ok { styled(GOOD, "●") } else { styled(WAITING, "○") };
        let already = if plan.steps.is_empty() && plan.exit == Exit::Ok { "Already so: " } else { "" };
        text.push_str(&format!("{dot} {already}{}\n", plan.headline));
    }
    if !plan.notes.is_empty() {
        text.push('\n');
    }
    for (name, note) in &plan.notes {
        text.push_str(&field(name, &plain(note)));
    }
    text
}

/// A step for programs.
pub(super) fn step_json(step: &Step) -> Json {
    match step {
        Step::Write { item, new } => json!({ "do": "write", "path": item.path, "new": new }),
        Step::SetAside { path, to } => json!({ "do": "set_aside", "path": path, "to": to }),
        Step::Remove { path } => json!({ "do": "remove", "path": path }),
        Step::Run { command, .. } => json!({ "do": "run", "command": command }),
    }
}

/// What was done, for programs.
pub(super) fn plan_json(verb: &str, manager: &dyn Manager, plan: &Plan, dry: bool) -> Json {
    let notes: Vec<Json> =
        plan.notes.iter().map(|(name, text)| json!({ "name": name, "text": text })).collect();
    json!({
        "verb": verb,
        "profile": manager.site().profile,
        "manager": manager.name(),
        "service": manager.service(),
        "dry_run": dry,
        "changed": !dry && !plan.steps.is_empty(),
        "steps": plan.steps.iter().map(step_json).collect::<Vec<_>>(),
        "settled": plan.settled,
        "message": plan.headline,
        "notes": notes,
    })
}

/// How the files of a service stand: a word for programs, and some for people.
fn files(manager: &dyn Manager, seen: &Seen) -> Vec<(String, &'static str, &'static str)> {
    let items = manager.items(super::Wanted::default(), seen);
    let all = items.iter().filter_map(|item| {
        let (word, how) = match standing(item, seen.file(&item.path)) {
            Standing::Absent => return None,
            Standing::Same => ("same", "as installed"),
            Standing::Ours => ("older", "of another version, or for another program"),
            Standing::Edited => ("edited", "edited since it was installed"),
            Standing::Foreign(_) => ("foreign", "not from `holdline service`"),
            Standing::Hidden(_) => ("hidden", "which we may not see"),
        };
        Some((item.path.clone(), word, how))
    });
    all.collect()
}

/// How a service stands, and how that exits.
pub(super) fn verdict(state: &State) -> Exit {
    match (&state.activity, state.installed) {
        (_, false) => Exit::NotFound,
        (Activity::Running, true) => Exit::Ok,
        (Activity::Starting(_), true) => Exit::Unhealthy,
        (Activity::Stopped | Activity::Failed(_), true) => Exit::NotRunning,
    }
}

/// How a service stands, for people.
pub(super) fn status(
    manager: &dyn Manager,
    seen: &Seen,
    state: &State,
    report: Option<&StatusReport>,
    reader: &Reader,
) -> String {
    let site = manager.site();
    let flag = site.flag();
    let profile = &site.profile;
    if !state.installed {
        let mut text = format!("holdline is not installed as a service for profile \"{profile}\".\n");
        if seen.daemon {
            text.push_str("A daemon of this profile runs all the same, started by somebody else.\n");
        }
        text.push_str(&field("Install it", &format!("holdline service install{flag}")));
        return text;
    }
    let mut remedy = state.ended_with.and_then(|code| remedy(site, code));
    let mut text = match &state.activity {
        Activity::Running => {
            let since = state
                .since
                .map_or(String::new(), |at| format!(" since {} ({})", reader.clock(at), reader.since(at)));
            format!("{} holdline runs as a service{since}, profile \"{profile}\".\n", styled(GOOD, "●"))
        }
        Activity::Starting(how) => {
            format!(
                "{} The service of profile \"{profile}\" does not run yet: {}.\n",
                styled(WAITING, "○"),
                plain(how)
            )
        }
        Activity::Failed(why) => {
            remedy = remedy.or_else(|| Some(format!("see the log, then `holdline service start{flag}`")));
            format!("{} The service of profile \"{profile}\" failed: {}.\n", styled(BAD, "✖"), plain(why))
        }
        Activity::Stopped => match &state.unreachable {
            Some(why) => format!(
                "{} The service of profile \"{profile}\" is installed; whether it runs cannot be told: {}.\n",
                styled(WAITING, "○"),
                plain(why)
            ),
            None => format!("{} The service of profile \"{profile}\" does not run.\n", styled(WAITING, "○")),
        },
    };
    if let Some(remedy) = remedy {
        text.push_str(&field("What to do", &remedy));
    } else if state.unreachable.is_some() {
        text.push_str(&field("What to do", manager.absent()));
    } else if state.activity == Activity::Stopped {
        let how = if seen.daemon { outside(site) } else { format!("holdline service start{flag}") };
        let name = if seen.daemon { "What to do" } else { "Start it" };
        text.push_str(&field(name, &how));
    }
    text.push('\n');
    if seen.daemon && matches!(state.activity, Activity::Stopped | Activity::Failed(_)) {
        text.push_str(&field("beside it", "a daemon of this profile runs outside the service"));
    }
    text.push_str(&field("service", &format!("{} ({})", manager.service(), manager.name())));
    text.push_str(&field(
        "starts",
        if state.enabled { "when you log in" } else { "only when it is told to" },
    ));
    if state.socket {
        text.push_str(&field("socket", "held by systemd: the first app that connects starts it"));
    }
    if let Some(program) = &state.program {
        let other = if *program == site.program { "" } else { ", which is not this one" };
        let pid = state.pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
        text.push_str(&field("program", &format!("{}{pid}{other}", plain(&site.short(program)))));
    }
    if let Some(report) = report {
        text.push_str(&field("link", &plain(&report.link.label)));
        let version = &report.daemon.version;
        if *version != OURS {
            let how = format!(
                "{}, which is not that of this program ({OURS}): a restart takes it up",
                plain(version)
            );
            text.push_str(&field("version", &how));
        }
    }
    for (path, _, how) in files(manager, seen) {
        text.push_str(&field("file", &format!("{}, {how}", plain(&site.short(&path)))));
    }
    text.push_str(&field("log", &plain(&manager.log())));
    text
}

/// How a service stands, for programs.
pub(super) fn status_json(
    manager: &dyn Manager,
    seen: &Seen,
    state: &State,
    report: Option<&StatusReport>,
) -> Json {
    let (word, reason) = match &state.activity {
        Activity::Running => ("running", None),
        Activity::Starting(how) => ("starting", Some(how)),
        Activity::Stopped => ("stopped", state.unreachable.as_ref()),
        Activity::Failed(why) => ("failed", Some(why)),
    };
    let files: Vec<Json> =
        files(manager, seen).into_iter().map(|(path, word, _)| json!({ "path": path, "is": word })).collect();
    json!({
        "profile": manager.site().profile,
        "manager": manager.name(),
        "service": manager.service(),
        "installed": state.installed,
        "enabled": state.enabled,
        "socket_activation": state.socket,
        "state": word,
        "reason": reason,
        "since": state.since,
        "pid": state.pid,
        "last_exit": state.ended_with,
        "program": state.program,
        "outside": seen.daemon && !matches!(state.activity, Activity::Running | Activity::Starting(_)),
        "link": report.map(|it| it.link.state),
        "version": report.map(|it| &it.daemon.version),
        "files": files,
    })
}

/// What an exit code of the daemon asks of a person.
fn remedy(site: &Site, code: i32) -> Option<String> {
    let flag = site.flag();
    match code {
        75 => Some("another daemon of this profile runs: `holdline ctl status` says which".to_owned()),
        77 | 78 => Some(format!("`holdline config check{flag}` says what is wrong")),
        217 | 226 => Some(format!(
            "this system does not grant what hardened.conf asks for: `holdline service uninstall{flag}`, then `install` without it"
        )),
        74 => Some("the disk failed, or is full; the log says where".to_owned()),
        _ => None,
    }
}
