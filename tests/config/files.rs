//! Files that are not trusted, and files that are no configuration.

use std::path::Path;

use holdline::config::{MAX_FILE, Problem};

use super::bench::{Home, with_server};

fn told(problems: &[Problem]) -> Vec<(&str, u8, &str)> {
    problems.iter().map(|it| (it.code, it.exit, it.message.as_str())).collect()
}

#[test]
fn p13_no_file_is_told_with_how_to_get_one() {
    let home = Home::new();
    assert_eq!(
        home.refusal(),
        "error: there is no configuration\n --> ~/.config/holdline/config.toml\n hint: `holdline config init --url wss://api.example.com/socket` writes one"
    );
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let home = Home::with("");
    let file = std::fs::File::options().write(true).open(home.config()).expect("opened");
    // A hole: 1 GiB that takes no room.
    file.set_len(1 << 30).expect("long");
    let problems = home.load().expect_err("refused");
    assert_eq!(told(&problems), [("too_large", 78, "the configuration is larger than 1 MiB")]);

    file.set_len(MAX_FILE).expect("shorter");
    assert_eq!(home.load().expect_err("zeros are no TOML")[0].code, "syntax");
}

#[test]
fn a_file_full_of_mistakes_is_told_in_bounds() {
    let mut text = String::new();
    while text.len() < 1_000_000 {
        text.push_str(&format!("k{} = \"x\"\n", text.len()));
    }
    let problems = Home::with(&text).load().expect_err("refused");
    assert_eq!(problems.len(), 26);
    assert!(
        problems[25].message.starts_with("and ")
            && problems[25].message.ends_with(" more problems in this file")
    );

    let problems = Home::with(&"= ".repeat(500_000)).load().expect_err("refused");
    assert_eq!(problems.len(), 1);
    let problems = Home::with(&"[\n".repeat(30_000)).load().expect_err("refused");
    assert_eq!(problems.len(), 25);
    let deep = format!("a = {}", "[".repeat(900_000));
    assert!(Home::with(&deep).load().is_err());
    let many: String = (0..1_100).map(|n| format!("[types.t{n}]\n")).collect();
    let problems = Home::with(&with_server(&many)).load().expect_err("refused");
    assert_eq!(told(&problems), [("bad_value", 78, "`types` has too many tables")]);
}

#[test]
fn text_that_is_no_utf8_is_refused_with_its_place() {
    let home = Home::new();
    home.write(b"[server]\nurl = \"wss://h\xff/\"\n");
    assert_eq!(
        home.refusal(),
        "error: the configuration is not UTF-8 text\n --> ~/.config/holdline/config.toml:2:15\n hint: save the file as UTF-8"
    );
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
    let home = Home::new();
    home.write("\u{feff}[server]\r\nurl = \"wss://h/\"\r\nbad = 1\r\n".as_bytes());
    assert_eq!(
        home.refusal(),
        "error: unknown key `server.bad`\n --> ~/.config/holdline/config.toml:3:1\n  |\n3 | bad = 1\n  | ^^^ known here: `url`, `allow_plaintext`, `dialect`, `subprotocols`, `headers`, `connect_timeout`, `vars`, `max_message`, `proxy`, `tls`"
    );
}

/// Modes and owners. The owner can be changed only by root; without root that half is left out.
#[cfg(unix)]
mod modes {
    use std::os::unix::fs::{chown, symlink};

    use holdline::config::{check_private_dir, check_secret_file, ensure_closed_dir, ensure_private_dir};

    use super::super::bench::mode;
    use super::{Home, Path, told, with_server};

    /// Somebody else.
    const STRANGER: u32 = 54_321;

    fn give_away(path: &Path) -> bool {
        chown(path, Some(STRANGER), None).is_ok()
    }

    fn is_root() -> bool {
        use std::os::unix::fs::MetadataExt;
        Path::new("/proc/self").metadata().is_ok_and(|meta| meta.uid() == 0)
    }

    #[test]
    fn a_configuration_that_others_can_change_is_refused() {
        for (bits, fine) in [
            (0o600, true),
            (0o400, true),
            (0o644, true),
            (0o640, true),
            (0o660, false),
            (0o606, false),
            (0o666, false),
        ] {
            let home = Home::with(&with_server(""));
            mode(&home.config(), bits);
            let loaded = home.load();
            assert_eq!(loaded.is_ok(), fine, "{bits:o}");
            if let Err(problems) = loaded {
                let message = format!("other users can change this file (mode {bits:04o})");
                assert_eq!(told(&problems), [("unsafe", 77, message.as_str())]);
                assert_eq!(problems[0].hint, format!("chmod go-w {}", home.config().display()));
            }
        }
    }

    #[test]
    fn a_configuration_of_somebody_else_is_refused() {
        let home = Home::with(&with_server(""));
        if give_away(&home.config()) {
            let problems = home.load().expect_err("refused");
            assert_eq!((problems[0].code, problems[0].exit), ("unsafe", 77));
            assert!(problems[0].message.contains("belongs to another user (uid 54321, we are 0)"));
        }
    }

    #[test]
    fn a_folder_in_which_others_can_exchange_the_file_is_refused() {
        for (bits, fine) in [(0o700, true), (0o755, true), (0o775, false), (0o777, false), (0o1777, true)] {
            let home = Home::with(&with_server(""));
            mode(home.config().parent().expect("a folder"), bits);
            let loaded = home.load();
            assert_eq!(loaded.is_ok(), fine, "{bits:o}");
            if let Err(problems) = loaded {
                assert_eq!((problems[0].code, problems[0].exit), ("unsafe", 77));
                assert!(
                    problems[0].message.starts_with("other users can replace this file"),
                    "{}",
                    problems[0].message
                );
            }
        }
    }

    #[test]
    fn a_configuration_that_is_no_file_is_refused_and_nobody_waits_for_it() {
        let home = Home::new();
        std::fs::create_dir_all(home.config()).expect("a folder");
        let message = "the configuration is a regular file, this is a folder";
        assert_eq!(told(&home.load().expect_err("refused")), [("unsafe", 77, message)]);

        let home = Home::with("");
        std::fs::remove_file(home.config()).expect("removed");
        assert!(
            std::process::Command::new("mkfifo").arg(home.config()).status().is_ok_and(|it| it.success())
        );
        let message = "the configuration is a regular file, this is a named pipe";
        assert_eq!(told(&home.load().expect_err("refused")), [("unsafe", 77, message)]);

        let home = Home::with("");
        std::fs::remove_file(home.config()).expect("removed");
        let _held = std::os::unix::net::UnixListener::bind(home.config()).expect("a socket");
        let message = "the configuration is a regular file, this is a socket";
        assert_eq!(told(&home.load().expect_err("refused")), [("unsafe", 77, message)]);
    }

    #[test]
    fn a_configuration_may_be_a_link_and_its_target_is_judged() {
        let home = Home::with("");
        let target = home.file("dotfiles/config.toml", with_server("").as_bytes());
        std::fs::remove_file(home.config()).expect("removed");
        symlink(&target, home.config()).expect("linked");
        assert!(home.load().is_ok());
        mode(target.parent().expect("a folder"), 0o777);
        assert_eq!(home.load().expect_err("refused")[0].exit, 77);
    }

    #[test]
    fn a_token_file_that_others_can_read_is_refused() {
        for (bits, fine) in
            [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o644, false), (0o620, false)]
        {
            let home = Home::with(&with_server("auth.token_file = \"token\"\n"));
            let token = home.file(".config/holdline/token", b"CANARY\n");
            mode(&token, bits);
            let loaded = home.load();
            assert_eq!(loaded.is_ok(), fine, "{bits:o}");
            if let Err(problems) = loaded {
                let message = format!("other users have access to this secret file (mode {bits:04o})");
                assert_eq!(told(&problems), [("unsafe", 77, message.as_str())]);
                assert_eq!(problems[0].hint, format!("chmod 600 {}", token.display()));
                assert_eq!(
                    (problems[0].file.as_deref(), problems[0].key.as_deref()),
                    (Some(token.as_path()), Some("auth.token_file"))
                );
            }
        }
    }

    #[test]
    fn a_secret_is_a_file_of_ours_in_a_folder_of_ours() {
        let home = Home::new();
        let secret = home.file("s/secret", b"x");
        assert!(check_secret_file(&secret).is_ok());
        assert!(check_secret_file(&home.path().join("s/none")).is_ok(), "it may come later");

        let open = home.path().join("open");
        std::fs::create_dir(&open).expect("a folder");
        mode(&open, 0o777);
        let target = home.file("open/secret", b"x");
        let link = home.path().join("s/link");
        symlink(&target, &link).expect("linked");
        assert_eq!(
            check_secret_file(&link).map_err(|it| it.exit),
            Err(77),
            "a link into a folder of everybody"
        );

        let pipe = home.path().join("s/pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|it| it.success()));
        mode(&pipe, 0o600);
        let refused = check_secret_file(&pipe).expect_err("refused, not waited for");
        assert_eq!(refused.message, "a secret is read from a regular file, this is a named pipe");
        assert_eq!(check_secret_file(home.path()).map_err(|it| it.exit), Err(77));
        if give_away(&secret) {
            assert_eq!(check_secret_file(&secret).map_err(|it| it.exit), Err(77));
        }
    }

    #[test]
    fn a_key_file_is_a_secret_too() {
        let home =
            Home::with(&with_server("server.tls = { client_cert = \"c.pem\", client_key = \"k.pem\" }\n"));
        home.file(".config/holdline/c.pem", b"");
        let key = home.file(".config/holdline/k.pem", b"");
        assert!(home.load().is_ok());
        mode(&key, 0o644);
        assert_eq!(home.load().expect_err("refused")[0].exit, 77);
    }

    #[test]
    fn folders_are_made_private_and_unsafe_ones_refused() {
        use std::os::unix::fs::PermissionsExt;
        let home = Home::new();
        let path = home.path().join("a/b/c");
        ensure_private_dir(&path).expect("made");
        for made in [&path, &home.path().join("a/b"), &home.path().join("a")] {
            assert_eq!(made.metadata().expect("there").permissions().mode() & 0o7777, 0o700);
        }
        for (bits, private, closed) in [
            (0o700, true, true),
            (0o755, true, false),
            (0o711, true, false),
            (0o770, false, false),
            (0o702, false, false),
            (0o1777, false, false),
        ] {
            mode(&path, bits);
            assert_eq!(check_private_dir(&path).is_ok(), private, "{bits:o}");
            assert_eq!(ensure_private_dir(&path).is_ok(), private, "{bits:o}");
            assert_eq!(ensure_closed_dir(&path).is_ok(), closed, "{bits:o}");
        }
        mode(&path, 0o700);
        let link = home.path().join("link");
        symlink(&path, &link).expect("linked");
        let refused = ensure_private_dir(&link).expect_err("refused");
        assert_eq!(
            (refused.exit, refused.message.as_str()),
            (77, "this folder is a symbolic link, which could be turned elsewhere")
        );
        let file = home.file("file", b"");
        assert_eq!(ensure_private_dir(&file).map_err(|it| it.exit), Err(77));
        assert_eq!(check_private_dir(&home.path().join("none")).map_err(|it| it.exit), Err(77));
        if give_away(&path) {
            let refused = ensure_private_dir(&path).expect_err("refused");
            assert!(refused.message.contains("belongs to another user"), "{}", refused.message);
            assert_eq!(refused.exit, 77);
        } else {
            assert!(!is_root());
        }
    }
}
