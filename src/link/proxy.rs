//! The way through a proxy: HTTP `CONNECT` (RFC 9110, section 9.3.6) or SOCKS 5 (RFC 1928, with the
//! passwords of RFC 1929), spoken by ourselves.
//!
//! Libraries that do it tell failures as text only; here each one decides what happens next. The
//! server's name always goes to the proxy as a name: our own resolver is not asked for it.

use std::io;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Target;
use super::foreign::Quoter;
use super::head::{self, NoHead};
use super::retry_after;
use crate::model::{Proxy, ProxyFault, ProxyKind, ProxySignIn, Secret, Timestamp};

/// The spellings in which the proxy is shown its password, which must not be quoted back to people.
pub(super) fn secrets(proxy: &Proxy) -> Vec<String> {
    let Some(sign_in) = &proxy.sign_in else { return Vec::new() };
    vec![sign_in.user.expose().to_owned(), sign_in.password.expose().to_owned(), basic(sign_in)]
}

fn basic(sign_in: &ProxySignIn) -> String {
    STANDARD.encode(format!("{}:{}", sign_in.user.expose(), sign_in.password.expose()))
}

/// Asks the proxy at the other end of `stream` for a way to the target. `now` is for a
/// `Retry-After` that is a date.
pub(super) async fn open<S>(
    stream: &mut S,
    proxy: &Proxy,
    target: &Target,
    quoter: &Quoter,
    now: Timestamp,
) -> Result<(), ProxyFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match proxy.kind {
        ProxyKind::Http => connect(stream, proxy, target, quoter, now).await,
        ProxyKind::Socks5 => socks(stream, proxy, target).await,
    }
}

async fn connect<S>(
    stream: &mut S,
    proxy: &Proxy,
    target: &Target,
    quoter: &Quoter,
    now: Timestamp,
) -> Result<(), ProxyFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let place = target.host_and_port();
    let sign_in = proxy
        .sign_in
        .as_ref()
        .map_or(String::new(), |sign_in| format!("Proxy-Authorization: Basic {}\r\n", basic(sign_in)));
    let request = Secret::new(format!(
        "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{sign_in}User-Agent: holdline/{}\r\n\r\n",
        env!("CARGO_PKG_VERSION"),
    ));
    let sent = async {
        stream.write_all(request.expose().as_bytes()).await?;
        stream.flush().await
    };
    // A proxy may refuse and hang up before it has read all: its answer is there nevertheless.
    let _ = sent.await;
    let (answer, rest) = head::read(stream, quoter).await.map_err(|why| match why {
        NoHead::Broken(error) => broke(&error),
        NoHead::Nothing => ProxyFault::Broken("it hung up without an answer".into()),
        NoHead::Other(detail) => ProxyFault::Broken(format!("its answer makes no sense: {detail}")),
    })?;
    let status = answer.status;
    if (200..300).contains(&status) {
        // Nobody behind it can have been asked anything yet.
        return if rest.is_empty() {
            Ok(())
        } else {
            Err(ProxyFault::Broken("it sent more than the answer to CONNECT".into()))
        };
    }
    let retry_after = answer.first("Retry-After").and_then(|text| retry_after::parse(text, now));
    let words = head::words(stream, answer, rest, quoter).await;
    let detail =
        if words.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status} \"{words}\"") };
    Err(match status {
        // 401 is a server's word, but tinyproxy says it of a wrong password.
        401 | 407 if proxy.sign_in.is_some() => ProxyFault::SignInRefused,
        401 | 407 => ProxyFault::SignInWanted,
        // It lets nobody through, or it is no proxy at all.
        400 | 402 | 403 | 405 | 501 => ProxyFault::Denied(detail),
        404 | 429 | 500 | 502..=599 => ProxyFault::CannotReach { detail, retry_after },
        _ => ProxyFault::Broken(detail),
    })
}

const VERSION: u8 = 5;
const NO_SIGN_IN: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_FITS: u8 = 0xff;

async fn socks<S>(stream: &mut S, proxy: &Proxy, target: &Target) -> Result<(), ProxyFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let greeting: &[u8] = match &proxy.sign_in {
        Some(_) => &[VERSION, 2, NO_SIGN_IN, PASSWORD],
        None => &[VERSION, 1, NO_SIGN_IN],
    };
    write(stream, greeting).await?;
    let [version, method] = read(stream).await?;
    check_version(version)?;
    match (method, &proxy.sign_in) {
        (NO_SIGN_IN, _) => {}
        (PASSWORD, Some(sign_in)) => sign_in_to(stream, sign_in).await?,
        (NONE_FITS, None) => return Err(ProxyFault::SignInWanted),
        (NONE_FITS, Some(_)) => {
            return Err(ProxyFault::Denied("it takes no sign-in by user name and password".into()));
        }
        _ => return Err(ProxyFault::Broken("it chose a way to sign in that nobody offered".into())),
    }
    write(stream, &request(target)).await?;
    let [version, reply, _, kind] = read(stream).await?;
    check_version(version)?;
    if reply != 0 {
        return Err(refusal(reply));
    }
    // Where it dialled from is of no use, but has to be read away.
    match kind {
        1 => drop(read::<_, 6>(stream).await?),
        4 => drop(read::<_, 18>(stream).await?),
        3 => {
            let [length] = read(stream).await?;
            let mut name = vec![0; usize::from(length) + 2];
            stream.read_exact(&mut name).await.map_err(|error| broke(&error))?;
        }
        _ => return Err(ProxyFault::Broken("its answer holds an address of an unknown kind".into())),
    }
    Ok(())
}

async fn sign_in_to<S>(stream: &mut S, sign_in: &ProxySignIn) -> Result<(), ProxyFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut message = vec![1];
    for text in [&sign_in.user, &sign_in.password] {
        // The configuration takes nothing longer.
        let text = &text.expose().as_bytes()[..text.expose().len().min(255)];
        message.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        message.extend_from_slice(text);
    }
    let written = write(stream, &message).await;
    message.fill(0);
    // Or the compiler would leave it out: nobody reads it any more.
    std::hint::black_box(&message);
    written?;
    match read(stream).await? {
        [_, 0] => Ok(()),
        _ => Err(ProxyFault::SignInRefused),
    }
}

fn request(target: &Target) -> Vec<u8> {
    let mut message = vec![VERSION, 1, 0];
    match target.address() {
        Some(IpAddr::V4(address)) => {
            message.push(1);
            message.extend(address.octets());
        }
        Some(IpAddr::V6(address)) => {
            message.push(4);
            message.extend(address.octets());
        }
        None => {
            // A host name has at most 253 bytes.
            let name = target.host().as_bytes();
            message.push(3);
            message.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            message.extend(name);
        }
    }
    message.extend(target.port().to_be_bytes());
    message
}

/// RFC 1928, section 6.
fn refusal(reply: u8) -> ProxyFault {
    let reach = |detail: &str| ProxyFault::CannotReach {
        detail: format!("{detail} (SOCKS {reply})"),
        retry_after: None,
    };
    match reply {
        1 => reach("a general failure"),
        2 => ProxyFault::Denied("its rules forbid it (SOCKS 2)".into()),
        3 => reach("the network is unreachable"),
        4 => reach("the host is unreachable, or its name is unknown there"),
        5 => reach("the connection was refused"),
        6 => reach("the time ran out on the way"),
        7 => ProxyFault::Denied("it does not make connections (SOCKS 7)".into()),
        8 => ProxyFault::Denied("it takes no address of this kind (SOCKS 8)".into()),
        _ => ProxyFault::Broken(format!("it gave a reason nobody knows (SOCKS {reply})")),
    }
}

fn check_version(version: u8) -> Result<(), ProxyFault> {
    if version == VERSION { Ok(()) } else { Err(ProxyFault::Broken("its answer is no SOCKS 5".into())) }
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), ProxyFault> {
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    written.await.map_err(|error| broke(&error))
}

async fn read<S: AsyncRead + Unpin, const N: usize>(stream: &mut S) -> Result<[u8; N], ProxyFault> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(|error| broke(&error))?;
    Ok(bytes)
}

fn broke(error: &io::Error) -> ProxyFault {
    ProxyFault::Broken(if error.kind() == io::ErrorKind::UnexpectedEof {
        "it hung up in the middle of its answer".into()
    } else {
        format!("the connection broke: {error}")
    })
}
