//! `[auth]`: what is shown to the server, where in the dial it goes, and where it comes from.

use std::path::PathBuf;
use std::time::Duration;

use super::warning;
use crate::config::kinds::{Command, FilePath, HEADER_NAME, OneOf, Span, Text, Visible, is_http_token};
use crate::config::section::Section;
use crate::config::{Problem, check_secret_file};

/// `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Where the credential goes.
    pub method: AuthMethod,
    /// Where it comes from.
    pub source: Option<TokenSource>,
    /// `reply` and `reply_timeout`, where one of them is set; only with
    /// [`AuthMethod::Message`] and [`AuthMethod::Default`].
    pub sign_in: Option<SignIn>,
}

/// Where the credential goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMethod {
    /// Nothing is written. Without a source: none. With one: by message where the dialect names
    /// the token, else nobody would use it, which is a problem of `auth.method`.
    Default,
    /// Nowhere.
    None,
    /// Into the query.
    Query {
        /// Name of the parameter.
        name: String,
    },
    /// Into a header.
    Header {
        /// Its name.
        name: String,
        /// Stands before the credential: `Bearer `.
        prefix: String,
    },
    /// Into `Authorization: Basic`, as the password.
    Basic {
        /// The user name.
        username: String,
    },
    /// Into a cookie.
    Cookie {
        /// Its name.
        name: String,
    },
    /// Into an entry of the sub-protocols.
    Subprotocol {
        /// The entry, with `{token}` in it.
        entry: String,
    },
    /// Into the dialect's own frames.
    Message,
}

/// Where the credential comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// A file that only we can read. It need not be there yet.
    File(PathBuf),
    /// A variable of the daemon.
    Variable(String),
    /// What a program prints.
    Command(Vec<String>),
    /// A credential that systemd hands over, by name.
    Credential(String),
    /// An entry of the desktop's keyring.
    Keyring {
        /// What the token is for.
        service: String,
        /// Whose it is there.
        user: String,
    },
}

/// How long a sign-in by message waits for the server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignIn {
    /// Without an answer the session does not start.
    pub required: bool,
    /// How long.
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Query,
    Header,
    Basic,
    Cookie,
    Subprotocol,
    Message,
}

const METHODS: OneOf<Word> = OneOf(&[
    ("none", Word::None),
    ("query", Word::Query),
    ("header", Word::Header),
    ("basic", Word::Basic),
    ("cookie", Word::Cookie),
    ("subprotocol", Word::Subprotocol),
    ("message", Word::Message),
]);

const VARIABLE: Text = Text {
    // People write the token itself here.
    visible: Visible::Nothing,
    name: "the name of a variable",
    check: |name| {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.is_empty() && name.chars().all(good) && !name.starts_with(|c: char| c.is_ascii_digit()) {
            Ok(())
        } else {
            Err((
                "this is no name of a variable",
                "write the name only, like \"HOLDLINE_TOKEN\", never the token itself",
            ))
        }
    },
};

const CREDENTIAL: Text = Text {
    // People write the token itself here.
    visible: Visible::Nothing,
    name: "the name of a systemd credential",
    check: |name| {
        // As systemd takes it: the name of a file.
        let good = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':');
        if !name.is_empty() && name.len() <= 255 && name.chars().all(good) && name != "." && name != ".." {
            Ok(())
        } else {
            Err((
                "this is no name of a systemd credential",
                "write what stands before the colon in `LoadCredential=NAME:PATH`, never the token itself",
            ))
        }
    },
};

/// Longest name of a keyring's entry, in bytes: what each of the systems takes.
const ENTRY_MAX: usize = 400;

const KEYRING: Text = Text {
    // People write the token itself here.
    visible: Visible::Nothing,
    name: "`service/user`",
    check: |entry| {
        let named =
            entry.rsplit_once('/').is_some_and(|(service, user)| !service.is_empty() && !user.is_empty());
        if named && entry.len() <= ENTRY_MAX && !entry.contains(char::is_control) {
            Ok(())
        } else {
            Err((
                "this names no entry of a keyring",
                "write the entry's service and user name, like \"api.example.com/kim\", never the token itself",
            ))
        }
    },
};

/// Whether this build can read a keyring.
const HAS_KEYRING: bool =
    cfg!(all(feature = "keyring", any(target_os = "linux", target_os = "macos", windows)));

const USERNAME: Text = Text {
    visible: Visible::All,
    name: "text",
    check: |name| {
        if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
            Err((
                "a user name of basic sign-in is not empty and has no `:`",
                "write the name as the server knows it",
            ))
        } else {
            Ok(())
        }
    },
};

const PREFIX: Text = Text {
    visible: Visible::All,
    name: "text",
    check: |prefix| {
        if prefix.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            Ok(())
        } else {
            Err(("a header can hold only plain ASCII", "write it like \"Bearer \""))
        }
    },
};

/// Time for the server's answer to the sign-in.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn read(mut auth: Section<'_, '_>) -> Auth {
    let method = auth.optional_or(
        "method",
        &METHODS,
        "`message` where a token is given and the dialect has a place for it, else `none`",
        "Where the token goes: query parameter, header, password of basic sign-in, cookie, sub-protocol entry, or the dialect's first message.",
    );
    let name = auth.optional_or(
        "name",
        &Text::ANY,
        "`Authorization` (header), `token` (query, cookie), `bearer.{token}` (sub-protocol)",
        "Name of the query parameter, header or cookie; or the sub-protocol entry, with `{token}` in it.",
    );
    let prefix = auth.optional_or(
        "prefix",
        &PREFIX,
        "`Bearer ` (with its blank) for `Authorization`, else nothing",
        "Stands before the token; `header` only.",
    );
    let source = source(&mut auth);
    let username =
        auth.optional("username", &USERNAME, "User name; `basic` only, where the token is the password.");
    let reply = auth.optional_or(
        "reply",
        &OneOf(&[("required", true), ("optional", false)]),
        "as the dialect says, else `\"required\"`",
        "`message` only: whether the server's answer to the sign-in is waited for, or taken as given after `reply_timeout`.",
    );
    let reply_timeout = auth.optional_or(
        "reply_timeout",
        &Span(Duration::from_millis(10)..=Duration::from_secs(600)),
        "as the dialect says, else `\"10s\"`",
        "How long that answer may take.",
    );

    let word = method.map_or("message", word);
    let uses: [(&str, bool, &[&str]); 5] = [
        ("name", name.is_some(), &["query", "header", "cookie", "subprotocol"]),
        ("prefix", prefix.is_some(), &["header"]),
        ("username", username.is_some(), &["basic"]),
        ("reply", reply.is_some(), &["message"]),
        ("reply_timeout", reply_timeout.is_some(), &["message"]),
    ];
    for (key, set, methods) in uses {
        if set && !methods.contains(&word) {
            let list: Vec<_> = methods.iter().map(|it| format!("`{it}`")).collect();
            let message = format!("`auth.{key}` means something only with method {}", list.join(", "));
            auth.problem(key, Problem::new("conflict", message, "take it out, or set `method`"));
        }
    }
    check_source(&mut auth, method, source.is_some());
    let method = resolve(&mut auth, method, name, prefix, username);
    auth.end();
    let sign_in = (reply.is_some() || reply_timeout.is_some())
        .then(|| SignIn { required: reply.unwrap_or(true), timeout: reply_timeout.unwrap_or(REPLY_TIMEOUT) });
    Auth { method, source, sign_in }
}

fn word(method: Word) -> &'static str {
    METHODS.0.iter().find(|(_, it)| *it == method).map_or("", |(word, _)| word)
}

const SOURCES: [&str; 5] = ["token_file", "token_env", "token_command", "token_credential", "token_keyring"];

fn source(auth: &mut Section<'_, '_>) -> Option<TokenSource> {
    let path = FilePath { env: auth.env(), base: auth.base() };
    let file = auth.optional("token_file", &path, "File that holds the token: ours, mode 0600. A changed file is picked up at once; white space around the token does not count.");
    let variable = auth.optional(
        "token_env",
        &VARIABLE,
        "Variable of the daemon that holds the token. Programs the daemon starts do not get it.",
    );
    let command = auth.optional(
        "token_command",
        &Command,
        "Program and arguments; what it prints is the token. Run for each fresh token, without a shell.",
    );
    let credential = auth.optional(
        "token_credential",
        &CREDENTIAL,
        "Name of a systemd credential, as in `LoadCredential=NAME:PATH` of the unit.",
    );
    let keyring = auth.optional(
        "token_keyring",
        &KEYRING,
        "Entry of the desktop's keyring: the service, what comes after the last `/` is the user name. Never unlocked from here; a changed entry is picked up at once where the keyring tells.",
    );
    if keyring.is_some() && !HAS_KEYRING {
        let message =
            "this build of holdline cannot read a keyring: it was made without the feature `keyring`";
        let hint =
            "use a build that has it, or `token_command` with the keyring's own program, or `token_file`";
        auth.problem("token_keyring", Problem::new("not_built", message, hint));
    }
    let mut set = SOURCES.iter().filter(|name| auth.has(name));
    let first = set.next();
    let others: Vec<_> = set.collect();
    for other in others {
        let message = format!("there is one token source, and `{}` is one already", first.unwrap_or(&""));
        auth.problem(other, Problem::new("conflict", message, "keep one of them"));
    }
    if let Some(file) = &file
        && let Err(problem) = check_secret_file(file)
    {
        auth.problem_elsewhere("token_file", problem);
    }
    file.map(TokenSource::File)
        .or_else(|| variable.map(TokenSource::Variable))
        .or_else(|| command.map(TokenSource::Command))
        .or_else(|| credential.map(TokenSource::Credential))
        .or_else(|| {
            let keyring = keyring?;
            let (service, user) = keyring.rsplit_once('/')?;
            Some(TokenSource::Keyring { service: service.to_owned(), user: user.to_owned() })
        })
}

fn check_source(auth: &mut Section<'_, '_>, method: Option<Word>, has_source: bool) {
    let Some(method) = method else {
        return;
    };
    // A source that is written but wrong is told of already.
    let written = SOURCES.iter().any(|name| auth.has(name));
    if method == Word::None && has_source {
        let message = "method `none` shows no token, and one is given";
        auth.problem("method", Problem::new("conflict", message, "take the token out, or say where it goes"));
    }
    if method != Word::None && !written {
        let message = format!("method `{}` needs a token", word(method));
        let hint = "add `token_file`, `token_env`, `token_command`, `token_credential` or `token_keyring`";
        auth.problem("method", Problem::new("conflict", message, hint));
    }
}

fn resolve(
    auth: &mut Section<'_, '_>,
    method: Option<Word>,
    name: Option<String>,
    prefix: Option<String>,
    username: Option<String>,
) -> AuthMethod {
    let Some(method) = method else {
        return AuthMethod::Default;
    };
    match method {
        Word::None => AuthMethod::None,
        Word::Message => AuthMethod::Message,
        Word::Query => {
            let message = "a token in the URL ends up in the logs of servers and proxies";
            auth.problem("method", warning(message, "use `header` if the server takes it there"));
            AuthMethod::Query { name: name.unwrap_or_else(|| "token".to_owned()) }
        }
        Word::Header => {
            let name = name.unwrap_or_else(|| "Authorization".to_owned());
            if let Err((message, hint)) = (HEADER_NAME.check)(&name) {
                auth.problem("name", Problem::new("bad_value", format!("`auth.name`: {message}"), hint));
            }
            let usual = if name.eq_ignore_ascii_case("authorization") { "Bearer " } else { "" };
            AuthMethod::Header { name, prefix: prefix.unwrap_or_else(|| usual.to_owned()) }
        }
        Word::Basic => {
            if username.is_none() && !auth.has("username") {
                let message = "method `basic` needs a user name";
                auth.problem("method", Problem::new("conflict", message, "add `username`"));
            }
            AuthMethod::Basic { username: username.unwrap_or_default() }
        }
        Word::Cookie => {
            let name = name.unwrap_or_else(|| "token".to_owned());
            if !is_http_token(&name) {
                let hint = "cookie names have letters, digits and `-_.`";
                auth.problem("name", Problem::new("bad_value", "`auth.name`: this is no cookie name", hint));
            }
            AuthMethod::Cookie { name }
        }
        Word::Subprotocol => {
            let entry = name.unwrap_or_else(|| "bearer.{token}".to_owned());
            if entry.matches("{token}").count() != 1 || !is_http_token(&entry.replace("{token}", "t")) {
                let message =
                    "`auth.name`: the sub-protocol entry has `{token}` in it once, no blanks and no commas";
                auth.problem("name", Problem::new("bad_value", message, "write it like \"bearer.{token}\""));
            }
            AuthMethod::Subprotocol { entry }
        }
    }
}
