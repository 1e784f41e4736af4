//! The upgrade from HTTP to WebSocket.

use std::net::TcpListener;

use holdline::model::ReasonKind::{
    HandshakeInvalid, HandshakeRejected, HandshakeTimeout, RedirectRefused, ServerBusy,
};

use super::Row;
use crate::stage::{Scene, Stage};
use crate::support::server::{Request, Upgrade};

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::new("HTTP 200: a page, as of a portal or a plain web server.", HandshakeRejected, |stage| {
            refused(stage, 200, "<!DOCTYPE html><title>Welcome</title>")
        }),
        Row::new("HTTP 301: the server has moved.", RedirectRefused, |stage| moved(stage, 301)),
        Row::new("HTTP 302: a page to sign in at.", RedirectRefused, |stage| moved(stage, 302)),
        Row::new("HTTP 307: elsewhere for now.", RedirectRefused, |stage| moved(stage, 307)),
        Row::new("HTTP 308: elsewhere for good.", RedirectRefused, |stage| moved(stage, 308)),
        Row::new("HTTP 400: the server does not understand the request.", HandshakeRejected, |stage| {
            refused(stage, 400, "bad request")
        }),
        Row::new("HTTP 404: no such path.", HandshakeRejected, |stage| refused(stage, 404, "not found")),
        Row::new("HTTP 426: another version or sub-protocol is wanted.", HandshakeRejected, |stage| {
            refused(stage, 426, "upgrade required")
        }),
        Row::new("HTTP 429 without a time.", ServerBusy, |stage| refused(stage, 429, "slow down")),
        Row::new("HTTP 429 with `Retry-After: 90`.", ServerBusy, |stage| later(stage, 429, "90")).wish(90),
        Row::new("HTTP 503 with `Retry-After: 45`.", ServerBusy, |stage| later(stage, 503, "45")).wish(45),
        Row::new("HTTP 503 with a date a century away.", ServerBusy, |stage| {
            later(stage, 503, "Fri, 01 Jan 2123 00:00:00 GMT")
        })
        .wish(3600),
        Row::new("HTTP 503 with an absurd number.", ServerBusy, |stage| {
            later(stage, 503, "99999999999999999999")
        })
        .wish(3600),
        Row::new("HTTP 503 with a negative number.", ServerBusy, |stage| later(stage, 503, "-7")),
        Row::new("HTTP 500: the server failed.", HandshakeRejected, |stage| refused(stage, 500, "oops")),
        Row::new("HTTP 501: the server cannot do this.", HandshakeRejected, |stage| {
            refused(stage, 501, "not implemented")
        }),
        Row::new("HTTP 502: a proxy without its server.", HandshakeRejected, |stage| {
            refused(stage, 502, "<html>502 Bad Gateway</html>")
        }),
        Row::new("The answer is no HTTP.", HandshakeInvalid, |stage| {
            stage.answered(|_| Upgrade::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()))
        }),
        Row::new("The server hangs up without an answer.", HandshakeInvalid, |stage| {
            stage.answered(|_| Upgrade::Bytes(Vec::new()))
        }),
        Row::new("The answer ends in the middle.", HandshakeInvalid, |stage| {
            stage.answered(|_| Upgrade::Bytes(b"HTTP/1.1 101 Swi".to_vec()))
        }),
        Row::new("The head of the answer is over 64 KiB.", HandshakeInvalid, |stage| {
            stage.answered(|_| {
                let line = format!("X-Filler: {}\r\n", "y".repeat(100));
                Upgrade::Bytes(format!("HTTP/1.1 101 X\r\n{}", line.repeat(1000)).into_bytes())
            })
        }),
        Row::new("The accept key is wrong.", HandshakeInvalid, |stage| {
            wrong(stage, |request, text| text.replace(&request.accept_key(), "AAAAAAAAAAAAAAAAAAAAAAAAAAA="))
        }),
        Row::new("The header `Upgrade` is missing.", HandshakeInvalid, |stage| {
            wrong(stage, |_, text| text.replace("Upgrade: websocket\r\n", ""))
        }),
        Row::new("The header `Connection` is missing.", HandshakeInvalid, |stage| {
            wrong(stage, |_, text| text.replace("Connection: Upgrade\r\n", ""))
        }),
        Row::new("An extension is switched on that nobody asked for.", HandshakeInvalid, |stage| {
            wrong(stage, |_, text| format!("{text}Sec-WebSocket-Extensions: permessage-deflate\r\n"))
        }),
        Row::new("A sub-protocol is chosen that nobody offered.", HandshakeInvalid, |stage| {
            wrong(stage, |_, text| format!("{text}Sec-WebSocket-Protocol: unasked\r\n"))
        }),
    ];
    rows.push(
        Row::new("The server never answers.", HandshakeTimeout, |stage| {
            stage.answered_with(|config| config.server("connect_timeout = \"1s\""), |_| Upgrade::Silence)
        })
        .patient(),
    );
    rows.push(
        Row::new("The answer drips, a byte at a time.", HandshakeTimeout, |stage| {
            let drip = Drip::start();
            let config = crate::stage::Config::to(format!("ws://127.0.0.1:{}/socket", drip.port));
            stage.daemon(&config.server("connect_timeout = \"1s\"")).keeping(drip)
        })
        .patient(),
    );
    rows
}

fn refused(stage: &Stage, status: u16, body: &'static str) -> Scene {
    stage.answered(move |_| Upgrade::refuse(status, &[], body))
}

fn later(stage: &Stage, status: u16, when: &'static str) -> Scene {
    stage.answered(move |_| Upgrade::refuse(status, &[("Retry-After", when)], "busy"))
}

/// To a place that nobody may come to.
fn moved(stage: &Stage, status: u16) -> Scene {
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let place = format!("http://{}/elsewhere?token=secret", canary.local_addr().unwrap());
    let scene = stage.answered(move |_| Upgrade::refuse(status, &[("Location", &place)], "moved"));
    scene.then(move || assert!(canary.accept().is_err(), "somebody followed the redirect"))
}

/// A proper answer but for one thing.
fn wrong(stage: &Stage, spoil: fn(&Request, String) -> String) -> Scene {
    stage.answered(move |request| {
        let proper = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n",
            request.accept_key()
        );
        Upgrade::Bytes(format!("{}\r\n", spoil(request, proper)).into_bytes())
    })
}

/// A server whose answer comes byte by byte, without end.
struct Drip {
    port: u16,
}

impl Drip {
    fn start() -> Self {
        use std::io::Write as _;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Ends with the test.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let head = b"HTTP/1.1 101 Switching Protocols\r\nX-Drip: ".iter().copied();
                    for byte in head.chain(std::iter::repeat(b'y')) {
                        if stream.write_all(&[byte]).is_err() {
                            return;
                        }
                        std::thread::sleep(std::time::Duration::from_millis(20));
                    }
                });
            }
        });
        Self { port }
    }
}
