//! Open files: as many as the configuration may need, and some that no app can take away.

/// What the daemon needs for itself, with room to spare: the database, the line and its names,
/// programs it runs, a reload's files.
const OWN: u64 = 64;

/// Apps that are let in at least, however few files the system grants.
const FEWEST: u64 = 4;

/// Raises the limit of open files where `max_clients` apps need more, and says how many of them
/// there is room for beside what the daemon needs itself. The limit is left alone where it does:
/// programs of `auth.token_command` inherit it, and some of them look at each file there could be.
#[cfg(unix)]
pub(super) fn room_for(max_clients: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let apps = u64::try_from(max_clients).unwrap_or(u64::MAX);
    let wanted = apps.saturating_add(OWN);
    let limit = getrlimit(Resource::Nofile);
    let mut current = limit.current.unwrap_or(u64::MAX);
    if current < wanted {
        let raised = limit.maximum.map_or(wanted, |most| most.min(wanted));
        match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }) {
            Ok(()) => current = raised,
            Err(error) => tracing::debug!(%error, "the limit of open files stays as it is"),
        }
    }
    let room = room_within(current, apps);
    if room < apps {
        tracing::warn!(
            "{room} apps can connect at a time instead of {apps} (ipc.max_clients): the system lets the daemon \
             open {current} files, and {wanted} are needed; raise LimitNOFILE= of the service, or `ulimit -n`"
        );
    }
    usize::try_from(room).unwrap_or(max_clients)
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub(super) const fn room_for(max_clients: usize) -> usize {
    max_clients
}

/// How many of `apps` fit where `limit` files may be open.
#[cfg_attr(not(unix), allow(dead_code, reason = "there is no limit to fit in"))]
fn room_within(limit: u64, apps: u64) -> u64 {
    apps.min(limit.saturating_sub(OWN).max(FEWEST))
}

#[cfg(test)]
mod tests {
    use super::room_within;

    #[test]
    fn what_the_daemon_needs_itself_is_left_to_it() {
        assert_eq!(room_within(1024, 128), 128);
        assert_eq!(room_within(1024, 1_000), 960);
        assert_eq!(room_within(64, 128), 4);
        assert_eq!(room_within(10, 128), 4);
        assert_eq!(room_within(u64::MAX, 4_096), 4_096);
        assert_eq!(room_within(1024, 1), 1);
    }
}
