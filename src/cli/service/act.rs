//! The one file here that touches anything: it looks, and it carries a plan out.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::Manager;
use super::files::asides;
use super::plan::{Answer, Ended, Found, Seen, Site, Step};
use crate::cli::{Exit, Failed};
use crate::client::Client;
use crate::model::StatusReport;
use crate::rpc::api::Empty;

/// How long a service manager may take to answer a question.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to do something: a daemon with a large database takes a while to be ready.
const DONE_WITHIN: Duration = Duration::from_secs(120);
/// How long the daemon may take to say how it stands.
const REPORT_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries of what cannot be done yet, and how many of them.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
const TRIES: u32 = 40;
/// Most that is kept of what a command says, in bytes.
const MAX_SAID: u64 = 256 * 1024;
/// Largest file that is read to see whether it is ours; ours have a few thousand bytes.
const MAX_FILE: u64 = 256 * 1024;
/// Most names that are read in a folder.
const MAX_NAMES: usize = 4096;

/// Variables for every command: what is said is said in one language and one time zone, and not to
/// a pager.
const PLAINLY: [(&str, &str); 5] =
    [("LC_ALL", "C"), ("TZ", "UTC"), ("SYSTEMD_PAGER", ""), ("SYSTEMD_COLORS", "0"), ("SYSTEMD_URLIFY", "0")];

/// Runs commands and touches files.
#[derive(Debug)]
pub(super) struct Hand {
    runtime: tokio::runtime::Runtime,
    /// How long a question, and how long a deed may take.
    within: (Duration, Duration),
    /// Between two tries.
    again_after: Duration,
    /// Where the user's service manager is reached, where the environment does not say it.
    runtime_dir: Option<PathBuf>,
}

impl Hand {
    /// With another deadline than the usual ones, if one was asked for.
    pub(super) fn new(runtime_dir: Option<PathBuf>, within: Option<Duration>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let within = (within.unwrap_or(ANSWER_WITHIN), within.unwrap_or(DONE_WITHIN));
        Ok(Self { runtime, within, again_after: AGAIN_AFTER, runtime_dir })
    }

    /// Looks at what there is. Changes nothing.
    pub(super) fn look(&self, manager: &dyn Manager, daemon: bool) -> Seen {
        let mut seen = Seen { daemon, ..Seen::default() };
        let files = manager.files();
        let kept = files.iter().flat_map(|path| asides(path));
        for path in files.iter().cloned().chain(kept).chain(manager.looks()) {
            let found = found(Path::new(&path));
            seen.files.insert(path, found);
        }
        for folder in manager.folders() {
            let names = names(Path::new(&folder));
            seen.folders.insert(folder, names);
        }
        for question in manager.questions() {
            // Who does not answer one question is asked no other.
            let gave_up =
                seen.answers.last().filter(|last| matches!(last.ended, Ended::TooLong | Ended::Missing));
            let answer = gave_up.cloned().unwrap_or_else(|| self.ask(&question, self.within.0));
            seen.answers.push(answer);
        }
        seen
    }

    /// What the daemon of the profile says of itself, if one answers.
    pub(super) fn report(&self, socket: &Path) -> Option<StatusReport> {
        let report = async {
            let client = Client::connect(socket).await.ok()?;
            client.call("status", &Empty {}).await.ok()
        };
        self.runtime.block_on(async { timeout(REPORT_WITHIN, report).await.ok().flatten() })
    }

    /// Does one step.
    ///
    /// # Errors
    /// What happened, where, and what to do. What was done before stays done.
    pub(super) fn carry_out(&self, step: &Step, site: &Site) -> Result<(), Failed> {
        match step {
            Step::Write { item, .. } => write(Path::new(&item.path), &item.bytes(), site),
            Step::SetAside { path, to } => {
                fs::rename(path, to).map_err(|fault| cannot("rename", path, &fault, site))
            }
            Step::Remove { path } => match fs::remove_file(path) {
                Err(fault) if fault.kind() != ErrorKind::NotFound => {
                    Err(cannot("remove", path, &fault, site))
                }
                _ => {
                    // The folder of a drop-in, if that was the last one; it stays where it is not empty.
                    let folder = Path::new(path).parent();
                    if let Some(folder) = folder.filter(|it| it.extension().is_some_and(|it| it == "d")) {
                        let _ = fs::remove_dir(folder);
                    }
                    Ok(())
                }
            },
            Step::Run { command, fine, again } => self.run(command, fine, again, site),
        }
    }

    fn run(&self, command: &[String], fine: &[i32], again: &[i32], site: &Site) -> Result<(), Failed> {
        let mut answer = self.ask(command, self.within.1);
        for _ in 1..TRIES {
            if !matches!(answer.ended, Ended::Code(code) if again.contains(&code)) {
                break;
            }
            self.runtime.block_on(async { sleep(self.again_after).await });
            answer = self.ask(command, self.within.1);
        }
        if answer.is_good() || matches!(answer.ended, Ended::Code(code) if fine.contains(&code)) {
            return Ok(());
        }
        let exit = if answer.ended == Ended::TooLong { Exit::TimedOut } else { Exit::Failure };
        let said: Vec<String> = answer
            .err
            .lines()
            .chain(answer.out.lines())
            .filter(|line| !line.trim().is_empty())
            .map(|line| format!("  {}", crate::cli::words::plain(line.trim_end())))
            .collect();
        let how = match answer.ended {
            Ended::Code(code) => format!("ended with {code}"),
            Ended::Killed => "was killed".to_owned(),
            Ended::Missing => "could not be started: there is no such program".to_owned(),
            Ended::TooLong => format!("took longer than {} s", self.within.1.as_secs()),
        };
        Err(Failed::new(exit, format!("`{}` {how}", command.join(" "))).detail(said.join("\n")).hint(
            format!(
                "`holdline service status{}` says how it stands; the same command again goes on from here",
                site.flag()
            ),
        ))
    }

    /// Runs a command and gives what it said. Never waits longer than `within`.
    fn ask(&self, words: &[String], within: Duration) -> Answer {
        let nothing = |ended, why: String| Answer { ended, out: String::new(), err: why };
        let Some((program, arguments)) = words.split_first() else {
            return nothing(Ended::Missing, String::new());
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(PLAINLY).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = &self.runtime_dir {
            command.env("XDG_RUNTIME_DIR", folder);
        }
        self.runtime.block_on(async {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(fault) if fault.kind() == ErrorKind::NotFound => {
                    return nothing(Ended::Missing, String::new());
                }
                Err(fault) => return nothing(Ended::Killed, fault.to_string()),
            };
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let all = async { tokio::join!(said(out), said(err), child.wait()) };
            match timeout(within, all).await {
                Ok((out, err, Ok(status))) => {
                    Answer { ended: status.code().map_or(Ended::Killed, Ended::Code), out, err }
                }
                Ok((_, _, Err(fault))) => nothing(Ended::Killed, fault.to_string()),
                Err(_) => nothing(Ended::TooLong, String::new()),
            }
        })
    }
}

/// What comes out of `from`, to its end; only the beginning is kept.
async fn said(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // What cannot be read was not said.
        let _ = (&mut from).take(MAX_SAID).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
    text(&bytes)
}

/// Text as any of the systems writes it: UTF-16 with its mark, else UTF-8.
fn text(bytes: &[u8]) -> String {
    match bytes.strip_prefix(&[0xff, 0xfe]) {
        Some(rest) => {
            let units: Vec<u16> =
                rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn found(path: &Path) -> Found {
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(fault) if matches!(fault.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Found::Absent;
        }
        Err(fault) => return Found::Hidden(fault.to_string()),
    };
    if meta.is_symlink() {
        let to = fs::read_link(path).unwrap_or_default();
        return Found::Other(format!("a symbolic link to {}", to.display()));
    }
    if !meta.is_file() {
        return Found::Other("something that is no regular file".to_owned());
    }
    if meta.len() > MAX_FILE {
        return Found::Other("a file far larger than ours".to_owned());
    }
    match fs::read(path) {
        Ok(bytes) => Found::Text(text(&bytes)),
        Err(fault) => Found::Hidden(fault.to_string()),
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(MAX_NAMES).flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Puts a file there, whole or not at all.
fn write(path: &Path, bytes: &[u8], site: &Site) -> Result<(), Failed> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    not_of_another(folder, site)?;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|fault| cannot("make the folder", &folder.to_string_lossy(), &fault, site))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}.new", std::process::id()));
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    let put = || {
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    put().map_err(|fault: io::Error| {
        // Half a file is worse than none, and it is ours.
        let _ = fs::remove_file(&beside);
        cannot("write", &path.to_string_lossy(), &fault, site)
    })
}

/// Refuses to put files into folders of somebody else: with the rights of root they would be root's
/// in a user's home, and the user could never change them.
#[cfg(unix)]
fn not_of_another(folder: &Path, site: &Site) -> Result<(), Failed> {
    use std::os::unix::fs::MetadataExt as _;
    let Some((folder, meta)) = folder.ancestors().find_map(|it| Some((it, it.metadata().ok()?))) else {
        return Ok(());
    };
    if meta.uid() == site.uid {
        return Ok(());
    }
    let message = format!(
        "{} belongs to another user (number {}, we are {})",
        site.short(&folder.to_string_lossy()),
        meta.uid(),
        site.uid
    );
    let hint = if site.uid == 0 {
        "a service belongs to one user: run this as that user, without sudo".to_owned()
    } else {
        format!("make it yours: sudo chown \"$USER\" '{}'", folder.display())
    };
    Err(Failed::new(Exit::Refused, message).hint(hint))
}

#[cfg(not(unix))]
fn not_of_another(_folder: &Path, _site: &Site) -> Result<(), Failed> {
    Ok(())
}

/// What could not be done with a file, why, and what to do.
fn cannot(what: &str, path: &str, fault: &io::Error, site: &Site) -> Failed {
    let folder = Path::new(path).parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
    let (short, flag) = (site.short(&folder), site.flag());
    let is = |kinds: &[ErrorKind]| kinds.contains(&fault.kind());
    let (exit, hint) = if is(&[ErrorKind::PermissionDenied]) {
        (Exit::Refused, format!("see that {short} is yours and that you may write there: ls -ld '{folder}'"))
    } else if is(&[ErrorKind::ReadOnlyFilesystem]) {
        let hint = format!(
            "{short} is on a disk that cannot be written; `holdline service print{flag}` shows what would be in the file"
        );
        (Exit::Refused, hint)
    } else if is(&[ErrorKind::StorageFull, ErrorKind::QuotaExceeded]) {
        (Exit::Failure, "make room on the disk".to_owned())
    } else {
        (Exit::Failure, String::new())
    };
    Failed::new(exit, format!("cannot {what} {}: {fault}", site.short(path))).hint(hint)
}

/// This program, as a path that leads to it next week as well: where it was found on the `PATH` rather
/// than where a link of a package manager leads today.
///
/// # Errors
/// When it is not where it was, or its path is no text.
pub(super) fn this_program() -> Result<String, Failed> {
    let path = std::env::current_exe()
        .map_err(|fault| Failed::new(Exit::Failure, format!("cannot tell where this program is: {fault}")))?;
    let path = if cfg!(unix) {
        let real = path.canonicalize().map_err(|fault| {
            Failed::new(Exit::Failure, format!("{} is not there any more: {fault}", path.display()))
                .hint("the program was replaced while it ran; run this once more")
        })?;
        on_path(&real).unwrap_or(real)
    } else {
        path
    };
    path.into_os_string().into_string().map_err(|path| {
        Failed::new(Exit::Refused, format!("the path of this program is no text: {}", path.to_string_lossy()))
            .hint("move it to a folder whose name is")
    })
}

/// The entry of the `PATH` that leads to `real`.
fn on_path(real: &Path) -> Option<PathBuf> {
    let name = std::env::args_os().next()?;
    let name = Path::new(&name).file_name()?.to_owned();
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&name))
        .find(|path| path.canonicalize().is_ok_and(|found| found == real))
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::plan::{Encoding, Item};
    use super::*;

    fn site() -> Site {
        Site {
            program: "/p/holdline".to_owned(),
            profile: "default".to_owned(),
            home: "/home/kim".to_owned(),
            units: String::new(),
            state: String::new(),
            data: String::new(),
            uid: rustix::process::geteuid().as_raw(),
            user: String::new(),
        }
    }

    fn hand(within: Duration) -> Hand {
        let hand = Hand::new(None, Some(within)).expect("a runtime");
        Hand { again_after: Duration::from_millis(1), ..hand }
    }

    fn run(hand: &Hand, script: &str) -> Result<(), Failed> {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        hand.carry_out(&Step::Run { command, fine: &[36], again: &[5, 37] }, &site())
    }

    #[test]
    fn what_is_not_yet_possible_is_tried_again_for_a_while() {
        let folder = tempfile::tempdir().expect("a folder");
        let count = folder.path().join("count");
        let script = |until: u32| {
            let count = count.display();
            format!("echo x >> {count}; [ $(wc -l < {count}) -ge {until} ] || exit 5")
        };
        let hand = hand(Duration::from_secs(60));
        run(&hand, &script(3)).expect("the third time");
        assert_eq!(fs::read_to_string(&count).expect("written").lines().count(), 3);
        fs::remove_file(&count).expect("there");
        assert_eq!(run(&hand, &script(1000)).expect_err("not for ever").exit, Exit::Failure);
        assert_eq!(fs::read_to_string(&count).expect("written").lines().count(), TRIES as usize);
    }

    #[test]
    fn a_command_that_fails_is_told_with_what_it_said() {
        let hand = hand(Duration::from_secs(60));
        run(&hand, "exit 36").expect("as good as 0");
        let failed = run(&hand, "echo out; echo bad >&2; printf '\\033[2J' >&2; exit 4").expect_err("failed");
        assert!(failed.message.contains("ended with 4"), "{failed:?}");
        assert_eq!(failed.detail, "  bad\n  \\u{1b}[2J\n  out", "harmless, and all of it");
        assert!(!failed.hint.is_empty());
        let failed = run(&hand, "kill -9 $$").expect_err("failed");
        assert!(failed.message.contains("was killed"), "{failed:?}");
        let step = Step::Run { command: vec!["/nowhere/launchctl".to_owned()], fine: &[], again: &[] };
        assert!(hand.carry_out(&step, &site()).expect_err("failed").message.contains("no such program"));
    }

    #[test]
    fn a_command_that_hangs_or_never_ends_talking_is_given_up() {
        let hand = hand(Duration::from_millis(100));
        for script in ["exec sleep 600", "exec yes"] {
            assert_eq!(run(&hand, script).expect_err("given up").exit, Exit::TimedOut);
        }
    }

    #[test]
    fn files_are_read_in_both_encodings_and_written_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/er/holdline.xml");
        for encoding in [Encoding::Utf8, Encoding::Utf16] {
            let path = path.to_str().expect("text").to_owned();
            let item = Item { path: path.clone(), text: "Grüße\n".to_owned(), encoding };
            hand(Duration::from_secs(1))
                .carry_out(&Step::Write { item, new: true }, &site())
                .expect("written");
            assert_eq!(found(Path::new(&path)), Found::Text("Grüße\n".to_owned()));
        }
        assert_eq!(fs::read_dir(folder.path().join("deep/er")).expect("there").count(), 1);
        assert!(matches!(found(folder.path()), Found::Other(_)));
        assert_eq!(found(&path.join("below")), Found::Absent);
    }
}
