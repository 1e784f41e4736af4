//! Where lines end up: standard error, as text or JSON, or the journal with fields of its own.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::time::Duration;

use tracing::Level;

use super::line::Line;
use crate::config::LogFormat;

/// Written at once at most.
const CHUNK: usize = 32 * 1024;
/// How long to wait where standard error is one that says "not now" instead of waiting itself.
const NOT_NOW: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub(super) enum Sink {
    /// Lines for people.
    Text {
        /// The time first.
        time: bool,
        /// The level in colour.
        color: bool,
        /// The level first, as the service manager reads it off standard error.
        prefix: bool,
    },
    /// One JSON document a line.
    Json,
    /// The journal's own socket.
    #[cfg(unix)]
    Journal(Journal),
}

impl Sink {
    /// The sink for a format, as this process was started.
    pub(super) fn of(format: LogFormat) -> Self {
        let stderr = io::stderr();
        let journal = is_journal();
        match format {
            LogFormat::Json => Self::Json,
            #[cfg(unix)]
            LogFormat::Auto if journal && let Some(journal) = Journal::open() => Self::Journal(journal),
            // The journal has its own clock, and takes the level from the line.
            LogFormat::Auto | LogFormat::Text if journal => {
                Self::Text { time: false, color: false, prefix: true }
            }
            LogFormat::Auto | LogFormat::Text => Self::Text {
                time: true,
                color: stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
                prefix: false,
            },
        }
    }

    /// Writes lines, as long as it takes. Gives how many could not be written at all.
    pub(super) fn write<'a>(&mut self, lines: impl Iterator<Item = &'a Line>) -> u64 {
        let mut lost = 0;
        let mut text = String::new();
        let mut waiting = 0;
        for line in lines {
            #[cfg(unix)]
            if let Self::Journal(journal) = self
                && journal.send(line).is_ok()
            {
                continue;
            }
            // A journal that does not take it is being restarted, perhaps: standard error leads there too.
            self.render(line, &mut text);
            waiting += 1;
            if text.len() >= CHUNK {
                lost += put(&text).map_or(waiting, |()| 0);
                text.clear();
                waiting = 0;
            }
        }
        lost + put(&text).map_or(waiting, |()| 0)
    }

    fn render(&self, line: &Line, text: &mut String) {
        match self {
            Self::Json => text.push_str(&line.json()),
            Self::Text { time, color, prefix } => {
                if *prefix {
                    text.push_str(&format!("<{}>", priority(line.level)));
                }
                if *time {
                    text.push_str(&format!("{} ", line.at()));
                }
                if *color {
                    text.push_str(&format!("{}{:>5}\x1b[0m ", shade(line.level), line.level.as_str()));
                } else {
                    text.push_str(&format!("{:>5} ", line.level.as_str()));
                }
                text.push_str(&line.body());
            }
            #[cfg(unix)]
            Self::Journal(_) => text.push_str(&format!("<{}>{}", priority(line.level), line.body())),
        }
        text.push('\n');
    }
}

/// Writes to standard error, for as long as it takes.
fn put(text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match io::stderr().write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(NOT_NOW),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// As syslog numbers them.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

const fn shade(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

#[cfg(unix)]
use journal::{Journal, is_journal};

#[cfg(not(unix))]
const fn is_journal() -> bool {
    false
}

#[cfg(unix)]
mod journal {
    use std::io;
    use std::os::unix::net::UnixDatagram;

    use super::super::line::Line;

    /// Where the journal takes records with fields (systemd.journal-fields(7)).
    const SOCKET: &str = "/run/systemd/journal/socket";

    /// Whether standard error leads into the journal: the service manager names the file it opened
    /// there, and a program started from within a service may have another one by now.
    pub(super) fn is_journal() -> bool {
        let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
        let Ok(found) = rustix::fs::fstat(io::stderr()) else { return false };
        named == format!("{}:{}", found.st_dev, found.st_ino)
    }

    /// The journal's socket.
    #[derive(Debug)]
    pub(in super::super) struct Journal(UnixDatagram);

    impl Journal {
        /// None where nobody is there.
        pub(super) fn open() -> Option<Self> {
            let socket = UnixDatagram::unbound().ok()?;
            // An empty record is none; it only shows whether somebody takes it.
            socket.send_to(&[], SOCKET).ok()?;
            Some(Self(socket))
        }

        /// Hands one record over. The name is looked up each time: the journal may be a new one.
        pub(super) fn send(&self, line: &Line) -> io::Result<()> {
            self.0.send_to(&record(line), SOCKET).map(drop)
        }
    }

    fn record(line: &Line) -> Vec<u8> {
        let mut record = format!(
            "PRIORITY={}\nSYSLOG_IDENTIFIER=holdline\nMESSAGE={}\n",
            super::priority(line.level),
            line.body()
        );
        for (name, value) in line.named() {
            let name = name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            record.push_str(&format!("HOLDLINE_{name}={value}\n"));
        }
        record.into_bytes()
    }
}
