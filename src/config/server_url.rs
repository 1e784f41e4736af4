//! The server's address: `ws://` or `wss://`, host, port, path and query (RFC 6455, 3).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A checked WebSocket URL without user info and fragment.
///
/// `Debug` and `Display` hide the values of the query; only [`ServerUrl::query`] and
/// [`ServerUrl::target`] give them.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    secure: bool,
    host: String,
    port: Option<u16>,
    path: String,
    query: Option<String>,
}

/// What is wrong with a URL. Never repeats the URL, which could hold a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UrlFault {
    pub(super) message: &'static str,
    pub(super) hint: String,
}

const EXAMPLE: &str = "write it like `wss://api.example.com/socket`";

impl ServerUrl {
    pub(super) fn parse(text: &str) -> Result<Self, UrlFault> {
        let bad = |message| Err(UrlFault { message, hint: EXAMPLE.to_owned() });
        if text.is_empty() {
            return bad("the URL is empty");
        }
        if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(*c)) {
            let hint = if c.is_ascii() {
                "percent-encode it, as in `%20` for a blank"
            } else {
                "write the host in its `xn--` form and percent-encode the rest"
            };
            return Err(UrlFault {
                message: "the URL holds a character that no URL can hold",
                hint: hint.to_owned(),
            });
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return bad("the URL has no scheme");
        };
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "wss" => true,
            "ws" => false,
            "https" => return Err(scheme_fault("wss")),
            "http" => return Err(scheme_fault("ws")),
            _ => return bad("the scheme is neither `wss` nor `ws`"),
        };
        if rest.contains('#') {
            return Err(UrlFault {
                message: "a WebSocket URL has no fragment",
                hint: "leave `#` and what follows out, or write `%23`".to_owned(),
            });
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlFault {
                message: "user name and password do not belong into the URL",
                hint: "use [auth] method = \"basic\" with `username` and a token source".to_owned(),
            });
        }
        let (host, port) = split_port(authority)?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { secure, host: host.to_ascii_lowercase(), port, path: path.to_owned(), query })
    }

    /// Whether it is `wss`.
    #[must_use]
    pub const fn secure(&self) -> bool {
        self.secure
    }

    /// The host: a name, an IPv4 address, or an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port; 443 or 80 where none is written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.secure { 443 } else { 80 })
    }

    /// Host, and port where one is written, as in the `Host` header: IPv6 in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// The path, at least `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as written, without `?`. It may hold a credential.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Path and query for the request line. It may hold a credential.
    #[must_use]
    pub fn target(&self) -> String {
        self.query.as_ref().map_or_else(|| self.path.clone(), |query| format!("{}?{query}", self.path))
    }

    /// The whole URL as it is dialled. It may hold a credential: never log or show it.
    #[must_use]
    pub fn exposed(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.target())
    }

    /// Scheme, host, port and path: what names a server, and nothing secret.
    #[must_use]
    pub fn without_query(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.path)
    }

    /// Whether the host is this very machine: `localhost`, `*.localhost`, 127.0.0.0/8, `::1`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(self.host())
    }

    const fn scheme(&self) -> &'static str {
        if self.secure { "wss" } else { "ws" }
    }

    /// Names in the query that look as if they carried a credential.
    pub(super) fn secret_looking(&self) -> Option<&str> {
        const WORDS: [&str; 8] =
            ["token", "secret", "password", "passwd", "apikey", "api_key", "auth", "jwt"];
        self.query.as_deref()?.split('&').filter_map(|pair| pair.split('=').next()).find(|name| {
            let name = name.to_ascii_lowercase();
            name == "key" || WORDS.iter().any(|word| name.contains(word))
        })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_query())?;
        let Some(query) = &self.query else {
            return Ok(());
        };
        for (index, pair) in query.split('&').enumerate() {
            f.write_str(if index == 0 { "?" } else { "&" })?;
            match pair.split_once('=') {
                Some((name, _)) => write!(f, "{name}=***")?,
                None if pair.is_empty() => {}
                None => f.write_str("***")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn scheme_fault(instead: &str) -> UrlFault {
    UrlFault {
        message: "a WebSocket URL begins with `wss://` or `ws://`",
        hint: format!("write `{instead}://` instead"),
    }
}

/// Whether a host is this very machine: `localhost`, `*.localhost`, 127.0.0.0/8, `::1`.
pub(super) fn is_loopback_host(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|it| it.to_canonical().is_loopback())
}

/// Host (IPv6 keeps its brackets) and port.
pub(super) fn split_port(authority: &str) -> Result<(&str, Option<u16>), UrlFault> {
    let bad = |message| UrlFault { message, hint: EXAMPLE.to_owned() };
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']').ok_or_else(|| bad("the `[` of the IPv6 address has no `]`"))?;
        let (host, rest) = authority.split_at(end + 1);
        if host[1..end].parse::<Ipv6Addr>().is_err() {
            return Err(bad("what stands in brackets is no IPv6 address"));
        }
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(bad("after the IPv6 address comes `:port` or the path")),
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    if host.is_empty() {
        return Err(bad("the URL has no host"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !host.starts_with('[') && (!host.chars().all(plain) || host.len() > 253) {
        return Err(bad("the host is neither a name nor an address"));
    }
    let port = match port {
        None | Some("") => None,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Some(port),
            _ => return Err(bad("the port is not a number from 1 to 65535")),
        },
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::ServerUrl;

    fn url(text: &str) -> ServerUrl {
        ServerUrl::parse(text).expect("a good URL")
    }

    #[test]
    fn a_url_is_taken_apart() {
        let it = url("WSS://API.example.com/socket/v2?v=2&token=abc");
        assert!(it.secure());
        assert_eq!((it.host(), it.port(), it.path()), ("api.example.com", 443, "/socket/v2"));
        assert_eq!(it.authority(), "api.example.com");
        assert_eq!(it.target(), "/socket/v2?v=2&token=abc");
        assert_eq!(it.exposed(), "wss://api.example.com/socket/v2?v=2&token=abc");
        assert_eq!(it.without_query(), "wss://api.example.com/socket/v2");

        let it = url("ws://[::1]:9800?x");
        assert_eq!((it.host(), it.port(), it.path(), it.query()), ("::1", 9800, "/", Some("x")));
        assert_eq!(it.authority(), "[::1]:9800");
    }

    #[test]
    fn values_of_the_query_are_never_shown() {
        let it = url("wss://h/p?access_token=CANARY&CANARY&&v=");
        assert_eq!(it.to_string(), "wss://h/p?access_token=***&***&&v=***");
        assert!(!format!("{it:?}").contains("CANARY"));
        assert_eq!(it.secret_looking(), Some("access_token"));
        assert_eq!(url("wss://h/?monkey=1").secret_looking(), None);
    }

    #[test]
    fn loopback_is_known_by_name_and_by_address() {
        for (text, is) in [
            ("ws://localhost/", true),
            ("ws://app.localhost/", true),
            ("ws://127.9.9.9/", true),
            ("ws://[::1]/", true),
            ("ws://localhost.example.com/", false),
            ("ws://192.168.0.1/", false),
            ("ws://[::2]/", false),
        ] {
            assert_eq!(url(text).is_loopback(), is, "{text}");
        }
    }

    #[test]
    fn what_is_no_websocket_url_is_refused() {
        for (text, message) in [
            ("", "the URL is empty"),
            ("api.example.com", "the URL has no scheme"),
            ("https://h/", "a WebSocket URL begins with `wss://` or `ws://`"),
            ("ftp://h/", "the scheme is neither `wss` nor `ws`"),
            ("wss://", "the URL has no host"),
            ("wss:///path", "the URL has no host"),
            ("wss://h/#top", "a WebSocket URL has no fragment"),
            ("wss://kim:pw@h/", "user name and password do not belong into the URL"),
            ("wss://h:0/", "the port is not a number from 1 to 65535"),
            ("wss://h:70000/", "the port is not a number from 1 to 65535"),
            ("wss://h:+80/", "the port is not a number from 1 to 65535"),
            ("wss://a b/", "the URL holds a character that no URL can hold"),
            ("wss://h\r\nX: y/", "the URL holds a character that no URL can hold"),
            ("wss://bücher.example/", "the URL holds a character that no URL can hold"),
            ("wss://a,b/", "the host is neither a name nor an address"),
            ("wss://[::g]/", "what stands in brackets is no IPv6 address"),
            ("wss://[::1/", "the `[` of the IPv6 address has no `]`"),
        ] {
            assert_eq!(ServerUrl::parse(text).map_err(|it| it.message), Err(message), "{text}");
        }
    }
}
