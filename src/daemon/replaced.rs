//! Whether the installed program is still the one that runs. An upgrade puts a new file into its
//! place and restarts nothing: the service managers of users are not a package's to command.

use std::path::Path;

use crate::clock::Clock;
use crate::engine::Fanout;
use crate::model::{HealthEntry, Severity};

const CODE: &str = "program_replaced";
/// How the kernel marks a name whose file is gone.
const GONE: &str = " (deleted)";

/// Looks, and tells it in health. What has been replaced once stays so.
pub(super) fn look(fanout: &Fanout, clock: Clock) {
    let Ok(link) = std::fs::read_link("/proc/self/exe") else { return };
    let Some(program) = replaced(&link) else { return };
    if fanout.health.list().iter().any(|entry| entry.code == CODE) {
        return;
    }
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("the program {program} was replaced; version {version} goes on running");
    tracing::info!("{text}");
    fanout.health.put(HealthEntry {
        code: CODE.to_owned(),
        severity: Severity::Info,
        since: clock.now().wall,
        text,
        hint: "restart the daemon when it suits, nothing is lost: `systemctl --user restart holdline`"
            .to_owned(),
    });
}

/// The name the program had, where it has it no more.
fn replaced(link: &Path) -> Option<&str> {
    link.to_str()?.strip_suffix(GONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_whose_file_is_gone_counts() {
        assert_eq!(replaced(Path::new("/usr/bin/holdline (deleted)")), Some("/usr/bin/holdline"));
        assert_eq!(replaced(Path::new("/usr/bin/holdline")), None);
        assert_eq!(replaced(Path::new("/usr/bin (deleted)/holdline")), None);
    }
}
