//! A secret that can be found again, however it is spelled.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// How every canary begins. Nothing else in a test may be called so.
pub const MARK: &str = "HLCANARY";

/// A canary that is spelled differently raw, percent-encoded and in base64, and can be sent in every
/// way there is (in a sub-protocol's name, too).
pub const TOKEN: &str = "HLCANARY.7f3b!1c+9e~5d2a&4860";

/// Finds canaries in whatever is left behind.
pub struct Hunt {
    spellings: Vec<(&'static str, Vec<u8>)>,
    /// What was found so far: where, and in which spelling.
    pub hits: Vec<String>,
}

impl Hunt {
    /// Looks for everything that begins like a canary.
    pub fn new() -> Self {
        let mut spellings = vec![
            ("raw", MARK.as_bytes().to_vec()),
            ("percent", percent(TOKEN, b"").into_bytes()),
            ("percent but for what need not be", percent(TOKEN, b".!~").into_bytes()),
            ("hex", hex(MARK).into_bytes()),
            ("upper hex", hex(MARK).to_uppercase().into_bytes()),
            (
                "percent of every byte",
                MARK.bytes().map(|b| format!("%{b:02X}")).collect::<String>().into_bytes(),
            ),
            ("reversed", MARK.bytes().rev().collect()),
            ("UTF-16", MARK.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            (
                "list of numbers",
                format!("{:?}", MARK.as_bytes()).trim_matches(['[', ']']).as_bytes().to_vec(),
            ),
        ];
        for before in 0..3 {
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                // In base64 it depends on what stands before; what is around it does not count.
                let text = engine.encode([&vec![0; before], MARK.as_bytes()].concat());
                let begins = (before * 8).div_ceil(6);
                let ends = (before + MARK.len()) * 8 / 6;
                spellings.push(("base64", text.as_bytes()[begins..ends].to_vec()));
            }
        }
        Self { spellings, hits: Vec::new() }
    }

    /// Looks through `bytes`.
    pub fn through(&mut self, place: &str, bytes: &[u8]) {
        for (spelling, needle) in &self.spellings {
            if let Some(at) = find(bytes, needle) {
                let around = &bytes[at.saturating_sub(80)..(at + 80).min(bytes.len())];
                self.hits.push(format!("{place} ({spelling}): …{}…", String::from_utf8_lossy(around)));
            }
        }
    }

    /// Looks through every file below `folder` but those with these names.
    pub fn through_folder(&mut self, folder: &Path, but: &[&str]) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            if but.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            self.through("a file's name", path.as_os_str().as_encoded_bytes());
            if kind.is_dir() {
                self.through_folder(&path, but);
            } else if kind.is_file() {
                // One that is just being replaced is looked at by its new name.
                let Ok(bytes) = std::fs::read(&path) else { continue };
                self.through(&path.display().to_string(), &bytes);
            }
        }
    }

    /// Fails the test where anything was found.
    pub fn found_nothing(&self) {
        assert!(self.hits.is_empty(), "secrets leaked:\n{}", self.hits.join("\n"));
    }
}

/// How often `needle` stands in `bytes`.
pub fn count(bytes: &[u8], needle: &[u8]) -> usize {
    let (mut from, mut count) = (0, 0);
    while let Some(at) = find(&bytes[from..], needle) {
        count += 1;
        from += at + 1;
    }
    count
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}

/// `text` percent-encoded, but for letters, digits and `plain`.
pub fn percent(text: &str, plain: &[u8]) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
