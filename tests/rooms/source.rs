//! Rust source as far as the house rules need it: code without comments, strings and tests, and
//! the paths it names.

use std::path::{Path, PathBuf};

/// One file of `src`, taken apart.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to `src`, with forward slashes.
    pub(crate) path: String,
    /// Names of the modules down to this file: `["store", "writer"]`; empty for `lib.rs`.
    pub(crate) module: Vec<String>,
    /// Lines outside tests.
    pub(crate) lines: usize,
    /// The code: comments are gone, strings are empty, items under `#[cfg(test)]` are gone.
    pub(crate) code: String,
    /// What stood in the strings of that code.
    pub(crate) strings: Vec<String>,
}

impl Source {
    /// Takes `text` apart as the file `path` (relative to `src`).
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, strings) = strip(text);
        let mut module: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            module.pop();
        }
        Self { path: path.to_owned(), module, lines: code.lines().count(), code, strings }
    }

    /// The room the file belongs to; none for `lib.rs` and `main.rs`.
    pub(crate) fn room(&self) -> Option<&str> {
        self.module.first().map(String::as_str)
    }

    /// Top-level modules of this crate that the code names, by `crate::` or by `super::` chains
    /// that climb out of the room.
    pub(crate) fn rooms_named(&self) -> Vec<String> {
        let mut named = Vec::new();
        for at in starts(&self.code, "crate") {
            if let Some(rest) = self.code[at..].strip_prefix("crate::") {
                named.extend(heads(rest));
            }
        }
        for at in starts(&self.code, "super") {
            if self.code[..at].ends_with("super::") {
                continue;
            }
            let mut rest = &self.code[at..];
            let mut climbed = 0;
            while let Some(next) = rest.strip_prefix("super::") {
                rest = next;
                climbed += 1;
            }
            if climbed > 0 && climbed >= self.module.len() {
                named.extend(heads(rest));
            }
        }
        named
    }

    /// Whether the code names the outside crate `name` (`name::…`, or `use name;`).
    pub(crate) fn names_crate(&self, name: &str) -> bool {
        starts(&self.code, name).any(|at| {
            let before = &self.code[..at];
            let after = &self.code[at + name.len()..];
            let own = before.ends_with("::") && !before.ends_with(" ::") || before.ends_with('.');
            let import = before.trim_end().ends_with("use") && after.starts_with([';', ' ']);
            !own && (after.starts_with("::") || import)
        })
    }
}

/// Every file under `src` that is no test.
pub(crate) fn sources(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    collect(root, &mut files);
    files.sort();
    let mut sources: Vec<Source> = Vec::new();
    for file in files {
        let path = file.strip_prefix(root).expect("found below it").to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(&file).expect("a source file is readable");
        sources.push(Source::new(&path, &text));
    }
    // Unit tests beside their module (`tests.rs`, or a folder `tests`).
    sources.retain(|source| !source.module.iter().any(|name| name == "tests"));
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Where `word` stands as a word of its own.
fn starts<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .filter(move |(at, _)| !code[..*at].ends_with(part) && !code[at + word.len()..].starts_with(part))
        .map(|(at, _)| at)
}

/// The first names of a path or of a group of paths: `a::b` → a; `{a::b, c}` → a, c.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.trim_start().strip_prefix('{') else { return vec![name(path)] };
    let mut heads = vec![name(group)];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(name(&group[at + 1..])),
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// Code without comments, with empty strings and without tests; and the strings.
fn strip(text: &str) -> (String, Vec<String>) {
    let (code, strings) = lex(text);
    let mut kept = String::with_capacity(code.len());
    let mut kept_strings = Vec::new();
    let mut next_string = 0;
    let mut rest = code.as_str();
    let mut take = |piece: &str, keep: bool| {
        let count = piece.matches("\"\"").count();
        if keep {
            kept.push_str(piece);
            kept_strings.extend_from_slice(&strings[next_string..next_string + count]);
        }
        next_string += count;
    };
    while let Some(at) = ["#[cfg(test", "#[cfg(all(test"].iter().filter_map(|mark| rest.find(mark)).min() {
        take(&rest[..at], true);
        let item = &rest[at..];
        let length = item_length(item);
        take(&item[..length], false);
        rest = &item[length..];
    }
    take(rest, true);
    (kept, kept_strings)
}

/// Length of the item at the beginning of `code`: through its `;` or its braces.
fn item_length(code: &str) -> usize {
    let mut depth = 0_u32;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Removes comments and empties strings (each stays as `""`); character literals become `' '`.
fn lex(text: &str) -> (String, Vec<String>) {
    let mut code = String::with_capacity(text.len());
    let mut strings = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let used = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment_length(rest)
        } else if let Some((length, content)) = raw_string(rest, &code).or_else(|| plain_string(rest)) {
            strings.push(content);
            code.push_str("\"\"");
            length
        } else if let Some(length) = character(rest) {
            code.push_str("' '");
            length
        } else {
            code.push(c);
            c.len_utf8()
        };
        rest = &rest[used..];
    }
    (code, strings)
}

fn comment_length(text: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 && at < text.len() {
        if text[at..].starts_with("/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if text[at..].starts_with("*/") {
            (at, depth) = (at + 2, depth - 1);
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn plain_string(text: &str) -> Option<(usize, String)> {
    let body = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some((at + 2, body[..at].to_owned())),
            _ => {}
        }
    }
    Some((text.len(), body.to_owned()))
}

fn raw_string(text: &str, before: &str) -> Option<(usize, String)> {
    if before.ends_with(|c: char| (c.is_alphanumeric() || c == '_') && c != 'b') {
        return None;
    }
    let rest = text.strip_prefix('r')?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end)?;
    Some((1 + hashes + 1 + length + end.len(), body[..length].to_owned()))
}

/// A character literal, not a lifetime.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    if let Some(escape) = body.strip_prefix('\\') {
        return escape.get(1..)?.find('\'').map(|at| at + 4);
    }
    let c = body.chars().next()?;
    body[c.len_utf8()..].starts_with('\'').then(|| 2 + c.len_utf8())
}
