//! The upgrade from HTTP to WebSocket (RFC 6455, section 4), spoken by ourselves.
//!
//! The library's own handshake refuses a server that picks none of the offered sub-protocols,
//! takes an extension nobody asked for, throws the body of a refusal away and prints the whole
//! request, credential included, into the trace log.

use std::fmt::Write as _;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Status};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::auth::Carried;
use super::foreign::Quoter;
use super::{Target, retry_after};
use crate::model::{CredentialFault, Failure, Secret, Timestamp};

/// Largest head of an answer, in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// Most headers of an answer.
const HEADERS_MAX: usize = 128;
/// How much of a refusal's body is read to quote its beginning. Far more than is quoted, so that
/// a long credential in it is seen whole and hidden.
const BODY_MAX: usize = 16 * 1024;
/// How long a refusal's body is waited for.
const BODY_WAIT: Duration = Duration::from_millis(500);

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
    let (answer, rest) = read_head(stream, &carried.quoter).await?;
    *date = answer.first("Date").and_then(retry_after::date);
    if answer.status != 101 {
        return Err(refused(stream, answer, rest, &carried.quoter, now).await);
    }
    let subprotocol = answer.accept(&key, &carried.subprotocols)?;
    Ok(Upgraded { subprotocol, rest })
}

fn request(target: &Target, carried: &Carried, key: &str) -> Result<Secret, Failure> {
    let mut text = format!(
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
        line("Sec-WebSocket-Protocol", &carried.subprotocols.join(", "))?;
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

/// The head of an answer.
struct Answer {
    status: u16,
    words: String,
    headers: Vec<(String, String)>,
}

impl Answer {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    fn lists(&self, name: &str, word: &str) -> bool {
        self.all(name).flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    }

    /// The checks of RFC 6455, section 4.1. Gives the sub-protocol.
    fn accept(&self, key: &str, offered: &[String]) -> Result<Option<String>, Failure> {
        let wrong = |detail: &str| Err(Failure::Handshake { detail: detail.into() });
        if !self.lists("Upgrade", "websocket") {
            return wrong("the header Upgrade: websocket is missing");
        }
        if !self.lists("Connection", "upgrade") {
            return wrong("the header Connection: Upgrade is missing");
        }
        if self.first("Sec-WebSocket-Accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return wrong("Sec-WebSocket-Accept does not answer our key");
        }
        if self.all("Sec-WebSocket-Extensions").any(|value| !value.trim().is_empty()) {
            return wrong("it switches on an extension nobody asked for");
        }
        let mut chosen = self.all("Sec-WebSocket-Protocol");
        match (chosen.next(), chosen.next()) {
            (None, _) => Ok(None),
            (Some(name), None) if offered.iter().any(|offer| offer == name) => Ok(Some(name.to_owned())),
            (Some(_), None) => wrong("it chose a sub-protocol nobody offered"),
            (Some(_), Some(_)) => wrong("it chose more than one sub-protocol"),
        }
    }
}

async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    quoter: &Quoter,
) -> Result<(Answer, Vec<u8>), Failure> {
    let mut bytes = Vec::with_capacity(1024);
    let mut searched = 0;
    loop {
        let read = stream.read_buf(&mut bytes).await;
        if matches!(read, Ok(0) | Err(_)) {
            let detail = match read {
                Err(error) => format!("the connection broke: {error}"),
                Ok(_) if bytes.is_empty() => "the server hung up without one".into(),
                Ok(_) => "it ended in the middle of its head".into(),
            };
            return Err(Failure::Handshake { detail });
        }
        // An answer that is no HTTP at all is known by its first bytes; else the parser is asked
        // once the head is whole, so that a slow head costs no more than a fast one.
        let http = b"HTTP/1.";
        let seen = bytes.len().min(http.len());
        if bytes[..seen] != http[..seen] {
            return Err(Failure::Handshake { detail: "it is no HTTP/1.1 answer".into() });
        }
        let from = usize::saturating_sub(searched, 3);
        searched = bytes.len();
        if bytes[from..].windows(4).any(|four| four == b"\r\n\r\n")
            || bytes[from..].windows(2).any(|two| two == b"\n\n")
        {
            return parse_head(bytes, quoter);
        }
        if bytes.len() >= HEAD_MAX {
            return Err(Failure::Handshake { detail: format!("its head is over {HEAD_MAX} bytes") });
        }
    }
}

fn parse_head(mut bytes: Vec<u8>, quoter: &Quoter) -> Result<(Answer, Vec<u8>), Failure> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let end = match head.parse(&bytes) {
        Ok(Status::Complete(end)) => end,
        Ok(Status::Partial) => return Err(Failure::Handshake { detail: "its head is broken".into() }),
        Err(error) => return Err(Failure::Handshake { detail: format!("its head is broken: {error}") }),
    };
    let answer = Answer {
        status: head.code.unwrap_or(0),
        words: quoter.quote(head.reason.unwrap_or("")),
        headers: head
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
            .collect(),
    };
    Ok((answer, bytes.split_off(end)))
}

async fn refused<S: AsyncRead + Unpin>(
    stream: &mut S,
    answer: Answer,
    rest: Vec<u8>,
    quoter: &Quoter,
    now: Timestamp,
) -> Failure {
    let retry_after = answer.first("Retry-After").and_then(|text| retry_after::parse(text, now));
    let detail = match answer.first("Location") {
        // Where it points to helps; what stands behind the question mark may be secret.
        Some(place) if (300..400).contains(&answer.status) => {
            quoter.quote(&format!("to {}", place.split(['?', '#']).next().unwrap_or("")))
        }
        _ => {
            let body = read_body(stream, &answer, rest).await;
            let quote = quoter.quote(&String::from_utf8_lossy(&body));
            // The beginning of a page tells nothing.
            if quote.is_empty() || quote.starts_with('<') { answer.words } else { quote }
        }
    };
    Failure::Refused { status: answer.status, retry_after, detail, ruled: None }
}

/// The beginning of the body, as far as it comes soon.
async fn read_body<S: AsyncRead + Unpin>(stream: &mut S, answer: &Answer, rest: Vec<u8>) -> Vec<u8> {
    let chunked = answer.lists("Transfer-Encoding", "chunked");
    let wanted = match answer.first("Content-Length").and_then(|text| text.trim().parse::<usize>().ok()) {
        Some(length) if !chunked => length.min(BODY_MAX),
        _ => BODY_MAX,
    };
    let mut body = rest;
    let reading = async {
        while body.len() < wanted && !(chunked && body.ends_with(b"\r\n0\r\n\r\n")) {
            match stream.read_buf(&mut body).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    // What came until then is enough for a quote.
    let _ = timeout(BODY_WAIT, reading).await;
    body.truncate(wanted);
    if chunked { first_chunk(&body) } else { body }
}

fn first_chunk(body: &[u8]) -> Vec<u8> {
    let Some(line_end) = body.windows(2).position(|two| two == b"\r\n") else { return Vec::new() };
    let size = std::str::from_utf8(&body[..line_end])
        .ok()
        .and_then(|line| usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16).ok());
    body[line_end + 2..].iter().copied().take(size.unwrap_or(0)).collect()
}
