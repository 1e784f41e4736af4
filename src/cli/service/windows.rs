//! Windows: a task of the Task Scheduler that starts when the user signs in. Pure.
//!
//! The scheduler keeps a task in a form of its own. What it was made from stays in a file beside the
//! database, by which a second `install` sees whether anything differs; the description that the
//! scheduler shows carries the mark as well, so that somebody else's task of the same name is not
//! taken for ours.
//!
//! What the scheduler says of a running task is said in the language of the system. Whether the
//! daemon runs is seen by its lock instead.

use super::plan::{
    Activity, Encoding, Ended, Item, Plan, Seen, Site, State, Step, Wanted, not_installed, run, run_fine,
    unreachable,
};
use super::{Manager, files, template};
use crate::cli::{Exit, Failed};

const SHIPPED: &str = include_str!("../../../windows/holdline.xml");

const ABSENT: &str = "see that the service \"Task Scheduler\" runs";

/// How `schtasks` says no: there is no such task, or it does not run.
const NO: &[i32] = &[1];

/// How `holdline ctl stop` says that there was none.
const NONE_RUNS: &[i32] = &[3];

/// The service of one profile as a task.
#[derive(Debug)]
pub(super) struct Windows {
    site: Site,
    task: String,
}

impl Windows {
    pub(super) fn new(site: Site) -> Self {
        let task =
            if site.is_default() { "holdline".to_owned() } else { format!("holdline-{}", site.profile) };
        Self { site, task }
    }

    fn path(&self) -> String {
        format!("{}\\{}.task.xml", self.site.state, self.site.profile)
    }

    fn description<'a>(&self, seen: &'a Seen) -> Option<&'a str> {
        seen.answers.first().filter(|answer| answer.is_good()).map(|answer| answer.out.as_str())
    }

    /// How it stands, where the scheduler answers. Whether there is a task is seen by its answer.
    fn reached(&self, seen: &Seen) -> Result<State, Failed> {
        let state = self.state(seen);
        match &state.unreachable {
            Some(why) => Err(unreachable("the Task Scheduler", why, ABSENT)),
            None => Ok(state),
        }
    }

    /// The description of the task, if there is one. Somebody else's is refused, unless by `force`.
    fn task_of_ours<'a>(&self, seen: &'a Seen, force: bool, hint: &str) -> Result<Option<&'a str>, Failed> {
        let task = self.description(seen);
        if force || task.is_none_or(template::is_marked) {
            return Ok(task);
        }
        let message = format!(
            "there is a task `{}` that `holdline service` did not make; nothing was changed",
            self.task
        );
        Err(Failed::new(Exit::Refused, message).hint(hint))
    }

    fn change(&self, how: &str) -> Step {
        run(&["schtasks", "/Change", "/TN", &self.task, how])
    }

    /// Ends the daemon as it ends best, then the task around it.
    fn end(&self) -> [Step; 2] {
        [
            run_fine(&[&self.site.program, "--profile", &self.site.profile, "ctl", "stop"], NONE_RUNS),
            run_fine(&["schtasks", "/End", "/TN", &self.task], NO),
        ]
    }

    fn run_now(&self) -> Step {
        run(&["schtasks", "/Run", "/TN", &self.task])
    }
}

impl Manager for Windows {
    fn name(&self) -> &'static str {
        "Task Scheduler"
    }

    fn service(&self) -> &str {
        &self.task
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn items(&self, _wanted: Wanted, _seen: &Seen) -> Vec<Item> {
        let site = &self.site;
        let profile = if site.is_default() { String::new() } else { format!(" --profile {}", site.profile) };
        let about = format!("profile {}. {}", site.profile, template::mark());
        let by_hand = template::between(SHIPPED, "<!--", "-->").unwrap_or_default();
        let text = template::fill(
            SHIPPED,
            &[
                (by_hand, " Kept to see what the task was made from. "),
                ("profile default.", &about),
                ("DOMAIN\\YOU", &template::xml(&site.user)),
                (
                    "\"C:\\Users\\YOU\\.cargo\\bin\\holdline.exe\" run",
                    &format!("&quot;{}&quot; run{profile}", template::xml(&site.program)),
                ),
                ("C:\\Users\\YOU", &template::xml(&site.home)),
            ],
        );
        vec![Item { path: self.path(), text: template::seal(&text), encoding: Encoding::Utf16 }]
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
        vec![["schtasks", "/Query", "/TN", &self.task, "/XML"].map(str::to_owned).to_vec()]
    }

    fn state(&self, seen: &Seen) -> State {
        let task = self.description(seen);
        let unreachable = match seen.answers.first() {
            // That there is no such task is an answer.
            Some(answer) if !matches!(answer.ended, Ended::Code(0 | 1)) => Some(answer.complaint()),
            _ => None,
        };
        let settings = task.and_then(|task| template::between(task, "<Settings>", "</Settings>"));
        State {
            unreachable,
            installed: task.is_some(),
            enabled: task.is_some() && !settings.is_some_and(|it| it.contains("<Enabled>false</Enabled>")),
            activity: if seen.daemon { Activity::Running } else { Activity::Stopped },
            ended_with: None,
            pid: None,
            since: None,
            socket: false,
            program: task.and_then(|task| {
                let words = template::from_xml(template::between(task, "<Arguments>", "</Arguments>")?);
                template::between(&words, "\"", "\"").map(str::to_owned)
            }),
        }
    }

    fn install(&self, wanted: Wanted, seen: &Seen) -> Result<Plan, Failed> {
        let state = self.reached(seen)?;
        let hint = "give it another name, or install with --force, which puts ours in its place";
        let task = self.task_of_ours(seen, wanted.force, hint)?;
        let mut plan = Plan::new("holdline runs as a service, and starts when you sign in.");
        let changed = files::write(&self.site, self.items(wanted, seen), seen, wanted.force, &mut plan)?;
        let made = changed || !task.is_some_and(template::is_marked);
        if made {
            plan.steps.push(run(&["schtasks", "/Create", "/TN", &self.task, "/XML", &self.path(), "/F"]));
        } else if !state.enabled {
            plan.steps.push(self.change("/ENABLE"));
        }
        if state.activity != Activity::Running {
            plan.steps.push(self.run_now());
        } else if made {
            plan.note(
                "Not yet",
                "the running daemon goes on as it was started; stop and start take up what changed",
            );
        }
        if !plan.steps.is_empty() {
            plan.note("Log", self.log());
        }
        Ok(plan)
    }

    fn uninstall(&self, force: bool, seen: &Seen) -> Result<Plan, Failed> {
        self.reached(seen)?;
        let task = self.task_of_ours(seen, force, "uninstall with --force deletes it all the same")?;
        let mut plan = Plan::new("holdline is no longer a service.");
        let removed = files::remove(&self.site, &self.files(), seen, force)?;
        if task.is_some() {
            // First of all, so that it is not started again meanwhile.
            plan.steps.push(self.change("/DISABLE"));
            plan.steps.extend(self.end());
            plan.steps.push(run(&["schtasks", "/Delete", "/TN", &self.task, "/F"]));
        }
        plan.steps.extend(removed);
        if plan.steps.is_empty() {
            plan.headline = "holdline is not installed as a service.".to_owned();
        }
        Ok(plan)
    }

    fn start(&self, seen: &Seen) -> Result<Plan, Failed> {
        let state = self.reached(seen)?;
        if !state.installed {
            return Err(not_installed(&self.site));
        }
        let mut plan = Plan::new("holdline runs as a service.");
        if !state.enabled {
            plan.steps.push(self.change("/ENABLE"));
        }
        if state.activity != Activity::Running {
            plan.steps.push(self.run_now());
        }
        Ok(plan)
    }

    fn stop(&self, seen: &Seen) -> Result<Plan, Failed> {
        let state = self.reached(seen)?;
        if !state.installed {
            return Err(not_installed(&self.site));
        }
        let mut plan = Plan::new("The service is stopped; what is queued stays on disk.");
        if state.enabled {
            plan.steps.push(self.change("/DISABLE"));
        }
        if state.activity == Activity::Running {
            plan.steps.extend(self.end());
        }
        plan.note(
            "Next time",
            format!("it stays stopped, also when you sign in: `holdline service start{}`", self.site.flag()),
        );
        Ok(plan)
    }

    fn log(&self) -> String {
        "none without a console; `holdline ctl why` tells how the link came to where it is".to_owned()
    }

    fn absent(&self) -> &'static str {
        ABSENT
    }
}

/// Why the scheduler could not be given this program.
pub(super) fn unfit(program: &str) -> Option<&'static str> {
    (program.matches('%').count() > 1)
        .then_some("the Task Scheduler would read what stands between two % as a variable")
}
