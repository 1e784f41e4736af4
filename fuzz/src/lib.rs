//! What the targets share: a session played from a script, with everything looked at that comes of it.

pub mod file;
mod play;

pub use play::{Bounds, play};
