//! `holdline dialect record`: a session with a server, written down so that it replays.

mod input;
mod keep;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use crate::cli::args::duration;
use crate::cli::show::{BAD, FAINT, GOOD, WAITING, status::dot, styled};
use crate::cli::words::{Reader, count, counted, cut, length, plain};
use crate::cli::{Exit, Failed, Outcome, Shell};
use crate::clock::Clock;
use crate::config::{self, Config, DialectChoice, Environment, Sources};
use crate::daemon;
use crate::daemon::record::Recording;
use crate::dialect::declarative::{self, Handed};
use crate::dialect::record::{MOST_BYTES, MOST_LINES, Told, Transcript};
use crate::dialect::{self, Problem, builtin, coded};
use crate::model::{self, LinkState, LinkStatus, MessageState, Moved};

use self::input::{next_line, standard_input, typed};
use self::keep::Keeper;

const EXAMPLES: &str = r#"Examples:
  holdline dialect record mine.toml first.jsonl --url wss://HOST/PATH --token-file token
  holdline dialect record mine.toml first.jsonl --send chat '{"text":"Hi"}' --for 10s
  holdline dialect record text raw.jsonl --url ws://127.0.0.1:8080/     what does it say at all?"#;

/// Lines that wait to be shown; more are recorded, but not shown.
const TO_SHOW: usize = 1_024;
/// How much of a frame is shown; `-v` shows all of it.
const SHOWN: usize = 160;

/// `holdline dialect record`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(super) struct Args {
    /// The dialect's file, or the name of one that comes with the program
    file: PathBuf,
    /// The transcript to write: a new file, readable by you alone
    transcript: PathBuf,
    /// Where the server is, instead of all that the configuration says
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// With --url: the file that holds the token
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// With --url: the variable that holds the token
    #[arg(long, value_name = "VARIABLE", requires = "url", conflicts_with = "token_file")]
    token_env: Option<String>,
    /// With --url: a sub-protocol to offer, where the dialect names none; several times for several
    #[arg(long, value_name = "NAME", requires = "url")]
    subprotocol: Vec<String>,
    /// A value the dialect asks for, as JSON or as a text; several times for several
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = var)]
    vars: Vec<(String, Value)>,
    /// Read this configuration instead of the profile's own (also HOLDLINE_CONFIG)
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// Send a message of this type with this data (JSON); several times for several
    #[arg(long, num_args = 2, value_names = ["TYPE", "DATA"], action = clap::ArgAction::Append)]
    send: Vec<String>,
    /// End after this time; else Ctrl-C ends it
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    length: Option<Duration>,
    /// End after this many frames, both ways together
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Write over a transcript that is there
    #[arg(long)]
    force: bool,
}

/// `NAME=VALUE`: JSON where it is, else a text.
fn var(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            Ok((name.to_owned(), value))
        }
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

/// Records until it is told to end.
pub(super) fn run(args: &Args, shell: &mut Shell) -> Outcome {
    // Everything typed is looked at before anything is done.
    let messages = typed(&args.send)?;
    let config = configuration(args, shell)?;
    let file = create(&args.transcript, args.force)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(record(args, &config, messages, file, shell));
    // A read of standard input or of a file may not end by itself.
    runtime.shutdown_background();
    outcome
}

/// What is in force: the profile's configuration, or what the command line says; with the dialect
/// that was named.
fn configuration(args: &Args, shell: &Shell) -> Result<Config, Failed> {
    let globals = shell.globals();
    let sources = Sources {
        config: args.config.clone(),
        profile: globals.profile.clone(),
        socket: globals.socket.clone(),
        environment: Environment::of_process(),
    };
    let home = sources.environment.home.clone();
    let loaded = match &args.url {
        None => config::load(&sources),
        Some(url) => {
            let folder = std::env::current_dir()?;
            config::load_text(&sources, &folder, in_toml(args, url))
        }
    };
    let mut config = loaded.map_err(|problems| {
        let exit = problems.first().map_or(Exit::Failure, |problem| Exit::Daemon(problem.exit));
        let hint = match args.url {
            None => "--url takes the place of a configuration",
            Some(_) => "",
        };
        Failed::new(exit, "").detail(config::render(&problems, home.as_deref())).hint(hint)
    })?;
    let name = args.file.to_string_lossy();
    config.server.dialect = if let Some(coded) = coded::find(&name) {
        DialectChoice::Named(coded.name.to_owned())
    } else {
        // What is wrong with the dialect is told in the words of `dialect check`.
        let (text, shown) = super::read(&args.file)?;
        let problems = declarative::check(&text, &shown);
        if problems.iter().any(Problem::is_error) {
            return Err(super::unusable("nothing was recorded", &problems));
        }
        match builtin::find(&name) {
            Some(builtin) => DialectChoice::Named(builtin.name.to_owned()),
            None => DialectChoice::File(std::path::absolute(&args.file)?),
        }
    };
    config.server.vars.extend(args.vars.iter().cloned());
    Ok(config)
}

/// The command line as a configuration. A JSON text is a TOML text.
fn in_toml(args: &Args, url: &str) -> String {
    let mut text = format!("[server]\nurl = {}\n", Value::from(url));
    if !args.subprotocol.is_empty() {
        text.push_str(&format!("subprotocols = {}\n", Value::from(args.subprotocol.clone())));
    }
    let token = match (&args.token_file, &args.token_env) {
        (Some(file), _) => Some(("token_file", file.to_string_lossy().into_owned())),
        (None, Some(name)) => Some(("token_env", name.clone())),
        (None, None) => None,
    };
    if let Some((key, value)) = token {
        text.push_str(&format!("[auth]\n{key} = {}\n", Value::from(value)));
    }
    text
}

/// The file, empty, so that nothing is recorded in vain.
fn create(path: &Path, force: bool) -> Result<File, Failed> {
    let shown = plain(&path.display().to_string());
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(false);
    } else {
        options.create_new(true);
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Failed::new(Exit::Failure, format!("{shown} is there already, and stays as it is"))
                .hint("take another name, or write over it with --force")
        } else {
            Failed::new(Exit::Failure, format!("cannot write {shown}: {error}"))
        }
    })
}

/// What came of a session.
#[derive(Debug, Default)]
struct Seen {
    /// How the link stood last.
    last: Option<LinkStatus>,
    /// The link waits for a person.
    stuck: Option<LinkStatus>,
    /// What was said last of a message.
    moved: String,
}

async fn record(
    args: &Args,
    config: &Config,
    messages: Vec<Handed>,
    file: File,
    shell: &mut Shell,
) -> Outcome {
    let clock = Clock::start();
    let began = clock.instant();
    let (show, mut to_show) = mpsc::channel::<Told>(TO_SHOW);
    let not_shown = Arc::new(AtomicU64::new(0));
    let missed = Arc::clone(&not_shown);
    let ear = move |told| {
        // Whoever reads slowly sees less of it; the transcript has all.
        if show.try_send(told).is_err() {
            missed.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (wake, wakes) = keep::wakes();
    let begun = Recording::begin(config, ear, wake).await;
    let mut recording = match begun {
        Ok(recording) => recording,
        Err(failed) => {
            discard(args, file);
            return Err(refused(failed));
        }
    };
    let recorder = recording.recorder();
    let mut keeper = Keeper::begin(file, &args.transcript, Arc::clone(&recorder), wakes)?;
    let (mut link, mut changes) = (recording.link(), recording.changes());
    let mut typed = standard_input();
    if !shell.json() {
        shell.print(&greeting(args, config))?;
    }
    for message in messages {
        hand_in(&recording, message, shell).await;
    }

    let mut seen = Seen::default();
    let until = args.length.map(|length| clock.deadline(began + length));
    let outcome: Result<(), Failed> = loop {
        let enough = args.frames.is_some_and(|most| recorder.frames() >= most);
        if enough || recorder.is_full() || seen.stuck.is_some() {
            break Ok(());
        }
        tokio::select! {
            biased;
            stopped = recording.stopped() => break stopped.map_err(refused),
            () = keeper.failed() => break Ok(()),
            told = to_show.recv() => if let Some(told) = told && let Err(gone) = tell(&told, shell) {
                break Err(gone);
            },
            changed = link.changed() => {
                let status = link.borrow_and_update().clone();
                if changed.is_err() {
                    continue;
                }
                if let Err(gone) = seen.note(status, clock, shell) {
                    break Err(gone);
                }
            }
            moved = changes.recv() => match moved {
                Ok(moved) => if let Err(gone) = seen.follow(&moved, shell) {
                    break Err(gone);
                },
                Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => {}
            },
            line = next_line(&mut typed) => match line {
                Some(Ok(message)) => hand_in(&recording, message, shell).await,
                Some(Err(why)) => shell.note(&format!("{} {}", styled(BAD, "✖"), plain(&why))),
                None => typed = None,
            },
            () = sleep_until(until) => break Ok(()),
        }
    };

    let transcript = recording.end().await;
    let kept = keeper.end();
    if transcript.lines <= 1
        && outcome.is_ok()
        && let Ok(file) = kept
    {
        discard(args, file);
        let failed = Failed::new(Exit::Unhealthy, "no connection came about, and nothing was recorded");
        let hint = seen.last.as_ref().map(why).unwrap_or_default();
        return Err(failed.hint(hint));
    }
    while let Ok(told) = to_show.try_recv() {
        // Whoever went away has seen enough; the file is written all the same.
        let _ = tell(&told, shell);
    }
    kept.map_err(|error| {
        Failed::new(
            Exit::Failure,
            format!("cannot write {}: {error}", plain(&args.transcript.display().to_string())),
        )
    })?;
    outcome?;
    let length = clock.instant().since(began);
    report(args, &transcript, length, not_shown.load(Ordering::Relaxed), shell)?;
    match seen.stuck {
        None if transcript.started => Ok(Exit::Ok),
        None => {
            Err(Failed::new(Exit::Unhealthy, "the session never came about; what did come is written down"))
        }
        Some(link) => Err(Failed::new(Exit::Unhealthy, why(&link))
            .hint(plain(link.reason.as_ref().map_or("", |reason| reason.hint.as_str())))),
    }
}

/// The link's state in words.
fn why(link: &LinkStatus) -> String {
    let reader = Reader::here(link.since);
    let sentence = model::sentence(link, None, &reader);
    plain(sentence.trim_end_matches('.'))
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// An empty file that was to become a transcript is of no use; one that was there is kept.
fn discard(args: &Args, file: File) {
    let empty = file.metadata().is_ok_and(|meta| meta.len() == 0);
    drop(file);
    if empty {
        // It is ours, and says nothing.
        let _ = std::fs::remove_file(&args.transcript);
    }
}

/// What keeps a daemon from starting, as a command's failure.
fn refused(failed: daemon::Failed) -> Failed {
    let exit = Exit::Daemon(failed.exit);
    Failed::new(exit, failed.message).detail(failed.problems).hint(failed.hint)
}

async fn hand_in(recording: &Recording, message: Handed, shell: &mut Shell) {
    let kind = plain(&message.kind);
    if let Err(refusal) = recording.send(message).await {
        let mut text = format!("{} {kind} is not sent: {}", styled(BAD, "✖"), plain(&refusal.message));
        if !refusal.hint.is_empty() {
            text.push_str(&format!("\n  hint: {}", plain(&refusal.hint)));
        }
        shell.note(&text);
    }
}

fn greeting(args: &Args, config: &Config) -> String {
    format!(
        "Recording {} in {} to {}. {}\n",
        plain(&config.server.url.to_string()),
        plain(&args.file.display().to_string()),
        plain(&args.transcript.display().to_string()),
        match (args.length, args.frames) {
            (None, None) => "Ctrl-C ends it.".to_owned(),
            (Some(time), None) => format!("It ends after {}.", length(time)),
            (None, Some(frames)) => format!("It ends after {}.", counted(frames, "frame")),
            (Some(time), Some(frames)) => {
                format!("It ends after {} or {}.", length(time), counted(frames, "frame"))
            }
        }
    )
}

/// Shows what happened, at once: `  1.204  ←  {"type":"hello"}`.
fn tell(told: &Told, shell: &mut Shell) -> Result<(), Failed> {
    if shell.json() {
        return if told.line.is_empty() { Ok(()) } else { shell.raw(format!("{}\n", told.line).as_bytes()) };
    }
    let width = if shell.globals().verbose > 0 { usize::MAX } else { SHOWN };
    shell.print(&shown(told, width))
}

fn shown(told: &Told, width: usize) -> String {
    let content = cut(&plain(&told.content), width);
    let time = format!("{:>4}.{:03}", told.at / 1_000, told.at % 1_000);
    match told.dir {
        "in" => format!("{time}  {}  {content}\n", styled(GOOD, "←")),
        "out" => format!("{time}  {}  {content}\n", styled(WAITING, "→")),
        "came_to" => format!("{:>8}     {}\n", "", styled(FAINT, &content)),
        dir => format!("{time}  {}\n", styled(FAINT, format!("{dir} {content}").trim_end())),
    }
}

impl Seen {
    /// Tells what became of the link.
    fn note(&mut self, link: LinkStatus, clock: Clock, shell: &mut Shell) -> Result<(), Failed> {
        if matches!(link.state, LinkState::Unauthorized | LinkState::Misconfigured) {
            self.stuck = Some(link.clone());
        }
        self.last = Some(link.clone());
        if shell.json() || link.state == LinkState::Stopping {
            return Ok(());
        }
        let reader = Reader::here(clock.now().wall);
        let sentence = model::sentence(&link, None, &reader);
        shell.print(&format!("{:>8}  {}  {}\n", "", dot(link.state), plain(&sentence)))
    }

    /// Tells what became of a message.
    fn follow(&mut self, moved: &Moved, shell: &mut Shell) -> Result<(), Failed> {
        // That it is being sent is to be seen by its frame.
        let on_the_way =
            matches!(moved.state, MessageState::Queued | MessageState::Sending | MessageState::Sent);
        if shell.json() || on_the_way {
            return Ok(());
        }
        let why = moved.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let text = plain(&format!("message {} is {}{why}", moved.id, moved.state.as_str()));
        // It is told once more when that is on disk.
        if text == self.moved {
            return Ok(());
        }
        shell.print(&format!("{:>8}     {}\n", "", styled(FAINT, &text)))?;
        self.moved = text;
        Ok(())
    }
}

/// What was written down, and whether it replays.
fn report(
    args: &Args,
    transcript: &Transcript,
    took: Duration,
    missed: u64,
    shell: &mut Shell,
) -> Result<(), Failed> {
    let path = plain(&args.transcript.display().to_string());
    let replayed =
        dialect::replay(&args.file.to_string_lossy(), Path::new(""), (&transcript.text, &path), false);
    let mismatches = replayed.ok().map(|replayed| replayed.mismatches);
    if shell.json() {
        return shell.document(&json!({
            "recorded": args.transcript.to_string_lossy(),
            "lines": transcript.lines,
            "frames_in": transcript.came,
            "frames_out": transcript.went,
            "complete": !transcript.full,
            "mismatches": mismatches,
        }));
    }
    let mut text = String::new();
    if missed > 0 {
        text.push_str(&format!("{} were recorded and not shown.\n", counted(missed, "line")));
    }
    if transcript.full {
        text.push_str(&format!(
            "{} a recording has at most {} lines and {} MiB; it ends here.\n",
            styled(WAITING, "▲"),
            count(MOST_LINES as u64),
            MOST_BYTES >> 20
        ));
    }
    text.push_str(&format!(
        "{} {path}: {} in {} ({} came, {} went), without {}.\n",
        styled(GOOD, "✔"),
        counted(transcript.lines as u64, "line"),
        length(took),
        counted(transcript.came, "frame"),
        count(transcript.went),
        match transcript.secrets {
            0 => "any secret to remove".to_owned(),
            1 => "the one secret it knew of".to_owned(),
            more => format!("the {more} secrets it knew of"),
        }
    ));
    let command = format!("holdline dialect replay {} {path}", plain(&args.file.display().to_string()));
    text.push_str(&match mismatches {
        Some(0) => format!("  It replays as recorded: {command}\n"),
        Some(more) => format!("  A replay differs in {}: {command}\n", counted(more as u64, "place")),
        None => String::new(),
    });
    text.push_str("  Look it through before you pass it on: what the events say is still in it.\n");
    shell.print(&text)
}
