//! Files and programs.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::{Complaint, Kind, List, Text, Visible, quote, text};
use crate::config::paths::Environment;

/// The path of a file. `~/` is the home folder, relative ones begin beside the configuration.
pub(in crate::config) struct FilePath<'e> {
    pub(in crate::config) env: &'e Environment,
    pub(in crate::config) base: &'e Path,
}

impl Kind for FilePath<'_> {
    type Value = PathBuf;

    fn name(&self) -> Cow<'static, str> {
        "a path".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it in quotes".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<PathBuf, Complaint> {
        let text = text(value)?;
        if text.is_empty() || text.contains('\0') {
            return Err(Complaint::value("this is no path", "leave the key out, or name a file"));
        }
        self.env.expand(text, self.base).ok_or_else(|| {
            Complaint::value(
                "`~` cannot be expanded: no home folder is known",
                "set HOME, or write the whole path",
            )
        })
    }

    fn show(&self, value: &PathBuf) -> String {
        quote(&value.to_string_lossy())
    }
}

/// A command and its arguments, which are never shown.
pub(in crate::config) struct Command;

/// Most words of a command.
const MAX_WORDS: usize = 64;

impl Kind for Command {
    type Value = Vec<String>;

    fn name(&self) -> Cow<'static, str> {
        "a list of texts".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write program and arguments one by one: [\"pass\", \"show\", \"api\"]".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Complaint> {
        let words = Text { visible: Visible::All, name: "text", check: |_| Ok(()) };
        let command = List { of: "texts", item: words, length: 1..=MAX_WORDS }.read(value)?;
        match command.first() {
            Some(program) if !program.is_empty() => Ok(command),
            _ => Err(Complaint::value("the program's name is empty", self.example())),
        }
    }

    fn show(&self, value: &Vec<String>) -> String {
        let words = value.iter().enumerate();
        let shown = words.map(|(index, word)| if index == 0 { quote(word) } else { "\"***\"".to_owned() });
        format!("[{}]", shown.collect::<Vec<_>>().join(", "))
    }

    fn visible(&self) -> Visible {
        Visible::First
    }
}
