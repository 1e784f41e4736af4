//! Text of the server on its way into messages for people: cleaned, cut, and without secrets.
//!
//! Servers like to repeat what they were sent ("invalid token abc"), so whatever is quoted is
//! searched for the credential first.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::auth::QUERY_TEXT;
use crate::model::{Frame, Secret, misleads};

/// Longest text of the server that is quoted, in bytes.
pub(super) const QUOTE_MAX: usize = 256;

/// Secrets shorter than this are not searched for: hiding "a" would hide half the text.
const SECRET_MIN: usize = 4;

/// Secrets shorter than this are not searched for in frames: they could be words, and frames are what
/// apps rely on.
const SECRET_IN_FRAME_MIN: usize = 16;

/// Parts of a header's value shorter than this are not searched for by themselves: they are words.
const PART_MIN: usize = 8;

/// What stands in a frame in place of a secret.
const STARS: &str = "***";

/// Quotes the server without the secrets it was sent.
#[derive(Clone, Default)]
pub(super) struct Quoter {
    /// Every spelling of every secret, the longest first.
    spellings: Vec<Secret>,
    /// Those of secrets that went to the server and are long enough to be told from words.
    in_frames: Vec<Secret>,
}

impl Quoter {
    /// Hides these secrets, however they are spelled (as they are, percent-encoded, in base64).
    pub(super) fn hiding<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut quoter = Self::default();
        for secret in secrets {
            quoter.hide_sent(secret);
        }
        quoter
    }

    /// Hides a credential that goes to the server, in frames too.
    pub(super) fn hide_sent(&mut self, secret: &str) {
        self.hide(secret);
        if secret.len() >= SECRET_IN_FRAME_MIN {
            add_spellings(secret, &mut self.in_frames);
        }
    }

    /// Hides the value of a header a person configured, and its parts (`Bearer abc`, `a=1; b=2`). In
    /// frames only where the header's name says what it is: others hold words.
    pub(super) fn hide_header(&mut self, name: &str, value: &str) {
        const WORDS: [&str; 7] = ["auth", "cookie", "token", "key", "secret", "pass", "session"];
        let name = name.to_ascii_lowercase();
        let is_credential = WORDS.iter().any(|word| name.contains(word));
        let parts = value.split([' ', ';', ',', '=']).filter(|part| part.len() >= PART_MIN);
        for part in std::iter::once(value).chain(parts) {
            if is_credential {
                self.hide_sent(part);
            } else {
                self.hide(part);
            }
        }
    }

    /// Hides one more in what is quoted.
    pub(super) fn hide(&mut self, secret: &str) {
        if secret.len() < SECRET_MIN {
            return;
        }
        add_spellings(secret, &mut self.spellings);
    }

    /// The text of a frame without the credential: a server that sends it back would have it stored,
    /// and handed to every app.
    pub(super) fn text_frame(&self, text: &str) -> Frame {
        Frame::Text(self.without_secrets(text))
    }

    fn without_secrets(&self, text: &str) -> String {
        let Some(first) = self.in_frames.iter().find(|secret| is_in(secret, text.as_bytes())) else {
            return text.to_owned();
        };
        self.in_frames
            .iter()
            .fold(text.replace(first.expose(), STARS), |text, secret| text.replace(secret.expose(), STARS))
    }

    /// The bytes of a frame without the credential, as many as they were.
    pub(super) fn binary_frame(&self, mut bytes: Vec<u8>) -> Frame {
        for secret in &self.in_frames {
            let mut from = 0;
            while let Some(at) = memmem::find(&bytes[from..], secret.expose().as_bytes()) {
                let end = from + at + secret.expose().len();
                bytes[from + at..end].fill(b'*');
                from = end;
            }
        }
        Frame::Binary(bytes)
    }

    /// `text` on one line: secrets hidden, control and direction characters as spaces, white
    /// space runs as one space, cut at [`QUOTE_MAX`] bytes.
    pub(super) fn quote(&self, text: &str) -> String {
        let mut text = Zeroizing::new(text.to_owned());
        for secret in &self.spellings {
            if text.contains(secret.expose()) {
                text = Zeroizing::new(text.replace(secret.expose(), STARS));
            }
        }
        for secret in &self.spellings {
            cut_beginning_of(secret.expose(), &mut text);
        }
        let mut quote = String::new();
        for c in text.chars() {
            let c = if misleads(c) || c.is_whitespace() { ' ' } else { c };
            if c == ' ' && (quote.is_empty() || quote.ends_with(' ')) {
                continue;
            }
            if quote.len() + c.len_utf8() > QUOTE_MAX {
                break;
            }
            quote.push(c);
        }
        quote.truncate(quote.trim_end().len());
        quote
    }
}

fn add_spellings(secret: &str, spellings: &mut Vec<Secret>) {
    let spelled = [
        secret.to_owned(),
        utf8_percent_encode(secret, QUERY_TEXT).to_string(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
    ];
    spellings.extend(spelled.map(Secret::new));
    spellings.sort_by(|a, b| {
        let (a, b) = (a.expose(), b.expose());
        b.len().cmp(&a.len()).then_with(|| a.cmp(b))
    });
    spellings.dedup();
}

fn is_in(secret: &Secret, bytes: &[u8]) -> bool {
    memmem::find(bytes, secret.expose().as_bytes()).is_some()
}

/// Hides a secret that the end of the text cuts off.
fn cut_beginning_of(secret: &str, text: &mut String) {
    let cut = (SECRET_MIN..secret.len())
        .rev()
        .find(|&len| secret.is_char_boundary(len) && text.ends_with(&secret[..len]));
    if let Some(len) = cut {
        text.truncate(text.len() - len);
        text.push_str(STARS);
    }
}

impl fmt::Debug for Quoter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quoter({} spellings)", self.spellings.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_server_becomes_one_clean_line() {
        let quoter = Quoter::default();
        assert_eq!(quoter.quote("  a\r\n\tb\u{1b}[31mc \u{202e}d\0 "), "a b [31mc d");
        assert_eq!(quoter.quote(""), "");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let quote = Quoter::default().quote(&"\u{20ac}".repeat(1000));
        assert_eq!(quote.len(), QUOTE_MAX / 3 * 3);
    }

    #[test]
    fn a_secret_is_hidden_in_every_spelling() {
        let secret = "HL+CANARY/1 2";
        let quoter = Quoter::hiding([secret]);
        let said = format!(
            "bad {secret} or {} or {} or {}",
            utf8_percent_encode(secret, NON_ALPHANUMERIC),
            STANDARD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
        );
        assert_eq!(quoter.quote(&said), "bad *** or *** or *** or ***");
    }

    #[test]
    fn a_frame_loses_the_credential_and_nothing_else() {
        let quoter = Quoter::hiding(["HLCANARY01234567", "short"]);
        let said = r#"{"error":"HLCANARY01234567 HLCANARY0123456 short HLCANARY01234567"}"#;
        assert_eq!(quoter.without_secrets(said), r#"{"error":"*** HLCANARY0123456 short ***"}"#);
        assert_eq!(quoter.without_secrets("{}"), "{}");
        let bytes = b"\0HLCANARY01234567HLCANARY01234567\xff".to_vec();
        let stars = [&[0][..], &[b'*'; 32], &[0xff]].concat();
        assert_eq!(quoter.binary_frame(bytes), Frame::Binary(stars));
    }

    #[test]
    fn headers_are_hidden_with_their_parts_and_in_frames_where_they_are_credentials() {
        let mut quoter = Quoter::default();
        quoter.hide_header("Authorization", "Bearer HLCANARY01234567");
        quoter.hide_header("X-App", "a-dashboard-of-mine");
        let said = "HLCANARY01234567 a-dashboard-of-mine Bearer.";
        assert_eq!(quoter.quote(said), "*** *** Bearer.");
        assert_eq!(quoter.without_secrets(said), "*** a-dashboard-of-mine Bearer.");
    }

    #[test]
    fn the_beginning_of_a_secret_at_the_end_of_the_text_is_hidden() {
        let quoter = Quoter::hiding(["HLCANARY0123456789"]);
        assert_eq!(quoter.quote("invalid token HLCANARY01"), "invalid token ***");
    }

    #[test]
    fn a_secret_that_the_cut_would_split_is_hidden_first() {
        let quoter = Quoter::hiding(["HLCANARY0123456789"]);
        let said = format!("{}HLCANARY0123456789", "x".repeat(QUOTE_MAX - 5));
        assert!(!quoter.quote(&said).contains("HL"), "{}", quoter.quote(&said));
    }
}
