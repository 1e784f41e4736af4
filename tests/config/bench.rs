//! A home folder with a configuration in it.

use std::path::{Path, PathBuf};

use holdline::config::{Config, Environment, Problem, Sources, load, render};
use tempfile::TempDir;

/// A home folder that ends with the test.
pub(crate) struct Home(TempDir);

impl Home {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// One whose configuration is `text`.
    pub(crate) fn with(text: &str) -> Self {
        let home = Self::new();
        home.write(text.as_bytes());
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join(".config/holdline/config.toml")
    }

    /// Writes the configuration.
    pub(crate) fn write(&self, text: &[u8]) {
        self.file(".config/holdline/config.toml", text);
    }

    /// Writes a file with mode 0600.
    pub(crate) fn file(&self, name: &str, text: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        std::fs::write(&path, text).expect("a file can be written");
        #[cfg(unix)]
        mode(&path, 0o600);
        path
    }

    pub(crate) fn sources(&self) -> Sources {
        self.sources_with(&[])
    }

    /// With these variables set.
    pub(crate) fn sources_with(&self, variables: &[(&str, &str)]) -> Sources {
        Sources {
            environment: Environment {
                home: Some(self.path().to_owned()),
                current_dir: self.path().to_owned(),
                variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
                ..Environment::default()
            },
            ..Sources::default()
        }
    }

    /// Loads it and shows why it cannot be.
    pub(crate) fn load(&self) -> Result<Config, Vec<Problem>> {
        load(&self.sources())
    }

    /// Everything that is wrong with it, as people read it.
    pub(crate) fn refusal(&self) -> String {
        self.rendered(&self.load().expect_err("this configuration is to be refused"))
    }

    pub(crate) fn rendered(&self, problems: &[Problem]) -> String {
        render(problems, Some(self.path()))
    }
}

/// What the configuration means.
pub(crate) fn loaded(text: &str) -> Config {
    let home = Home::with(text);
    home.load().unwrap_or_else(|problems| panic!("{}", home.rendered(&problems)))
}

/// A configuration with a server, and `rest`.
pub(crate) fn with_server(rest: &str) -> String {
    format!("server.url = \"wss://api.example.com/socket\"\n{rest}")
}

#[cfg(unix)]
pub(crate) fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode can be set");
}
