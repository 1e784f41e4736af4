use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Arrival, BindError, ConnectError, Listener, MAX_PATH, OVERFLOW_UID, connect, is_ours};
use crate::model::Peer;

fn private() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    chmod(folder.path(), 0o700);
    folder
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn refused(path: &Path) -> String {
    let error = Listener::bind(path).expect_err("this must not be bound");
    assert!(error.is_unsafe(), "{error}");
    error.to_string()
}

#[tokio::test]
async fn bytes_go_both_ways_between_processes_of_one_user() {
    let folder = private();
    let path = folder.path().join("d.sock");
    let listener = Listener::bind(&path).unwrap();
    let mut app = connect(&path).await.unwrap();
    let Arrival::Ours(mut daemon, peer) = listener.accept().await.unwrap() else {
        panic!("we are ourselves");
    };
    assert_eq!(peer.uid, Some(rustix::process::geteuid().as_raw()));
    app.write_all(b"ping").await.unwrap();
    let mut four = [0; 4];
    daemon.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"ping");
    daemon.write_all(b"pong").await.unwrap();
    app.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"pong");
}

#[tokio::test]
async fn the_socket_is_private_and_goes_away_with_its_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/for/us/d.sock");
    let listener = Listener::bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_dead_daemons_socket_is_replaced_and_the_next_ones_is_not_removed_by_the_first() {
    let folder = private();
    let path = folder.path().join("d.sock");
    let first = Listener::bind(&path).unwrap();
    let second = Listener::bind(&path).unwrap();
    drop(first);
    assert!(path.exists(), "the second daemon's socket was removed by the first");
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_no_socket_of_ours_is_refused_and_left_alone() {
    let folder = private();
    let path = folder.path().join("d.sock");

    fs::write(&path, "plant").unwrap();
    assert!(refused(&path).contains("no socket"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "plant");
    fs::remove_file(&path).unwrap();

    let target = folder.path().join("target");
    fs::write(&target, "t").unwrap();
    symlink(&target, &path).unwrap();
    refused(&path);
    assert!(path.is_symlink() && target.exists());
    fs::remove_file(&path).unwrap();

    symlink(folder.path().join("nowhere"), &path).unwrap();
    refused(&path);
    assert!(path.is_symlink());
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    refused(&path);
    assert!(path.is_dir());
}

#[tokio::test]
async fn a_folder_that_others_can_enter_or_that_is_a_link_is_refused() {
    for mode in [0o755, 0o750, 0o701, 0o777, 0o500] {
        let folder = private();
        chmod(folder.path(), mode);
        assert!(refused(&folder.path().join("d.sock")).contains("0700"));
        chmod(folder.path(), 0o700);
    }
    let folder = private();
    let real = folder.path().join("real");
    fs::create_dir(&real).unwrap();
    chmod(&real, 0o700);
    let link = folder.path().join("link");
    symlink(&real, &link).unwrap();
    assert!(refused(&link.join("d.sock")).contains("symbolic link"));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refused(&file.join("d.sock")).contains("no folder"));
}

#[tokio::test]
async fn a_folder_of_another_user_is_refused_by_both_sides() {
    // Only root can give a folder away; everybody else can at least look at root's.
    let mine = private();
    let folder: PathBuf = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(mine.path(), Some(1234), None).unwrap();
        mine.path().to_owned()
    } else {
        PathBuf::from("/")
    };
    let path = folder.join("d.sock");
    assert!(refused(&path).contains("belongs to user"));
    let error = connect(&path).await.expect_err("a foreign folder");
    assert!(matches!(error, ConnectError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn a_path_that_does_not_fit_is_refused_before_anything_is_made() {
    let folder = private();
    let deep = folder.path().join("x".repeat(MAX_PATH)).join("d.sock");
    let error = Listener::bind(&deep).expect_err("too long");
    assert!(matches!(error, BindError::TooLong { .. }), "{error}");
    assert!(error.to_string().contains("HOLDLINE_SOCKET"));
    assert!(!deep.parent().unwrap().exists());
}

#[tokio::test]
async fn the_longest_path_that_fits_is_served() {
    let folder = private();
    let rest = MAX_PATH - folder.path().as_os_str().len() - 1;
    let path = folder.path().join("s".repeat(rest));
    let _listener = Listener::bind(&path).unwrap();
    connect(&path).await.unwrap();
}

#[tokio::test]
async fn nobody_listening_is_said_as_such() {
    let folder = private();
    let path = folder.path().join("d.sock");
    assert!(matches!(connect(&path).await, Err(ConnectError::NotRunning { .. })));
    let dead = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(dead);
    assert!(matches!(connect(&path).await, Err(ConnectError::NotRunning { .. })));
}

#[tokio::test]
async fn a_crowd_at_the_door_waits_and_all_get_in() {
    let folder = private();
    let path = folder.path().join("d.sock");
    let listener = Listener::bind(&path).unwrap();
    let crowd: Vec<_> = (0..300)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { connect(&path).await })
        })
        .collect();
    // More of them than the system queues, before the first is let in.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let mut inside = Vec::new();
    for _ in 0..crowd.len() {
        let accepted = tokio::time::timeout(Duration::from_secs(20), listener.accept());
        inside.push(accepted.await.expect("all of them come").unwrap());
    }
    for one in crowd {
        one.await.unwrap().unwrap();
    }
}

/// Does `what` as another user, on a thread of its own (Linux keeps users by thread). None where
/// we may not.
#[cfg(target_os = "linux")]
fn as_another_user<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let other = rustix::process::Uid::from_raw(4_321);
    let became = move || {
        rustix::thread::set_thread_res_uid(other, other, other).unwrap();
        what()
    };
    Some(std::thread::spawn(became).join().unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn p11_a_process_of_another_user_is_turned_away_unread_even_with_all_doors_open() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    let folder = private();
    let path = folder.path().join("d.sock");
    let listener = Listener::bind(&path).unwrap();
    let refused = {
        let path = path.clone();
        as_another_user(move || UnixStream::connect(path).expect_err("closed").kind())
    };
    assert!(refused.is_none_or(|kind| kind == std::io::ErrorKind::PermissionDenied));
    chmod(folder.path(), 0o755);
    chmod(&path, 0o666);
    let Some(mut foreign) = as_another_user(move || UnixStream::connect(path).unwrap()) else {
        return;
    };
    foreign.write_all(b"{}\n").unwrap();
    let Arrival::Foreign(peer) = listener.accept().await.unwrap() else {
        panic!("another user got in");
    };
    assert_eq!(peer.uid, Some(4_321));
    let mut said = Vec::new();
    assert!(foreign.read_to_end(&mut said).is_err() || said.is_empty(), "nothing is said to it");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_daemon_of_another_user_is_told_nothing() {
    use std::os::unix::net::UnixListener;
    let folder = private();
    let path = folder.path().join("d.sock");
    chmod(folder.path(), 0o777);
    let Some(false_daemon) = as_another_user({
        let path = path.clone();
        move || UnixListener::bind(path).unwrap()
    }) else {
        return;
    };
    let error = connect(&path).await.expect_err("another user's daemon");
    assert!(matches!(error, ConnectError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("4321"), "{error}");
    let (mut came, _) = false_daemon.accept().unwrap();
    let mut heard = Vec::new();
    std::io::Read::read_to_end(&mut came, &mut heard).unwrap();
    assert!(heard.is_empty());
}

#[test]
fn only_the_same_user_is_ours() {
    let peer = |uid| Peer { uid, pid: Some(1) };
    assert!(is_ours(peer(Some(1000)), 1000));
    assert!(!is_ours(peer(Some(1001)), 1000));
    assert!(!is_ours(peer(Some(0)), 1000), "root has its own ways");
    assert!(!is_ours(peer(None), 1000));
    assert!(!is_ours(peer(Some(OVERFLOW_UID)), OVERFLOW_UID), "it stands for every foreign user");
}
