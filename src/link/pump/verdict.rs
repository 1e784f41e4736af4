//! What the library's errors and the server's close frames mean.

use std::io;

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::gate::Breach;
use crate::link::foreign::Quoter;
use crate::model::Failure;

/// No code was sent (RFC 6455, section 7.1.5).
const NO_CODE: u16 = 1005;

/// The failure, and the close code the server is to be told where it broke the rules.
pub(super) fn of(error: Error) -> (Failure, Option<u16>) {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => (lost(String::new()), None),
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<Breach>()) {
            Some(breach) => {
                let (failure, code) = breach.verdict();
                (failure, Some(code))
            }
            None => (lost(words(&error)), None),
        },
        Error::Protocol(fault) => (Failure::Protocol { detail: fault.to_string() }, Some(1002)),
        Error::Utf8(_) => (Failure::InvalidUtf8, Some(1007)),
        Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
            (Failure::TooLarge { limit: max_size as u64 }, Some(1009))
        }
        // Of the handshake, which is ours, or of a frame of 64 MiB.
        Error::Capacity(CapacityError::TooManyHeaders)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Tls(_)
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => (lost(error.to_string()), None),
    }
}

/// What a close frame of the server says. `seen`: the code on the wire, in whose place the library
/// puts 1002 where it does not know it.
pub(super) fn of_close(frame: Option<CloseFrame>, seen: Option<u16>, quoter: &Quoter) -> Failure {
    let Some(frame) = frame else {
        return Failure::Closed { code: NO_CODE, reason: String::new(), ruled: None, repeated_policy: false };
    };
    let told = u16::from(frame.code);
    let code = seen.unwrap_or(told);
    if !may_be_sent(code) {
        let detail = format!("its close frame carries the code {code}, which must not be sent");
        return Failure::Protocol { detail };
    }
    // The words are the library's own where the code is.
    let reason = if code == told { quoter.quote(&frame.reason) } else { String::new() };
    Failure::Closed { code, reason, ruled: None, repeated_policy: false }
}

/// Codes a close frame may carry (RFC 6455, section 7.4, and the registry it began). The library
/// knows all of them but 1014, the bad gateway's.
const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn lost(detail: String) -> Failure {
    Failure::Lost { detail }
}

/// An end without notice is an end; its words (TLS has long ones) would only frighten.
fn words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof { String::new() } else { error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the library hands it over (its own words in place of a code it does not take).
    fn received(code: u16) -> CloseFrame {
        let known = tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode::from(code);
        match known.is_allowed() {
            true => CloseFrame { code: known, reason: "bye".into() },
            false => CloseFrame { code: 1002.into(), reason: "Protocol violation".into() },
        }
    }

    #[test]
    fn each_of_all_codes_is_told_as_it_came_or_is_a_broken_protocol() {
        let quoter = Quoter::default();
        for code in 0..=u16::MAX {
            let failure = of_close(Some(received(code)), Some(code), &quoter);
            match code {
                1000..=1003 | 1007..=1013 | 3000..=4999 => {
                    let reason = "bye".to_owned();
                    let wanted = Failure::Closed { code, reason, ruled: None, repeated_policy: false };
                    assert_eq!(failure, wanted);
                }
                1014 => assert!(matches!(failure, Failure::Closed { code: 1014, .. }), "{failure:?}"),
                _ => {
                    let Failure::Protocol { detail } = failure else { panic!("{code}: {failure:?}") };
                    assert!(detail.contains(&format!("code {code},")), "{detail}");
                }
            }
        }
    }
}
