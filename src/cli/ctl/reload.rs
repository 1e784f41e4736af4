//! `ctl reload`: take up the configuration as it is now.

use super::Ctl;
use crate::cli::words::plain;
use crate::cli::{Exit, Failed, Outcome};
use crate::rpc::api::{Empty, ReloadResult};

/// `ctl reload`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        let result: Result<ReloadResult, Failed> = ctl.call("config.reload", &Empty {}).await;
        let result = result.map_err(rejected)?;
        if ctl.shell.json() {
            ctl.shell.document(&result)?;
        } else {
            ctl.shell.print(&told(&result))?;
        }
        Ok(Exit::Ok)
    }
}

/// With the places in the file, as `config check` shows them, and its exit code.
fn rejected(mut failed: Failed) -> Failed {
    if let Some(lines) = failed.extra.remove("detail") {
        let lines = lines.as_str().unwrap_or_default().lines().map(plain);
        failed.detail = lines.collect::<Vec<_>>().join("\n");
    }
    if let Some(exit) = failed.extra.remove("exit").and_then(|exit| u8::try_from(exit.as_u64()?).ok()) {
        failed.exit = Exit::Daemon(exit);
    }
    failed
}

fn told(result: &ReloadResult) -> String {
    let list = |keys: &[String]| plain(&keys.join(", "));
    let mut text = match result.changed.as_slice() {
        [] => "Nothing changed.\n".to_owned(),
        changed => format!("Changed: {}.\n", list(changed)),
    };
    if result.reconnect {
        text.push_str("The link is dialled anew for it.\n");
    }
    if !result.needs_restart.is_empty() {
        text.push_str(&format!("Only after a restart: {}.\n", list(&result.needs_restart)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_now_and_what_holds_later_are_told_apart() {
        assert_eq!(told(&ReloadResult::default()), "Nothing changed.\n");
        let result = ReloadResult {
            changed: vec!["heartbeat.interval".to_owned(), "server.url".to_owned()],
            reconnect: true,
            needs_restart: vec!["store.path".to_owned()],
        };
        assert_eq!(
            told(&result),
            "Changed: heartbeat.interval, server.url.\nThe link is dialled anew for it.\n\
             Only after a restart: store.path.\n"
        );
    }
}
