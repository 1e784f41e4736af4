//! The answer to an HTTP request, as servers and proxies give it: read within bounds, whatever
//! comes.

use std::io;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Status};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use super::foreign::Quoter;

/// Largest head of an answer, in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// Most headers of an answer.
const HEADERS_MAX: usize = 128;
/// How much of a refusal's body is read to quote its beginning. Far more than is quoted, so that
/// a long credential in it is seen whole and hidden.
const BODY_MAX: usize = 16 * 1024;
/// How long a refusal's body is waited for.
const BODY_WAIT: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoHead {
    /// The connection broke.
    Broken(io::Error),
    /// It ended before anything came.
    Nothing,
    /// Something else came; in words.
    Other(String),
}

/// The head of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The status text, cleaned.
    words: String,
    headers: Vec<(String, String)>,
}

impl Answer {
    /// The values of a header.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Its first value.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether a header that is a list names this.
    pub(super) fn lists(&self, name: &str, item: &str) -> bool {
        self.all(name).flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(item))
    }
}

/// Reads a head, and gives what came behind it.
pub(super) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    quoter: &Quoter,
) -> Result<(Answer, Vec<u8>), NoHead> {
    let mut bytes = Vec::with_capacity(1024);
    let mut searched = 0;
    loop {
        match stream.read_buf(&mut bytes).await {
            Err(error) => return Err(NoHead::Broken(error)),
            Ok(0) if bytes.is_empty() => return Err(NoHead::Nothing),
            Ok(0) => return Err(NoHead::Other("it ended in the middle of its head".into())),
            Ok(_) => {}
        }
        // An answer that is no HTTP at all is known by its first bytes; else the parser is asked
        // once the head is whole, so that a slow head costs no more than a fast one.
        let http = b"HTTP/1.";
        let seen = bytes.len().min(http.len());
        if bytes[..seen] != http[..seen] {
            return Err(NoHead::Other("it is no HTTP/1.1 answer".into()));
        }
        let from = usize::saturating_sub(searched, 3);
        searched = bytes.len();
        if bytes[from..].windows(4).any(|four| four == b"\r\n\r\n")
            || bytes[from..].windows(2).any(|two| two == b"\n\n")
        {
            return parse(bytes, quoter).map_err(NoHead::Other);
        }
        if bytes.len() >= HEAD_MAX {
            return Err(NoHead::Other(format!("its head is over {HEAD_MAX} bytes")));
        }
    }
}

fn parse(mut bytes: Vec<u8>, quoter: &Quoter) -> Result<(Answer, Vec<u8>), String> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let end = match head.parse(&bytes) {
        Ok(Status::Complete(end)) => end,
        Ok(Status::Partial) => return Err("its head is broken".into()),
        Err(error) => return Err(format!("its head is broken: {error}")),
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

/// What a refusal says to people: the beginning of its body, the title of its page, or the words of
/// its status.
pub(super) async fn words<S: AsyncRead + Unpin>(
    stream: &mut S,
    answer: Answer,
    rest: Vec<u8>,
    quoter: &Quoter,
) -> String {
    let body = read_body(stream, &answer, rest).await;
    let text = String::from_utf8_lossy(&body);
    let said = if text.trim_start().starts_with('<') {
        // Many pages begin their title with the status, which is told anyway.
        let title = title(&text).unwrap_or("").trim_start();
        title.strip_prefix(&answer.status.to_string()).unwrap_or(title)
    } else {
        &text
    };
    let quote = quoter.quote(said);
    if quote.is_empty() { answer.words } else { quote }
}

/// The title of a page. Its beginning tells nothing.
fn title(page: &str) -> Option<&str> {
    // The same length as the page, so that places in one are places in the other.
    let lower = page.to_ascii_lowercase();
    let from = lower.find("<title>")? + "<title>".len();
    let to = from + lower[from..].find('<')?;
    Some(&page[from..to])
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

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn a_page_is_quoted_by_its_title() {
        let nginx = "<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>";
        assert_eq!(title(nginx), Some("400 No required SSL certificate was sent"));
        assert_eq!(title("<!DOCTYPE html><HTML><TITLE>\u{130}a</TITLE>"), Some("\u{130}a"));
        assert_eq!(title("<title>never ends"), None);
        assert_eq!(title("<html>no title</html>"), None);
    }
}
