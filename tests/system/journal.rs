//! Under systemd the log goes to the journal, with fields. Here the journal is a socket in a place of
//! its own: a mount namespace in which only the daemon lives.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::support::daemon::Daemon;
use crate::support::{needs, until_blocking};

const NOBODY: &str = "[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconnect]\ndelays = [\"20ms\"]\n";

/// Puts `$1` where the journal's folder is, names its standard error as the journal's stream, and
/// becomes the rest.
const UNDER_SYSTEMD: &str = "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir /run/systemd/journal \
     && mount --bind \"$1\" /run/systemd/journal && shift \
     && export JOURNAL_STREAM=\"$(stat -L -c %d:%i /proc/self/fd/2)\" && exec \"$@\"";

fn has_namespaces() -> bool {
    needs::root()
        && needs::programs(&["unshare", "mount", "stat"])
        && needs::working("a mount namespace", Command::new("unshare").args(["--mount", "true"]))
}

fn under_systemd(journal: &std::path::Path) -> Vec<String> {
    let words = ["unshare", "--mount", "sh", "-c", UNDER_SYSTEMD, "sh"];
    words.into_iter().map(str::to_owned).chain([journal.display().to_string()]).collect()
}

fn spawn(daemon: &mut Daemon) {
    let words = under_systemd(&daemon.path("journal"));
    daemon.spawn_under(&words.iter().map(String::as_str).collect::<Vec<_>>());
    until_blocking("the daemon to serve", || {
        std::os::unix::net::UnixStream::connect(daemon.socket_path()).ok()
    });
}

fn journal(daemon: &Daemon) -> UnixDatagram {
    let socket = UnixDatagram::bind(daemon.path("journal/socket")).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Records as they come, each as its fields.
fn record(socket: &UnixDatagram) -> Option<Vec<(String, String)>> {
    let mut bytes = vec![0; 1 << 16];
    let read = socket.recv(&mut bytes).ok()?;
    let text = String::from_utf8(bytes[..read].to_vec()).expect("text");
    Some(
        text.lines()
            .map(|line| line.split_once('=').expect("a field"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    )
}

fn prepared(more: &str) -> Daemon {
    let daemon = Daemon::prepare(&format!("{NOBODY}{more}"));
    std::fs::create_dir(daemon.path("journal")).unwrap();
    daemon
}

#[test]
fn the_journal_gets_records_with_fields() {
    if !has_namespaces() {
        return;
    }
    let mut daemon = prepared("");
    let socket = journal(&daemon);
    spawn(&mut daemon);
    let record = until_blocking("the record of an outage", || {
        record(&socket).filter(|record| {
            record.iter().any(|(name, value)| name == "HOLDLINE_STATE" && value == "unavailable")
        })
    });
    let field = |name: &str| {
        record.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    assert_eq!(field("HOLDLINE_REASON"), "connection_refused", "{record:?}");
    assert!(field("HOLDLINE_ATTEMPT").parse::<u32>().is_ok_and(|attempt| attempt >= 5), "{record:?}");
    assert_eq!(field("PRIORITY"), "4", "{record:?}");
    assert_eq!(field("SYSLOG_IDENTIFIER"), "holdline");
    assert!(field("MESSAGE").starts_with("Server unavailable"), "{record:?}");
    assert!(field("HOLDLINE_TARGET").starts_with("holdline::"), "{record:?}");
    assert_eq!(daemon.log(), "", "nothing is said twice");
    assert_eq!(daemon.stop().code(), Some(0));
    let last = std::iter::from_fn(|| self::record(&socket)).last().expect("a last record");
    assert!(last.iter().any(|(name, value)| name == "MESSAGE" && value == "stopped"), "{last:?}");
}

#[test]
fn without_a_journal_the_lines_go_to_standard_error_with_their_level() {
    if !has_namespaces() {
        return;
    }
    let mut daemon = prepared("");
    spawn(&mut daemon);
    until_blocking("a line", || daemon.log().contains("<4> WARN Server unavailable").then_some(()));
    assert!(daemon.log().lines().all(|line| line.starts_with('<')), "{}", daemon.log());
}

#[test]
fn a_journal_that_goes_away_and_comes_back_loses_no_line() {
    if !has_namespaces() {
        return;
    }
    let mut daemon = prepared("[log]\nlevel = \"debug\"\n");
    let socket = journal(&daemon);
    spawn(&mut daemon);
    until_blocking("a record", || record(&socket));
    drop(socket);
    std::fs::remove_file(daemon.path("journal/socket")).unwrap();
    until_blocking("lines on standard error", || daemon.log().contains("dialling").then_some(()));
    let socket = journal(&daemon);
    until_blocking("records again", || record(&socket));
}

#[test]
fn a_journal_that_has_stopped_reading_holds_nothing_up() {
    if !has_namespaces() {
        return;
    }
    let mut daemon = prepared("[log]\nlevel = \"debug\"\n");
    daemon.write_config(&format!("{NOBODY}[log]\nlevel = \"debug\"\n").replace("20ms", "1ms"));
    // Nobody ever reads from it: what it holds is soon full.
    let _socket = journal(&daemon);
    spawn(&mut daemon);
    let mut client = daemon.client();
    until_blocking("lines to be dropped", || {
        client.call("link.reconnect", &serde_json::json!({})).expect("an answer");
        (client.metric("holdline_log_lines_dropped_total") > 0.0).then_some(())
    });
    assert_eq!(daemon.stop().code(), Some(0), "and the end does not wait for it");
}

#[test]
fn a_variable_that_names_another_file_means_no_journal() {
    let mut daemon = Daemon::prepare(NOBODY);
    daemon.set_variable("JOURNAL_STREAM", "1:2");
    daemon.restart();
    until_blocking("a line", || daemon.log().contains("holdline is ready").then_some(()));
    assert!(daemon.log().starts_with("20"), "with its time: {}", daemon.log());
}
