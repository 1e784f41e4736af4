//! The dialects that come with the program, as files within it.

/// A dialect that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// What `server.dialect` says.
    pub name: &'static str,
    /// The file itself.
    pub text: &'static str,
}

const ALL: [BuiltIn; 7] = [
    BuiltIn { name: "json", text: include_str!("json.toml") },
    BuiltIn { name: "holdline", text: include_str!("holdline.toml") },
    BuiltIn { name: "text", text: include_str!("text.toml") },
    BuiltIn { name: "graphql-ws", text: include_str!("graphql-ws.toml") },
    BuiltIn { name: "actioncable", text: include_str!("actioncable.toml") },
    BuiltIn { name: "nchan", text: include_str!("nchan.toml") },
    BuiltIn { name: "home-assistant", text: include_str!("home-assistant.toml") },
];

/// All of them; the default comes first.
#[must_use]
pub const fn list() -> &'static [BuiltIn] {
    &ALL
}

/// The one of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static BuiltIn> {
    ALL.iter().find(|dialect| dialect.name == name)
}

impl BuiltIn {
    /// One line for people: the file's `about`.
    #[must_use]
    pub fn about(&self) -> String {
        let about = toml::from_str::<toml::Table>(self.text).ok();
        let about = about.and_then(|file| file.get("about")?.as_str().map(str::to_owned));
        about.unwrap_or_default()
    }
}
