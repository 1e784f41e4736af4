//! How the credential travels with the upgrade, and what else the upgrade carries.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::{Zeroize as _, Zeroizing};

use super::foreign::Quoter;
use super::{Settings, Target, proxy};
use crate::model::Secret;

/// All but the unreserved characters (RFC 3986, section 2.3) is percent-encoded.
pub(super) const QUERY_TEXT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Stands for the credential in [`Auth::Subprotocol`].
const PLACEHOLDER: &str = "{token}";

/// How the credential goes to the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// As a query parameter.
    Query {
        /// The parameter's name.
        name: String,
    },
    /// As a header.
    Header {
        /// The header's name.
        name: String,
        /// What stands before the credential, e.g. `Bearer `.
        prefix: String,
    },
    /// As the password of HTTP basic authentication (RFC 7617).
    Basic {
        /// The user.
        username: String,
    },
    /// As a cookie.
    Cookie {
        /// The cookie's name.
        name: String,
    },
    /// As an entry of `Sec-WebSocket-Protocol`.
    Subprotocol {
        /// The entry, with `{token}` where the credential stands.
        name: String,
    },
    /// By the dialect's own frames: nothing of it travels with the upgrade.
    Message,
}

/// What one dial carries beside the settings, values not yet encoded. Its `Debug` shows names
/// only: the values may hold the credential.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Query parameters to add to the URL.
    pub query: Vec<(String, String)>,
    /// Headers to add.
    pub headers: Vec<(String, String)>,
    /// Sub-protocols to offer, before those of the settings.
    pub subprotocols: Vec<String>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        f.debug_struct("Plan")
            .field("query", &names(&self.query))
            .field("headers", &names(&self.headers))
            .field("subprotocols", &self.subprotocols)
            .finish()
    }
}

/// All that one upgrade carries: settings, plan and credential put together.
pub(super) struct Carried {
    /// Path and query, percent-encoded.
    pub(super) path: String,
    /// Headers beside those of the handshake itself, in order.
    pub(super) headers: Vec<(String, String)>,
    /// Sub-protocols to offer, in order of preference.
    pub(super) subprotocols: Vec<String>,
    /// Knows the secrets that are in there.
    pub(super) quoter: Quoter,
}

impl Carried {
    pub(super) fn put_together(
        target: &Target,
        settings: &Settings,
        auth: &Auth,
        plan: Plan,
        credential: Option<&Secret>,
    ) -> Self {
        let Plan { mut query, mut headers, mut subprotocols } = plan;
        for name in &settings.subprotocols {
            if !subprotocols.contains(name) {
                subprotocols.push(name.clone());
            }
        }
        for (name, value) in &settings.headers {
            replace_header(&mut headers, name, value.expose().to_owned());
        }

        let token = credential.map(Secret::expose);
        let mut quoter = Quoter::hiding(token);
        if let Some(token) = token {
            match auth {
                Auth::None | Auth::Message => {}
                Auth::Query { name } => query.push((name.clone(), token.to_owned())),
                Auth::Header { name, prefix } => {
                    replace_header(&mut headers, name, format!("{prefix}{token}"))
                }
                Auth::Basic { username } => {
                    let pair = Zeroizing::new(format!("{username}:{token}"));
                    let pair = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                    replace_header(&mut headers, "Authorization", format!("Basic {}", *pair));
                    quoter.hide_sent(&pair);
                }
                Auth::Cookie { name } => add_cookie(&mut headers, format!("{name}={token}")),
                Auth::Subprotocol { name } => subprotocols.push(name.replace(PLACEHOLDER, token)),
            }
        }
        for secret in settings.proxy.iter().flat_map(proxy::secrets) {
            quoter.hide(&secret);
        }
        for (name, value) in &settings.headers {
            quoter.hide_header(name, value.expose());
        }
        for value in target.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')) {
            quoter.hide(value.1);
            quoter.hide(&percent_decode_str(value.1).decode_utf8_lossy());
        }
        let path = path_and_query(target, &query);
        query.iter_mut().for_each(|(_, value)| value.zeroize());
        Self { path, headers, subprotocols, quoter }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.path.zeroize();
        self.headers.iter_mut().for_each(|(_, value)| value.zeroize());
        self.subprotocols.zeroize();
    }
}

/// A request has one cookie header (RFC 6265, section 5.4): a further cookie joins it.
fn add_cookie(headers: &mut Vec<(String, String)>, cookie: String) {
    match headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("cookie")) {
        Some((_, value)) => {
            value.reserve_exact(cookie.len() + 2);
            value.push_str("; ");
            value.push_str(&Zeroizing::new(cookie));
        }
        None => headers.push(("Cookie".into(), cookie)),
    }
}

/// What a person configured stands over the dialect, and the credential over both.
fn replace_header(headers: &mut Vec<(String, String)>, name: &str, value: String) {
    headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    headers.push((name.to_owned(), value));
}

fn path_and_query(target: &Target, added: &[(String, String)]) -> String {
    // As long as it may become: growing would leave a part of it behind in memory.
    let query = target.query().map_or(0, str::len);
    let most = added.iter().map(|(name, value)| (name.len() + value.len()) * 3 + 2).sum::<usize>();
    let mut text = String::with_capacity(target.path().len() + query + most + 2);
    text.push_str(target.path());
    let mut separator = '?';
    if let Some(query) = target.query().filter(|query| !query.is_empty()) {
        text.push(separator);
        text.push_str(query);
        separator = '&';
    }
    for (name, value) in added {
        text.push(separator);
        separator = '&';
        text.extend(utf8_percent_encode(name, QUERY_TEXT));
        text.push('=');
        text.extend(utf8_percent_encode(value, QUERY_TEXT));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(url: &str, auth: &Auth, plan: Plan) -> Carried {
        let settings = Settings {
            headers: vec![("X-App".into(), Secret::new("dashboard"))],
            subprotocols: vec!["v1".into()],
            ..Settings::to(Target::parse(url).unwrap())
        };
        let token = Secret::new("to ken&1");
        Carried::put_together(&settings.url, &settings, auth, plan, Some(&token))
    }

    fn header<'a>(carried: &'a Carried, name: &str) -> Vec<&'a str> {
        carried.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    #[test]
    fn the_query_takes_the_credential_percent_encoded_behind_what_is_there() {
        let auth = Auth::Query { name: "access token".into() };
        let plan = Plan { query: vec![("since".into(), "1/2".into())], ..Plan::default() };
        let carried = carried("ws://localhost/p?v=2", &auth, plan);
        assert_eq!(carried.path, "/p?v=2&since=1%2F2&access%20token=to%20ken%261");
    }

    #[test]
    fn a_header_takes_the_credential_behind_its_prefix_and_stands_alone() {
        let auth = Auth::Header { name: "Authorization".into(), prefix: "Bearer ".into() };
        let plan = Plan { headers: vec![("authorization".into(), "other".into())], ..Plan::default() };
        let carried = carried("ws://localhost/", &auth, plan);
        assert_eq!(header(&carried, "Authorization"), ["Bearer to ken&1"]);
        assert!(header(&carried, "authorization").is_empty());
        assert_eq!(header(&carried, "X-App"), ["dashboard"]);
    }

    #[test]
    fn basic_takes_it_as_the_password() {
        let carried = carried("ws://localhost/", &Auth::Basic { username: "me".into() }, Plan::default());
        let wanted = format!("Basic {}", STANDARD.encode("me:to ken&1"));
        assert_eq!(header(&carried, "Authorization"), [wanted.as_str()]);
        assert_eq!(carried.quoter.quote(&wanted), "Basic ***");
    }

    #[test]
    fn a_cookie_joins_the_cookies_that_are_there() {
        let plan = Plan { headers: vec![("Cookie".into(), "a=1".into())], ..Plan::default() };
        let carried = carried("ws://localhost/", &Auth::Cookie { name: "sid".into() }, plan);
        assert_eq!(header(&carried, "Cookie"), ["a=1; sid=to ken&1"]);
    }

    #[test]
    fn a_sub_protocol_entry_takes_it_behind_the_real_ones() {
        let auth = Auth::Subprotocol { name: "bearer.{token}".into() };
        let plan = Plan { subprotocols: vec!["graphql".into(), "v1".into()], ..Plan::default() };
        assert_eq!(
            carried("ws://localhost/", &auth, plan).subprotocols,
            ["graphql", "v1", "bearer.to ken&1"]
        );
    }

    #[test]
    fn by_message_nothing_of_it_travels_with_the_upgrade() {
        for auth in [Auth::None, Auth::Message] {
            let carried = carried("ws://localhost/", &auth, Plan::default());
            assert_eq!(carried.path, "/");
            assert!(!format!("{:?}{:?}", carried.headers, carried.subprotocols).contains("ken"));
        }
    }

    #[test]
    fn a_plan_shows_names_only() {
        let plan = Plan {
            query: vec![("token".into(), "HLCANARY".into())],
            headers: vec![("X-Key".into(), "HLCANARY".into())],
            subprotocols: vec![],
        };
        let shown = format!("{plan:?}");
        assert!(shown.contains("token") && shown.contains("X-Key") && !shown.contains("HLCANARY"), "{shown}");
    }
}
