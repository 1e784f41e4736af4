//! How much is logged, and of whom.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Where our own lines come from. Targets are compared by their beginnings: with the colons, no
/// other name begins so.
const OURS: &str = "holdline::";

/// The filter for what was asked for. Only we ourselves may be heard below `info`: other libraries'
/// `debug` and `trace` lines hold headers and frames, and so credentials. That holds for those we
/// have never heard of as well.
pub(super) fn of(asked: &str) -> Result<Targets, String> {
    let asked: Targets =
        asked.parse().map_err(|error| format!("`{asked}` is no log level or filter: {error}"))?;
    let everything = asked.default_level().unwrap_or(LevelFilter::OFF);
    let filter = Targets::new().with_default(capped(everything)).with_target(OURS, everything);
    Ok(asked.iter().fold(filter, |filter, (target, level)| match target {
        "holdline" => filter.with_target(OURS, level),
        ours if ours.starts_with(OURS) => filter.with_target(ours, level),
        other => filter.with_target(other, capped(level)),
    }))
}

fn capped(level: LevelFilter) -> LevelFilter {
    level.min(LevelFilter::INFO)
}
