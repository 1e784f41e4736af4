//! Text that must never be seen.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroize as _;

/// A credential. Prints as `***`, has no serde, and is wiped when dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes `text` as a secret. It is copied into memory of just its size, and what held it before
    /// is wiped: making a longer buffer fit would leave the text behind in memory that is given back.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let mut text: String = text.into();
        let secret = Self(SecretString::from(Box::<str>::from(text.as_str())));
        text.zeroize();
        secret
    }

    /// The text itself. Each call is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

/// Stands for a value that is not to be printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Veiled;

impl fmt::Debug for Veiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Names of values that may be secret, as a map to be printed: the values are `***`.
#[must_use]
pub fn veiled<'n>(names: impl IntoIterator<Item = &'n str>) -> BTreeMap<&'n str, Veiled> {
    names.into_iter().map(|name| (name, Veiled)).collect()
}
