//! systemd: a unit of the user's own service manager. Pure.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::plan::{
    self, Activity, Encoding, Found, Item, Plan, Seen, Site, State, Step, Wanted, not_installed, outside,
    run, run_fine, runs_outside, unreachable,
};
use super::{Manager, template};
use crate::cli::{Exit, Failed};
use crate::model::Timestamp;

const ONE: &str = include_str!("../../../systemd/holdline.service");
const EACH: &str = include_str!("../../../systemd/holdline@.service");

/// The program as the units that are shipped name it.
const PROGRAM: &str = "%h/.cargo/bin/holdline";

/// Where packages and administrators put units of users, the nearest first.
const SHARED: [&str; 4] =
    ["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user", "/lib/systemd/user"];

/// What to do where the user's service manager does not run.
const ABSENT: &str = "it runs while you are logged in; `loginctl enable-linger` keeps it running always";

/// The service of one profile under systemd.
#[derive(Debug)]
pub(super) struct Systemd {
    site: Site,
    unit: String,
}

impl Systemd {
    pub(super) fn new(site: Site) -> Self {
        let unit = if site.is_default() {
            "holdline.service".to_owned()
        } else {
            format!("holdline@{}.service", site.profile)
        };
        Self { site, unit }
    }

    /// The name of the file: one for the profile `default`, one for all others together.
    fn file(&self) -> &'static str {
        if self.site.is_default() { "holdline.service" } else { "holdline@.service" }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.site.units)
    }

    /// Where systemd links what is to start when the user logs in.
    fn wants(&self) -> String {
        self.path("default.target.wants")
    }

    /// A unit that a package or an administrator installed and that starts this program.
    fn packaged(&self, seen: &Seen) -> Option<String> {
        let paths = SHARED.iter().map(|folder| format!("{folder}/{}", self.file()));
        let found = paths.into_iter().find_map(|path| Some((seen.text(&path)?, path)));
        let (text, path) = found?;
        (started(text).as_deref() == Some(self.site.program.as_str())).then_some(path)
    }

    fn unit_item(&self) -> Item {
        let shipped = if self.site.is_default() { ONE } else { EACH };
        let name = if self.site.is_default() { "holdline" } else { "holdline@NAME" };
        Item {
            path: self.path(self.file()),
            text: template::seal(&format!(
                "# {}\n# To change something, leave this file alone and write a drop-in: systemctl --user edit {name}\n\n{}",
                template::mark(),
                template::fill(settings(shipped), &[(PROGRAM, &quoted(&self.site.program))]),
            )),
            encoding: Encoding::Utf8,
        }
    }

    fn ask(&self, seen: &Seen) -> Told {
        let Some(answer) = seen.answers.first() else { return Told::default() };
        let unreachable = (!answer.is_good()).then(|| answer.complaint());
        let fields = answer
            .out
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Told { unreachable, fields }
    }

    /// Where the manager looks for units, when that is not where we put them.
    fn elsewhere(&self, seen: &Seen) -> Option<String> {
        let answer = seen.answers.get(1).filter(|answer| answer.is_good())?;
        let looked = answer.out.trim().strip_prefix("UnitPath=")?;
        (!looked.is_empty() && !looked.contains(&self.site.units)).then(|| looked.to_owned())
    }

    /// Other profiles that start by the same file.
    fn others(&self, seen: &Seen) -> Vec<String> {
        let names = seen.folders.get(&self.wants()).into_iter().flatten();
        names.filter(|name| name.starts_with("holdline@") && **name != self.unit).cloned().collect()
    }

    fn systemctl(&self, verb: &str) -> Step {
        run(&["systemctl", "--user", verb, &self.unit])
    }
}

/// What `systemctl show` told.
#[derive(Debug, Default)]
struct Told {
    unreachable: Option<String>,
    fields: BTreeMap<String, String>,
}

impl Told {
    fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn activity(&self) -> Activity {
        let result = || match (self.get("Result"), self.get("ExecMainStatus")) {
            ("exit-code", code) => format!("it ended with {code}"),
            ("start-limit-hit", _) => "it failed too often in a short time".to_owned(),
            ("watchdog", _) => "it did not answer its watchdog".to_owned(),
            ("timeout", _) => "it was not ready in time".to_owned(),
            (other, _) => format!("systemd says {other}"),
        };
        match (self.get("ActiveState"), self.get("SubState")) {
            ("active" | "reloading", _) => Activity::Running,
            ("activating", "auto-restart") => Activity::Starting(format!("{}, and is tried again", result())),
            ("activating", _) => Activity::Starting("it is starting".to_owned()),
            ("failed", _) => Activity::Failed(result()),
            _ => Activity::Stopped,
        }
    }
}

impl Manager for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
    }

    fn service(&self) -> &str {
        &self.unit
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn items(&self, _wanted: Wanted, _seen: &Seen) -> Vec<Item> {
        vec![self.unit_item()]
    }

    fn files(&self) -> Vec<String> {
        vec![self.path(self.file())]
    }

    fn looks(&self) -> Vec<String> {
        SHARED.iter().map(|folder| format!("{folder}/{}", self.file())).collect()
    }

    fn folders(&self) -> Vec<String> {
        vec![self.wants()]
    }

    fn questions(&self) -> Vec<Vec<String>> {
        let properties = "--property=LoadState,UnitFileState,ActiveState,SubState,Result,ExecMainStatus,MainPID,\
                          ActiveEnterTimestamp,NeedDaemonReload";
        [
            &["systemctl", "--user", "show", &self.unit, properties][..],
            &["systemctl", "--user", "show", "--property=UnitPath"],
        ]
        .iter()
        .map(|words| words.iter().map(|word| (*word).to_owned()).collect())
        .collect()
    }

    fn state(&self, seen: &Seen) -> State {
        let told = self.ask(seen);
        let own = seen.text(&self.path(self.file()));
        let shared = SHARED.iter().find_map(|folder| seen.text(&format!("{folder}/{}", self.file())));
        let linked = seen.folders.get(&self.wants()).is_some_and(|names| names.contains(&self.unit));
        let activity = told.activity();
        State {
            installed: *seen.file(&self.path(self.file())) != Found::Absent || shared.is_some(),
            enabled: if told.unreachable.is_some() {
                linked
            } else {
                told.get("UnitFileState").starts_with("enabled")
            },
            ended_with: told.get("ExecMainStatus").parse().ok().filter(|_| activity != Activity::Running),
            pid: told.get("MainPID").parse().ok().filter(|pid| *pid != 0),
            since: (activity == Activity::Running).then(|| since(told.get("ActiveEnterTimestamp"))).flatten(),
            program: own.or(shared).and_then(started),
            activity,
            unreachable: told.unreachable,
        }
    }

    fn install(&self, wanted: Wanted, seen: &Seen) -> Result<Plan, Failed> {
        let site = &self.site;
        let told = self.ask(seen);
        let state = self.state(seen);
        let mut plan = Plan::new("holdline runs as a service, and starts when you log in.");
        let mut items = self.items(wanted, seen);
        let own = self.path(self.file());
        if let Some(path) = self.packaged(seen).filter(|_| *seen.file(&own) == Found::Absent) {
            items.retain(|item| item.path != own);
            plan.settled.push(path);
            plan.note("Unit", "the one that came with the program");
        }
        let changed = plan::write(site, items, seen, wanted.force, &mut plan)?;
        if let Some(why) = &state.unreachable {
            plan.headline = "The files are in place, but the service does not run yet.".to_owned();
            plan.note("Why", format!("your service manager cannot be reached: {why}"));
            plan.note(
                "What to do",
                format!("{ABSENT}; then once more `holdline service install{}`", site.flag()),
            );
            plan.exit = Exit::NotRunning;
            return Ok(plan);
        }
        if let Some(looked) = self.elsewhere(seen) {
            let message =
                format!("your service manager does not look for units in {}", site.short(&site.units));
            return Err(Failed::new(Exit::Refused, message)
                .detail(format!("  it looks in {looked}"))
                .hint("see that XDG_CONFIG_HOME is the same for you and for it, or set nowhere"));
        }
        if changed || told.get("NeedDaemonReload") == "yes" {
            plan.steps.push(run(&["systemctl", "--user", "daemon-reload"]));
        }
        let is_outside = seen.daemon && matches!(state.activity, Activity::Stopped | Activity::Failed(_));
        if let (Activity::Failed(_), false) = (&state.activity, is_outside) {
            // What counts the failures counts from nothing again.
            plan.steps.push(self.systemctl("reset-failed"));
        }
        match (&state.activity, state.enabled) {
            _ if is_outside => {
                if !state.enabled {
                    plan.steps.push(self.systemctl("enable"));
                }
                plan.headline =
                    "holdline starts as a service when you log in. It was not started now.".to_owned();
                plan.note("Why", "a daemon of this profile runs already, outside the service");
                plan.note("What to do", outside(site));
                plan.exit = Exit::Unhealthy;
            }
            (Activity::Stopped | Activity::Failed(_), false) => {
                plan.steps.push(run(&["systemctl", "--user", "enable", "--now", &self.unit]));
            }
            (Activity::Stopped | Activity::Failed(_), true) => plan.steps.push(self.systemctl("start")),
            (running, enabled) => {
                if !enabled {
                    plan.steps.push(self.systemctl("enable"));
                }
                if let Activity::Starting(_) = running {
                    plan.steps.push(self.systemctl("restart"));
                } else if changed {
                    plan.note(
                        "Not yet",
                        format!(
                            "the running daemon goes on as it was started; `systemctl --user restart {}` \
                                 takes up what changed, and loses nothing",
                            self.unit
                        ),
                    );
                }
            }
        }
        if !plan.steps.is_empty() {
            plan.note("Log", self.log());
            plan.note(
                "Logged out",
                "it ends with your last session; `loginctl enable-linger` keeps it running",
            );
        }
        Ok(plan)
    }

    fn uninstall(&self, force: bool, seen: &Seen) -> Result<Plan, Failed> {
        let site = &self.site;
        let state = self.state(seen);
        let others = self.others(seen);
        let mut files = self.files();
        let own = self.path(self.file());
        let mut plan = Plan::new("holdline is no longer a service.");
        if !others.is_empty() && *seen.file(&own) != Found::Absent {
            files.retain(|path| *path != own);
            plan.note("Stays", format!("{}, for {}", site.short(&own), others.join(", ")));
        }
        let removed = plan::remove(site, &files, seen, force)?;
        let linked = seen.folders.get(&self.wants()).is_some_and(|names| names.contains(&self.unit));
        if let Some(why) = &state.unreachable {
            // Nobody is there who could take back what `enable` did.
            if linked {
                plan.steps.push(Step::Remove { path: format!("{}/{}", self.wants(), self.unit) });
            }
            if seen.daemon {
                plan.note("Still runs", format!("the daemon: your service manager cannot be reached ({why}); `holdline{} ctl stop` ends it", site.flag()));
            }
        } else {
            if state.enabled || matches!(state.activity, Activity::Running | Activity::Starting(_)) {
                plan.steps.push(run(&["systemctl", "--user", "disable", "--now", &self.unit]));
            }
            if let Activity::Failed(_) = state.activity {
                // It may be forgotten already.
                plan.steps.push(run_fine(&["systemctl", "--user", "reset-failed", &self.unit], &[1]));
            }
        }
        let reload = !removed.is_empty() && state.unreachable.is_none();
        plan.steps.extend(removed);
        if reload {
            plan.steps.push(run(&["systemctl", "--user", "daemon-reload"]));
        }
        if let Some(path) = self.packaged(seen) {
            plan.note("Stays", format!("{path}, which came with the program"));
        }
        if plan.steps.is_empty() {
            plan.headline = "holdline is not installed as a service.".to_owned();
        }
        Ok(plan)
    }

    fn start(&self, seen: &Seen) -> Result<Plan, Failed> {
        let told = self.ask(seen);
        let state = self.state(seen);
        if !state.installed {
            return Err(not_installed(&self.site));
        }
        if let Some(why) = &state.unreachable {
            return Err(unreachable("your service manager", why, ABSENT));
        }
        let mut plan = Plan::new("holdline runs as a service.");
        if state.activity == Activity::Running {
            return Ok(plan);
        }
        if seen.daemon && !matches!(state.activity, Activity::Starting(_)) {
            return Err(runs_outside(&self.site));
        }
        if told.get("NeedDaemonReload") == "yes" {
            plan.steps.push(run(&["systemctl", "--user", "daemon-reload"]));
        }
        if let Activity::Failed(_) = state.activity {
            plan.steps.push(self.systemctl("reset-failed"));
        }
        plan.steps.push(self.systemctl("start"));
        Ok(plan)
    }

    fn stop(&self, seen: &Seen) -> Result<Plan, Failed> {
        let state = self.state(seen);
        if !state.installed {
            return Err(not_installed(&self.site));
        }
        if let Some(why) = &state.unreachable {
            return Err(unreachable("your service manager", why, ABSENT));
        }
        let mut plan = Plan::new("The service is stopped; what is queued stays on disk.");
        if matches!(state.activity, Activity::Running | Activity::Starting(_)) {
            plan.steps.push(self.systemctl("stop"));
        } else if seen.daemon {
            plan.note(
                "Still runs",
                format!("a daemon outside the service; `holdline{} ctl stop` ends it", self.site.flag()),
            );
        }
        if state.enabled {
            plan.note("Next time", "it starts when you log in");
        }
        Ok(plan)
    }

    fn log(&self) -> String {
        format!("journalctl --user -u {} -f", self.unit.trim_end_matches(".service"))
    }

    fn absent(&self) -> &'static str {
        ABSENT
    }
}

/// Why systemd could not be given this program: nothing can be quoted there, it wants none of these.
pub(super) fn unfit(program: &str) -> Option<&'static str> {
    program
        .contains(['"', '\'', '\\'])
        .then_some("systemd starts no program whose path has quotes or backslashes in it")
}

/// What follows the comment at the head of a shipped file, which tells how to install it by hand.
fn settings(shipped: &str) -> &str {
    shipped.split_once("\n\n").map_or(shipped, |(_, rest)| rest)
}

/// `program` as the first word of a command line: in quotes where it has to be, and with no
/// specifier in it. A `$` means itself there: variables are put into arguments only.
fn quoted(program: &str) -> String {
    let text = program.replace('%', "%%");
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(plain) { text } else { format!("\"{text}\"") }
}

/// The program that a unit starts: [`quoted`], the other way round.
fn started(unit: &str) -> Option<String> {
    let line =
        unit.lines().filter_map(|line| line.strip_prefix("ExecStart=")).find(|line| !line.is_empty())?;
    let word = match line.strip_prefix('"') {
        Some(rest) => rest.split('"').next(),
        None => line.split(' ').next(),
    };
    word.map(|word| word.replace("%%", "%"))
}

/// `Thu 2026-11-26 11:38:45 UTC`, as `systemctl` says it where the time zone is UTC.
fn since(text: &str) -> Option<Timestamp> {
    let rest = text.split_once(' ')?.1.strip_suffix(" UTC")?;
    let at = DateTime::strptime("%Y-%m-%d %H:%M:%S", rest).ok()?.to_zoned(TimeZone::UTC).ok()?;
    Timestamp::parse(&at.timestamp().to_string()).ok()
}
