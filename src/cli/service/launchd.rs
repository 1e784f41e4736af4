//! launchd: an agent of the user's login session. Pure.

use super::plan::{
    self, Activity, Encoding, Found, Item, Plan, Seen, Site, State, Step, Wanted, run, run_fine, runs_outside,
};
use super::{Manager, files, template};
use crate::cli::{Exit, Failed};

const SHIPPED: &str = include_str!("../../../launchd/holdline.plist");

/// What to do where nobody is logged in at the screen.
const ABSENT: &str = "log in at the screen: an agent lives in that session";

/// How `bootout` says that it goes on in the background, or that there was nothing to do.
const GOING: &[i32] = &[3, 36, 113];

/// How `bootstrap` says, for some seconds after a `bootout`, that the name is not free yet.
const NOT_YET: &[i32] = &[5, 37];

/// The service of one profile under launchd.
#[derive(Debug)]
pub(super) struct Launchd {
    site: Site,
    label: String,
}

impl Launchd {
    pub(super) fn new(site: Site) -> Self {
        let label = if site.is_default() {
            "org.holdline.agent".to_owned()
        } else {
            format!("org.holdline.agent.{}", site.profile)
        };
        Self { site, label }
    }

    fn path(&self) -> String {
        format!("{}/Library/LaunchAgents/{}.plist", self.site.home, self.label)
    }

    fn log_path(&self) -> String {
        let name = if self.site.is_default() { String::new() } else { format!("-{}", self.site.profile) };
        format!("{}/Library/Logs/holdline{name}.log", self.site.home)
    }

    /// The login session, as launchd names it.
    fn domain(&self) -> String {
        format!("gui/{}", self.site.uid)
    }

    fn target(&self) -> String {
        format!("{}/{}", self.domain(), self.label)
    }

    fn is_loaded(seen: &Seen) -> bool {
        seen.answers.first().is_some_and(plan::Answer::is_good)
    }

    /// `launchctl disable` outlives everything until `enable`.
    fn is_disabled(&self, seen: &Seen) -> bool {
        let said = seen.answers.get(2).map_or("", |answer| answer.out.as_str());
        let name = format!("\"{}\" =>", self.label);
        said.lines().filter_map(|line| line.trim().strip_prefix(&name)).any(|rest| {
            let rest = rest.trim();
            rest == "disabled" || rest == "true"
        })
    }

    /// Takes the agent's file up, which starts it.
    fn bring_up(&self, seen: &Seen) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.is_disabled(seen) {
            steps.push(run(&["launchctl", "enable", &self.target()]));
        }
        let command = ["launchctl", "bootstrap", &self.domain(), &self.path()].map(str::to_owned).to_vec();
        steps.push(Step::Run { command, fine: &[], again: NOT_YET });
        steps
    }

    fn bring_down(&self) -> Step {
        run_fine(&["launchctl", "bootout", &self.target()], GOING)
    }
}

impl Manager for Launchd {
    fn name(&self) -> &'static str {
        "launchd"
    }

    fn service(&self) -> &str {
        &self.label
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn items(&self, _wanted: Wanted, _seen: &Seen) -> Vec<Item> {
        let arguments = if self.site.is_default() {
            "<string>run</string>".to_owned()
        } else {
            let profile = template::xml(&self.site.profile);
            format!("<string>run</string>\n    <string>--profile</string>\n    <string>{profile}</string>")
        };
        let log = template::xml(&self.log_path());
        // The comment at its head tells how to install it by hand.
        let by_hand = template::between(SHIPPED, "<!--", "-->").unwrap_or_default();
        let text = template::fill(
            SHIPPED,
            &[
                (by_hand, &format!(" {} ", template::mark())),
                ("org.holdline.agent", &self.label),
                ("/Users/YOU/.cargo/bin/holdline", &template::xml(&self.site.program)),
                ("<string>run</string>", &arguments),
                ("/Users/YOU/Library/Logs/holdline.log", &log),
            ],
        );
        vec![Item { path: self.path(), text: template::seal(&text), encoding: Encoding::Utf8 }]
    }

    fn files(&self) -> Vec<String> {
        vec![self.path()]
    }

    fn looks(&self) -> Vec<String> {
        Vec::new()
    }

    fn folders(&self) -> Vec<String> {
        Vec::new()
    }

    fn questions(&self) -> Vec<Vec<String>> {
        [
            ["launchctl", "print", &self.target()],
            ["launchctl", "print", &self.domain()],
            ["launchctl", "print-disabled", &self.domain()],
        ]
        .iter()
        .map(|words| words.iter().map(|word| (*word).to_owned()).collect())
        .collect()
    }

    fn state(&self, seen: &Seen) -> State {
        let said = seen.answers.first().filter(|answer| answer.is_good()).map_or("", |answer| &answer.out);
        // The first of its name belongs to the agent itself; parts of it follow further in.
        let field = |name: &str| {
            said.lines().filter_map(|line| line.trim().split_once(" = ")).find(|(found, _)| *found == name)
        };
        let pid = field("pid").and_then(|(_, pid)| pid.parse().ok());
        let ended_with =
            field("last exit code").and_then(|(_, code)| code.split(':').next()?.trim().parse::<i32>().ok());
        let running = field("state").is_some_and(|(_, state)| state == "running") || pid.is_some();
        let activity = match ended_with {
            _ if running => Activity::Running,
            Some(code) if code != 0 => {
                Activity::Starting(format!("it ended with {code}, and is tried again every 30 s"))
            }
            _ => Activity::Stopped,
        };
        let file = seen.file(&self.path());
        let unreachable = match seen.answers.get(1) {
            Some(answer) if !answer.is_good() && !Self::is_loaded(seen) => Some(answer.complaint()),
            _ => None,
        };
        State {
            unreachable,
            installed: *file != Found::Absent,
            enabled: *file != Found::Absent && !self.is_disabled(seen),
            activity,
            ended_with: ended_with.filter(|_| !running),
            pid,
            since: None,
            socket: false,
            program: seen.text(&self.path()).and_then(|text| {
                let rest = text.split_once("<key>ProgramArguments</key>")?.1;
                Some(template::from_xml(template::between(rest, "<string>", "</string>")?))
            }),
        }
    }

    fn install(&self, wanted: Wanted, seen: &Seen) -> Result<Plan, Failed> {
        let site = &self.site;
        let state = self.state(seen);
        let mut plan = Plan::new("holdline runs as a service, and starts when you log in.");
        let changed = files::write(site, self.items(wanted, seen), seen, wanted.force, &mut plan)?;
        let loaded = Self::is_loaded(seen);
        if let Some(why) = &state.unreachable {
            plan.headline = "The file is in place, but the service does not run yet.".to_owned();
            plan.note("Why", format!("there is no login session that could run it: {why}"));
            plan.note("What to do", ABSENT);
            plan.exit = Exit::NotRunning;
            return Ok(plan);
        }
        if seen.daemon && !matches!(state.activity, Activity::Running | Activity::Starting(_)) {
            plan.only_enables(site);
            return Ok(plan);
        }
        if loaded && changed {
            plan.steps.push(self.bring_down());
        }
        if changed || !loaded {
            plan.steps.extend(self.bring_up(seen));
        } else if state.activity != Activity::Running {
            plan.steps.push(run(&["launchctl", "kickstart", &self.target()]));
        }
        if !plan.steps.is_empty() {
            plan.note("Log", self.log());
        }
        Ok(plan)
    }

    fn uninstall(&self, force: bool, seen: &Seen) -> Result<Plan, Failed> {
        let mut plan = Plan::new("holdline is no longer a service.");
        let removed = files::remove(&self.site, &self.files(), seen, force)?;
        if Self::is_loaded(seen) {
            plan.steps.push(self.bring_down());
        }
        plan.steps.extend(removed);
        if plan.steps.is_empty() {
            plan.headline = "holdline is not installed as a service.".to_owned();
        }
        Ok(plan)
    }

    fn start(&self, seen: &Seen) -> Result<Plan, Failed> {
        let state = self.state(seen).at_hand(&self.site, "the login session", ABSENT)?;
        let mut plan = Plan::new("holdline runs as a service.");
        if state.activity == Activity::Running {
            return Ok(plan);
        }
        if seen.daemon && state.activity == Activity::Stopped {
            return Err(runs_outside(&self.site));
        }
        if Self::is_loaded(seen) {
            plan.steps.push(run(&["launchctl", "kickstart", &self.target()]));
        } else {
            plan.steps.extend(self.bring_up(seen));
        }
        Ok(plan)
    }

    fn stop(&self, seen: &Seen) -> Result<Plan, Failed> {
        let state = self.state(seen).at_hand(&self.site, "the login session", ABSENT)?;
        let end = Self::is_loaded(seen).then(|| self.bring_down());
        Ok(Plan::stop(&self.site, &state, seen, end))
    }

    fn log(&self) -> String {
        self.site.short(&self.log_path())
    }

    fn absent(&self) -> &'static str {
        ABSENT
    }
}
