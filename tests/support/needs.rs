//! What a test needs of the machine. Where it is missing the test is skipped and says so; in CI a
//! skip is a failure.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether all `programs` are on the path. Debian keeps some in `sbin`.
pub fn programs(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        let found = find(program);
        found || missing(&format!("{program} is not installed; `.ci/install` fetches it"))
    })
}

/// Whether this process is root, which mounts, makes network namespaces and becomes other users.
pub fn root() -> bool {
    rustix::process::geteuid().is_root() || missing("this needs root")
}

/// Whether `command` ends well: for what the kernel may or may not grant.
pub fn working(what: &str, command: &mut Command) -> bool {
    let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ended.is_ok_and(|status| status.success()) || missing(&format!("{what} does not work here"))
}

fn find(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(Path::new).map(Path::to_path_buf);
    std::env::split_paths(&path).chain(usual).any(|folder| folder.join(program).is_file())
}

/// Says that a test is skipped. Past the test runner, which keeps back what a test that passes prints.
fn missing(why: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "{why}, and in CI nothing is skipped");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
    false
}
