//! A credential from a command: no shell, a deadline, and nothing of what it prints is shown.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::CREDENTIAL_MAX;
use crate::model::{CredentialFault, Secret};
use crate::program::{self, End, Running};

/// How long the command may take.
const DEADLINE: Duration = Duration::from_secs(10);

pub(super) async fn run(argv: &[String]) -> Result<Secret, CredentialFault> {
    run_within(argv, DEADLINE).await
}

pub(super) async fn run_within(argv: &[String], deadline: Duration) -> Result<Secret, CredentialFault> {
    let (Some(mut command), Some(program)) = (program::command(argv), argv.first()) else {
        return Err(CredentialFault {
            text: "auth.token_command names no program".into(),
            hint: "auth.token_command takes a list: program, arguments".into(),
        });
    };
    let fault = |what: String| CredentialFault {
        text: format!("the token command {program} {what}"),
        hint: "run it by hand in the daemon's environment to see what it says".into(),
    };

    command.stdin(Stdio::null()).stdout(Stdio::piped());
    // Programs print secrets into their complaints; nothing of them may reach our log.
    command.stderr(Stdio::null());
    let child = command.spawn().map_err(|error| fault(format!("cannot be started: {error}")))?;
    let mut child = Running(child);

    // As large as it may become: growing would leave a part of it behind.
    let mut output = Zeroizing::new(Vec::with_capacity(CREDENTIAL_MAX + 1));
    let running = async {
        let Some(stdout) = child.0.stdout.take() else { return child.0.wait().await };
        stdout.take(CREDENTIAL_MAX as u64 + 1).read_to_end(&mut output).await?;
        if output.len() > CREDENTIAL_MAX {
            // It may wait for ever for somebody to take the rest.
            program::end(&mut child.0, End::Now);
        }
        child.0.wait().await
    };
    let ended = timeout(deadline, running).await;
    let text = std::str::from_utf8(&output).map(Secret::new);
    let status = match ended {
        Err(_elapsed) => {
            program::end(&mut child.0, End::Now);
            return Err(fault(format!("did not end within {} s", deadline.as_secs())));
        }
        Ok(Err(error)) => return Err(fault(format!("could not be listened to: {error}"))),
        Ok(Ok(status)) => status,
    };
    match text {
        Ok(text) if text.expose().len() > CREDENTIAL_MAX => {
            Err(fault(format!("printed more than {CREDENTIAL_MAX} bytes")))
        }
        _ if !status.success() => Err(fault(format!("failed: {status}"))),
        Ok(text) => Ok(text),
        Err(_) => Err(fault("printed something that is not UTF-8 text".into())),
    }
}
