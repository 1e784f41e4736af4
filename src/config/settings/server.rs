//! `[server]`: where to, and how it is spoken to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::warning;
use crate::config::kinds::{
    Data, FilePath, Flag, Headers, List, ProxyUrl, Size, Span, Text, Url, Visible, is_http_token,
};
use crate::config::modes::{OpenFault, open_regular, plain};
use crate::config::proxy::{ProxyChoice, from_environment, is_local};
use crate::config::section::Section;
use crate::config::{Problem, ServerUrl, check_secret_file};
use crate::model::{Proxy, Secret};

/// `[server]`.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where to.
    pub url: ServerUrl,
    /// Plain `ws://` to another machine is allowed.
    pub allow_plaintext: bool,
    /// How the server speaks.
    pub dialect: DialectChoice,
    /// Sub-protocols to offer, in order.
    pub subprotocols: Vec<String>,
    /// Headers of the upgrade, in file order.
    pub headers: Vec<(String, Secret)>,
    /// Time for name, TCP, TLS and upgrade together.
    pub connect_timeout: Duration,
    /// Values the dialect asks for.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// Largest message either way, in bytes.
    pub max_message: u64,
    /// The proxy to go through: the one that is written, else the one of the environment.
    pub proxy: Option<Proxy>,
    /// `tls`.
    pub tls: Tls,
}

/// How the server speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialectChoice {
    /// A built-in one; whether it exists is for the dialect room to say.
    Named(String),
    /// A dialect file; it exists.
    File(PathBuf),
}

/// `server.tls`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with issuers to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of our own certificate and its private key.
    pub client: Option<ClientCertificate>,
}

/// Our own certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM, the certificate first, its issuers after it.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// Most sub-protocols.
const MAX_SUBPROTOCOLS: usize = 32;

const SUBPROTOCOL: Text = Text {
    visible: Visible::All,
    name: "a sub-protocol name",
    check: |text| {
        if is_http_token(text) {
            Ok(())
        } else {
            Err((
                "this is no sub-protocol name",
                "they have letters, digits and `.-_+`, no blanks and no commas",
            ))
        }
    },
};

pub(super) fn read(mut server: Section<'_, '_>) -> Option<Server> {
    let url = server.required(
        "url",
        &Url,
        "Where the server is: `wss://`, or `ws://` on this machine. Fixed query parameters may stand in it.",
    );
    let allow_plaintext = server.value(
        "allow_plaintext",
        &Flag,
        false,
        "Allow `ws://` to another machine: everything, the token included, is then readable on the way.",
    );
    let dialect = server.value("dialect", &Text::ANY, "json".to_owned(), "How the server speaks: a built-in name (`holdline dialect list`), or the path of a dialect file (with a `/`, or ending in `.toml`).");
    let dialect = dialect_choice(&mut server, dialect);
    let subprotocols = server.value(
        "subprotocols",
        &List { of: "sub-protocol names", item: SUBPROTOCOL, length: 0..=MAX_SUBPROTOCOLS },
        Vec::new(),
        "WebSocket sub-protocols to offer, the preferred one first.",
    );
    let headers = server.value(
        "headers",
        &Headers,
        Vec::new(),
        "Headers of the upgrade request. Values are never shown.",
    );
    let connect_timeout = server.value(
        "connect_timeout",
        &Span(Duration::from_millis(10)..=Duration::from_secs(600)),
        Duration::from_secs(10),
        "Time for name, TCP, TLS and upgrade together.",
    );
    let vars = server.value(
        "vars",
        &Data { visible: Visible::Nothing },
        serde_json::Map::new(),
        "Values the dialect asks for.",
    );
    let max_message = server.value(
        "max_message",
        &Size(1024..=256 << 20),
        4 << 20,
        "Largest message in either direction. A larger one from the server ends the connection, a larger one from an app is refused.",
    );
    let proxy = proxy(&mut server, url.as_ref());
    let tls = tls(server.section("tls"));
    if let Some(url) = &url {
        check_url(&mut server, url, allow_plaintext, proxy.as_ref());
    }
    server.end();
    Some(Server {
        url: url?,
        allow_plaintext,
        dialect: dialect?,
        subprotocols,
        headers,
        connect_timeout,
        vars,
        max_message,
        proxy,
        tls,
    })
}

/// The proxy that is written, whatever the server; else the one the environment has for it.
fn proxy(server: &mut Section<'_, '_>, url: Option<&ServerUrl>) -> Option<Proxy> {
    let written = server.optional_or(
        "proxy",
        &ProxyUrl { bare: false },
        "what the variables `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say",
        "Go through this proxy: `http://host:port` (CONNECT) or `socks5://host:port`, with `user:password@` where it wants a sign-in; `\"direct\"`: through none.",
    );
    let choice = match url.filter(|_| !server.has("proxy")) {
        Some(url) => from_environment(server.env(), url)
            .and_then(|variable| server.variable("proxy", &ProxyUrl { bare: true }, variable)),
        None => written,
    };
    match choice? {
        ProxyChoice::Direct => None,
        ProxyChoice::Via(proxy) => Some(proxy),
    }
}

fn check_url(server: &mut Section<'_, '_>, url: &ServerUrl, allow_plaintext: bool, proxy: Option<&Proxy>) {
    let far = proxy.filter(|proxy| !url.secure() && url.is_loopback() && !is_local(proxy));
    if let Some(proxy) = far.filter(|_| !allow_plaintext) {
        let message = format!(
            "`ws://` through the proxy {} sends everything in the clear over the network",
            proxy.host_and_port()
        );
        let hint = "use `wss://`, or set allow_plaintext = true";
        server.problem("proxy", Problem::new("bad_value", message, hint));
    }
    if !url.secure() && !url.is_loopback() {
        let problem = if allow_plaintext {
            let message = format!("everything sent to {} is readable on the way", url.host());
            warning(message, "use `wss://` if the server can")
        } else {
            let message = "`ws://` to another machine sends everything in the clear";
            Problem::new("bad_value", message, "use `wss://`, or set allow_plaintext = true")
        };
        server.problem("url", problem);
    }
    if let Some(name) = url.secret_looking() {
        let message = format!("the URL carries what looks like a credential (`{name}`)");
        let hint = "put it into a token file and set [auth] method = \"query\"";
        server.problem("url", warning(message, hint));
    }
}

fn dialect_choice(server: &mut Section<'_, '_>, written: String) -> Option<DialectChoice> {
    let is_path = written.contains(['/', '\\']) || written.ends_with(".toml") || written.starts_with('~');
    if !is_path {
        return Some(DialectChoice::Named(written));
    }
    let Some(path) = server.env().expand(&written, server.base()) else {
        let message = "`~` cannot be expanded: no home folder is known";
        server.problem("dialect", Problem::new("bad_value", message, "set HOME, or write the whole path"));
        return None;
    };
    readable(server, "dialect", &path).then_some(DialectChoice::File(path))
}

fn tls(mut tls: Section<'_, '_>) -> Tls {
    let path = FilePath { env: tls.env(), base: tls.base() };
    let ca_file = tls.optional_or(
        "ca_file",
        &path,
        "the system's",
        "PEM file with issuers to trust beside the system's.",
    );
    let certificate =
        tls.optional("client_cert", &path, "PEM file with our own certificate, its issuers after it.");
    let key = tls.optional("client_key", &path, "PEM file with its private key, mode 0600.");
    if let Some(file) = &ca_file {
        readable(&mut tls, "ca_file", file);
    }
    if let Some(file) = &certificate {
        readable(&mut tls, "client_cert", file);
    }
    if let Some(file) = &key
        && readable(&mut tls, "client_key", file)
        && let Err(problem) = check_secret_file(file)
    {
        // The file is at fault, not the line that names it.
        tls.problem_elsewhere("client_key", problem);
    }
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
        (Some(_), None) => {
            tls.problem(
                "client_cert",
                Problem::new("conflict", "a certificate needs its private key", "add `client_key`"),
            );
            None
        }
        (None, Some(_)) => {
            tls.problem(
                "client_key",
                Problem::new("conflict", "a private key needs its certificate", "add `client_cert`"),
            );
            None
        }
        (None, None) => None,
    };
    tls.end();
    Tls { ca_file, client }
}

/// Whether the file that `name` speaks of can be read; else a problem is noted.
pub(super) fn readable(section: &mut Section<'_, '_>, name: &str, path: &Path) -> bool {
    let shown = crate::config::problem::shorten(path, section.env().home.as_deref());
    let (message, hint) = match open_regular(path) {
        Ok(_) => return true,
        Err(OpenFault::Io(fault)) if fault.kind() == std::io::ErrorKind::NotFound => {
            (format!("there is no file {shown}"), "relative paths begin beside this file".to_owned())
        }
        Err(OpenFault::Io(fault)) => (format!("cannot read {shown}: {}", plain(&fault)), String::new()),
        Err(OpenFault::Type(kind)) => (format!("{shown} is {kind}, a regular file is needed"), String::new()),
    };
    section.problem(name, Problem::new("bad_value", message, hint));
    false
}
