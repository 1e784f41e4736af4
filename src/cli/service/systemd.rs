//! systemd: a unit of the user's own service manager. Pure.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::plan::{
    Activity, Found, Item, Plan, Seen, Site, State, Step, Wanted, run, run_fine, runs_outside,
};
use super::{Manager, files, units};
use crate::cli::{Exit, Failed};
use crate::model::Timestamp;

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
    socket: String,
}

impl Systemd {
    pub(super) fn new(site: Site) -> Self {
        Self { unit: units::name(&site, "service"), socket: units::name(&site, "socket"), site }
    }

    /// Where the file of the service is, if it is ours.
    fn own(&self) -> String {
        units::path(&self.site, &units::file(&self.site, "service"))
    }

    /// Where the file of the socket is, if it is ours.
    fn own_socket(&self) -> String {
        units::path(&self.site, &units::file(&self.site, "socket"))
    }

    /// Where systemd links what is to start when the user logs in.
    fn wants(&self, target: &str) -> String {
        units::path(&self.site, &format!("{target}.target.wants"))
    }

    fn is_there(seen: &Seen, path: &str) -> bool {
        *seen.file(path) != Found::Absent
    }

    /// A unit that a package or an administrator installed: its path and its text.
    fn shared<'a>(&self, seen: &'a Seen, kind: &str) -> Option<(String, &'a str)> {
        let file = units::file(&self.site, kind);
        let mut paths = SHARED.iter().map(|folder| format!("{folder}/{file}"));
        paths.find_map(|path| seen.text(&path).map(|text| (path, text)))
    }

    /// A service that came with this very program.
    fn packaged(&self, seen: &Seen) -> Option<String> {
        let (path, text) = self.shared(seen, "service")?;
        (units::started(text).as_deref() == Some(self.site.program.as_str())).then_some(path)
    }

    /// What the manager told of the service, or of the socket.
    fn ask(seen: &Seen, question: usize) -> Told {
        let Some(answer) = seen.answers.get(question) else { return Told::default() };
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

    /// Units of other profiles that begin with the same file.
    fn others(&self, seen: &Seen, target: &str, ours: &str) -> Vec<String> {
        let names = seen.folders.get(&self.wants(target)).into_iter().flatten();
        names.filter(|name| name.starts_with("holdline@") && *name != ours).cloned().collect()
    }

    fn systemctl(&self, verb: &str) -> Step {
        run(&["systemctl", "--user", verb, &self.unit])
    }

    /// One command for the service, and for the socket where `socket` says so: systemd keeps the order.
    fn both(&self, verb: &[&str], socket: bool) -> Step {
        let units = socket.then_some(self.socket.as_str()).into_iter().chain([self.unit.as_str()]);
        let words = ["systemctl", "--user"].into_iter().chain(verb.iter().copied());
        run(&words.chain(units).collect::<Vec<_>>())
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

    fn is_enabled(&self) -> bool {
        self.get("UnitFileState").starts_with("enabled")
    }

    fn is_active(&self) -> bool {
        self.get("ActiveState") == "active"
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

    fn items(&self, wanted: Wanted, seen: &Seen) -> Vec<Item> {
        let site = &self.site;
        let mut items = vec![units::service(site)];
        // What was asked for once is kept up to date.
        if wanted.socket || Self::is_there(seen, &self.own_socket()) {
            items.push(units::socket(site));
        }
        if wanted.hardened || Self::is_there(seen, &units::drop_in(site)) {
            items.push(units::hardened(site));
        }
        items
    }

    fn files(&self) -> Vec<String> {
        vec![self.own(), self.own_socket(), units::drop_in(&self.site)]
    }

    fn looks(&self) -> Vec<String> {
        let names = ["service", "socket"].map(|kind| units::file(&self.site, kind));
        SHARED.iter().flat_map(|folder| names.iter().map(move |name| format!("{folder}/{name}"))).collect()
    }

    fn folders(&self) -> Vec<String> {
        vec![self.wants("default"), self.wants("sockets")]
    }

    fn questions(&self) -> Vec<Vec<String>> {
        let service = "--property=LoadState,UnitFileState,ActiveState,SubState,Result,ExecMainStatus,MainPID,\
                       ActiveEnterTimestamp,NeedDaemonReload";
        let socket = "--property=UnitFileState,ActiveState";
        let questions: [&[&str]; 3] =
            [&[&self.unit, service], &["--property=UnitPath"], &[&self.socket, socket]];
        let whole = |words: &&[&str]| {
            ["systemctl", "--user", "show"].iter().chain(*words).map(|it| (*it).to_owned()).collect()
        };
        questions.iter().map(whole).collect()
    }

    fn state(&self, seen: &Seen) -> State {
        let told = Self::ask(seen, 0);
        let own = seen.text(&self.own());
        let shared = self.shared(seen, "service").map(|(_, text)| text);
        let linked = seen.folders.get(&self.wants("default")).is_some_and(|names| names.contains(&self.unit));
        let activity = told.activity();
        State {
            installed: Self::is_there(seen, &self.own()) || shared.is_some(),
            enabled: if told.unreachable.is_some() { linked } else { told.is_enabled() },
            ended_with: told.get("ExecMainStatus").parse().ok().filter(|_| activity != Activity::Running),
            pid: told.get("MainPID").parse().ok().filter(|pid| *pid != 0),
            since: (activity == Activity::Running).then(|| since(told.get("ActiveEnterTimestamp"))).flatten(),
            program: own.or(shared).and_then(units::started),
            socket: Self::ask(seen, 2).is_active(),
            activity,
            unreachable: told.unreachable,
        }
    }

    fn install(&self, wanted: Wanted, seen: &Seen) -> Result<Plan, Failed> {
        let site = &self.site;
        let (told, socket) = (Self::ask(seen, 0), Self::ask(seen, 2));
        let state = self.state(seen);
        let mut plan = Plan::new("holdline runs as a service, and starts when you log in.");
        let mut items = self.items(wanted, seen);
        let (own, own_socket) = (self.own(), self.own_socket());
        if let Some(path) = self.packaged(seen).filter(|_| !Self::is_there(seen, &own)) {
            items.retain(|item| item.path != own);
            plan.settled.push(path);
            plan.note("Unit", "the one that came with the program");
        }
        if let Some((path, _)) = self.shared(seen, "socket").filter(|_| !Self::is_there(seen, &own_socket)) {
            items.retain(|item| item.path != own_socket);
            plan.settled.extend(wanted.socket.then_some(path));
        }
        let changed = files::write(site, items, seen, wanted.force, &mut plan)?;
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
        let runs = matches!(state.activity, Activity::Running | Activity::Starting(_));
        let is_outside = seen.daemon && !runs;
        let holds = wanted.socket || socket.is_enabled();
        let enabled = state.enabled && (!holds || socket.is_enabled());
        if let (Activity::Failed(_), false) = (&state.activity, is_outside) {
            // What counts the failures counts from nothing again.
            plan.steps.push(self.systemctl("reset-failed"));
        }
        // systemd makes no socket for a service that runs already.
        let must_stop = runs && holds && !socket.is_active();
        if must_stop {
            plan.steps.push(self.systemctl("stop"));
        }
        match (runs && !must_stop, enabled) {
            _ if is_outside => {
                if !enabled {
                    plan.steps.push(self.both(&["enable"], holds));
                }
                plan.only_enables(site);
            }
            (false, false) => plan.steps.push(self.both(&["enable", "--now"], holds)),
            (false, true) => plan.steps.push(self.both(&["start"], holds)),
            (true, enabled) => {
                if !enabled {
                    plan.steps.push(self.both(&["enable"], holds));
                }
                if let Activity::Starting(_) = state.activity {
                    plan.steps.push(self.systemctl("restart"));
                } else if changed {
                    let how = format!(
                        "the running daemon goes on as it was started; `systemctl --user restart {}` takes up \
                         what changed, and loses nothing",
                        self.unit
                    );
                    plan.note("Not yet", how);
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
        let socket = Self::ask(seen, 2);
        let mut plan = Plan::new("holdline is no longer a service.");
        let mut files = self.files();
        let shares = [("default", &self.unit, self.own()), ("sockets", &self.socket, self.own_socket())];
        for (target, ours, own) in &shares {
            let others = self.others(seen, target, ours);
            if !site.is_default() && !others.is_empty() && Self::is_there(seen, own) {
                files.retain(|path| path != own);
                plan.note("Stays", format!("{}, for {}", site.short(own), others.join(", ")));
            }
        }
        let removed = files::remove(site, &files, seen, force)?;
        if let Some(why) = &state.unreachable {
            // Nobody is there who could take back what `enable` did.
            for (target, ours, _) in &shares {
                let folder = self.wants(target);
                if seen.folders.get(&folder).is_some_and(|names| names.contains(*ours)) {
                    plan.steps.push(Step::Remove { path: format!("{folder}/{ours}") });
                }
            }
            if seen.daemon {
                let how = format!(
                    "the daemon: your service manager cannot be reached ({why}); `holdline{} ctl stop` ends it",
                    site.flag()
                );
                plan.note("Still runs", how);
            }
        } else {
            let held = socket.is_active() || socket.is_enabled();
            let runs = matches!(state.activity, Activity::Running | Activity::Starting(_));
            if held || runs || state.enabled {
                plan.steps.push(self.both(&["disable", "--now"], held));
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
        if let Some((path, _)) = self.shared(seen, "service") {
            plan.note("Stays", format!("{path}, which came with the system"));
        }
        if plan.steps.is_empty() {
            plan.headline = "holdline is not installed as a service.".to_owned();
        }
        Ok(plan)
    }

    fn start(&self, seen: &Seen) -> Result<Plan, Failed> {
        let told = Self::ask(seen, 0);
        let state = self.state(seen).at_hand(&self.site, "your service manager", ABSENT)?;
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
        plan.steps.push(self.both(&["start"], Self::ask(seen, 2).is_enabled()));
        Ok(plan)
    }

    fn stop(&self, seen: &Seen) -> Result<Plan, Failed> {
        let state = self.state(seen).at_hand(&self.site, "your service manager", ABSENT)?;
        let ends = state.socket || matches!(state.activity, Activity::Running | Activity::Starting(_));
        let end = ends.then(|| self.both(&["stop"], state.socket));
        Ok(Plan::stop(&self.site, &state, seen, end))
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

/// `Thu 2026-11-26 11:38:45 UTC`, as `systemctl` says it where the time zone is UTC.
fn since(text: &str) -> Option<Timestamp> {
    let rest = text.split_once(' ')?.1.strip_suffix(" UTC")?;
    let at = DateTime::strptime("%Y-%m-%d %H:%M:%S", rest).ok()?.to_zoned(TimeZone::UTC).ok()?;
    Timestamp::parse(&at.timestamp().to_string()).ok()
}
