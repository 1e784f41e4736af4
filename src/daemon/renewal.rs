//! What will run out: the credential, where it says so itself, and our own certificate. Told in
//! health while there is still time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::engine::{Fanout, Route};
use crate::link::credential::{Credentials, expires_at};
use crate::model::{HealthEntry, Severity, Timestamp};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How long before its end a certificate is spoken of: getting another one takes people and days.
const CERTIFICATE_NOTICE: Duration = Duration::from_secs(14 * 24 * 3_600);
/// How often to look while something will run out: the machine may sleep, its clock may be set.
const LOOK: Duration = HOUR;

const CREDENTIAL: &str = "credential_expires";
const CERTIFICATE: &str = "certificate_expires";

/// Looks at the start, when the source or the configuration changes, and from time to time while
/// there is something with an end.
pub(super) async fn watch(mut route: watch::Receiver<Route>, fanout: Arc<Fanout>, clock: Clock) {
    loop {
        let Route { dialer, credentials, .. } = route.borrow_and_update().clone();
        let mut changed = credentials.changed();
        loop {
            let now = clock.now().wall;
            let credential = end_of(&credentials).await;
            let certificate = dialer.own_certificate();
            let note = credential.and_then(|at| credential_note(&credentials.source(), at, now));
            show(&fanout, CREDENTIAL, now, note);
            let note = certificate.and_then(|(file, at)| certificate_note(file, at, now));
            show(&fanout, CERTIFICATE, now, note);
            let ends = [credential, certificate.map(|(_, at)| at)];
            let look = ends.into_iter().flatten().map(|at| next_look(at, now)).min();
            tokio::select! {
                replaced = route.changed() => match replaced {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = told(&mut changed) => {}
                () = after(look) => {}
            }
        }
    }
}

/// When the credential of a source expires that does not renew it by itself.
async fn end_of(credentials: &Credentials) -> Option<Timestamp> {
    if credentials.renews() {
        return None;
    }
    // What is wrong with the source is told by the dial.
    expires_at(&credentials.fetch().await.ok()??)
}

type Note = (Severity, String, String);

fn credential_note(source: &str, at: Timestamp, now: Timestamp) -> Option<Note> {
    let left = at.since(now);
    let severity = if left <= HOUR { Severity::Warning } else { Severity::Info };
    let text = if at <= now {
        format!("the credential of {source} expired at {}", at.brief())
    } else {
        format!("the credential of {source} expires at {}", at.brief())
    };
    let hint = "put a fresh one there in time: the next connection needs it".to_owned();
    (left <= DAY).then_some((severity, text, hint))
}

fn certificate_note(file: &Path, at: Timestamp, now: Timestamp) -> Option<Note> {
    let verb = if at <= now { "expired" } else { "expires" };
    let text = format!("our client certificate {} {verb} at {}", file.display(), at.brief());
    let hint = "put a new one there and reload: `holdline ctl reload`".to_owned();
    (at.since(now) <= CERTIFICATE_NOTICE).then_some((Severity::Warning, text, hint))
}

/// When there may be something else to say: at the end itself and at each mark before it, and not
/// without looking at the clock in between.
fn next_look(at: Timestamp, now: Timestamp) -> Duration {
    let left = at.since(now);
    [CERTIFICATE_NOTICE, DAY, HOUR, Duration::ZERO]
        .into_iter()
        .filter(|mark| *mark < left)
        .map(|mark| left - mark)
        .chain([LOOK])
        .min()
        .unwrap_or(LOOK)
}

fn show(fanout: &Fanout, code: &str, since: Timestamp, note: Option<Note>) {
    match note {
        Some((severity, text, hint)) => {
            fanout.health.put(HealthEntry { code: code.to_owned(), severity, since, text, hint });
        }
        None => fanout.health.clear(code),
    }
}

/// Waits until the source has changed; for ever where it never tells.
async fn told(changed: &mut watch::Receiver<u64>) {
    if changed.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits that long; for ever where there is nothing to wait for.
async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    #[test]
    fn a_credential_is_spoken_of_a_day_before_its_end_and_warned_of_an_hour_before() {
        let end = at("2026-06-02T12:00:00Z");
        let note = |now| {
            credential_note("the token file t", end, at(now)).map(|(severity, text, _)| (severity, text))
        };
        assert_eq!(note("2026-06-01T11:59:59Z"), None);
        let (severity, text) = note("2026-06-01T12:00:00Z").expect("a day before");
        assert_eq!(
            (severity, text.as_str()),
            (Severity::Info, "the credential of the token file t expires at 2026-06-02T12:00:00Z")
        );
        assert_eq!(note("2026-06-02T11:00:00Z").map(|it| it.0), Some(Severity::Warning));
        let (severity, text) = note("2026-06-02T12:00:00Z").expect("past");
        assert!(severity == Severity::Warning && text.contains("expired at"), "{text}");
    }

    #[test]
    fn the_next_look_is_at_the_next_mark_and_never_far_away() {
        let end = at("2026-06-02T12:00:00Z");
        let look = |now| next_look(end, at(now)).as_secs();
        assert_eq!(look("2026-06-02T11:59:50Z"), 10);
        assert_eq!(look("2026-06-02T10:59:00Z"), 60);
        assert_eq!(look("2026-06-02T08:00:00Z"), 3_600);
        assert_eq!(look("2026-06-03T08:00:00Z"), 3_600);
        assert_eq!(look("2020-06-03T08:00:00Z"), 3_600);
    }
}
