//! Proxies: reached, asked, and what they answer.

use std::time::Duration;

use holdline::model::ReasonKind::{
    ProxyAuthRefused, ProxyDenied, ProxyFailed, ProxyTargetUnreachable, ProxyTimeout, ProxyUnreachable,
};

use super::Row;
use super::tls::Plain;
use crate::stage::{Config, Scene, Stage};

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("Nobody listens where the proxy should be.", ProxyUnreachable, |stage| {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            through(stage, &format!("http://{free}"))
        }),
        Row::new("The proxy takes the connection and opens no way.", ProxyTimeout, |stage| {
            answers(stage, "http://", b"")
        }),
        Row::new("The proxy wants a sign-in, and none is written.", ProxyAuthRefused, |stage| {
            answers(
                stage,
                "http://",
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            )
        }),
        Row::new("The proxy refuses user name and password.", ProxyAuthRefused, |stage| {
            answers(
                stage,
                "http://kim:HLCANARY@",
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            )
        }),
        Row::new("The proxy does not let us through to this server.", ProxyDenied, |stage| {
            let page = "<html><head><title>403 Filtered</title></head></html>";
            let answer = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{page}", page.len());
            answers(stage, "http://", answer.as_bytes())
        }),
        Row::new("The proxy cannot reach the server.", ProxyTargetUnreachable, |stage| {
            answers(stage, "http://", b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        }),
        Row::new("The proxy asks for patience.", ProxyTargetUnreachable, |stage| {
            let answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n";
            answers(stage, "http://", answer)
        })
        .wish(120),
        Row::new("The proxy sends its users to a page first.", ProxyFailed, |stage| {
            let answer =
                b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n";
            answers(stage, "http://", answer)
        }),
        Row::new("What listens there is no HTTP proxy.", ProxyFailed, |stage| {
            answers(stage, "http://", b"SSH-2.0-OpenSSH_9.2\r\n")
        }),
        Row::new("What listens there is no SOCKS proxy.", ProxyFailed, |stage| {
            answers(stage, "socks5://", b"HTTP/1.1 400 Bad Request\r\n\r\n")
        }),
        Row::new("The SOCKS proxy takes nobody without a sign-in.", ProxyAuthRefused, |stage| {
            answers(stage, "socks5://", &[5, 255])
        }),
        Row::new("The SOCKS proxy refuses user name and password.", ProxyAuthRefused, |stage| {
            // One answer to the greeting, and behind it the one to the password.
            answers(stage, "socks5://kim:HLCANARY@", &[5, 2, 1, 1])
        }),
        Row::new("The rules of the SOCKS proxy forbid it.", ProxyDenied, |stage| replies(stage, 2)),
        Row::new("The SOCKS proxy does not know the server's name.", ProxyTargetUnreachable, |stage| {
            replies(stage, 4)
        }),
        Row::new("The SOCKS proxy meets nobody at the server's port.", ProxyTargetUnreachable, |stage| {
            replies(stage, 5)
        }),
    ]
}

fn through(stage: &Stage, proxy: &str) -> Scene {
    let config = Config::to("wss://server.example/socket")
        .server(&format!("proxy = \"{proxy}\"\nconnect_timeout = \"2s\""))
        .delay(Duration::from_secs(20));
    stage.daemon(&config)
}

/// A proxy that gives this answer, whatever it is asked. `scheme` may hold a sign-in.
fn answers(stage: &Stage, scheme: &str, answer: &[u8]) -> Scene {
    let proxy = Plain::answering(answer);
    through(stage, &format!("{scheme}127.0.0.1:{}", proxy.port)).keeping(proxy)
}

/// A SOCKS proxy that takes us in, and then replies so.
fn replies(stage: &Stage, reply: u8) -> Scene {
    answers(stage, "socks5://", &[5, 0, 5, reply, 0, 1, 0, 0, 0, 0, 0, 0])
}
