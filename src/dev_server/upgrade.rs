//! The HTTP request that opens a connection: the credential in it, and the sub-protocol.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Response};

use crate::model::Secret;

/// Names under which a credential is looked for in the query and among the cookies.
const NAMES: [&str; 3] = ["token", "access_token", "auth"];
/// Headers beside `Authorization` that may hold it.
const HEADERS: [&str; 3] = ["x-token", "x-auth-token", "x-api-key"];
/// What stands before the credential in a sub-protocol entry.
const PREFIXES: [&str; 3] = ["bearer.", "token.", "auth."];

/// What the request shows of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The right one.
    Right,
    /// One, and not the right one.
    Wrong,
    /// None: it has to come as a message.
    None,
}

/// Looks for a credential in query, headers, cookies and sub-protocols.
pub(super) fn credential<T>(request: &Request<T>, wanted: &Secret) -> Shown {
    let mut shown = Shown::None;
    for candidate in candidates(request) {
        if candidate == wanted.expose() {
            return Shown::Right;
        }
        shown = Shown::Wrong;
    }
    shown
}

fn candidates<T>(request: &Request<T>) -> Vec<String> {
    let mut found = Vec::new();
    for pair in request.uri().query().unwrap_or_default().split('&') {
        if let Some((name, value)) = pair.split_once('=')
            && NAMES.contains(&name)
        {
            found.push(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned());
        }
    }
    let headers = request.headers();
    for value in texts(headers, header::AUTHORIZATION.as_str()) {
        found.push(match value.split_once(' ') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => password(rest.trim()),
            Some((_, rest)) => rest.trim().to_owned(),
            None => value.to_owned(),
        });
    }
    found.extend(HEADERS.iter().flat_map(|name| texts(headers, name)).map(str::to_owned));
    for cookie in texts(headers, header::COOKIE.as_str()).flat_map(|value| value.split(';')) {
        if let Some((name, value)) = cookie.trim().split_once('=')
            && NAMES.contains(&name)
        {
            found.push(value.to_owned());
        }
    }
    for entry in offered(headers) {
        found.extend(PREFIXES.iter().find_map(|prefix| entry.strip_prefix(prefix)).map(str::to_owned));
    }
    found
}

/// The password of `user:password` in base64; empty where it is none.
fn password(encoded: &str) -> String {
    let plain = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    plain.and_then(|text| text.split_once(':').map(|(_, password)| password.to_owned())).unwrap_or_default()
}

fn texts<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    texts(headers, header::SEC_WEBSOCKET_PROTOCOL.as_str())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// Answers with one of the sub-protocols offered, rather not with one that is a credential.
pub(super) fn choose_subprotocol<T>(request: &Request<T>, response: &mut Response) {
    let is_credential = |entry: &&str| PREFIXES.iter().any(|prefix| entry.starts_with(prefix));
    let chosen = offered(request.headers())
        .find(|entry| !is_credential(entry))
        .or_else(|| offered(request.headers()).next())
        .and_then(|entry| HeaderValue::from_str(entry).ok());
    if let Some(chosen) = chosen {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
    }
}

/// An HTTP answer that refuses the upgrade.
pub(super) fn refusal(status: u16, retry_after: Option<u64>, body: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(format!("{body}\n")));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len() + 1));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if (300..400).contains(&status) {
        headers.insert(header::LOCATION, HeaderValue::from_static("/moved"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::{Shown, choose_subprotocol, credential};
    use crate::model::Secret;
    use http::{Request, Response};

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a valid request")
    }

    #[test]
    fn a_credential_is_found_in_every_place_it_may_stand() {
        let secret = Secret::new("s3 cret");
        let right = [
            request("/?a=1&token=s3%20cret", &[]),
            request("/", &[("authorization", "Bearer s3 cret")]),
            request("/", &[("authorization", "basic dXNlcjpzMyBjcmV0")]),
            request("/", &[("cookie", "a=b; token=s3 cret")]),
            request("/", &[("sec-websocket-protocol", "chat, bearer.s3 cret")]),
            request("/", &[("x-api-key", "s3 cret")]),
        ];
        for request in right {
            assert_eq!(credential(&request, &secret), Shown::Right, "{request:?}");
        }
        let wrong = [
            request("/?token=", &[]),
            request("/", &[("authorization", "Bearer other")]),
            request("/", &[("authorization", "Basic !!!")]),
            request("/", &[("sec-websocket-protocol", "bearer.other")]),
        ];
        for request in wrong {
            assert_eq!(credential(&request, &secret), Shown::Wrong, "{request:?}");
        }
        let none = request("/?tokens=x", &[("cookie", "session=1"), ("sec-websocket-protocol", "chat")]);
        assert_eq!(credential(&none, &secret), Shown::None);
    }

    #[test]
    fn the_sub_protocol_chosen_is_no_credential_where_another_is_offered() {
        let chosen = |offered: &str| {
            let mut response = Response::new(());
            choose_subprotocol(&request("/", &[("sec-websocket-protocol", offered)]), &mut response);
            response.headers().get("sec-websocket-protocol").map(|v| v.to_str().expect("text").to_owned())
        };
        assert_eq!(chosen("bearer.x, chat").as_deref(), Some("chat"));
        assert_eq!(chosen("bearer.x").as_deref(), Some("bearer.x"));
        assert_eq!(chosen(" ,"), None);
    }
}
