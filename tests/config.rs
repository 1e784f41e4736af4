//! The configuration as people write it: what is taken, what is refused and in which words, who
//! counts before whom, and which files are not trusted.

#[path = "config/bench.rs"]
mod bench;
#[path = "config/files.rs"]
mod files;
#[path = "config/manual.rs"]
mod manual;
#[path = "config/meaning.rs"]
mod meaning;
#[path = "config/places.rs"]
mod places;
#[path = "config/refusals.rs"]
mod refusals;
#[path = "config/reload.rs"]
mod reload;
#[path = "config/schemas.rs"]
mod schemas;
#[path = "config/services.rs"]
mod services;
#[path = "config/verbs.rs"]
mod verbs;
