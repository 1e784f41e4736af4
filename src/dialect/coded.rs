//! The dialects that are code, since no file can say them.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Dialect, Problem, socketio};

/// Makes the dialect, with `server.vars`.
type Load = fn(&Map<String, Value>) -> Result<Arc<dyn Dialect>, Vec<Problem>>;

/// A dialect in code that comes with the program.
#[derive(Debug, Clone, Copy)]
pub struct Coded {
    /// What `server.dialect` says.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// A configuration to begin with, all it can be told among it.
    pub text: &'static str,
    load: Load,
}

const ALL: [Coded; 1] = [Coded {
    name: socketio::NAME,
    about: socketio::ABOUT,
    text: include_str!("socketio/example.toml"),
    load: socketio::load,
}];

/// All of them.
#[must_use]
pub const fn list() -> &'static [Coded] {
    &ALL
}

/// The one of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Coded> {
    ALL.iter().find(|dialect| dialect.name == name)
}

impl Coded {
    /// The dialect, with `server.vars`.
    ///
    /// # Errors
    /// Everything that is wrong with `vars`.
    pub fn load(&self, vars: &Map<String, Value>) -> Result<Arc<dyn Dialect>, Vec<Problem>> {
        (self.load)(vars)
    }
}
