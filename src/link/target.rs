//! Where the server is: the URL, taken apart once and checked on the way.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::model::Proxy;

/// A host and a port: what is looked up and connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Place {
    pub(super) fn of(proxy: &Proxy) -> Self {
        Self { host: proxy.host.clone(), port: proxy.port }
    }

    /// The host as an address, where it is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether the host is this machine by its very spelling.
    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || self.address().is_some_and(|address| address.to_canonical().is_loopback())
    }
}

/// `host:port`, for messages.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A WebSocket URL (RFC 6455, section 3), ready to dial.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    secure: bool,
    host: String,
    port: u16,
    path: String,
    query: Option<String>,
}

/// Why a URL cannot be dialled. Never carries the URL, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Another scheme, or none.
    #[error("it must begin with wss:// or ws://")]
    Scheme,
    /// `user:password@` before the host.
    #[error("user name and password do not belong into the URL: use [auth] method = \"basic\"")]
    UserInfo,
    /// Nothing between `//` and the path.
    #[error("it names no host")]
    NoHost,
    /// A host that is neither a name nor an address.
    #[error(
        "\"{0}\" is no host name (letters, digits, dots and hyphens; xn-- form for others) and no address"
    )]
    Host(String),
    /// A port outside 1 … 65535.
    #[error("\"{0}\" is no port (1 to 65535)")]
    Port(String),
    /// A fragment, which a WebSocket URL must not have.
    #[error("it must not have a fragment (the part behind #)")]
    Fragment,
    /// A character that must be percent-encoded.
    #[error("the character {0:?} must be percent-encoded")]
    Character(char),
}

/// Longest host name there is (RFC 1035, section 2.3.4).
const HOST_MAX: usize = 253;

impl Target {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// When it is no `ws` or `wss` URL that could be dialled as it stands.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let (secure, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("wss") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => (false, rest),
            _ => return Err(TargetError::Scheme),
        };
        if rest.contains('#') {
            return Err(TargetError::Fragment);
        }
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_end);
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        if let Some(odd) = path.chars().chain(query.unwrap_or("").chars()).find(|c| !may_stand(*c)) {
            return Err(TargetError::Character(odd));
        }
        if authority.contains('@') {
            return Err(TargetError::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        Ok(Self {
            secure,
            host: checked_host(host)?,
            port: match port {
                Some(text) => parse_port(text)?,
                None if secure => 443,
                None => 80,
            },
            path: if path.is_empty() { "/".into() } else { path.into() },
            query: query.map(Into::into),
        })
    }

    /// Whether the way is TLS (`wss`).
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host: a name in lower case, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own where the URL names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The host as an address, where it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether the host is this machine by its very spelling (what it resolves to is checked
    /// again when dialling).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.place().is_loopback()
    }

    pub(super) fn place(&self) -> Place {
        Place { host: self.host.clone(), port: self.port }
    }

    /// The URL without its query: names the server, and is fit to be shown.
    #[must_use]
    pub fn without_query(&self) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    /// `host` or `host:port`, as the `Host` header wants it.
    pub(super) fn authority(&self) -> String {
        let host = self.bracketed_host();
        if self.port == if self.secure { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }

    /// `host:port`, for messages.
    pub(super) fn host_and_port(&self) -> String {
        self.place().to_string()
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    fn bracketed_host(&self) -> String {
        if self.host.parse::<Ipv6Addr>().is_ok() { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

/// Visible ASCII, without what never stands in a URL unencoded (RFC 3986, section 2).
fn may_stand(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), TargetError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| TargetError::Host(authority.into()))?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(TargetError::Host(host.into()));
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(TargetError::Host(authority.into())),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn checked_host(host: &str) -> Result<String, TargetError> {
    if host.is_empty() {
        return Err(TargetError::NoHost);
    }
    let fine = host.parse::<IpAddr>().is_ok()
        || (host.len() <= HOST_MAX
            && host.trim_end_matches('.').split('.').all(|label| {
                !label.is_empty()
                    && label.len() <= 63
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            }));
    if fine { Ok(host.to_ascii_lowercase()) } else { Err(TargetError::Host(host.into())) }
}

fn parse_port(text: &str) -> Result<u16, TargetError> {
    // `parse` alone would take a leading plus sign.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(TargetError::Port(text.into())),
    }
}

/// The URL, with `***` in place of every value of its query.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_query())?;
        let Some(query) = &self.query else { return Ok(()) };
        for (i, pair) in query.split('&').enumerate() {
            f.write_str(if i == 0 { "?" } else { "&" })?;
            match pair.split_once('=') {
                Some((name, _)) => write!(f, "{name}=***")?,
                // A bare word may be the credential itself.
                None if pair.is_empty() => {}
                None => f.write_str("***")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("WSS://API.Example.com:8443/socket/v1?a=1&b").unwrap();
        assert!(target.is_secure());
        assert_eq!((target.host(), target.port()), ("api.example.com", 8443));
        assert_eq!((target.path(), target.query()), ("/socket/v1", Some("a=1&b")));
        assert_eq!(target.authority(), "api.example.com:8443");
    }

    #[test]
    fn missing_parts_take_the_defaults_of_the_scheme() {
        let target = Target::parse("wss://example.com").unwrap();
        assert_eq!((target.port(), target.path(), target.query()), (443, "/", None));
        assert_eq!(target.authority(), "example.com");
        let target = Target::parse("ws://example.com?x=1").unwrap();
        assert_eq!((target.port(), target.path(), target.query()), (80, "/", Some("x=1")));
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets_only_outside() {
        let target = Target::parse("ws://[::1]:9000/").unwrap();
        assert_eq!((target.host(), target.port()), ("::1", 9000));
        assert_eq!(target.authority(), "[::1]:9000");
        assert!(target.is_loopback());
    }

    #[test]
    fn bad_urls_are_refused_with_the_reason() {
        let cases = [
            ("https://example.com", TargetError::Scheme),
            ("example.com/socket", TargetError::Scheme),
            ("", TargetError::Scheme),
            ("wss://", TargetError::NoHost),
            ("wss:///path", TargetError::NoHost),
            ("wss://:80/", TargetError::NoHost),
            ("wss://user:pw@example.com/", TargetError::UserInfo),
            ("wss://example.com/#part", TargetError::Fragment),
            ("wss://example.com:0/", TargetError::Port("0".into())),
            ("wss://example.com:+80/", TargetError::Port("+80".into())),
            ("wss://example.com:65536/", TargetError::Port("65536".into())),
            ("wss://example.com:/", TargetError::Port(String::new())),
            ("wss://exa mple.com/", TargetError::Host("exa mple.com".into())),
            ("wss://m\u{fc}nchen.de/", TargetError::Host("m\u{fc}nchen.de".into())),
            ("wss://a..b/", TargetError::Host("a..b".into())),
            ("wss://[::1/", TargetError::Host("[::1".into())),
            ("wss://[nonsense]/", TargetError::Host("nonsense".into())),
            ("wss://example.com/a b", TargetError::Character(' ')),
            ("wss://example.com/a\r\nX: y", TargetError::Character('\r')),
            ("wss://example.com/?q={token}", TargetError::Character('{')),
        ];
        for (url, wanted) in cases {
            assert_eq!(Target::parse(url), Err(wanted), "{url}");
        }
    }

    #[test]
    fn what_is_shown_holds_no_value_of_the_query() {
        let target = Target::parse("wss://h/p?token=HLCANARY&v=2&HLCANARY").unwrap();
        assert_eq!(target.to_string(), "wss://h/p?token=***&v=***&***");
        assert_eq!(format!("{target:?}"), target.to_string());
        assert_eq!(target.without_query(), "wss://h/p");
    }

    #[test]
    fn loopback_is_known_by_name_and_by_address() {
        for url in [
            "ws://localhost/",
            "ws://app.localhost/",
            "ws://127.9.9.9/",
            "ws://[::1]/",
            "ws://[::ffff:127.0.0.1]/",
        ] {
            assert!(Target::parse(url).unwrap().is_loopback(), "{url}");
        }
        for url in ["ws://localhost.example.com/", "ws://128.0.0.1/", "ws://[::2]/"] {
            assert!(!Target::parse(url).unwrap().is_loopback(), "{url}");
        }
    }
}
