//! `metrics.textfile`: the metrics in a file, for a node exporter.
//!
//! Written beside it and put in its place, so that a reader sees the old text or the new one. At an
//! orderly end it is removed: a daemon that does not run has no numbers. After a crash it stays, and
//! its age tells.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::backend::Daemon;
use crate::model::{HealthEntry, Severity};

/// How often it is written.
const EVERY: Duration = Duration::from_secs(15);
const HEALTH: &str = "metrics_not_written";

/// Writes the file, now and then every [`EVERY`].
pub(in crate::daemon) async fn keep(path: PathBuf, daemon: Arc<Daemon>) {
    loop {
        let (text, to) = (daemon.metrics(), path.clone());
        // The disk may be one that hangs.
        let written = tokio::task::spawn_blocking(move || put(&to, &text)).await;
        match written {
            Ok(Err(error)) => {
                let text = format!("the metrics cannot be written to {}: {error}", path.display());
                tracing::warn!("{text}");
                daemon.fanout.health.put(HealthEntry {
                    code: HEALTH.into(),
                    severity: Severity::Warning,
                    since: daemon.clock.now().wall,
                    text,
                    hint: "make the folder, or let the daemon's user write there (metrics.textfile)".into(),
                });
            }
            Ok(Ok(())) => daemon.fanout.health.clear(HEALTH),
            // The runtime ends.
            Err(_) => return,
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Takes the file away.
pub(in crate::daemon) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("the metrics file {} was not removed: {error}", path.display());
    }
}

/// Puts `text` at `path`. The exporter runs as another user and must be able to read it; nothing in
/// there is secret.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The exporter reads what ends in .prom, and must not read this.
    let beside = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let write = || {
        let mut options = OpenOptions::new();
        // Whoever put something there, it is not followed and not written into.
        options.write(true).create_new(true);
        let mut file = options.open(&beside)?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        drop(file);
        fs::rename(&beside, path)
    };
    let _ = fs::remove_file(&beside);
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_file_is_replaced_as_a_whole_and_others_may_read_it() {
        use std::os::unix::fs::{MetadataExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.prom");
        let precious = folder.path().join("precious");
        fs::write(&precious, "mine").unwrap();
        symlink(&precious, &path).unwrap();
        put(&path, "one 1\n").unwrap();
        put(&path, "two 2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two 2\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "mine", "a link is replaced, not followed");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside them");
        put(&folder.path().join("no/a.prom"), "").expect_err("no folder");
    }
}
