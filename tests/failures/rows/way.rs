//! Name, network, TCP.

use std::net::TcpListener;
use std::time::Duration;

use holdline::model::ReasonKind::{
    ConnectFailed, ConnectTimeout, ConnectionRefused, NameLookupFailed, NameNotFound, NetworkUnreachable,
    NoNetwork, PlaintextRefused,
};

use super::Row;
use crate::stage::{Config, Net, Scene, Stage, mounts, namespaces};

/// NXDOMAIN.
const NO_SUCH_NAME: u8 = 3;
/// SERVFAIL.
const SERVER_FAILED: u8 = 2;

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("The machine has no network at all.", NoNetwork, |stage| {
            let net = Net::empty();
            inside(stage, &Config::to("wss://192.0.2.1/socket"), net, false)
        })
        .needs(namespaces),
        Row::new("There is a network, but no route to the server's address.", NetworkUnreachable, |stage| {
            let net = Net::with_device();
            inside(stage, &Config::to("wss://203.0.113.1/socket"), net, false)
        })
        .needs(namespaces),
        Row::new("A router says that the server cannot be reached.", NetworkUnreachable, |stage| {
            let net = Net::with_device();
            net.ip(&["route", "add", "unreachable", "203.0.113.1"]);
            inside(stage, &Config::to("wss://203.0.113.1/socket"), net, false)
        })
        .needs(namespaces),
        Row::new("The system forbids the connection.", ConnectFailed, |stage| {
            let net = Net::with_device();
            net.ip(&["route", "add", "prohibit", "203.0.113.1"]);
            inside(stage, &Config::to("wss://203.0.113.1/socket"), net, false)
        })
        .needs(namespaces),
        Row::new("The server's name does not exist.", NameNotFound, |stage| {
            named(stage, "wss://gone.example/socket", Some(NO_SUCH_NAME))
        })
        .needs(namespaces),
        Row::new("The name server fails.", NameLookupFailed, |stage| {
            named(stage, "wss://server.example/socket", Some(SERVER_FAILED))
        })
        .needs(namespaces),
        Row::new("The name server does not answer.", NameLookupFailed, |stage| {
            named(stage, "wss://server.example/socket", None)
        })
        .needs(namespaces),
        Row::new(
            "The name of this machine leads to another one, and the URL is `ws://`.",
            PlaintextRefused,
            |stage| {
                let config = Config::to("ws://localhost:81/socket");
                stage.prepared(&config, |daemon| {
                    let file = daemon.write_private("hosts", "192.0.2.10 localhost\n");
                    let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", file.display());
                    daemon.set_before(
                        ["unshare", "--mount", "sh", "-c", &script, "sh"].map(String::from).into(),
                    );
                })
            },
        )
        .needs(mounts),
        Row::new("Nobody listens on the port.", ConnectionRefused, |stage| {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            stage.daemon(&Config::to(format!("ws://{free}/socket")))
        }),
        Row::new("The address does not answer, as behind a firewall that drops.", ConnectTimeout, silent),
    ]
}

/// A daemon in a network of its own.
fn inside(stage: &Stage, config: &Config, net: Net, resolver: bool) -> Scene {
    let scene = stage.prepared(config, |daemon| {
        let file =
            daemon.write_private("resolv.conf", "nameserver 127.0.0.1\noptions timeout:5 attempts:1\n");
        daemon.set_before(net.words(resolver.then_some(file.as_path())));
    });
    scene.keeping(net)
}

/// A daemon in a network with this name server.
fn named(stage: &Stage, url: &str, answer: Option<u8>) -> Scene {
    let net = Net::with_device();
    let server = net.name_server(answer);
    inside(stage, &Config::to(url).server("connect_timeout = \"2s\""), net, true).keeping(server)
}

/// A full backlog drops what comes next.
fn silent(stage: &Stage) -> Scene {
    let socket = full_backlog();
    let address = socket.0;
    stage
        .daemon(&Config::to(format!("ws://{address}/socket")).server("connect_timeout = \"1s\""))
        .keeping(socket)
}

type Full = (std::net::SocketAddr, TcpListener, Vec<std::net::TcpStream>);

fn full_backlog() -> Full {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let any: std::net::SocketAddrV4 = "127.0.0.1:0".parse().unwrap();
    bind(&listener, &any).unwrap();
    listen(&listener, 0).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        held.push(stream);
    }
    (address, listener, held)
}
