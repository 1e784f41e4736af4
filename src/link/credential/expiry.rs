//! When a credential expires by its own word: the `exp` of a JSON Web Token (RFC 7519).
//!
//! Nothing is verified, for nothing is believed but the date, and that only to spare the server an
//! attempt. Whatever is no such token has no date.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::model::{Secret, Timestamp};

/// Longest middle part that is looked at, in characters. A token with more in it would not fit
/// into a header.
const CLAIMS_MAX: usize = 16 * 1024;

#[derive(Deserialize)]
struct Claims {
    exp: f64,
}

/// The moment from which the credential is no longer good, where it says so.
#[must_use]
pub fn expires_at(credential: &Secret) -> Option<Timestamp> {
    let mut parts = credential.expose().split('.');
    let (Some(head), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    if head.is_empty() || claims.len() > CLAIMS_MAX {
        return None;
    }
    // Wiped when dropped, as the token itself.
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?).ok()?;
    let claims = Secret::new(claims);
    let Claims { exp } = serde_json::from_str(claims.expose()).ok()?;
    // A year of five digits is a way to say never.
    const LATEST: f64 = 253_402_300_799.0;
    if !(0.0..=LATEST).contains(&exp) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "between 1970 and 9999 it fits")]
    Some(Timestamp::from_millis((exp * 1000.0) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(claims: &str) -> Secret {
        Secret::new(format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims)))
    }

    #[test]
    fn the_date_of_a_web_token_is_read() {
        let at = |claims| expires_at(&token(claims)).map(Timestamp::as_millis);
        assert_eq!(at(r#"{"sub":"kim","exp":1795680000,"aud":["a"]}"#), Some(1_795_680_000_000));
        assert_eq!(at(r#"{"exp":1795680000.5}"#), Some(1_795_680_000_500));
        assert_eq!(at(r#"{"exp":0}"#), Some(0));
    }

    #[test]
    fn what_is_no_web_token_has_no_date() {
        let long = format!(r#"{{"exp":1,"pad":"{}"}}"#, "x".repeat(CLAIMS_MAX));
        for claims in [
            "{}",
            "",
            "[]",
            "no json",
            r#"{"exp":"tomorrow"}"#,
            r#"{"exp":null}"#,
            r#"{"exp":-1}"#,
            r#"{"exp":1e300}"#,
            r#"{"exp":99999999999999}"#,
            &"[".repeat(10_000),
            &long,
        ] {
            assert_eq!(expires_at(&token(claims)), None, "{claims:.40}");
        }
        for text in
            ["", "plain-token", "a.b", "a.b.c", "a.b.c.d", "..", ".eyJleHAiOjF9.", "\u{20ac}.\u{20ac}.x"]
        {
            assert_eq!(expires_at(&Secret::new(text)), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_credential_is_it_does_not_panic(text in "\\PC{0,80}", claims in "\\PC{0,80}") {
            let _ = expires_at(&Secret::new(text));
            let _ = expires_at(&token(&claims));
        }
    }
}
