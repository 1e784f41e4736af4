//! The upgrade from HTTP to WebSocket (RFC 6455, section 4), spoken by ourselves.
//!
//! The library's own handshake refuses a server that picks none of the offered sub-protocols,
//! takes an extension nobody asked for, throws the body of a refusal away and prints the whole
//! request, credential included, into the trace log.

use std::fmt::Write as _;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use zeroize::Zeroizing;

use super::auth::Carried;
use super::foreign::Quoter;
use super::head::{self, Answer, NoHead};
use super::{Target, retry_after, tls};
use crate::model::{CredentialFault, Failure, Secret, Timestamp};

/// What the server granted.
#[derive(Debug)]
pub(super) struct Upgraded {
    /// The sub-protocol it chose.
    pub(super) subprotocol: Option<String>,
    /// Bytes behind the head: the first frames.
    pub(super) rest: Vec<u8>,
}

/// Sends the request and judges the answer. `now` is for a `Retry-After` that is a date; `date`
/// takes the server's own, whatever the answer is.
pub(super) async fn upgrade<S>(
    stream: &mut S,
    target: &Target,
    carried: &Carried,
    now: Timestamp,
    date: &mut Option<Timestamp>,
) -> Result<Upgraded, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = generate_key();
    let request = request(target, carried, &key)?;
    let sent = async {
        stream.write_all(request.expose().as_bytes()).await?;
        stream.flush().await
    };
    // A server may refuse and hang up before it has read all: its answer is there nevertheless,
    // and where it is not, reading says so.
    let _ = sent.await;
    let (answer, rest) = head::read(stream, &carried.quoter).await.map_err(|why| no_head(target, why))?;
    *date = answer.first("Date").and_then(retry_after::date);
    if answer.status != 101 {
        return Err(refused(stream, answer, rest, &carried.quoter, now).await);
    }
    let subprotocol = accept(&answer, &key, &carried.subprotocols)?;
    Ok(Upgraded { subprotocol, rest })
}

fn request(target: &Target, carried: &Carried, key: &str) -> Result<Secret, Failure> {
    // As long as it will be: growing would leave a part of it behind in memory.
    let headers = carried.headers.iter().map(|(name, value)| name.len() + value.len() + 4);
    let subprotocols = carried.subprotocols.iter().map(|name| name.len() + 2);
    let room = carried.path.len() + headers.chain(subprotocols).sum::<usize>() + target.authority().len();
    let mut text = String::with_capacity(room + 512);
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nUser-Agent: holdline/{}\r\n",
        carried.path,
        target.authority(),
        env!("CARGO_PKG_VERSION"),
    );
    let mut line = |name: &str, value: &str| {
        check_header(name, value)?;
        // Writing to a string does not fail.
        let _ = write!(text, "{name}: {value}\r\n");
        Ok(())
    };
    if !carried.subprotocols.is_empty() {
        if carried.subprotocols.iter().any(|name| !is_token(name)) {
            return Err(unfit("a sub-protocol", "Sec-WebSocket-Protocol"));
        }
        line("Sec-WebSocket-Protocol", &Zeroizing::new(carried.subprotocols.join(", ")))?;
    }
    for (name, value) in &carried.headers {
        line(name, value)?;
    }
    text.push_str("\r\n");
    Ok(Secret::new(text))
}

/// A line break in a value would become a header of its own.
fn check_header(name: &str, value: &str) -> Result<(), Failure> {
    if !is_token(name) || is_ours(name) {
        return Err(unfit("the name", name));
    }
    if http::HeaderValue::from_str(value).is_err() {
        return Err(unfit("the value", name));
    }
    Ok(())
}

/// A token as HTTP knows it (RFC 9110, section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    http::HeaderName::from_bytes(text.as_bytes()).is_ok()
}

/// Headers that belong to the handshake itself.
pub(super) fn is_ours(name: &str) -> bool {
    [
        "host",
        "connection",
        "upgrade",
        "sec-websocket-version",
        "sec-websocket-key",
        "sec-websocket-extensions",
    ]
    .iter()
    .any(|ours| name.eq_ignore_ascii_case(ours))
}

fn unfit(what: &str, header: &str) -> Failure {
    let header = Quoter::default().quote(header);
    Failure::NoCredential(CredentialFault {
        text: format!(
            "{what} of the header {header} cannot be sent: it holds a character that HTTP forbids there"
        ),
        hint: "check that the credential is one line of plain text, and server.headers".into(),
    })
}

/// The checks of RFC 6455, section 4.1. Gives the sub-protocol.
fn accept(answer: &Answer, key: &str, offered: &[String]) -> Result<Option<String>, Failure> {
    let wrong = |detail: &str| Err(Failure::Handshake { detail: detail.into() });
    if !answer.lists("Upgrade", "websocket") {
        return wrong("the header Upgrade: websocket is missing");
    }
    if !answer.lists("Connection", "upgrade") {
        return wrong("the header Connection: Upgrade is missing");
    }
    if answer.first("Sec-WebSocket-Accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return wrong("Sec-WebSocket-Accept does not answer our key");
    }
    if answer.all("Sec-WebSocket-Extensions").any(|value| !value.trim().is_empty()) {
        return wrong("it switches on an extension nobody asked for");
    }
    let mut chosen = answer.all("Sec-WebSocket-Protocol");
    match (chosen.next(), chosen.next()) {
        (None, _) => Ok(None),
        (Some(name), None) if offered.iter().any(|offer| offer == name) => Ok(Some(name.to_owned())),
        (Some(_), None) => wrong("it chose a sub-protocol nobody offered"),
        (Some(_), Some(_)) => wrong("it chose more than one sub-protocol"),
    }
}

fn no_head(target: &Target, why: NoHead) -> Failure {
    match why {
        NoHead::Nothing => Failure::Unanswered { detail: "the other side hung up".into() },
        NoHead::Other(detail) => Failure::Handshake { detail },
        // In TLS 1.3 the server judges our certificate when we think the handshake is over.
        NoHead::Broken(error) => match tls::refusal_of(&error) {
            Some(fault) => Failure::Tls { host: target.host().to_owned(), fault },
            None => Failure::Unanswered { detail: format!("the connection broke: {error}") },
        },
    }
}

async fn refused<S: AsyncRead + Unpin>(
    stream: &mut S,
    answer: Answer,
    rest: Vec<u8>,
    quoter: &Quoter,
    now: Timestamp,
) -> Failure {
    let status = answer.status;
    // A date is meant on the server's clock, which it shows; ours may be wrong.
    let now = answer.first("Date").and_then(retry_after::date).unwrap_or(now);
    let retry_after = answer.first("Retry-After").and_then(|text| retry_after::parse(text, now));
    let detail = match answer.first("Location") {
        // Where it points to helps; what stands behind the question mark may be secret.
        Some(place) if (300..400).contains(&status) => {
            quoter.quote(&format!("to {}", place.split(['?', '#']).next().unwrap_or("")))
        }
        _ => head::words(stream, answer, rest, quoter).await,
    };
    Failure::Refused { status, retry_after, detail, ruled: None }
}

#[cfg(test)]
mod tests;
