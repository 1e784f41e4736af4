//! The way to the server: name, connection, TLS, upgrade, sign-in, and the server's clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout_at;

use super::{OWN_TRY, WAY, settings};
use crate::clock::Clock;
use crate::config::{AuthMethod, Config};
use crate::daemon::assemble::Assembly;
use crate::daemon::backend::Daemon;
use crate::dialect::{Dialect, Given, SignIn};
use crate::engine::Route;
use crate::link::Plan;
use crate::link::credential::Source;
use crate::link::probe::{Found, Phase, Probe, Upgrade};
use crate::model::words::length;
use crate::model::{LinkState, LinkStatus, Reason, ReasonKind, Secret, Timestamp};
use crate::rpc::api::Check;

/// A try of the daemon's own that is nearer than this is waited for, not got ahead of.
const NEAR: Duration = Duration::from_secs(3);
/// Clocks that differ by less agree: certificates and times of expiry are coarser.
const CLOCK_OFF: Duration = Duration::from_secs(60);
/// A certificate that ends sooner deserves a word.
const CERTIFICATE_ENDS: Duration = Duration::from_secs(14 * 86_400);
/// Addresses that are shown at most.
const ADDRESSES: usize = 4;
/// A hint where the failure has none of its own.
const SERVER_SIDE: &str = "it is for the server's people to look into; the daemon keeps trying";

/// What was found on the way, and of the credential that goes it.
pub(super) struct Way {
    pub(super) credential: Check,
    pub(super) checks: Vec<Check>,
}

/// None of it was tried.
pub(super) fn none(why: &str) -> Way {
    let open = |code| Check::open(code, why);
    Way {
        credential: open("credential"),
        checks: ["name", "connection", "proxy", "tls", "upgrade", "sign_in", "clock"].map(open).to_vec(),
    }
}

/// What an upgrade of our own would mean now, or what is known without one.
enum Upgrades {
    /// Nobody minds one.
    Try,
    /// The daemon's own line is up.
    Up(Box<LinkStatus>),
    /// The daemon has just tried, or was asked to wait: this came of it.
    Told(Reason),
    /// Not now, for this reason.
    Leave(String, &'static str),
}

/// The way of the running daemon.
pub(super) async fn of_daemon(daemon: &Arc<Daemon>) -> Way {
    let clock = daemon.clock;
    let mut link = daemon.fanout.link.subscribe();
    let upgrades = settle(&mut link, clock).await;
    let route = daemon.reloader.route();
    let wanted = {
        let link = daemon.fanout.link.subscribe();
        move || quiet(&link.borrow(), clock.now().wall)
    };
    let config = daemon.reloader.config();
    let policy = daemon.policy();
    let walk = Walk {
        route: &route,
        dialect: policy.dialect.as_ref(),
        method: &config.auth.method,
        sign_in: config.auth.sign_in.map(|it| SignIn { required: it.required, timeout: it.timeout }),
        clock,
        daemon: Some(&daemon.fanout.link),
    };
    walk.all(upgrades, &wanted).await
}

/// The way as this configuration goes it, while no daemon does. `held`: somebody has the lock all
/// the same, and perhaps a line.
pub(super) async fn of_config(config: &Config, clock: Clock, held: bool) -> Way {
    let Ok(assembly) = Assembly::of(config) else { return none("not tried: the configuration comes first") };
    let (route, session, policy) = assembly.route();
    let upgrades = if held {
        Upgrades::Leave("not tried: a daemon holds the lock, and perhaps a line".into(), "")
    } else {
        Upgrades::Try
    };
    let walk = Walk {
        route: &route,
        dialect: policy.dialect.as_ref(),
        method: &config.auth.method,
        sign_in: session.sign_in,
        clock,
        daemon: None,
    };
    walk.all(upgrades, &|| true).await
}

/// Whether the daemon neither has a line nor is about to try for one.
fn quiet(link: &LinkStatus, now: Timestamp) -> bool {
    link.next_retry_at.is_some_and(|at| at > now.after(NEAR))
}

/// Waits until the daemon has a line, or has failed to get one, or leaves it alone for a while.
async fn settle(link: &mut watch::Receiver<LinkStatus>, clock: Clock) -> Upgrades {
    let deadline = clock.deadline(clock.instant() + OWN_TRY);
    let mut under_way = false;
    loop {
        let now = clock.now().wall;
        let status = link.borrow_and_update().clone();
        match status.state {
            LinkState::Connected | LinkState::Authenticating => return Upgrades::Up(Box::new(status)),
            LinkState::Paused => {
                return Upgrades::Leave("the line is paused".into(), "`holdline ctl link resume` goes on");
            }
            LinkState::Stopping => return Upgrades::Leave("the daemon stops".into(), ""),
            LinkState::Connecting
            | LinkState::Reconnecting
            | LinkState::Offline
            | LinkState::Unavailable
            | LinkState::Unauthorized
            | LinkState::Misconfigured => {}
        }
        let waits = status.next_retry_at.is_some();
        match status.reason {
            Some(reason) if waits && under_way => return Upgrades::Told(reason),
            // A server that asks to be left alone is.
            Some(reason) if waits && reason.kind == ReasonKind::ServerBusy => return Upgrades::Told(reason),
            _ if quiet(&status, now) => return Upgrades::Try,
            _ => {}
        }
        under_way = !waits;
        if !matches!(timeout_at(deadline, link.changed()).await, Ok(Ok(()))) {
            return Upgrades::Leave("the daemon's own try takes its time".into(), "");
        }
    }
}

/// One walk to the server.
struct Walk<'a> {
    route: &'a Route,
    dialect: &'a dyn Dialect,
    method: &'a AuthMethod,
    sign_in: Option<SignIn>,
    clock: Clock,
    /// How the running daemon's line stands.
    daemon: Option<&'a watch::Sender<LinkStatus>>,
}

impl Walk<'_> {
    async fn all(&self, upgrades: Upgrades, wanted: &(dyn Fn() -> bool + Sync)) -> Way {
        let tries = matches!(upgrades, Upgrades::Try);
        let (credential, secret) = settings::credential(
            &self.route.credentials,
            tries,
            self.daemon.is_some(),
            self.clock.now().wall,
        )
        .await;
        // Without a credential the daemon would not dial either.
        let usable = secret.is_some() || *self.route.credentials.origin() == Source::None;
        let upgrade = (tries && usable).then(|| Upgrade {
            plan: self.plan(secret.as_ref()),
            credential: secret.as_ref(),
            wanted,
        });
        let probe = self.route.dialer.probe(WAY, upgrade).await;
        let mut checks = self.before(&probe);
        let upgraded = self.upgrade(&probe, &upgrades, usable);
        checks.push(upgraded.clone());
        checks.push(self.signed_in(&upgrades, upgraded.ok == Some(true)));
        checks.push(self.clocks());
        Way { credential, checks }
    }

    /// What the dialect puts into the dial, as for a session that remembers nothing.
    fn plan(&self, secret: Option<&Secret>) -> Plan {
        let token = secret.filter(|_| self.route.token_by_message).cloned();
        let given = Given { token, sign_in: self.sign_in, ..Given::default() };
        let connect = self.dialect.connect(&given, self.clock.now());
        Plan { query: connect.query, headers: connect.headers, subprotocols: connect.subprotocols }
    }

    /// Name, connection, proxy and TLS.
    fn before(&self, probe: &Probe) -> Vec<Check> {
        let target = self.route.dialer.target();
        let phases = [
            (Phase::Name, "name"),
            (Phase::Connection, "connection"),
            (Phase::Proxy, "proxy"),
            (Phase::Tls, "tls"),
        ];
        phases
            .into_iter()
            .map(|(phase, code)| {
                if phase == Phase::Proxy && !self.route.dialer.has_proxy() {
                    return Check::open(code, "none");
                }
                if phase == Phase::Tls && !target.is_secure() {
                    return Check::open(code, "not used: the URL begins with ws://");
                }
                if let Some(step) = probe.steps.iter().find(|step| step.found.phase() == phase) {
                    return self.found(code, &step.found).took(step.took);
                }
                failed(probe, phase, code).unwrap_or_else(|| Check::open(code, "not tried"))
            })
            .collect()
    }

    fn found(&self, code: &str, found: &Found) -> Check {
        match found {
            Found::Name { host, addresses } => {
                if host.parse::<std::net::IpAddr>().is_ok() {
                    return Check::good(code, format!("{host} is an address, no name"));
                }
                let mut list: Vec<String> =
                    addresses.iter().take(ADDRESSES).map(|address| address.ip().to_string()).collect();
                if addresses.len() > ADDRESSES {
                    list.push(format!("and {} more", addresses.len() - ADDRESSES));
                }
                Check::good(code, format!("{host} \u{2192} {}", list.join(", ")))
            }
            Found::Connection(peer) => Check::good(code, peer.to_string()),
            Found::Proxy(proxy) => Check::good(code, format!("{proxy} opened the way")),
            Found::Tls(handshake) => {
                let mut detail = handshake.version.clone();
                if !handshake.issuer.is_empty() {
                    detail.push_str(&format!(", certificate by {}", handshake.issuer));
                }
                let now = self.clock.now().wall;
                if let Some((file, until)) = self.route.dialer.own_certificate().filter(|own| own.1 <= now) {
                    let since = length(now.since(until));
                    return Check::bad(
                        code,
                        format!("{detail}; our own certificate in {} expired {since} ago", file.display()),
                        "put a new one there, and `holdline ctl reload`",
                    );
                }
                let Some(until) = handshake.not_after else { return Check::good(code, detail) };
                let left = until.since(now);
                let check = Check::good(code, format!("{detail}, valid for {}", length(left)));
                let soon = left < CERTIFICATE_ENDS;
                check.hint(if soon { "the certificate ends soon: the server needs a new one" } else { "" })
            }
            Found::Upgrade(subprotocol) => Check::good(
                code,
                match subprotocol {
                    Some(name) => format!("HTTP 101, sub-protocol {name}; closed again at once"),
                    None => "HTTP 101; closed again at once".into(),
                },
            ),
        }
    }

    fn upgrade(&self, probe: &Probe, upgrades: &Upgrades, usable: bool) -> Check {
        let code = "upgrade";
        if let Some(step) = probe.steps.iter().find(|step| step.found.phase() == Phase::Upgrade) {
            return self.found(code, &step.found).took(step.took);
        }
        if let Some(check) = failed(probe, Phase::Upgrade, code) {
            return check;
        }
        match upgrades {
            Upgrades::Up(link) => {
                let since = length(self.clock.now().wall.since(link.since));
                let trip = link.rtt_ms.map(|rtt| format!(", round trip {rtt:.1} ms")).unwrap_or_default();
                Check::good(code, format!("the daemon's own line has been up for {since}{trip}"))
            }
            _ if probe.failed.is_some() => Check::open(code, "not tried"),
            Upgrades::Told(reason) => bad(code, &reason.text, &reason.hint),
            Upgrades::Leave(why, hint) => Check::open(code, format!("not tried: {why}")).hint(*hint),
            Upgrades::Try if !usable => Check::open(code, "not tried: there is no credential"),
            Upgrades::Try => Check::open(code, "not tried: the daemon began a try of its own"),
        }
    }

    fn signed_in(&self, upgrades: &Upgrades, upgraded: bool) -> Check {
        let code = "sign_in";
        if *self.route.credentials.origin() == Source::None {
            return Check::open(code, "no credential, no sign-in");
        }
        let link = match upgrades {
            Upgrades::Up(link) => Some(LinkStatus::clone(link)),
            Upgrades::Try | Upgrades::Told(_) | Upgrades::Leave(..) => {
                self.daemon.map(|link| link.borrow().clone())
            }
        };
        match link {
            Some(link) if link.state == LinkState::Connected => Check::good(code, "accepted"),
            Some(link) if link.state == LinkState::Authenticating => {
                let since = length(self.clock.now().wall.since(link.since));
                Check::open(code, format!("the server has not answered it yet, after {since}"))
            }
            Some(LinkStatus { reason: Some(reason), .. }) if upgraded && of_sign_in(reason.kind) => {
                bad(code, &reason.text, &reason.hint)
            }
            _ if !upgraded => Check::open(code, "not tried"),
            _ if self.route.token_by_message || *self.method == AuthMethod::Message => {
                Check::open(code, "by the dialect's own frames: only the daemon does that")
            }
            _ => Check::good(code, "went with the upgrade"),
        }
    }

    fn clocks(&self) -> Check {
        let code = "clock";
        let Some(ahead) = self.route.dialer.clock_ahead_ms() else {
            return Check::open(code, "the server told no time to compare with");
        };
        let off = Duration::from_millis(ahead.unsigned_abs());
        if off < CLOCK_OFF {
            return Check::good(code, "agrees with the server's");
        }
        let side = if ahead > 0 { "ahead of" } else { "behind" };
        Check::bad(
            code,
            format!("this machine's clock is {} {side} the server's", length(off)),
            "set the clock, or have it kept by NTP: certificates and times of expiry depend on it",
        )
    }
}

/// Reasons of a line that came as far as the upgrade and was refused behind it.
const fn of_sign_in(kind: ReasonKind) -> bool {
    matches!(kind, ReasonKind::AuthRefused | ReasonKind::StartRefused | ReasonKind::StartTimeout)
}

fn failed(probe: &Probe, phase: Phase, code: &str) -> Option<Check> {
    let (at, failure, took) = probe.failed.as_ref()?;
    (*at == phase).then(|| bad(code, &failure.to_string(), &failure.hint()).took(*took))
}

fn bad(code: &str, detail: &str, hint: &str) -> Check {
    Check::bad(code, detail, if hint.is_empty() { SERVER_SIDE } else { hint })
}
