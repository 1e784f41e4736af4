//! What the packages are said to hold is there, and what is laid out for them is packed.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

#[allow(dead_code, unreachable_pub, reason = "these tests need a part of it")]
#[path = "support/needs.rs"]
mod needs;

const TREE: &str = env!("CARGO_MANIFEST_DIR");
/// Where the metadata looks.
const STAGE: &str = "target/package/";
/// Laid out for the tools, not for the package.
const FOR_TOOLS: &[&str] = &["changelog.debian", "copyright"];

/// A file of a package: where it is taken from, and its mode.
type Files = BTreeMap<String, (String, u32)>;

fn staged() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ended = Command::new(Path::new(TREE).join("packaging/stage"))
        .args([env!("CARGO_BIN_EXE_holdline"), &folder.path().join("root").display().to_string()])
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    folder
}

fn metadata() -> toml::Table {
    let manifest: toml::Table =
        fs::read_to_string(Path::new(TREE).join("Cargo.toml")).unwrap().parse().unwrap();
    manifest["package"]["metadata"].as_table().unwrap().clone()
}

/// What both tools would pack, by where it goes.
fn packed(root: &Path, assets: &[(String, String, String)]) -> Files {
    let mut files = Files::new();
    for (source, to, mode) in assets {
        let pattern = source.strip_prefix(STAGE).unwrap_or_else(|| panic!("{source} is not laid out"));
        let found = matching(root, pattern);
        assert!(!found.is_empty(), "nothing is laid out as {source}");
        for file in found {
            let name = file.file_name().unwrap().to_str().unwrap();
            let to = to.trim_start_matches('/');
            let to = if to.ends_with('/') { format!("{to}{name}") } else { to.to_owned() };
            let from = file.strip_prefix(root).unwrap().display().to_string();
            let before = files.insert(to.clone(), (from, u32::from_str_radix(mode, 8).unwrap()));
            assert!(before.is_none(), "{to} is packed twice");
        }
    }
    files
}

/// Files, never folders, that a pattern with a `*` in its last part stands for.
fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let path = root.join(pattern);
    let last = path.file_name().unwrap().to_str().unwrap();
    let Some((begin, end)) = last.split_once('*') else {
        return Vec::from_iter(path.is_file().then_some(path));
    };
    let entries = fs::read_dir(path.parent().unwrap()).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| path.is_file());
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
    };
    files.filter(fits).collect()
}

fn deb(root: &Path) -> Files {
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let assets = metadata()["deb"]["assets"].as_array().unwrap().clone();
    let assets: Vec<_> =
        assets.iter().map(|asset| (text(&asset[0]), text(&asset[1]), text(&asset[2]))).collect();
    packed(root, &assets)
}

fn rpm(root: &Path) -> Files {
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let assets = metadata()["generate-rpm"]["assets"].as_array().unwrap().clone();
    let assets: Vec<_> = assets
        .iter()
        .map(|asset| (text(&asset["source"]), text(&asset["dest"]), text(&asset["mode"])))
        .collect();
    packed(root, &assets)
}

/// What a kind of package holds at least. (Its licence Debian has from elsewhere.)
fn wanted(kind: &str) -> Vec<String> {
    let list = fs::read_to_string(Path::new(TREE).join("packaging/wanted")).unwrap();
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| line.split_once(' ').unwrap_or_else(|| panic!("what is {line:?}?")));
    let lines = lines.inspect(|(of, _)| assert!(["both", "deb", "rpm"].contains(of), "what is {of:?}?"));
    let ours = lines.filter(|(of, _)| *of == "both" || *of == kind).map(|(_, path)| path.to_owned());
    ours.filter(|path| !path.ends_with("/copyright")).collect()
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { walk(&entry.path(), into) } else { into.push(entry.path()) }
    }
}

#[test]
fn the_packages_hold_all_that_is_laid_out_and_nothing_that_is_not() {
    let folder = staged();
    let root = folder.path().join("root");
    let (deb, rpm) = (deb(&root), rpm(&root));
    let mut laid_out = Vec::new();
    walk(&root, &mut laid_out);
    for file in laid_out {
        let from = file.strip_prefix(&root).unwrap().display().to_string();
        if FOR_TOOLS.contains(&from.as_str()) {
            continue;
        }
        // Debian has the licences in `copyright`, the other one as files.
        let licence = from.contains("/LICENSE-");
        assert!(licence || deb.values().any(|(source, _)| *source == from), "{from} is in no deb");
        assert!(rpm.values().any(|(source, _)| *source == from), "{from} is in no rpm");
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        for (to, (source, packed)) in deb.iter().chain(&rpm) {
            assert!(*source != from || mode == *packed, "{to} is packed as {packed:o}, laid out as {mode:o}");
        }
    }
    for (kind, files) in [("deb", &deb), ("rpm", &rpm)] {
        for wanted in wanted(kind) {
            assert!(files.contains_key(&wanted), "no {kind} would hold {wanted}");
        }
        // Nothing is anybody's configuration, and nothing is put where users keep theirs.
        assert!(files.keys().all(|name| name.starts_with("usr/")), "{files:?}");
    }
    assert_eq!(metadata()["deb"]["license-file"][0].as_str(), Some("target/package/copyright"));
}

#[test]
fn packaged_units_start_the_packaged_program() {
    let folder = staged();
    let units = folder.path().join("root/usr/lib/systemd/user");
    let mut names: Vec<_> = fs::read_dir(&units).unwrap().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let shipped = fs::read_dir(Path::new(TREE).join("systemd")).unwrap().flatten();
    let mut wanted: Vec<_> = shipped
        .map(|entry| entry.file_name())
        .filter(|name| !name.to_string_lossy().ends_with(".conf"))
        .collect();
    wanted.sort();
    assert_eq!(names, wanted);
    for name in names {
        let packaged = fs::read_to_string(units.join(&name)).unwrap();
        let shipped = fs::read_to_string(Path::new(TREE).join("systemd").join(&name)).unwrap();
        let name = name.to_string_lossy().into_owned();
        if name.ends_with(".service") {
            assert!(packaged.contains("\nExecStart=/usr/bin/holdline run"), "{name}: {packaged}");
        }
        assert!(!packaged.contains(".cargo") && !packaged.contains("mkdir"), "{name}: {packaged}");
        // Nothing else is another.
        let settings = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| line.replace("=/usr/bin/", "=%h/.cargo/bin/")).collect::<Vec<_>>()
        };
        assert_eq!(settings(&packaged), settings(&shipped), "{name}");
    }
}

#[test]
fn version_and_licence_are_those_of_the_program() {
    let folder = staged();
    let root = folder.path().join("root");
    let changes = fs::read_to_string(root.join("changelog.debian")).unwrap();
    assert!(changes.starts_with(&format!("holdline ({}-1) ", env!("CARGO_PKG_VERSION"))), "{changes}");
    let metadata = metadata();
    let maintainer = metadata["deb"]["maintainer"].as_str().unwrap();
    assert!(changes.contains(&format!(" -- {maintainer}  ")), "{changes}");
    assert_eq!(metadata["deb"]["changelog"].as_str(), Some("target/package/changelog.debian"));

    assert_eq!(env!("CARGO_PKG_LICENSE"), "MIT OR Apache-2.0");
    let copyright = fs::read_to_string(root.join("copyright")).unwrap();
    let mit = fs::read_to_string(Path::new(TREE).join("LICENSE-MIT")).unwrap();
    assert!(copyright.contains("License: MIT or Apache-2.0"), "{copyright}");
    for line in mit.lines().skip(4).filter(|line| !line.is_empty()) {
        assert!(copyright.contains(&format!("\n {line}\n")), "the licence lacks: {line}");
    }
    let holder = mit.lines().find_map(|line| line.strip_prefix("Copyright (c) ")).unwrap();
    assert!(copyright.contains(&format!("Copyright: {holder}")), "{holder}");
    assert!(fs::read_to_string(Path::new(TREE).join("LICENSE-APACHE")).unwrap().contains("Version 2.0"));
}

#[test]
fn the_program_shows_the_version_that_is_packed() {
    let said = Command::new(env!("CARGO_BIN_EXE_holdline")).arg("--version").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.split_whitespace().nth(1), Some(env!("CARGO_PKG_VERSION")), "{said}");
}

#[test]
fn what_a_package_lacks_is_named() {
    const GONE: [&str; 4] = [
        "usr/lib/systemd/user/holdline.socket",
        "usr/share/man/man1/holdline-ctl-send.1.gz",
        "usr/share/man/man1/holdline-dialect.1.gz",
        "usr/share/fish/vendor_completions.d/holdline.fish",
    ];
    if !needs::programs(&["dpkg-deb", "tar"]) {
        return;
    }
    let folder = staged();
    let root = folder.path().join("root");
    // Where it is counts here, and not what is in it.
    fs::write(root.join("usr/bin/holdline"), "").unwrap();
    let tree = folder.path().join("tree");
    let run = |program: &str, arguments: &[&Path]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (to, (from, _)) in deb(&root) {
        fs::create_dir_all(tree.join(&to).parent().unwrap()).unwrap();
        fs::copy(root.join(from), tree.join(to)).unwrap();
    }
    fs::copy(root.join("copyright"), tree.join("usr/share/doc/holdline/copyright")).unwrap();
    fs::create_dir(tree.join("DEBIAN")).unwrap();
    let control =
        "Package: holdline\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x.invalid>\nDescription: x\n";
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let package = folder.path().join("try.deb");
    let check = || {
        let words: [&Path; 4] = ["-Znone".as_ref(), "-b".as_ref(), &tree, &package];
        let (good, said) = run("dpkg-deb", &words);
        assert!(good, "{said}");
        run(&format!("{TREE}/packaging/check"), &[&root, &package])
    };
    assert_eq!(check(), (true, String::new()));
    for gone in GONE {
        let kept = folder.path().join("kept");
        fs::rename(tree.join(gone), &kept).unwrap();
        assert_eq!(check(), (false, format!("try.deb lacks /{gone}\n")));
        fs::rename(&kept, tree.join(gone)).unwrap();
    }
    // What was not even laid out is missed all the same.
    fs::remove_file(root.join(GONE[0])).unwrap();
    fs::remove_file(tree.join(GONE[0])).unwrap();
    assert_eq!(check(), (false, format!("try.deb lacks /{}\n", GONE[0])));
}
