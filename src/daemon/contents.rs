//! What stands in the files that the configuration names: part of it, as far as a reload goes.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::{Config, DialectChoice};

/// A number for each such file, by the key that names it. For comparing only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents(BTreeMap<String, Option<u64>>);

impl Contents {
    /// Reads the files. One that cannot be read is for others to complain of. The token's file is
    /// watched and is none of them.
    pub(super) fn of(config: &Config) -> Self {
        let files = files(config).into_iter();
        Self(files.map(|(key, path)| (key, digest(&path))).collect())
    }

    /// The keys that name a file with another content than before.
    pub(super) fn changed<'a>(&'a self, newer: &'a Self) -> impl Iterator<Item = &'a str> {
        let other =
            |(key, content): &(&String, &Option<u64>)| newer.0.get(*key).is_some_and(|now| now != *content);
        self.0.iter().filter(other).map(|(key, _)| key.as_str())
    }
}

fn files(config: &Config) -> Vec<(String, PathBuf)> {
    let base = config.places.config.parent().unwrap_or_else(|| Path::new("."));
    let mut files = Vec::new();
    let mut add = |key: &str, path: &Path| files.push((key.to_owned(), base.join(path)));
    if let DialectChoice::File(path) = &config.server.dialect {
        add("server.dialect", path);
    }
    for entry in config.entries.iter().filter(|entry| entry.name == "schema") {
        // Written as TOML, whose texts JSON can read.
        let path = entry.value.as_deref().and_then(|path| serde_json::from_str::<String>(path).ok());
        if let Some(path) = path {
            add(&entry.key(), Path::new(&path));
        }
    }
    if let Some(path) = &config.server.tls.ca_file {
        add("server.tls.ca_file", path);
    }
    if let Some(client) = &config.server.tls.client {
        add("server.tls.client_cert", &client.certificate);
        add("server.tls.client_key", &client.key);
    }
    files
}

fn digest(path: &Path) -> Option<u64> {
    let mut file = std::fs::File::open(path).ok()?;
    let mut hasher = DefaultHasher::new();
    // In small pieces: one of the files is a private key, and no copy of it is to lie around.
    let mut piece = [0; 512];
    loop {
        match file.read(&mut piece).ok()? {
            0 => return Some(hasher.finish()),
            read => hasher.write(&piece[..read]),
        }
    }
}
