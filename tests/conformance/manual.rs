//! Every dialect has a section in `docs/servers.md`, and the configuration shown there works.

use std::fs;
use std::path::Path;

use holdline::config::{Environment, Sources, load, render};
use holdline::dialect::Options;

use crate::folders::subjects;

/// The section of `name`, without its heading.
fn section<'m>(manual: &'m str, name: &str) -> Option<&'m str> {
    let (_, behind) = manual.split_once(&format!("\n### {name}\n"))?;
    let end = ["\n## ", "\n### "].iter().filter_map(|heading| behind.find(heading)).min();
    Some(&behind[..end.unwrap_or(behind.len())])
}

fn configuration(section: &str) -> Option<&str> {
    let (_, behind) = section.split_once("```toml\n")?;
    Some(behind.split_once("```")?.0)
}

#[test]
fn every_dialect_has_a_section_in_the_manual_with_a_configuration_that_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(root.join("docs/servers.md")).unwrap();
    for subject in subjects() {
        let name = &subject.name;
        let in_examples = subject.folder.starts_with(root.join("examples"));
        let Some(section) = section(&manual, name) else {
            assert!(!in_examples, "docs/servers.md has no section `### {name}`");
            continue;
        };
        let Some(written) = configuration(section) else {
            assert!(!in_examples, "the section of {name} in docs/servers.md shows no configuration");
            continue;
        };
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".config/holdline/config.toml");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        // Files are named from where the project lies; tokens need not be there.
        let examples = format!("{}/examples/", root.display());
        fs::write(&file, written.replace("\"examples/", &format!("\"{examples}"))).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let environment = Environment {
            home: Some(home.path().to_owned()),
            current_dir: home.path().to_owned(),
            ..Environment::default()
        };
        let config = load(&Sources { environment, ..Sources::default() })
            .unwrap_or_else(|problems| panic!("{name}: {}", render(&problems, Some(home.path()))));
        let shown: toml::Table = toml::from_str(written).unwrap();
        let server = &shown["server"];
        let reference = server.get("dialect").and_then(toml::Value::as_str).unwrap_or("json");
        assert!(
            reference == name || reference == format!("examples/dialects/{name}/dialect.toml"),
            "the section of {name} configures {reference}"
        );
        let vars = server.get("vars").map(|vars| serde_json::to_value(vars).unwrap());
        let vars = vars.and_then(|vars| vars.as_object().cloned()).unwrap_or_default();
        let loaded = holdline::dialect::load(reference, root, &vars, &Options::default());
        assert!(loaded.is_ok(), "{name}: {loaded:?}");
        drop(config);
    }
}
