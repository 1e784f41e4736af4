//! The README keeps its word: its programs are the ones under `examples/`, and its links lead
//! somewhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn every_example_stands_in_the_readme_as_it_is() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut examples = files_below(&root().join("examples"));
    // Dialects are no programs, and stand in docs/servers.md.
    examples.retain(|example| !example.starts_with(root().join("examples/dialects")));
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        let text = fs::read_to_string(&example).unwrap();
        assert!(readme.contains(&format!("\n{text}```\n")), "{} differs", example.display());
        let name = example.strip_prefix(root()).unwrap().display().to_string();
        assert!(readme.contains(&format!("({name})")), "{name} is not named");
    }
}

#[test]
fn every_link_within_the_project_leads_to_a_file() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let dead: Vec<_> = links.filter(|link| !link.contains("://") && !root().join(link).exists()).collect();
    assert!(dead.is_empty(), "no such files: {dead:?}");
}
