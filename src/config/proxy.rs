//! The proxy: its URL, and what the environment says where the file says nothing.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use super::ServerUrl;
use super::paths::Environment;
use super::server_url::{is_loopback_host, split_port};
use crate::model::{Proxy, ProxyKind, ProxySignIn, Secret};

/// Longest user name and longest password, in bytes: what SOCKS can carry (RFC 1929).
const SIGN_IN_MAX: usize = 255;
/// Most entries of `NO_PROXY` that are looked at.
const EXCEPTIONS_MAX: usize = 1024;

/// What `server.proxy` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProxyChoice {
    /// None at all, whatever the environment says.
    Direct,
    /// This one.
    Via(Proxy),
}

/// The word for [`ProxyChoice::Direct`].
pub(super) const DIRECT: &str = "direct";

/// What is wrong with a proxy's URL. Never repeats it: it could hold a password.
pub(super) type Fault = (&'static str, &'static str);

const EXAMPLE: &str =
    "write it like \"http://proxy:3128\", \"socks5://user:password@proxy:1080\" or \"direct\"";

/// Takes a proxy's URL apart.
pub(super) fn parse(text: &str) -> Result<ProxyChoice, Fault> {
    let bad = |message| Err((message, EXAMPLE));
    if text == DIRECT {
        return Ok(ProxyChoice::Direct);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return bad("this is no proxy URL: it has no scheme");
    };
    let (kind, usual_port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (ProxyKind::Http, 80),
        // Either way the proxy looks the server's name up.
        "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
        "https" => {
            return Err((
                "TLS to the proxy itself is not spoken",
                "most such proxies take `http://` as well; with a `wss://` server all that passes through is encrypted all the same",
            ));
        }
        "socks4" | "socks4a" | "socks" => {
            return Err(("of SOCKS only version 5 is spoken", "write `socks5://` if the proxy can"));
        }
        _ => return bad("this is no kind of proxy that is known"),
    };
    let (authority, behind) = rest.split_once(['/', '?', '#']).unwrap_or((rest, ""));
    if !behind.is_empty() {
        return Err((
            "a proxy URL ends with host and port",
            "percent-encode `/`, `?`, `#` and `@` in user name and password, as in `%40` for `@`",
        ));
    }
    let (user_info, place) = match authority.rsplit_once('@') {
        Some((user_info, place)) => (Some(user_info), place),
        None => (None, authority),
    };
    let (host, port) = split_port(place).map_err(|fault| {
        (if place.is_empty() { "the proxy URL has no host" } else { fault.message }, EXAMPLE)
    })?;
    Ok(ProxyChoice::Via(Proxy {
        kind,
        host: host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase(),
        port: port.unwrap_or(usual_port),
        sign_in: user_info.map(|user_info| sign_in(user_info, kind)).transpose()?,
    }))
}

fn sign_in(user_info: &str, kind: ProxyKind) -> Result<ProxySignIn, Fault> {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let decoded = |text: &str| {
        percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| {
            ("user name or password is not UTF-8 once it is percent-decoded", "write a percent sign as `%25`")
        })
    };
    let (user, password) = (decoded(user)?, decoded(password)?);
    if user.is_empty() {
        return Err(("the user name for the proxy is empty", EXAMPLE));
    }
    if user.len() > SIGN_IN_MAX || password.len() > SIGN_IN_MAX {
        return Err((
            "user name or password for the proxy is too long",
            "each may have 255 bytes, which is all that SOCKS can carry",
        ));
    }
    if kind == ProxyKind::Http && user.contains(':') {
        return Err((
            "a user name with a colon cannot be sent to an HTTP proxy",
            "basic sign-in takes what follows the first colon for the password (RFC 7617)",
        ));
    }
    Ok(ProxySignIn { user: Secret::new(user), password: Secret::new(password) })
}

/// Whether the proxy is this machine by its very spelling.
pub(super) fn is_local(proxy: &Proxy) -> bool {
    is_loopback_host(&proxy.host)
}

/// The variable that names a proxy for this server, if any. Small letters go before capitals, the
/// scheme's own variable before the one for all.
///
/// A server on this machine, and one that `NO_PROXY` lists, is reached without.
pub(super) fn from_environment(env: &Environment, url: &ServerUrl) -> Option<&'static str> {
    // What a browser would do: `wss` is a kind of `https`, `ws` a kind of `http`.
    let names: [&'static str; 4] = if url.secure() {
        ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    } else {
        ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    };
    let named = names.into_iter().find(|name| env.get(name).is_some())?;
    let exceptions = ["no_proxy", "NO_PROXY"].into_iter().find_map(|name| env.get(name));
    let excepted = exceptions.is_some_and(|list| lists(&list.to_string_lossy(), url.host(), url.port()));
    (!url.is_loopback() && !excepted).then_some(named)
}

/// Whether a list as in `NO_PROXY` names this server: `*`, a host name (with all names below it),
/// an address or a block of addresses, each with or without a port. Nothing is looked up for it.
fn lists(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.');
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).take(EXCEPTIONS_MAX).any(
        |entry| {
            if entry == "*" {
                return true;
            }
            let (name, only) = entry_parts(entry);
            if only.is_some_and(|only| only != port) {
                return false;
            }
            match host.parse::<IpAddr>() {
                Ok(address) => covers(name, address),
                Err(_) => {
                    let name = name.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
                    let above = host.len().checked_sub(name.len()).map(|at| host.split_at_checked(at));
                    !name.is_empty()
                        && matches!(above, Some(Some((below, same)))
                        if same.eq_ignore_ascii_case(name) && (below.is_empty() || below.ends_with('.')))
                }
            }
        },
    )
}

/// An entry's host and port.
fn entry_parts(entry: &str) -> (&str, Option<u16>) {
    if let Some((host, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        // Two colons: an IPv6 address without brackets.
        Some((host, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

/// Whether `block` (an address, or `address/bits`) covers the address.
fn covers(block: &str, address: IpAddr) -> bool {
    let (base, bits) = match block.split_once('/') {
        Some((base, bits)) => (base, bits.parse::<u32>().ok()),
        None => (block, Some(128)),
    };
    let (Ok(base), Some(bits)) = (base.parse::<IpAddr>(), bits) else { return false };
    let same = |a: u128, b: u128, width: u32| {
        let ignored = width - bits.min(width);
        a.checked_shr(ignored).unwrap_or(0) == b.checked_shr(ignored).unwrap_or(0)
    };
    match (base, address.to_canonical()) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            same(u32::from(base).into(), u32::from(address).into(), 32)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => same(base.into(), address.into(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Proxy {
        match parse(text) {
            Ok(ProxyChoice::Via(proxy)) => proxy,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_proxy_url_is_taken_apart_and_shown_without_who_we_are() {
        let proxy = via("HTTP://kim:p%40ss%3Aword@Proxy.Example:3128/");
        assert_eq!((proxy.kind, proxy.host.as_str(), proxy.port), (ProxyKind::Http, "proxy.example", 3128));
        let sign_in = proxy.sign_in.as_ref().unwrap();
        assert_eq!((sign_in.user.expose(), sign_in.password.expose()), ("kim", "p@ss:word"));
        assert_eq!(proxy.to_string(), "http://***@proxy.example:3128");
        assert!(!format!("{proxy:?}").contains("kim") && !format!("{proxy:?}").contains("ss:word"));

        let proxy = via("socks5h://[::1]");
        assert_eq!((proxy.kind, proxy.host.as_str(), proxy.port), (ProxyKind::Socks5, "::1", 1080));
        assert_eq!((proxy.to_string().as_str(), proxy.sign_in), ("socks5://[::1]:1080", None));
        assert_eq!(via("http://proxy").port, 80);
        assert_eq!(parse("direct"), Ok(ProxyChoice::Direct));
    }

    #[test]
    fn what_is_no_proxy_url_is_refused_without_repeating_it() {
        let long = format!("socks5://u:{}@h", "x".repeat(256));
        for (text, message) in [
            ("proxy:3128", "this is no proxy URL: it has no scheme"),
            ("kim:CANARY@proxy:3128", "this is no proxy URL: it has no scheme"),
            ("https://proxy:3128", "TLS to the proxy itself is not spoken"),
            ("socks4://proxy", "of SOCKS only version 5 is spoken"),
            ("ftp://proxy", "this is no kind of proxy that is known"),
            ("http://", "the proxy URL has no host"),
            ("http://kim:CANARY@", "the proxy URL has no host"),
            ("http://:CANARY@h", "the user name for the proxy is empty"),
            ("http://kim:CAN/ARY@h", "a proxy URL ends with host and port"),
            ("http://kim:%ff@h", "user name or password is not UTF-8 once it is percent-decoded"),
            ("http://a%3Ab:CANARY@h", "a user name with a colon cannot be sent to an HTTP proxy"),
            (long.as_str(), "user name or password for the proxy is too long"),
            ("http://h:0", "the port is not a number from 1 to 65535"),
            ("http://h h", "the host is neither a name nor an address"),
        ] {
            let (said, hint) = parse(text).expect_err(text);
            assert_eq!(said, message, "{text}");
            assert!(!hint.contains("CANARY"));
        }
    }

    fn chosen(url: &str, variables: &[(&str, &str)]) -> Option<&'static str> {
        let env = Environment {
            variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            ..Environment::default()
        };
        from_environment(&env, &ServerUrl::parse(url).unwrap())
    }

    #[test]
    fn wss_takes_the_proxy_for_https_and_ws_the_one_for_http() {
        let all = [("HTTPS_PROXY", "a"), ("HTTP_PROXY", "b"), ("ALL_PROXY", "c")];
        assert_eq!(chosen("wss://h/", &all), Some("HTTPS_PROXY"));
        assert_eq!(chosen("ws://h/", &all), Some("HTTP_PROXY"));
        assert_eq!(chosen("wss://h/", &all[1..]), Some("ALL_PROXY"));
        assert_eq!(chosen("ws://h/", &[all[0]]), None);
        let both = [("https_proxy", "a"), ("HTTPS_PROXY", "b"), ("all_proxy", "c")];
        assert_eq!(chosen("wss://h/", &both), Some("https_proxy"));
        assert_eq!(chosen("wss://h/", &[("https_proxy", ""), both[2]]), Some("all_proxy"), "empty is none");
    }

    #[test]
    fn a_server_of_this_machine_goes_through_no_proxy_of_the_environment() {
        let all = [("ALL_PROXY", "http://proxy")];
        for url in ["ws://localhost/", "wss://app.localhost/", "ws://127.0.0.1/", "wss://[::1]/"] {
            assert_eq!(chosen(url, &all), None, "{url}");
        }
    }

    #[test]
    fn no_proxy_lists_names_addresses_and_blocks() {
        for (list, url, listed) in [
            ("*", "wss://h/", true),
            ("other, example.com", "wss://api.example.com/", true),
            ("example.com other", "wss://EXAMPLE.com/", true),
            (".example.com", "wss://example.com/", true),
            ("*.example.com", "wss://a.b.example.com/", true),
            ("example.com", "wss://badexample.com/", false),
            ("example.com.", "wss://example.com/", true),
            ("api.example.com", "wss://example.com/", false),
            ("example.com:8443", "wss://example.com:8443/", true),
            ("example.com:8443", "wss://example.com/", false),
            ("10.0.0.0/8", "wss://10.1.2.3/", true),
            ("10.0.0.0/8", "wss://11.1.2.3/", false),
            ("192.0.2.7", "wss://192.0.2.7/", true),
            ("0.0.0.0/0", "wss://192.0.2.7/", true),
            ("0.0.0.0/99", "wss://192.0.2.7/", false),
            ("2001:db8::/32", "wss://[2001:db8:1::1]/", true),
            ("[2001:db8::1]:444", "wss://[2001:db8::1]/", false),
            ("2001:db8::1", "wss://[2001:db8::1]/", true),
            ("::/0", "wss://192.0.2.7/", false),
            ("10.0.0.0/8", "wss://example.com/", false),
            ("", "wss://h/", false),
            (",, ,", "wss://h/", false),
            (".", "wss://h/", false),
            ("\u{20ac}", "wss://api.example.com/", false),
        ] {
            let chosen = chosen(url, &[("https_proxy", "http://proxy"), ("NO_PROXY", list)]);
            assert_eq!(chosen.is_none(), listed, "{list:?} and {url}");
        }
    }
}
