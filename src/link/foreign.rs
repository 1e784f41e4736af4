//! Text of the server on its way into messages for people: cleaned, cut, and without secrets.
//!
//! Servers like to repeat what they were sent ("invalid token abc"), so whatever is quoted is
//! searched for the credential first.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::auth::QUERY_TEXT;
use crate::model::{Secret, misleads};

/// Longest text of the server that is quoted, in bytes.
pub(super) const QUOTE_MAX: usize = 256;

/// Secrets shorter than this are not searched for: hiding "a" would hide half the text.
const SECRET_MIN: usize = 4;

/// Quotes the server without the secrets it was sent.
#[derive(Clone, Default)]
pub(super) struct Quoter {
    /// Every spelling of every secret, the longest first.
    spellings: Vec<Secret>,
}

impl Quoter {
    /// Hides these secrets, however they are spelled (as they are, percent-encoded, in base64).
    pub(super) fn hiding<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut spellings = Vec::new();
        for secret in secrets {
            if secret.len() < SECRET_MIN {
                continue;
            }
            spellings.push(secret.to_owned());
            spellings.push(utf8_percent_encode(secret, QUERY_TEXT).to_string());
            spellings.push(utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string());
            spellings.push(STANDARD.encode(secret));
            spellings.push(STANDARD_NO_PAD.encode(secret));
            spellings.push(URL_SAFE_NO_PAD.encode(secret));
        }
        spellings.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        spellings.dedup();
        Self { spellings: spellings.into_iter().map(Secret::new).collect() }
    }

    /// `text` on one line: secrets hidden, control and direction characters as spaces, white
    /// space runs as one space, cut at [`QUOTE_MAX`] bytes.
    pub(super) fn quote(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.spellings {
            if text.contains(secret.expose()) {
                text = text.replace(secret.expose(), "***");
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

/// Hides a secret that the end of the text cuts off.
fn cut_beginning_of(secret: &str, text: &mut String) {
    let cut = (SECRET_MIN..secret.len())
        .rev()
        .find(|&len| secret.is_char_boundary(len) && text.ends_with(&secret[..len]));
    if let Some(len) = cut {
        text.truncate(text.len() - len);
        text.push_str("***");
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
