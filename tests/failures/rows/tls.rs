//! TLS: whom the server claims to be.

use holdline::model::ReasonKind::{
    TlsClientCertificate, TlsExpired, TlsFailed, TlsNotYetValid, TlsSelfSigned, TlsTimeout, TlsUnknownIssuer,
    TlsVersion, TlsWrongName,
};
use tokio_rustls::TlsAcceptor;

use super::Row;
use crate::stage::{Config, Scene, Stage};
use crate::support::server::ScriptedServer;
use crate::support::tls::{Authority, Identity, Validity};

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("The certificate is for another name.", TlsWrongName, |stage| {
            issued(stage, |authority| authority.issue("other.example", Validity::Now).acceptor())
        }),
        Row::new(
            "The certificate is signed by an authority that is not trusted.",
            TlsUnknownIssuer,
            |stage| {
                issued(stage, |_| Authority::named("Another CA").issue("localhost", Validity::Now).acceptor())
            },
        ),
        Row::new("The certificate vouches for itself.", TlsSelfSigned, |stage| {
            issued(stage, |_| Identity::self_signed("localhost", true).acceptor())
        }),
        Row::new("The certificate has expired.", TlsExpired, |stage| {
            issued(stage, |authority| authority.issue("localhost", Validity::Over).acceptor())
        }),
        Row::new(
            "The certificate is not valid yet, or this machine's clock is slow.",
            TlsNotYetValid,
            |stage| issued(stage, |authority| authority.issue("localhost", Validity::Later).acceptor()),
        ),
        Row::new("The port speaks no TLS.", TlsFailed, |stage| {
            let plain = Plain::answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            stage.daemon(&Config::to(format!("wss://localhost:{}/socket", plain.port))).keeping(plain)
        }),
        Row::new("The server speaks only versions of TLS that are no longer safe.", TlsVersion, |stage| {
            // The alert `protocol_version` (RFC 8446, section 6).
            let old = Plain::answering(&[0x15, 3, 1, 0, 2, 2, 70]);
            stage.daemon(&Config::to(format!("wss://localhost:{}/socket", old.port))).keeping(old)
        }),
        Row::new(
            "The server wants a certificate of ours, and there is none.",
            TlsClientCertificate,
            |stage| {
                // The alert `certificate_required` (RFC 8446, section 6.2).
                let asking = Plain::answering(&[0x15, 3, 3, 0, 2, 2, 116]);
                stage.daemon(&Config::to(format!("wss://localhost:{}/socket", asking.port))).keeping(asking)
            },
        ),
        Row::new("The server refuses our certificate as expired.", TlsClientCertificate, |stage| {
            let refusing = Plain::answering(&[0x15, 3, 3, 0, 2, 2, 45]);
            stage.daemon(&Config::to(format!("wss://localhost:{}/socket", refusing.port))).keeping(refusing)
        }),
        Row::new("The server takes the connection and never answers the greeting.", TlsTimeout, |stage| {
            let silent = Plain::answering(b"");
            let config = Config::to(format!("wss://localhost:{}/socket", silent.port));
            stage.daemon(&config.server("connect_timeout = \"1s\"")).keeping(silent)
        }),
    ]
}

/// A server with this certificate, and a daemon that trusts the authority. Whatever the fault, no
/// byte of a request is written.
fn issued(stage: &Stage, identity: impl FnOnce(&Authority) -> TlsAcceptor) -> Scene {
    let authority = Authority::new();
    let server = stage.server(ScriptedServer::builder().tls(identity(&authority)));
    let config = Config::to(server.url())
        .server("tls = { ca_file = \"ca.pem\" }")
        .more("[auth]\nmethod = \"header\"\ntoken_file = \"token\"");
    let scene = stage.prepared(&config, |daemon| {
        authority.write_to(&daemon.write_private("config/holdline/ca.pem", ""));
        daemon.write_private("config/holdline/token", "HLCANARY-0123456789\n");
    });
    scene.then(move || assert!(server.requests().is_empty(), "a request went out: {:?}", server.requests()))
}

/// A listener that answers whatever comes with these bytes.
pub(super) struct Plain {
    pub(super) port: u16,
}

impl Plain {
    pub(super) fn answering(answer: &[u8]) -> Self {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = answer.to_vec();
        // Ends with the test.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let answer = answer.clone();
                std::thread::spawn(move || {
                    let mut greeting = [0; 4096];
                    if stream.read(&mut greeting).is_ok() {
                        let _ = stream.write_all(&answer);
                    }
                    // Until the client hangs up.
                    while stream.read(&mut greeting).is_ok_and(|read| read > 0) {}
                });
            }
        });
        Self { port }
    }
}
