//! What the configuration says of a type of message or event: `[types."…"]`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::json::Pointer;
use super::{Confirm, Delivery, Payload, Resend};

/// A glob over type names: `*` stands for any text, `?` for one character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeGlob(String);

impl TypeGlob {
    /// Takes `text` as a glob. Every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The glob as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `kind` fits. Linear in practice: only the last star is ever taken back.
    #[must_use]
    pub fn matches(&self, kind: &str) -> bool {
        let pattern: &[u8] = self.0.as_bytes();
        let text = kind.as_bytes();
        let (mut p, mut t) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(b'?') => {
                    p += 1;
                    t += 1;
                    while t < text.len() && !kind.is_char_boundary(t) {
                        t += 1;
                    }
                }
                Some(byte) if *byte == text[t] => {
                    p += 1;
                    t += 1;
                }
                _ => {
                    let Some((star_p, star_t)) = star else {
                        return false;
                    };
                    p = star_p + 1;
                    t = star_t + 1;
                    star = Some((star_p, t));
                }
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

/// Judges the bodies of events; made once, when the configuration is read.
pub trait Judge: Send + Sync + fmt::Debug {
    /// What is wrong with a body; none where it fits.
    fn misfit(&self, payload: &Payload) -> Option<Misfit>;
}

/// Why a body does not fit its schema: the first thing that was found, without any of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// JSON Pointer to the value that does not fit; empty for the body as a whole.
    pub pointer: String,
    /// The keyword of the schema that says so.
    pub keyword: String,
    /// What it says.
    pub sentence: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "the data" } else { &self.pointer };
        write!(f, "{pointer} ({}): {}", self.keyword, self.sentence)
    }
}

/// What is said of the types that fit one glob. The first fitting entry applies whole.
#[derive(Debug, Clone)]
pub struct TypeRule {
    /// Which types.
    pub glob: TypeGlob,
    /// Class, both directions.
    pub delivery: Delivery,
    /// Where in `data` the key stands.
    pub key: Option<Pointer>,
    /// Outbound TTL where the sender names none.
    pub ttl: Option<Duration>,
    /// Outbound lane where the sender names none.
    pub lane: Option<Arc<str>>,
    /// What confirms; none: `[outbox] confirm`.
    pub confirm: Option<Confirm>,
    /// What a lost link does to one that was on the wire.
    pub resend: Resend,
    /// What bodies of inbound events have to be like.
    pub schema: Option<Arc<dyn Judge>>,
}

/// All type rules, in file order.
#[derive(Debug, Clone, Default)]
pub struct TypeRules(pub Vec<TypeRule>);

impl TypeRules {
    /// The rule for `kind`, if any.
    #[must_use]
    pub fn find(&self, kind: &str) -> Option<&TypeRule> {
        self.0.iter().find(|rule| rule.glob.matches(kind))
    }

    /// The class of `kind`.
    #[must_use]
    pub fn delivery(&self, kind: &str) -> Delivery {
        self.find(kind).map_or(Delivery::Durable, |rule| rule.delivery)
    }
}

impl TypeRule {
    /// The key within `payload`: strings as they are, numbers and booleans by their JSON text.
    /// None where it is absent or anything else.
    #[must_use]
    pub fn key_of(&self, payload: &Payload) -> Option<String> {
        let Payload::Json(json) = payload else {
            return None;
        };
        let text = self.key.as_ref()?.find(json)?;
        match text.as_bytes().first()? {
            b'"' => serde_json::from_str(text).ok(),
            b'{' | b'[' | b'n' => None,
            _ => Some(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TypeGlob;

    #[test]
    fn a_glob_matches_whole_names() {
        for (glob, kind, fits) in [
            ("typing", "typing", true),
            ("typing", "typing2", false),
            ("order_*", "order_status", true),
            ("order_*", "order_", true),
            ("*_status", "order_status", true),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("?x", "äx", true),
            ("*", "", true),
            ("", "", true),
        ] {
            assert_eq!(TypeGlob::new(glob).matches(kind), fits, "{glob} on {kind}");
        }
    }
}
