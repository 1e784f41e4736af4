use std::path::PathBuf;
use std::time::Duration;

use holdline::link::{Auth, Connection, Dialer, LinkCommand, Plan, Settings, Target, TlsSettings};
use holdline::model::{Failure, Frame, Secret, TlsFault};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::support::server::ScriptedServer;
use crate::support::tls::{Authority, Identity, Validity};
use crate::support::{PATIENCE, soon};

struct Trust {
    folder: TempDir,
    authority: Authority,
}

impl Trust {
    fn new() -> Self {
        let trust = Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new() };
        trust.authority.write_to(&trust.ca_file());
        trust
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings { ca_file: Some(self.ca_file()), ..TlsSettings::default() }
    }
}

async fn dial(url: &str, tls: TlsSettings) -> Result<Connection, Failure> {
    let settings = Settings {
        tls,
        connect_timeout: Duration::from_secs(5),
        ..Settings::to(Target::parse(url).unwrap())
    };
    let auth = Auth::Header { name: "Authorization".into(), prefix: "Bearer ".into() };
    let dialer = Dialer::new(settings, auth).unwrap();
    soon("the dial to end", dialer.dial(Plan::default(), Some(&Secret::new("HLCANARY")))).await
}

/// What a server with this certificate leads to. It must never see a request.
async fn fault_of(identity: &Identity, tls: TlsSettings) -> TlsFault {
    let server = ScriptedServer::builder().tls(identity.acceptor()).start().await;
    let failure = dial(&server.url(), tls).await.expect_err("the certificate must not be accepted");
    assert!(server.requests().is_empty(), "the request was sent to a server nobody vouches for");
    let Failure::Tls { host, fault } = failure else { panic!("{failure:?}") };
    assert_eq!(host, "localhost");
    fault
}

#[tokio::test]
async fn a_server_of_a_trusted_authority_is_talked_to() {
    let trust = Trust::new();
    let identity = trust.authority.issue("localhost", Validity::Now);
    let server = ScriptedServer::builder().tls(identity.acceptor()).start().await;
    let connection = dial(&server.url(), trust.settings()).await.unwrap();
    let mut peer = server.accept().await;
    assert_eq!(peer.request.header("Authorization"), ["Bearer HLCANARY"]);
    connection
        .commands
        .send(LinkCommand::Write { ticket: 1, frame: Frame::Text("hi".into()) })
        .await
        .unwrap();
    assert_eq!(peer.text().await, "hi");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_told_with_its_names() {
    let trust = Trust::new();
    let identity = trust.authority.issue("other.example.com", Validity::Now);
    let fault = fault_of(&identity, trust.settings()).await;
    assert_eq!(fault, TlsFault::WrongName("other.example.com".into()));
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let trust = Trust::new();
    // By another name, and by the very name of the one that is trusted.
    for authority in [Authority::named("Another CA"), Authority::new()] {
        let identity = authority.issue("localhost", Validity::Now);
        assert_eq!(fault_of(&identity, trust.settings()).await, TlsFault::UnknownIssuer);
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused_in_both_its_forms() {
    let trust = Trust::new();
    for own_authority in [false, true] {
        let identity = Identity::self_signed("localhost", own_authority);
        assert_eq!(fault_of(&identity, trust.settings()).await, TlsFault::SelfSigned, "{own_authority}");
    }
}

#[tokio::test]
async fn a_self_signed_certificate_that_ca_file_names_is_taken_for_its_name_alone() {
    let trust = Trust::new();
    for own_authority in [false, true] {
        let known = |name: &str, identity: &Identity| TlsSettings {
            ca_file: Some(trust.write(name, &identity.cert)),
            ..TlsSettings::default()
        };
        let identity = Identity::self_signed("localhost", own_authority);
        let server = ScriptedServer::builder().tls(identity.acceptor()).start().await;
        dial(&server.url(), known("own.pem", &identity)).await.unwrap();
        let other = Identity::self_signed("other.example.com", own_authority);
        let fault = fault_of(&other, known("other.pem", &other)).await;
        assert_eq!(fault, TlsFault::WrongName("other.example.com".into()), "{own_authority}");
        let another = Identity::self_signed("localhost", own_authority);
        let fault = fault_of(&another, known("own.pem", &identity)).await;
        assert_eq!(fault, TlsFault::SelfSigned, "the same name with another key");
    }
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused() {
    let trust = Trust::new();
    let now = holdline::clock::Clock::start().now().wall;
    for validity in [Validity::Over, Validity::Later] {
        let identity = trust.authority.issue("localhost", validity);
        let fault = fault_of(&identity, trust.settings()).await;
        let seen = match fault {
            TlsFault::Expired(seen) if matches!(validity, Validity::Over) => seen,
            TlsFault::NotYetValid(seen) if matches!(validity, Validity::Later) => seen,
            other => panic!("{other:?}"),
        };
        assert!(seen.clock.since(now) < PATIENCE, "{seen:?} by the clock of {now}");
        let bound = seen.bound.expect("the library says until when");
        let hint = Failure::Tls { host: "h".into(), fault }.hint();
        for at in [bound, seen.clock] {
            assert!(hint.contains(&format!("{:.0}", at.to_jiff())), "{hint} names {at}");
        }
    }
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_told_as_such() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/", server.local_addr().unwrap().port());
    let serving = tokio::spawn(async move {
        let (mut tcp, _) = server.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut tcp, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut seen = Vec::new();
        // Until the client hangs up.
        let _ = tcp.read_to_end(&mut seen).await;
        seen
    });
    let trust = Trust::new();
    let failure = dial(&url, trust.settings()).await.unwrap_err();
    assert!(matches!(failure, Failure::Tls { fault: TlsFault::Other(_), .. }), "{failure:?}");
    let seen = soon("the client to hang up", serving).await.unwrap();
    assert!(!String::from_utf8_lossy(&seen).contains("GET "), "the request went out in the clear");
}

#[tokio::test]
async fn a_stalled_handshake_is_a_fault_of_tls() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/", server.local_addr().unwrap().port());
    let trust = Trust::new();
    let settings = Settings {
        tls: trust.settings(),
        connect_timeout: Duration::from_secs(1),
        ..Settings::to(Target::parse(&url).unwrap())
    };
    let dialer = Dialer::new(settings, Auth::None).unwrap();
    let failure = soon("the dial to end", dialer.dial(Plan::default(), None)).await.unwrap_err();
    assert!(matches!(failure, Failure::Tls { fault: TlsFault::Timeout { .. }, .. }), "{failure:?}");
}

#[tokio::test]
async fn a_server_that_wants_to_see_our_certificate_sees_it() {
    let trust = Trust::new();
    let identity = trust.authority.issue("localhost", Validity::Now);
    let acceptor = identity.acceptor_asking(Some(&trust.authority));
    let server = ScriptedServer::builder().tls(acceptor).start().await;
    let ours = trust.authority.issue("client", Validity::Now);
    let tls = TlsSettings {
        client_cert: Some(trust.write("client.pem", &ours.cert)),
        client_key: Some(trust.write("client.key", &ours.key)),
        ..trust.settings()
    };
    dial(&server.url(), tls.clone()).await.unwrap();

    // The server's alert can be lost where it hangs up with our request unread.
    let told = |failure: Failure| match failure {
        Failure::Tls { fault: TlsFault::ClientCertificate(words), .. } => Some(words),
        Failure::Handshake { .. } => None,
        other => panic!("{other:?}"),
    };
    let expired = trust.authority.issue("client", Validity::Over);
    let stranger = Authority::named("Another CA").issue("client", Validity::Now);
    let with = |name: &str, identity: &Identity| TlsSettings {
        client_cert: Some(trust.write(&format!("{name}.pem"), &identity.cert)),
        client_key: Some(trust.write(&format!("{name}.key"), &identity.key)),
        ..trust.settings()
    };
    for (tls, words) in [
        (trust.settings(), ""),
        (with("expired", &expired), "it has expired"),
        (with("stranger", &stranger), "it does not trust who signed it"),
    ] {
        let mut heard = None;
        for _ in 0..100 {
            heard = told(dial(&server.url(), tls.clone()).await.unwrap_err());
            if heard.is_some() {
                break;
            }
        }
        assert_eq!(heard.as_deref(), Some(words));
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "nobody without a good certificate was heard: {requests:?}");
}

#[tokio::test]
async fn the_end_of_our_own_certificate_is_known() {
    let trust = Trust::new();
    let ours = trust.authority.issue("client", Validity::Over);
    let cert = trust.write("client.pem", &ours.cert);
    let tls = TlsSettings {
        client_cert: Some(cert.clone()),
        client_key: Some(trust.write("client.key", &ours.key)),
        ..trust.settings()
    };
    let settings = Settings { tls, ..Settings::to(Target::parse("wss://localhost/").unwrap()) };
    let dialer = Dialer::new(settings, Auth::None).unwrap();
    let (file, until) = dialer.own_certificate().expect("a certificate with an end");
    assert_eq!((file, until.brief().as_str()), (cert.as_path(), "2001-01-01T00:00:00Z"));
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() {
    let trust = Trust::new();
    let url = Target::parse("wss://localhost/").unwrap();
    let ours = trust.authority.issue("client", Validity::Now);
    let cert = trust.write("client.pem", &ours.cert);
    let no_key = trust.write("no.key", "HLCANARY");
    let other_key = trust.write("other.key", &trust.authority.issue("client", Validity::Now).key);
    let locked = trust.write(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nSExDQU5BUlk=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let with = |key: &PathBuf| TlsSettings {
        client_cert: Some(cert.clone()),
        client_key: Some(key.clone()),
        ..trust.settings()
    };
    let cases = [
        (
            TlsSettings { ca_file: Some("/nonexistent/ca.pem".into()), ..TlsSettings::default() },
            "tls.ca_file: /nonexistent/ca.pem",
        ),
        (TlsSettings { ca_file: Some(no_key.clone()), ..TlsSettings::default() }, "no certificate"),
        (TlsSettings { client_cert: Some(cert.clone()), ..trust.settings() }, "tls.client_key is missing"),
        (with(&no_key), "no private key"),
        (with(&locked), "protected by a password"),
        (with(&other_key), "other.key: it is not the key of the certificate in"),
        (with(&"/nonexistent/key".into()), "tls.client_key: /nonexistent/key"),
    ];
    for (tls, wanted) in cases {
        let refused = Dialer::new(Settings { tls, ..Settings::to(url.clone()) }, Auth::None).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains(wanted) && !text.contains("HLCANARY"), "{text}");
    }
}
