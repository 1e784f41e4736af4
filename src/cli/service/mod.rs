//! `holdline service`: the daemon at home under the service manager of the system.
//!
//! First everything is looked at (files, what the service manager says, whether a daemon runs), then
//! a plan is made of it, then the plan is said (`--dry-run`) or done. The plans are pure functions,
//! one file for each service manager, and all of them are built and tested on every system; only
//! `act` touches anything. What is written comes from the files in `systemd/`, `launchd/` and
//! `windows/`, which are also there to be installed by hand.

mod act;
mod files;
mod launchd;
mod plan;
mod say;
mod systemd;
mod template;
#[cfg(test)]
mod tests;
mod units;
mod windows;

use std::path::Path;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use self::act::Hand;
use self::plan::{Activity, Encoding, Item, Plan, Seen, Site, State, Wanted};
use super::words::{Reader, plain};
use super::{Exit, Failed, Outcome, Shell, config as config_verbs};
use crate::clock::Clock;
use crate::config::{self, Environment, Places, Platform, Sources};

const EXAMPLES: &str = "\
Examples:
  holdline service install --dry-run       what would be done, and nothing more
  holdline service install                 run it now, and whenever you log in
  holdline service status                  whether it runs, since when, and which program
  holdline service uninstall               no longer; configuration and messages stay";

/// `holdline service`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only say what would be done
    #[arg(long, global = true)]
    dry_run: bool,

    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with the service.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Install the service for this user and profile, and start it; again: only what differs
    #[command(before_help = "\
Examples:
  holdline service install
  holdline service install --profile work
  holdline service install --dry-run")]
    Install {
        #[command(flatten)]
        options: Options,
    },
    /// Stop the service and take it away; configuration and messages stay
    #[command(before_help = "\
Examples:
  holdline service uninstall
  holdline service uninstall --profile work --dry-run")]
    Uninstall {
        /// Also take away what was edited; it is kept as NAME.old
        #[arg(long)]
        force: bool,
    },
    /// Start the installed service
    #[command(before_help = "Examples:\n  holdline service start\n  holdline service start --profile work")]
    Start,
    /// Stop the installed service; it stays installed
    #[command(before_help = "Examples:\n  holdline service stop\n  holdline service stop --profile work")]
    Stop,
    /// Say whether it is installed, whether it runs, since when, and which program
    #[command(before_help = "Examples:\n  holdline service status\n  holdline service status --json")]
    Status,
    /// Print what `install` would write
    #[command(before_help = "\
Examples:
  holdline service print
  holdline service print --profile work --hardened")]
    Print {
        #[command(flatten)]
        options: Options,
    },
}

/// What a service is to be like.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Options {
    /// systemd: with a view of the file system of its own, in which it can write to its state alone
    #[arg(long)]
    hardened: bool,

    /// systemd: let it hold the socket, so that an app that connects starts the daemon
    #[arg(long)]
    socket_activation: bool,

    /// Put a file in the place of one that is not ours, or was edited; that one is kept as NAME.old
    #[arg(long)]
    force: bool,
}

impl Options {
    const fn wanted(self) -> Wanted {
        Wanted { hardened: self.hardened, socket: self.socket_activation, force: self.force }
    }
}

/// A service manager, as far as one profile goes. Pure: what was found goes in, what is to be done
/// comes out.
trait Manager {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it calls the service.
    fn service(&self) -> &str;
    /// Whose service it is.
    fn site(&self) -> &Site;
    /// The files of the service, as they are to be.
    fn items(&self, wanted: Wanted, seen: &Seen) -> Vec<Item>;
    /// Paths of all files that can be ours.
    fn files(&self) -> Vec<String>;
    /// Paths of further files that are looked at.
    fn looks(&self) -> Vec<String>;
    /// Folders whose names are looked at.
    fn folders(&self) -> Vec<String>;
    /// Commands that change nothing, and whose answers tell how it stands.
    fn questions(&self) -> Vec<Vec<String>>;
    /// How it stands.
    fn state(&self, seen: &Seen) -> State;
    /// What is to be done to install it.
    fn install(&self, wanted: Wanted, seen: &Seen) -> Result<Plan, Failed>;
    /// What is to be done to take it away.
    fn uninstall(&self, force: bool, seen: &Seen) -> Result<Plan, Failed>;
    /// What is to be done to start it.
    fn start(&self, seen: &Seen) -> Result<Plan, Failed>;
    /// What is to be done to stop it.
    fn stop(&self, seen: &Seen) -> Result<Plan, Failed>;
    /// Where its log is.
    fn log(&self) -> String;
    /// What to do where it cannot be reached.
    fn absent(&self) -> &'static str;
}

/// The service manager of a system.
fn manager(platform: Platform, site: Site) -> Box<dyn Manager> {
    match platform {
        Platform::Linux => Box::new(systemd::Systemd::new(site)),
        Platform::MacOs => Box::new(launchd::Launchd::new(site)),
        Platform::Windows => Box::new(windows::Windows::new(site)),
    }
}

/// Why a service manager could not be given this program.
fn unfit(platform: Platform, program: &str) -> Option<&'static str> {
    if program.contains(char::is_control) {
        return Some("no service manager takes a path with control characters in it");
    }
    match platform {
        Platform::Linux => systemd::unfit(program),
        Platform::MacOs => None,
        Platform::Windows => windows::unfit(program),
    }
}

/// Refuses what a service manager has nothing for.
fn offers(platform: Platform, wanted: Wanted) -> Result<(), Failed> {
    let asked = [(wanted.hardened, "--hardened"), (wanted.socket, "--socket-activation")];
    match asked.into_iter().find(|(asked, _)| *asked && platform != Platform::Linux) {
        Some((_, option)) => Err(Failed::usage(format!("{option} is for systemd, which is not here"))),
        None => Ok(()),
    }
}

/// What a program that will soon be gone, or be another, lies in.
fn passing(program: &str) -> Option<&'static str> {
    let parts: Vec<&str> = program.split(['/', '\\']).collect();
    let folders = parts.split_last().map_or(&[][..], |(_, folders)| folders);
    let built =
        folders.contains(&"target") && folders.last().is_some_and(|it| matches!(*it, "debug" | "release"));
    if built {
        return Some(
            "a build folder: the next build puts another program there, `cargo clean` takes it away. `cargo install --path .` puts it where it stays",
        );
    }
    matches!(folders, ["", "tmp", ..] | ["", "var", "tmp", ..])
        .then_some("a folder for temporary files: it will be gone one day")
}

/// Variables that steer a daemon and that a service manager does not hand on.
const NOT_TAKEN_ALONG: [&str; 4] =
    ["HOLDLINE_CONFIG", "HOLDLINE_SOCKET", "HOLDLINE_STATE_DIR", "HOLDLINE_LOG"];

/// Everything that a verb needs.
struct Work {
    manager: Box<dyn Manager>,
    hand: Hand,
    sources: Sources,
    places: Places,
    left_behind: Vec<&'static str>,
}

impl Work {
    fn prepare(timeout: Option<Duration>, shell: &Shell) -> Result<Self, Failed> {
        let globals = shell.globals();
        if globals.socket.is_some() {
            return Err(Failed::usage(
                "a service listens on the socket of its profile: --socket means nothing here",
            ));
        }
        let mut environment = Environment::of_process();
        let mut left_behind = NOT_TAKEN_ALONG.to_vec();
        left_behind.retain(|name| environment.variables.remove(std::ffi::OsStr::new(name)).is_some());
        let platform = environment.platform;
        let sources = Sources { config: None, profile: globals.profile.clone(), socket: None, environment };
        let environment = &sources.environment;
        let home = environment.home.as_deref();
        let places = config::locate(&sources)
            .map_err(|problem| Failed::new(Exit::Usage, problem.message.clone()).hint(problem.hint))?;
        // `store.path` moves the lock, where the file can be read at all.
        let places = config::load(&sources).map_or(places, |config| config.places);
        let program = act::this_program()?;
        if let Some(why) = unfit(platform, &program) {
            return Err(Failed::new(Exit::Refused, format!("{why}: {}", plain(&program)))
                .hint("move the program to a folder with a plainer name"));
        }
        let Some(home) = home else {
            return Err(Failed::new(Exit::Failure, "no home folder is known").hint("set HOME"));
        };
        let configured = environment.variables.get(std::ffi::OsStr::new("XDG_CONFIG_HOME")).map(Path::new);
        let units =
            configured.filter(|it| it.is_absolute()).map_or_else(|| home.join(".config"), Path::to_owned);
        let site = Site {
            program,
            profile: places.profile.clone(),
            home: text(home)?,
            units: text(&units.join("systemd/user"))?,
            state: text(&places.state_dir)?,
            data: text(places.database.parent().unwrap_or(Path::new("/")))?,
            uid: uid(),
            user: environment.user.clone(),
        };
        let told = environment.variables.contains_key(std::ffi::OsStr::new("XDG_RUNTIME_DIR"));
        let hand = Hand::new(environment.run_user.clone().filter(|_| !told), timeout)?;
        Ok(Self { manager: manager(platform, site), hand, sources, places, left_behind })
    }

    fn look(&self) -> Seen {
        self.hand.look(self.manager.as_ref(), super::ctl::is_held(&self.places.lock))
    }

    /// Refuses a configuration that the service would only fail at.
    fn check(&self, shell: &mut Shell) -> Result<(), Failed> {
        let reply = config_verbs::check(&self.sources);
        if reply.exit == Exit::Ok {
            if !reply.notes.is_empty() {
                shell.note(reply.notes.trim_end());
            }
            return Ok(());
        }
        let flag = self.manager.site().flag();
        // What is wrong is said in the words of `config check`.
        let message =
            if shell.json() { "the configuration is not in order; nothing was installed" } else { "" };
        let hint = if self.places.config.exists() {
            "nothing was installed; once this is in order, the same command again".to_owned()
        } else {
            format!(
                "nothing was installed; `holdline config init{flag} --url wss://HOST/`, then the same command again"
            )
        };
        let mut failed = Failed::new(reply.exit, message).detail(reply.notes).hint(hint);
        if let Some(problems) = reply.json.get("problems") {
            failed.extra.insert("problems".to_owned(), problems.clone());
        }
        Err(failed)
    }

    /// Says a plan, or does it, line by line.
    fn carry_out(&self, verb: &str, plan: &Plan, dry: bool, shell: &mut Shell) -> Outcome {
        let site = self.manager.site();
        let json = shell.json();
        if !json {
            for what in &plan.settled {
                shell.print(&say::settled(&site.short(what), dry))?;
            }
        }
        for (done, step) in plan.steps.iter().enumerate() {
            if !dry {
                self.hand.carry_out(step, site).map_err(|mut failed| {
                    let steps = plan.steps[..done].iter().map(say::step_json).collect();
                    failed.extra.insert("done".to_owned(), serde_json::Value::Array(steps));
                    failed
                })?;
            }
            if !json {
                shell.print(&say::step(step, site, dry))?;
            }
        }
        if json {
            shell.document(&say::plan_json(verb, self.manager.as_ref(), plan, dry))?;
        } else {
            shell.print(&say::conclusion(plan, dry))?;
        }
        Ok(if dry { Exit::Ok } else { plan.exit })
    }
}

/// Does what was asked for.
pub(crate) fn run(args: &Args, timeout: Option<Duration>, shell: &mut Shell) -> Outcome {
    let work = Work::prepare(timeout, shell)?;
    let dry = args.dry_run;
    match &args.verb {
        Verb::Install { options } => {
            offers(work.sources.environment.platform, options.wanted())?;
            work.check(shell)?;
            let mut plan = work.manager.install(options.wanted(), &work.look())?;
            if let Some(what) = passing(&work.manager.site().program) {
                plan.note("Mind", format!("the program lies in {what}"));
            }
            if !work.left_behind.is_empty() {
                plan.note(
                    "Left behind",
                    format!("{}: set here, but not for the service", work.left_behind.join(", ")),
                );
            }
            work.carry_out("install", &plan, dry, shell)
        }
        Verb::Uninstall { force } => {
            let mut plan = work.manager.uninstall(*force, &work.look())?;
            let places = &work.places;
            let kept = [&places.config, &places.database].into_iter().filter(|path| path.exists());
            let kept: Vec<String> = kept.map(|path| places.shorten(path)).collect();
            if !kept.is_empty() {
                plan.note("Stays", kept.join(", "));
            }
            work.carry_out("uninstall", &plan, dry, shell)
        }
        Verb::Start => work.carry_out("start", &work.manager.start(&work.look())?, dry, shell),
        Verb::Stop => work.carry_out("stop", &work.manager.stop(&work.look())?, dry, shell),
        Verb::Status => status(&work, shell),
        Verb::Print { options } => {
            offers(work.sources.environment.platform, options.wanted())?;
            print(&work, options.wanted(), shell)
        }
    }
}

fn status(work: &Work, shell: &mut Shell) -> Outcome {
    let manager = work.manager.as_ref();
    let seen = work.look();
    let mut state = manager.state(&seen);
    let report = if seen.daemon { work.hand.report(&work.places.socket) } else { None };
    // One of another process is not the service's.
    let report = report.filter(|it| state.pid.is_none_or(|pid| pid == it.daemon.pid));
    if let (Some(report), Activity::Running) = (&report, &state.activity) {
        // launchd and the Task Scheduler do not say since when.
        state.pid = Some(report.daemon.pid);
        state.since = state.since.or(Some(report.daemon.started_at));
    }
    if shell.json() {
        shell.document(&say::status_json(manager, &seen, &state, report.as_ref()))?;
    } else {
        let reader = Reader::here(Clock::start().now().wall);
        shell.print(&say::status(manager, &seen, &state, report.as_ref(), &reader))?;
    }
    Ok(say::verdict(&state))
}

/// One file as it is, to be put somewhere; several with their paths.
fn print(work: &Work, wanted: Wanted, shell: &mut Shell) -> Outcome {
    let manager = work.manager.as_ref();
    let items = manager.items(wanted, &Seen::default());
    if shell.json() {
        let files: Vec<_> =
            items.iter().map(|item| json!({ "path": item.path, "text": item.text })).collect();
        shell.document(
            &json!({ "profile": manager.site().profile, "service": manager.service(), "files": files }),
        )?;
        return Ok(Exit::Ok);
    }
    match items.as_slice() {
        [item] if item.encoding == Encoding::Utf16 && shell.watched() => shell.print(&item.text)?,
        [item] => shell.raw(&item.bytes())?,
        items => {
            let texts: Vec<String> =
                items.iter().map(|item| format!("# {}\n{}", item.path, item.text)).collect();
            shell.print(&texts.join("\n"))?;
        }
    }
    Ok(Exit::Ok)
}

/// A path that goes into a file that is text.
fn text(path: &Path) -> Result<String, Failed> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control));
    text.map(str::to_owned).ok_or_else(|| {
        Failed::new(
            Exit::Refused,
            format!("a path that is no text cannot be given to a service manager: {}", path.display()),
        )
    })
}

#[cfg(unix)]
fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Only launchd names users by a number.
#[cfg(not(unix))]
const fn uid() -> u32 {
    0
}
