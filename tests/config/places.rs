//! Where things are, and who counts before whom.

use std::path::{Path, PathBuf};

use holdline::config::{Environment, Origin, Platform, Problem, Sources, load, locate, show};

use super::bench::{Home, with_server};

fn on(platform: Platform, variables: &[(&str, &str)]) -> Sources {
    Sources {
        environment: Environment {
            home: Some("/home/kim".into()),
            current_dir: "/elsewhere".into(),
            platform,
            variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            user: "S-1-5-21".to_owned(),
            ..Environment::default()
        },
        ..Sources::default()
    }
}

fn at(path: &str) -> PathBuf {
    path.into()
}

#[test]
fn linux_has_xdg_folders() {
    let places = locate(&on(Platform::Linux, &[("XDG_RUNTIME_DIR", "/run/user/7")])).expect("located");
    assert_eq!(places.config, at("/home/kim/.config/holdline/config.toml"));
    assert_eq!(places.state_dir, at("/home/kim/.local/state/holdline"));
    assert_eq!(places.database, at("/home/kim/.local/state/holdline/default.db"));
    assert_eq!(places.lock, at("/home/kim/.local/state/holdline/default.lock"));
    assert_eq!(places.socket, at("/run/user/7/holdline/default.sock"));

    let xdg = [("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "/s")];
    let places = locate(&on(Platform::Linux, &xdg)).expect("located");
    assert_eq!(places.config, at("/c/holdline/config.toml"));
    assert_eq!(places.socket, at("/s/holdline/run/default.sock"), "never /tmp");
}

#[test]
fn without_a_runtime_folder_that_of_the_user_is_taken_where_it_is_safe() {
    let mut sources = on(Platform::Linux, &[]);
    sources.environment.run_user = Some("/run/user/7".into());
    assert_eq!(locate(&sources).expect("located").socket, at("/run/user/7/holdline/default.sock"));
}

#[test]
fn relative_and_empty_xdg_folders_do_not_count() {
    let xdg = [("XDG_CONFIG_HOME", "c"), ("XDG_STATE_HOME", ""), ("XDG_RUNTIME_DIR", "run")];
    let places = locate(&on(Platform::Linux, &xdg)).expect("located");
    assert_eq!(places.config, at("/home/kim/.config/holdline/config.toml"));
    assert_eq!(places.socket, at("/home/kim/.local/state/holdline/run/default.sock"));
}

#[test]
fn macos_keeps_everything_in_application_support() {
    let places = locate(&on(Platform::MacOs, &[("XDG_CONFIG_HOME", "/c")])).expect("located");
    let folder = Path::new("/home/kim/Library/Application Support/holdline");
    assert_eq!(places.config, folder.join("config.toml"));
    assert_eq!(places.database, folder.join("default.db"));
    assert_eq!(places.socket, folder.join("default.sock"));
}

#[test]
fn windows_has_appdata_and_a_pipe_of_the_user() {
    let places =
        locate(&on(Platform::Windows, &[("APPDATA", "/r"), ("LOCALAPPDATA", "/l")])).expect("located");
    assert_eq!(places.config, at("/r/holdline/config.toml"));
    assert_eq!(places.database, at("/l/holdline/default.db"));
    assert_eq!(places.socket, at(r"\\.\pipe\holdline-S-1-5-21-default"));
}

#[test]
fn on_windows_a_socket_is_a_pipe_of_this_machine_and_nothing_else() {
    for name in [r"\\.\pipe\mine", r"\\.\PIPE\holdline-x"] {
        let places = locate(&on(Platform::Windows, &[("HOLDLINE_SOCKET", name)])).expect(name);
        assert_eq!(places.socket, at(name));
    }
    let others = [
        // As long as the beginning of a good one.
        "\\\\a\\pipe\\mine",
        r"\\server\pipe\mine",
        r"\\.\pipe\",
        r"\\.\pipe\a\b",
        "//./pipe/mine",
        r"C:\mine",
        "mine",
        "ääääääää",
    ];
    for name in others {
        let problem = locate(&on(Platform::Windows, &[("HOLDLINE_SOCKET", name)])).expect_err(name);
        assert_eq!((problem.code, problem.exit), ("bad_path", 78), "{name}");
        let sources = Sources { socket: Some(name.into()), ..on(Platform::Windows, &[]) };
        assert!(locate(&sources).is_err(), "--socket {name}");
    }
}

#[test]
fn on_windows_nobody_has_a_pipe_that_names_no_user() {
    let mut sources = on(Platform::Windows, &[]);
    sources.environment.user = String::new();
    assert_eq!(locate(&sources).expect_err("whose").code, "no_user");
    sources.socket = Some(r"\\.\pipe\mine".into());
    assert!(locate(&sources).is_ok(), "a name that was given needs none");
}

#[test]
fn on_windows_a_profile_is_no_device() {
    for name in ["nul", "CON", "com1", "Lpt9.x", "aux.work"] {
        let mut sources = on(Platform::Windows, &[]);
        sources.profile = Some(name.to_owned());
        assert_eq!(locate(&sources).expect_err(name).code, "bad_profile");
        sources.environment.platform = Platform::Linux;
        assert!(locate(&sources).is_ok(), "{name} is a name like any other elsewhere");
    }
    for name in ["console", "com", "com12", "nul1", "work"] {
        let mut sources = on(Platform::Windows, &[]);
        sources.profile = Some(name.to_owned());
        assert!(locate(&sources).is_ok(), "{name}");
    }
}

#[test]
fn a_macos_socket_path_that_is_too_long_is_refused_before_anything_is_made() {
    let mut sources = on(Platform::MacOs, &[]);
    let longest = 103 - "/Library/Application Support/holdline/default.sock".len();
    sources.environment.home = Some(format!("/{}", "h".repeat(longest - 1)).into());
    assert!(locate(&sources).is_ok());
    sources.environment.home = Some(format!("/{}", "h".repeat(longest)).into());
    let problem = locate(&sources).expect_err("too long");
    assert_eq!((problem.code, problem.exit), ("bad_path", 78));
    assert!(problem.hint.contains("HOLDLINE_SOCKET"), "{problem:?}");
}

#[test]
fn a_profile_has_files_of_its_own() {
    let mut sources = on(Platform::Linux, &[("HOLDLINE_PROFILE", "work"), ("XDG_RUNTIME_DIR", "/r")]);
    let places = locate(&sources).expect("located");
    assert_eq!(places.config, at("/home/kim/.config/holdline/work.toml"));
    assert_eq!(places.database, at("/home/kim/.local/state/holdline/work.db"));
    assert_eq!(places.socket, at("/r/holdline/work.sock"));

    sources.profile = Some("play".to_owned());
    assert_eq!(locate(&sources).expect("located").profile, "play", "the flag goes first");
}

#[test]
fn a_profile_name_is_never_a_path() {
    let long = "a".repeat(65);
    for name in ["", "a/b", "..", ".x", "-x", "a b", "ä", "a\0", "a\\b", "config", &long] {
        let mut sources = on(Platform::Linux, &[]);
        sources.profile = Some(name.to_owned());
        let problem = locate(&sources).expect_err(name);
        assert_eq!((problem.code, problem.exit), ("bad_profile", 78), "{name}");
    }
    for name in ["a", "work", "W0rk_2.b-c", "1", &long[..64]] {
        let mut sources = on(Platform::Linux, &[]);
        sources.profile = Some(name.to_owned());
        assert!(locate(&sources).is_ok(), "{name}");
    }
}

#[test]
fn flags_go_before_variables_and_variables_before_what_is_usual() {
    let mut sources = on(
        Platform::Linux,
        &[
            ("HOLDLINE_CONFIG", "/e/c.toml"),
            ("HOLDLINE_SOCKET", "/e/s.sock"),
            ("HOLDLINE_STATE_DIR", "state"),
        ],
    );
    let places = locate(&sources).expect("located");
    assert_eq!((places.config, places.socket), (at("/e/c.toml"), at("/e/s.sock")));
    assert_eq!(places.database, at("/elsewhere/state/default.db"), "relative to where we are");

    sources.config = Some("c.toml".into());
    sources.socket = Some("/f/s.sock".into());
    let places = locate(&sources).expect("located");
    assert_eq!((places.config, places.socket), (at("/elsewhere/c.toml"), at("/f/s.sock")));
}

#[test]
fn a_socket_path_that_cannot_be_bound_is_told_before() {
    let long = format!("/run/{}/s.sock", "x".repeat(100));
    let problem = locate(&on(Platform::Linux, &[("HOLDLINE_SOCKET", &long)])).expect_err("too long");
    assert_eq!((problem.code, problem.exit), ("bad_path", 78));
    assert!(problem.message.contains("112 bytes long, this system takes 107"), "{}", problem.message);
    let fits = format!("/{}", "x".repeat(106));
    assert!(locate(&on(Platform::Linux, &[("HOLDLINE_SOCKET", &fits)])).is_ok());
}

#[test]
fn without_a_home_the_variables_are_named_that_help() {
    let mut sources = on(Platform::Linux, &[]);
    sources.environment.home = None;
    let problem: Problem = locate(&sources).expect_err("nowhere");
    assert_eq!((problem.code, problem.exit), ("no_home", 78));
    let all = [("HOLDLINE_CONFIG", "/c.toml"), ("HOLDLINE_STATE_DIR", "/s")];
    let mut sources = on(Platform::Linux, &all);
    sources.environment.home = None;
    assert_eq!(locate(&sources).expect("located").socket, at("/s/run/default.sock"));
}

#[test]
fn the_environment_goes_before_the_file() {
    let home = Home::with(&with_server("[store]\npath = \"/elsewhere/mine.db\"\n[log]\nlevel = \"warn\"\n"));
    let config = home.load().expect("loaded");
    assert_eq!(config.places.database, at("/elsewhere/mine.db"));
    assert_eq!(config.places.lock, at("/elsewhere/mine.lock"));
    assert_eq!(config.log.level, "warn");

    let variables = [("HOLDLINE_STATE_DIR", "/given"), ("HOLDLINE_LOG", "debug")];
    let config = load(&home.sources_with(&variables)).expect("loaded");
    assert_eq!(config.places.database, at("/given/default.db"));
    assert_eq!(config.log.level, "debug");
    let origin = |key: &str| config.entries.iter().find(|it| it.key() == key).map(|it| it.origin.clone());
    assert_eq!(origin("store.path"), Some(Origin::Environment("HOLDLINE_STATE_DIR")));
    assert_eq!(origin("log.level"), Some(Origin::Environment("HOLDLINE_LOG")));
    assert_eq!(origin("server.url"), Some(Origin::File { line: 1 }));
    assert_eq!(origin("outbox.window"), Some(Origin::Default));
    let shown = show(&config, true);
    let line = shown.lines().find(|line| line.starts_with("path = ")).expect("shown");
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>().join(" "),
        "path = \"/given/default.db\" # HOLDLINE_STATE_DIR"
    );
}

#[test]
fn a_variable_that_means_nothing_is_refused_by_its_name() {
    let home = Home::with(&with_server(""));
    let problems = load(&home.sources_with(&[("HOLDLINE_LOG", "loud")])).expect_err("refused");
    assert_eq!(problems[0].message, "HOLDLINE_LOG: this is no log level");
    assert_eq!(problems[0].exit, 78);
}

#[cfg(unix)]
#[test]
fn a_path_need_not_be_utf8() {
    use std::os::unix::ffi::OsStringExt;
    let odd = std::ffi::OsString::from_vec(b"/caf\xe9".to_vec());
    let mut sources = on(Platform::Linux, &[]);
    sources.environment.variables.insert("HOLDLINE_STATE_DIR".into(), odd.clone());
    let places = locate(&sources).expect("located");
    assert_eq!(places.database, Path::new(&odd).join("default.db"));
}
