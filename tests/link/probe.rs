use std::time::Duration;

use holdline::link::probe::{Found, Phase, Probe, Upgrade};
use holdline::link::{Auth, Dialer, Plan, Settings, Target, TlsSettings};
use holdline::model::{ConnectFault, Failure, Secret, TlsFault};
use tokio::net::TcpListener;

use crate::support::server::{Ended, ScriptedServer, Upgrade as Answer};
use crate::support::soon;
use crate::support::tls::{Authority, Identity, Validity};

const PATIENCE: Duration = Duration::from_secs(30);

fn dialer(url: &str, tls: TlsSettings) -> Dialer {
    let settings = Settings {
        tls,
        connect_timeout: Duration::from_secs(5),
        ..Settings::to(Target::parse(url).unwrap())
    };
    let auth = Auth::Header { name: "Authorization".into(), prefix: "Bearer ".into() };
    Dialer::new(settings, auth).unwrap()
}

async fn to_the_end(dialer: &Dialer) -> Probe {
    probe(dialer, true).await
}

async fn probe(dialer: &Dialer, wanted: bool) -> Probe {
    let token = Secret::new("HLCANARY");
    let upgrade = Upgrade { plan: Plan::default(), credential: Some(&token), wanted: &|| wanted };
    soon("the probe to end", dialer.probe(PATIENCE, Some(upgrade))).await
}

fn phases(probe: &Probe) -> Vec<Phase> {
    probe.steps.iter().map(|step| step.found.phase()).collect()
}

#[tokio::test]
async fn a_probe_goes_the_whole_way_and_takes_its_leave_with_1000() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::named("Probing CA");
    let ca_file = folder.path().join("ca.pem");
    authority.write_to(&ca_file);
    let identity = authority.issue("localhost", Validity::Now);
    let server = ScriptedServer::builder()
        .tls(identity.acceptor())
        .answer(|_, request| {
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nSec-WebSocket-Accept: {}\r\n\r\n",
                request.accept_key()
            );
            Answer::AcceptBy(head.into_bytes())
        })
        .start()
        .await;
    let dialer = dialer(&server.url(), TlsSettings { ca_file: Some(ca_file), ..TlsSettings::default() });
    assert_eq!(dialer.clock_ahead_ms(), None);
    let probe = to_the_end(&dialer).await;
    assert_eq!(probe.failed, None);
    assert_eq!(phases(&probe), [Phase::Name, Phase::Connection, Phase::Tls, Phase::Upgrade]);
    let Found::Tls(handshake) = &probe.steps[2].found else { panic!("{probe:?}") };
    assert_eq!((handshake.version.as_str(), handshake.issuer.as_str()), ("TLS 1.3", "Probing CA"));
    assert_eq!(handshake.not_after.unwrap().to_string(), "2099-01-01T00:00:00.000Z");
    assert_eq!(probe.steps[1].found, Found::Connection(server.address()));

    let mut peer = server.accept().await;
    assert_eq!(peer.request.header("Authorization"), ["Bearer HLCANARY"]);
    assert_eq!(peer.ended().await, Ended::Closed(Some(1000)));
    // The server's clock stands at the beginning of 2026; ours is somewhere behind that.
    assert!(dialer.clock_ahead_ms().is_some_and(|ahead| ahead > 86_400_000), "{probe:?}");
}

#[tokio::test]
async fn without_an_upgrade_the_server_never_sees_a_request() {
    let server = ScriptedServer::start().await;
    let dialer = dialer(&server.url(), TlsSettings::default());
    let no_further = soon("the probe to end", dialer.probe(PATIENCE, None)).await;
    for probe in [no_further, probe(&dialer, false).await] {
        assert_eq!(probe.failed, None);
        assert_eq!(phases(&probe), [Phase::Name, Phase::Connection]);
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn the_phase_that_fails_is_named_and_those_before_it_are_told() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let probe = to_the_end(&dialer(&format!("ws://{free}/"), TlsSettings::default())).await;
    assert_eq!(phases(&probe), [Phase::Name]);
    let Some((Phase::Connection, Failure::Connect { fault: ConnectFault::Refused, .. }, _)) = probe.failed
    else {
        panic!("{probe:?}")
    };

    let identity = Identity::self_signed("localhost", false);
    let server = ScriptedServer::builder().tls(identity.acceptor()).start().await;
    let probe = to_the_end(&dialer(&server.url(), TlsSettings::default())).await;
    assert_eq!(phases(&probe), [Phase::Name, Phase::Connection]);
    let Some((Phase::Tls, Failure::Tls { fault: TlsFault::SelfSigned, .. }, _)) = probe.failed else {
        panic!("{probe:?}")
    };

    let refusal = Answer::refuse(503, &[("Date", "Thu, 01 Jan 2026 00:00:00 GMT")], "HLCANARY is closed");
    let server = ScriptedServer::builder().answer(move |_, _| refusal.clone()).start().await;
    let dialer = dialer(&server.url(), TlsSettings::default());
    let probe = to_the_end(&dialer).await;
    assert_eq!(phases(&probe), [Phase::Name, Phase::Connection]);
    let Some((Phase::Upgrade, Failure::Refused { status: 503, detail, .. }, _)) = &probe.failed else {
        panic!("{probe:?}")
    };
    assert_eq!(detail, "*** is closed");
    assert!(dialer.clock_ahead_ms().is_some(), "a refusal tells the time too");
}
