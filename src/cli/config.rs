//! `holdline config`: write a first configuration, check it, show what is in force, say where it
//! is.
//!
//! Each verb is a function from [`Sources`] to a [`Reply`] that touches no terminal; none of them
//! needs a running daemon.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::{Exit, Outcome, Shell};
use crate::config::{self, Config, Environment, Places, Problem, Severity, Sources};
use crate::daemon;

/// `holdline config`.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  holdline config init --url wss://api.example.com/socket
  holdline config check
  holdline config show --origin")]
pub(crate) struct Args {
    /// Configuration file, instead of the profile's own (also HOLDLINE_CONFIG)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: ConfigCommand,
}

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Write a small commented configuration; never over an existing one
    Init {
        /// Where the server is: wss://…, or ws:// on this machine
        #[arg(long, value_name = "URL")]
        url: String,
    },
    /// Say whether the configuration is in order, and what is not
    Check,
    /// Print what is in force, without secrets
    Show {
        /// Say for each key who set it: flag, variable, line of the file, or nobody
        #[arg(long)]
        origin: bool,
    },
    /// Print where the configuration is (with --json: all files, folders and the socket)
    Path,
}

/// What a verb says and how it exits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    /// For standard output.
    pub(crate) text: String,
    /// For standard error.
    pub(crate) notes: String,
    /// For standard output with `--json`, in place of both.
    pub(crate) json: Json,
    /// Exit code.
    pub(crate) exit: Exit,
}

/// Carries out a verb.
pub(crate) fn run(args: &Args, shell: &mut Shell) -> Outcome {
    let globals = shell.globals();
    let sources = Sources {
        config: args.config.clone(),
        profile: globals.profile.clone(),
        socket: globals.socket.clone(),
        environment: Environment::of_process(),
    };
    let reply = match &args.command {
        ConfigCommand::Init { url } => init(&sources, url),
        ConfigCommand::Check => check(&sources),
        ConfigCommand::Show { origin } => show(&sources, *origin),
        ConfigCommand::Path => path(&sources),
    };
    if shell.json() {
        shell.document(&reply.json)?;
        return Ok(reply.exit);
    }
    if !reply.notes.is_empty() {
        shell.note(&reply.notes);
    }
    shell.print(&reply.text)?;
    Ok(reply.exit)
}

/// Writes a small commented configuration with mode 0600 into a folder with mode 0700.
pub(crate) fn init(sources: &Sources, url: &str) -> Reply {
    let written = config::locate(sources).and_then(|places| {
        // What is wrong with the URL is told before anything is made.
        let text = config::starter(url)?;
        write_new(&places, &text)?;
        Ok(places)
    });
    let places = match written {
        Ok(places) => places,
        Err(problem) => return refusal(sources, &[problem]),
    };
    let shown = places.shorten(&places.config);
    let text = format!(
        "{shown} is written.\n\n  \
           Sign-in     put the token into a file beside it, chmod 600, and name it in [auth]\n  \
           Look at it  holdline config check\n  \
           Start       holdline run{}\n",
        profile_flag(&places)
    );
    let json = json!({ "written": places.config.to_string_lossy(), "profile": places.profile });
    Reply { text, notes: String::new(), json, exit: Exit::Ok }
}

fn profile_flag(places: &Places) -> String {
    if places.profile == "default" { String::new() } else { format!(" --profile {}", places.profile) }
}

fn write_new(places: &Places, text: &str) -> Result<(), Problem> {
    let file = &places.config;
    let failed = |fault: &std::io::Error| {
        let problem = if fault.kind() == ErrorKind::AlreadyExists {
            let message = "there is a configuration already, and it stays as it is";
            Problem::new("exists", message, "edit it, or take another --profile")
        } else {
            Problem::new("unwritable", format!("cannot write the configuration: {fault}"), "")
        };
        problem.in_file(file)
    };
    if file.symlink_metadata().is_ok() {
        return Err(failed(&ErrorKind::AlreadyExists.into()));
    }
    config::ensure_private_dir(file.parent().unwrap_or(Path::new("/")))?;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut made = options.open(file).map_err(|fault| failed(&fault))?;
    made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).map_err(|fault| {
        // Half a file is worse than none, and it is ours.
        let _ = std::fs::remove_file(file);
        failed(&fault)
    })
}

/// Says whether the configuration is in order, as the daemon would at its start.
pub(crate) fn check(sources: &Sources) -> Reply {
    let config = match config::load(sources) {
        Ok(config) => config,
        Err(problems) => return refusal(sources, &problems),
    };
    // What only shows when the rooms are put together: dialect, certificates, where the token goes.
    if let Err(problems) = daemon::check(&config) {
        return refusal(sources, &problems);
    }
    let places = &config.places;
    let text = format!("{} is in order (profile {}).\n", places.shorten(&places.config), places.profile);
    let json = json!({
        "ok": true,
        "profile": places.profile,
        "config_path": places.config.to_string_lossy(),
        "problems": config::render_json(&config.warnings),
    });
    Reply { text, notes: warnings(&config), json, exit: Exit::Ok }
}

/// Prints what is in force.
pub(crate) fn show(sources: &Sources, origin: bool) -> Reply {
    match config::load(sources) {
        Ok(config) => Reply {
            text: config::show(&config, origin),
            notes: warnings(&config),
            json: config::show_json(&config),
            exit: Exit::Ok,
        },
        Err(problems) => refusal(sources, &problems),
    }
}

/// Says where things are; the files need not be there.
pub(crate) fn path(sources: &Sources) -> Reply {
    let places = match config::locate(sources) {
        Ok(places) => places,
        Err(problem) => return refusal(sources, &[problem]),
    };
    // `store.path` moves the database, where the file can be read at all.
    let places = config::load(sources).map_or(places, |config| config.places);
    let json = json!({
        "profile": places.profile,
        "config": places.config.to_string_lossy(),
        "state_dir": places.state_dir.to_string_lossy(),
        "database": places.database.to_string_lossy(),
        "lock": places.lock.to_string_lossy(),
        "socket": places.socket.to_string_lossy(),
    });
    Reply { text: format!("{}\n", places.config.display()), notes: String::new(), json, exit: Exit::Ok }
}

fn warnings(config: &Config) -> String {
    config::render(&config.warnings, config.places.home.as_deref())
}

fn refusal(sources: &Sources, problems: &[Problem]) -> Reply {
    let first = problems.iter().find(|problem| problem.severity == Severity::Error);
    let exit = match first {
        Some(problem) if problem.code == "exists" || problem.code == "unwritable" => Exit::Failure,
        Some(problem) => Exit::Daemon(problem.exit),
        None => Exit::Failure,
    };
    Reply {
        text: String::new(),
        notes: config::render(problems, sources.environment.home.as_deref()),
        json: json!({ "ok": false, "problems": config::render_json(problems) }),
        exit,
    }
}
