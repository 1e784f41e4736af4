use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn token_file(content: &[u8], mode: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

async fn fetch(source: Source) -> Result<Option<Secret>, CredentialFault> {
    timeout(LONG, Credentials::new(source).fetch()).await.expect("fetching must not block")
}

async fn fetched(source: Source) -> String {
    fetch(source).await.unwrap().unwrap().expose().to_owned()
}

async fn fault(source: Source) -> CredentialFault {
    let fault = fetch(source).await.unwrap_err();
    assert!(!fault.text.contains("HLCANARY") && !fault.hint.contains("HLCANARY"), "{fault:?}");
    assert!(!fault.text.is_empty() && !fault.hint.is_empty(), "{fault:?}");
    fault
}

fn shell(script: &str) -> Source {
    Source::Command(vec!["/bin/sh".into(), "-c".into(), script.into()])
}

#[tokio::test]
async fn without_a_source_there_is_no_credential() {
    assert_eq!(fetch(Source::None).await, Ok(None));
}

#[tokio::test]
async fn a_file_is_read_without_the_white_space_around_it() {
    for mode in [0o600, 0o400] {
        let (_folder, path) = token_file(b"\n  HLCANARY 1\r\n\n", mode);
        assert_eq!(fetched(Source::File(path)).await, "HLCANARY 1");
    }
}

#[tokio::test]
async fn a_file_that_others_can_use_is_refused() {
    for mode in [0o644, 0o640, 0o604, 0o660, 0o606, 0o610, 0o777] {
        let (_folder, path) = token_file(b"HLCANARY", mode);
        let fault = fault(Source::File(path)).await;
        assert!(fault.text.contains(&format!("{mode:04o}")) && fault.hint.contains("chmod 600"), "{fault:?}");
    }
}

#[tokio::test]
async fn a_file_whose_folder_everybody_can_write_is_refused_even_behind_a_link() {
    let (folder, path) = token_file(b"HLCANARY", 0o600);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(fetched(Source::File(link.clone())).await, "HLCANARY");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    for path in [path, link] {
        let fault = fault(Source::File(path)).await;
        assert!(fault.text.contains("0777"), "{fault:?}");
    }
}

#[tokio::test]
async fn a_file_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can make one.
        return;
    }
    let (_folder, path) = token_file(b"HLCANARY", 0o600);
    std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
    assert!(fault(Source::File(path)).await.text.contains("65534"));
}

#[tokio::test]
async fn what_is_no_plain_file_is_refused_without_blocking() {
    let folder = tempfile::tempdir().unwrap();
    assert!(fault(Source::File(folder.path().into())).await.text.contains("no regular file"));
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    assert!(fault(Source::File(pipe)).await.text.contains("no regular file"));
}

#[tokio::test]
async fn a_file_that_is_missing_empty_too_large_or_no_text_is_told_as_such() {
    let missing = fault(Source::File("/nonexistent/token".into())).await;
    assert!(missing.text.contains("does not exist"), "{missing:?}");
    let too_large = vec![b'x'; CREDENTIAL_MAX + 1];
    for (content, wanted) in [
        (b"".as_slice(), "holds nothing"),
        (b" \r\n\t".as_slice(), "holds nothing"),
        (too_large.as_slice(), "over 65536 bytes"),
        (b"HLCANARY\xff".as_slice(), "not UTF-8"),
    ] {
        let (_folder, path) = token_file(content, 0o600);
        let fault = fault(Source::File(path)).await;
        assert!(fault.text.contains(wanted), "{fault:?}");
    }
}

#[tokio::test]
async fn a_variable_is_taken_once_and_its_absence_is_told() {
    assert_eq!(fetched(Source::Env("CARGO_PKG_NAME".into())).await, "holdline");
    let fault = fault(Source::Env("HOLDLINE_TEST_NO_SUCH_VARIABLE".into())).await;
    assert!(fault.text.contains("HOLDLINE_TEST_NO_SUCH_VARIABLE"));
}

#[tokio::test]
async fn a_command_is_run_without_a_shell_and_its_output_is_the_credential() {
    let argv = ["printf", "%s\\n", "a b; $HOME"];
    let source = Source::Command(argv.map(str::to_owned).to_vec());
    assert_eq!(fetched(source).await, "a b; $HOME");
}

#[tokio::test]
async fn a_command_that_fails_is_told_without_anything_it_printed() {
    let cases = [
        (shell("echo HLCANARY; echo HLCANARY >&2; exit 3"), "failed"),
        (Source::Command(vec!["/nonexistent/program".into(), "HLCANARY".into()]), "cannot be started"),
        (Source::Command(Vec::new()), "names no program"),
        (shell("true"), "holds nothing"),
        (shell("printf '\\377HLCANARY'"), "not UTF-8"),
        // It would print for ever; it is ended, not waited for.
        (shell("yes HLCANARY"), "printed more than"),
    ];
    for (source, wanted) in cases {
        let fault = fault(source).await;
        assert!(fault.text.contains(wanted), "{fault:?}");
    }
}

#[tokio::test]
async fn a_command_that_does_not_end_is_ended_with_all_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let noted = folder.path().join("pid");
    // The grandchild holds the output open, as an agent would.
    let script = format!("sleep 600 & echo $! > {}; wait", noted.display());
    let argv = ["/bin/sh".to_owned(), "-c".to_owned(), script];
    let fault =
        timeout(LONG, command::run_within(&argv, Duration::from_millis(500))).await.unwrap().unwrap_err();
    assert!(fault.text.contains("did not end"), "{fault:?}");
    let pid = fs::read_to_string(noted).unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    timeout(LONG, async {
        // A dead one may stay as a zombie until somebody asks for it.
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the grandchild must end too");
}

#[tokio::test]
async fn a_credential_of_systemd_must_have_a_plain_name() {
    for name in ["", "..", "a/b", "/etc/passwd"] {
        assert!(fault(Source::SystemdCredential(name.into())).await.text.contains("no name"));
    }
}

#[cfg(not(feature = "keyring"))]
#[tokio::test]
async fn a_build_without_keyrings_says_so() {
    let entry = KeyringEntry { service: "service".into(), user: "user".into() };
    assert!(fault(Source::Keyring(entry)).await.hint.contains("token_command"));
}

#[test]
fn a_source_shows_where_it_looks_but_no_arguments() {
    let source = Source::Command(vec!["pass".into(), "--password=HLCANARY".into()]);
    assert_eq!(source.to_string(), "the token command pass");
}

/// Waits for the next change after `change` was done.
async fn notices(credentials: &Credentials, what: &str, change: impl FnOnce()) {
    let mut changes = credentials.changed();
    changes.borrow_and_update();
    change();
    timeout(LONG, changes.changed()).await.unwrap_or_else(|_| panic!("{what} was not noticed")).unwrap();
}

fn replace(path: &Path, content: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&beside, path).unwrap();
}

#[tokio::test]
async fn a_file_that_changes_in_any_way_is_noticed() {
    let (folder, path) = token_file(b"one", 0o600);
    let credentials = Credentials::new(Source::File(path.clone()));
    notices(&credentials, "writing over it", || fs::write(&path, "two, longer").unwrap()).await;
    notices(&credentials, "a rename over it", || replace(&path, "three")).await;
    notices(&credentials, "a second rename over it", || replace(&path, "three")).await;
    assert_eq!(credentials.fetch().await.unwrap().unwrap().expose(), "three");
    notices(&credentials, "a new mode", || {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    })
    .await;
    notices(&credentials, "its end", || fs::remove_file(&path).unwrap()).await;
    notices(&credentials, "its return", || replace(&path, "four")).await;
    let other = folder.path().join("other");
    fs::write(&other, "five").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    notices(&credentials, "a link in its place", || {
        let link = folder.path().join("link");
        symlink(&other, &link).unwrap();
        fs::rename(&link, &path).unwrap();
    })
    .await;
    assert_eq!(credentials.fetch().await.unwrap().unwrap().expose(), "five");
}

#[tokio::test]
async fn what_happens_beside_the_file_and_our_own_reading_are_no_change() {
    let (folder, path) = token_file(b"one", 0o600);
    let credentials = Credentials::new(Source::File(path.clone()));
    let changes = credentials.changed();
    fs::write(folder.path().join("neighbour"), "x").unwrap();
    credentials.fetch().await.unwrap();
    // The next real change is the first one told.
    notices(&credentials, "the change", || replace(&path, "two")).await;
    assert_eq!(*changes.borrow(), 1);
}

#[tokio::test]
async fn a_source_that_tells_nothing_never_changes() {
    let credentials = Credentials::new(Source::Env("CARGO_PKG_NAME".into()));
    let changes = credentials.changed();
    assert!(!changes.has_changed().unwrap());
    // A folder that is not there cannot be watched; the daemon goes on.
    let credentials = Credentials::new(Source::File("/nonexistent/folder/token".into()));
    assert!(!credentials.changed().has_changed().unwrap());
}
