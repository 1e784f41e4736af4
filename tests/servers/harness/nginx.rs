//! nginx with a certificate for this machine.

use std::fs::write;
use std::path::Path;
use std::process::Command;

use super::program::Program;
use crate::support::tls::{Authority, Validity};

/// Starts it with what `configuration` makes of its port and folder; `cert.pem` and `key.pem` lie there.
/// Also who vouches for it.
pub(crate) fn behind_tls(configuration: impl FnOnce(u16, &Path) -> String) -> (Program, Authority) {
    let authority = Authority::new();
    let identity = authority.issue_for(&["127.0.0.1"], Validity::Now);
    let program = Program::start(
        move |port, folder| {
            write(folder.join("cert.pem"), &identity.cert).expect("a file");
            write(folder.join("key.pem"), &identity.key).expect("a file");
            write(folder.join("nginx.conf"), configuration(port, folder)).expect("a file");
        },
        |_, folder| {
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).args(["-e", "stderr"]);
            command
        },
    );
    (program, authority)
}
