//! What the library's errors and the server's close frames mean.

use std::io;

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

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
        Error::Io(error) => (lost(words(&error)), None),
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

/// What a close frame of the server says.
pub(super) fn of_close(frame: Option<CloseFrame>, quoter: &Quoter) -> Failure {
    let Some(frame) = frame else {
        return Failure::Closed { code: NO_CODE, reason: String::new(), ruled: None, repeated_policy: false };
    };
    let code = u16::from(frame.code);
    // The library puts this in place of a code that must not be on the wire, and answers it so.
    if code == 1002 && frame.reason.as_str() == "Protocol violation" {
        return Failure::Protocol { detail: "its close frame carries a code that must not be sent".into() };
    }
    Failure::Closed { code, reason: quoter.quote(&frame.reason), ruled: None, repeated_policy: false }
}

fn lost(detail: String) -> Failure {
    Failure::Lost { detail }
}

/// An end without notice is an end; its words (TLS has long ones) would only frighten.
fn words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof { String::new() } else { error.to_string() }
}
