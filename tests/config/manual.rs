//! The manual and the program say the same.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use holdline::config::{KeyDoc, reference};
use holdline::model::LinkState;

use super::bench::{Home, with_server};

fn manual(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(manual(name)).expect("the manual is there")
}

/// The table of a section, as it stands in the manual.
fn table(keys: &[&KeyDoc]) -> String {
    let mut out = "| key | what is written | default | meaning |\n|---|---|---|---|\n".to_owned();
    for key in keys {
        let default = match key.default.as_str() {
            "" | "none" => "–".to_owned(),
            "required" => "required".to_owned(),
            said if said.contains('`') || said.contains(' ') && !said.starts_with(['"', '[', '{']) => {
                said.to_owned()
            }
            value => format!("`{value}`"),
        };
        let meaning = key.meaning.replace('|', "\\|");
        let _ = writeln!(out, "| `{}` | {} | {default} | {meaning} |", key.name, key.kind);
    }
    out
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = reference().iter().map(|key| key.section.as_str()).collect();
    sections.dedup();
    sections
}

/// With `UPDATE_DOCS=1` the tables are written anew.
#[test]
fn the_tables_of_keys_in_the_manual_are_those_of_the_program() {
    let mut manual_text = text("config.md");
    for section in sections() {
        let keys: Vec<_> = reference().iter().filter(|key| key.section == section).collect();
        let (open, close) = (format!("<!-- keys of {section} -->\n"), "<!-- end -->");
        let from = manual_text.find(&open).unwrap_or_else(|| panic!("the manual lacks {open}")) + open.len();
        let to = from + manual_text[from..].find(close).expect("the table has an end");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            manual_text.replace_range(from..to, &table(&keys));
        } else {
            assert_eq!(&manual_text[from..to], table(&keys), "run the test with UPDATE_DOCS=1");
        }
    }
    assert_eq!(manual_text.matches("<!-- keys of ").count(), sections().len(), "a table of no section");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(manual("config.md"), manual_text).expect("written");
    }
}

#[test]
fn every_key_says_what_it_means() {
    for key in reference() {
        assert!(key.meaning.len() > 10 && key.meaning.ends_with(['.', '…']), "{}.{}", key.section, key.name);
    }
}

#[test]
fn every_example_in_the_manual_is_a_configuration() {
    let mut seen = 0;
    for name in ["config.md", "operating.md", "notifications.md"] {
        let text = text(name);
        for block in text.split("```toml\n").skip(1) {
            let example = block.split("```").next().expect("the block has an end");
            let whole = if example.contains("url = ") { example.to_owned() } else { with_server(example) };
            let home = Home::with(&whole);
            // What the examples name.
            for file in ["dialects/mine.toml", "company-ca.pem", "me.pem", "me.key"] {
                home.file(&format!(".config/holdline/{file}"), b"");
            }
            home.file(".config/holdline/schemas/order_status.json", b"{}");
            if let Err(problems) = home.load() {
                panic!("{name}: {}\nin\n{whole}", home.rendered(&problems));
            }
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen} examples");
}

#[test]
fn the_manual_explains_every_state_and_every_exit_code() {
    let text = text("operating.md");
    for state in LinkState::ALL {
        assert!(text.contains(&format!("| `{}` |", state.as_str())), "{}", state.as_str());
    }
    for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 70, 74, 75, 77, 78] {
        assert!(text.contains(&format!("| {code} |")), "exit code {code}");
    }
}
