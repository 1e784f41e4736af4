use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn errand(script: &str, input: &str) -> Errand {
    let argv = ["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
    Errand { argv: argv.into(), timeout: LONG, input: input.into() }
}

fn start(runner: &Runner, errand: Errand) -> oneshot::Receiver<Ended> {
    let (tell, told) = oneshot::channel();
    runner.hand_over(errand, |how| drop(tell.send(how))).expect("there is a place");
    told
}

async fn end_of(runner: &Runner, errand: Errand) -> Ended {
    timeout(LONG, start(runner, errand)).await.expect("it ends").expect("and that is told")
}

fn badly(ended: &Ended) -> &str {
    match ended {
        Ended::Well => "",
        Ended::Badly(why) => why,
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// Whether the process whose id stands in the file has ended. A dead one may stay as a zombie until
/// somebody asks for it.
fn is_gone(noted: &Path) -> bool {
    let pid = fs::read_to_string(noted).unwrap();
    match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    }
}

fn folder() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    (folder, path)
}

#[tokio::test]
async fn a_command_reads_the_event_and_no_shell_sees_its_arguments() {
    let (folder, path) = folder();
    let event = "{\"type\":\"a\",\"data\":{\"text\":\"$HOME `id`\"}}\n";
    let runner = Runner::default();
    assert_eq!(end_of(&runner, errand(&format!("cat > {path}/read"), event)).await, Ended::Well);
    assert_eq!(fs::read_to_string(folder.path().join("read")).unwrap(), event);

    let argv = ["cp", "/dev/stdin", &format!("{path}/$HOME;x")].map(str::to_owned);
    let as_written = Errand { argv: argv.into(), timeout: LONG, input: "it".into() };
    assert_eq!(end_of(&runner, as_written).await, Ended::Well);
    assert_eq!(fs::read_to_string(folder.path().join("$HOME;x")).unwrap(), "it");
}

#[tokio::test]
async fn how_a_command_ended_is_told() {
    let runner = Runner::default();
    // More than a pipe holds, to one that reads none of it.
    let large = "x".repeat(1 << 20);
    assert_eq!(end_of(&runner, errand("exit 0", &large)).await, Ended::Well);
    assert!(badly(&end_of(&runner, errand("exit 3", "")).await).contains("exit status: 3"));
    let none = Errand { argv: ["/nonexistent/program".to_owned()].into(), timeout: LONG, input: "".into() };
    assert!(badly(&end_of(&runner, none).await).contains("cannot be started"));
    let empty = Errand { argv: [].into(), timeout: LONG, input: "".into() };
    assert!(badly(&end_of(&runner, empty).await).contains("names no program"));
}

#[tokio::test]
async fn what_a_command_leaves_running_is_not_waited_for() {
    let (_folder, path) = folder();
    let runner = Runner::default();
    let ended = end_of(&runner, errand(&format!("sleep 600 & echo $! > {path}/pid"), "")).await;
    assert_eq!(ended, Ended::Well);
    let noted = PathBuf::from(format!("{path}/pid"));
    assert!(!is_gone(&noted), "it was left running on purpose");
    let pid: i32 = fs::read_to_string(noted).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_command_that_does_not_end_is_ended_with_all_it_has_started() {
    let (folder, path) = folder();
    // Neither heeds the wish to end.
    let script = format!("trap '' TERM; sleep 600 & echo $! > {path}/pid; wait; sleep 600");
    let runner = Runner::default();
    let ended = end_of(&runner, Errand { timeout: Duration::from_millis(500), ..errand(&script, "") }).await;
    assert!(badly(&ended).contains("did not end within 0.5 s"), "{ended:?}");
    until("its child to end too", || is_gone(&folder.path().join("pid"))).await;
}

#[tokio::test]
async fn a_command_that_is_ended_may_tidy_up() {
    let (folder, path) = folder();
    let script =
        format!("trap 'touch {path}/tidied; exit' TERM; touch {path}/there; while :; do sleep 0.01; done");
    let runner = Runner::default();
    let told = start(&runner, errand(&script, ""));
    until("it to run", || folder.path().join("there").exists()).await;
    timeout(LONG, runner.close()).await.expect("that is bounded");
    assert!(badly(&told.await.unwrap()).contains("ended with the daemon"));
    assert!(folder.path().join("tidied").exists());
    assert_eq!(runner.hand_over(errand("true", ""), |_| ()), Err(Busy), "nothing is started after the end");
}

#[tokio::test]
async fn few_run_at_a_time_some_wait_in_order_and_the_rest_is_turned_away() {
    let (folder, path) = folder();
    let runner = Runner::default();
    let script = |n: usize| {
        format!(
            "echo {n} >> {path}/order; touch {path}/running.{n}; until [ -e {path}/go ]; do sleep 0.01; done"
        )
    };
    let running = || {
        let names = fs::read_dir(folder.path()).unwrap().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with("running.")).count()
    };
    let all = RUNNING_MAX + WAITING_MAX;
    let told: Vec<_> = (0..all).map(|n| start(&runner, errand(&script(n), ""))).collect();
    assert_eq!(runner.hand_over(errand("true", ""), |_| ()), Err(Busy));
    until("the first ones to run", || running() == RUNNING_MAX).await;
    // Nobody else has a turn; and there is no moment at which that would show sooner.
    assert_eq!(runner.turns.available_permits(), 0);
    assert_eq!(running(), RUNNING_MAX);
    fs::write(folder.path().join("go"), "").unwrap();
    for told in told {
        assert_eq!(timeout(LONG, told).await.expect("it ends").unwrap(), Ended::Well);
    }
    let order = fs::read_to_string(folder.path().join("order")).unwrap();
    let mut order: Vec<usize> = order.lines().map(|line| line.parse().unwrap()).collect();
    // Those of one turn start at once, so their order is nobody's.
    assert!(order.iter().enumerate().all(|(at, n)| at.abs_diff(*n) < 2 * RUNNING_MAX), "{order:?}");
    order.sort_unstable();
    assert_eq!(order, (0..all).collect::<Vec<_>>());
    assert_eq!(end_of(&runner, errand("true", "")).await, Ended::Well, "there is room again");
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes_too() {
    let runner = Runner::default();
    let large = "x".repeat(INPUT_MAX / 2 + 1);
    let told = start(&runner, errand("sleep 600", &large));
    assert_eq!(runner.hand_over(errand("true", &large), |_| ()), Err(Busy));
    runner.close().await;
    assert_ne!(told.await.unwrap(), Ended::Well);
}

#[tokio::test]
async fn variables_of_the_daemon_stay_with_it() {
    let (folder, path) = folder();
    // Of this process, as cargo sets it, and as the daemon's credential would be.
    program::keep_from_programs("CARGO_PKG_DESCRIPTION");
    assert_eq!(end_of(&Runner::default(), errand(&format!("env > {path}/env"), "")).await, Ended::Well);
    let seen = fs::read_to_string(folder.path().join("env")).unwrap();
    assert!(seen.contains("CARGO_MANIFEST_DIR="), "{seen}");
    assert!(!seen.contains("CARGO_PKG_DESCRIPTION="), "{seen}");
}

#[tokio::test]
async fn type_id_and_number_of_the_event_are_variables_where_they_can_be() {
    let (folder, path) = folder();
    let script = format!("echo \"$HOLDLINE_TYPE,$HOLDLINE_ID,${{HOLDLINE_SEQ-none}}\" >> {path}/seen");
    let long = "x".repeat(200_000);
    let events = [
        r#"{"seq":7,"id":"a \"b\"","type":"order status","data":{"id":"other"}}"#,
        r#"{"type":"typing","data":null}"#,
        r#"{"type":"a\u0000b","id":"c"}"#,
        &format!(r#"{{"type":"d","id":"{long}"}}"#),
        "no JSON",
    ];
    let runner = Runner::default();
    for event in events {
        assert_eq!(end_of(&runner, errand(&script, event)).await, Ended::Well, "{event:.40}");
    }
    let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
    assert_eq!(seen, "order status,a \"b\",7\ntyping,,none\n,c,none\nd,,none\n,,none\n");
}
