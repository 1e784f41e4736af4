//! What goes over every line measured: 256 bytes of JSON that carry their number.

use std::io::Write as _;

use memchr::memmem;

/// Bytes of one message's data.
pub(crate) const BYTES: usize = 256;
/// What fills it up.
const PAD: [u8; BYTES] = [b'x'; BYTES];

/// Writes the data of message `n`.
pub(crate) fn write_body(out: &mut Vec<u8>, n: u64) {
    let begin = out.len();
    let _ = write!(out, r#"{{"n":{n},"pad":""#);
    let used = out.len() - begin + 2;
    out.extend_from_slice(&PAD[..BYTES.saturating_sub(used)]);
    out.extend_from_slice(b"\"}");
}

/// The data of message `n`.
pub(crate) fn body(n: u64) -> String {
    let mut out = Vec::with_capacity(BYTES);
    write_body(&mut out, n);
    String::from_utf8(out).expect("ASCII")
}

/// The number that follows `name` in a text, which is all a far side wants of it.
pub(crate) fn number_after(text: &[u8], name: &memmem::Finder<'_>) -> Option<u64> {
    let begin = name.find(text)? + name.needle().len();
    let digits = text[begin..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number: Option<u64>, digit| Some(number.unwrap_or(0) * 10 + u64::from(digit - b'0')))
}

/// Finds the number of a message in its data.
pub(crate) fn finder() -> memmem::Finder<'static> {
    memmem::Finder::new(br#""n":"#)
}
