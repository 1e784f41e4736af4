//! What it takes to bring a changed key into effect.

/// What a reload does with a changed key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It holds from the answer on; what is queued keeps what was stamped on it.
    Live,
    /// The link is made anew for it.
    Reconnect,
    /// It waits for a restart.
    Restart,
}

/// Keys that need more than a reload, by how they begin; all others are live.
const MORE: &[(&str, Effect)] = &[
    ("server.", Effect::Reconnect),
    ("auth.", Effect::Reconnect),
    // Bound, opened or begun once, at the start.
    ("store.", Effect::Restart),
    ("ipc.", Effect::Restart),
    ("log.format", Effect::Restart),
    ("metrics.", Effect::Restart),
    ("profile", Effect::Restart),
    ("config", Effect::Restart),
    ("state_dir", Effect::Restart),
    ("socket", Effect::Restart),
];

/// What a reload does where `key` (`outbox.window`) has changed.
#[must_use]
pub fn effect(key: &str) -> Effect {
    MORE.iter().find(|(begin, _)| key.starts_with(begin)).map_or(Effect::Live, |(_, effect)| *effect)
}
