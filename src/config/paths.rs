//! Where things are: configuration, state, socket, by profile and system.
//!
//! A flag goes before the environment, the environment before the file, the file before what is
//! usual on the system (XDG folders on Linux, `Application Support` on macOS, `AppData` on
//! Windows). Nothing is ever looked for in `/tmp`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::{Origin, Problem};

/// Where the daemon's own files and its socket are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Name of the profile.
    pub profile: String,
    /// The configuration file.
    pub config: PathBuf,
    /// The folder for state.
    pub state_dir: PathBuf,
    /// The database.
    pub database: PathBuf,
    /// The lock file beside the database: only its holder may bind the socket.
    pub lock: PathBuf,
    /// The socket (on Windows the name of the pipe).
    pub socket: PathBuf,
    /// The user's home, for showing paths.
    pub home: Option<PathBuf>,
    pub(super) origins: Origins,
}

/// Who said where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origins {
    pub(super) profile: Origin,
    pub(super) config: Origin,
    pub(super) state_dir: Origin,
    pub(super) socket: Origin,
}

/// What a program was told on its command line, and its surroundings.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--socket`.
    pub socket: Option<PathBuf>,
    /// Variables and folders of the user.
    pub environment: Environment,
}

/// The kind of system, as far as places go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Platform {
    /// XDG folders.
    #[default]
    Linux,
    /// `~/Library/Application Support`.
    MacOs,
    /// `%APPDATA%`, `%LOCALAPPDATA%`, named pipes.
    Windows,
}

impl Platform {
    /// The one this program was built for; other Unix systems are like Linux.
    #[must_use]
    pub const fn here() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::MacOs
        } else {
            Self::Linux
        }
    }

    /// Longest path a socket can have, in bytes (`sun_path` without its end mark).
    const fn socket_limit(self) -> usize {
        match self {
            Self::Linux => 107,
            Self::MacOs => 103,
            Self::Windows => 256,
        }
    }
}

/// Variables and folders of the user, taken once, so that tests can give others.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The variables that count; empty ones are left out.
    pub variables: BTreeMap<OsString, OsString>,
    /// The home folder.
    pub home: Option<PathBuf>,
    /// The folder relative paths of flags and variables begin at.
    pub current_dir: PathBuf,
    /// The kind of system.
    pub platform: Platform,
    /// `/run/user/UID`, where it exists, is ours and 0700.
    pub run_user: Option<PathBuf>,
    /// Names the user in the name of the Windows pipe (the SID).
    pub user: String,
}

impl Environment {
    /// That of this process.
    #[must_use]
    pub fn of_process() -> Self {
        const NAMES: [&str; 19] = [
            "HOLDLINE_CONFIG",
            "HOLDLINE_PROFILE",
            "HOLDLINE_SOCKET",
            "HOLDLINE_STATE_DIR",
            "HOLDLINE_LOG",
            "XDG_CONFIG_HOME",
            "XDG_STATE_HOME",
            "XDG_RUNTIME_DIR",
            "APPDATA",
            "LOCALAPPDATA",
            "HOME",
            "https_proxy",
            "HTTPS_PROXY",
            "http_proxy",
            "HTTP_PROXY",
            "all_proxy",
            "ALL_PROXY",
            "no_proxy",
            "NO_PROXY",
        ];
        let variables = NAMES.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
        Self {
            variables: variables.filter(|(_, value): &(OsString, OsString)| !value.is_empty()).collect(),
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            current_dir: std::env::current_dir().unwrap_or_default(),
            platform: Platform::here(),
            run_user: run_user(),
            user: user(),
        }
    }

    /// The variable, unless it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// A folder from a variable. Relative ones do not count (XDG Base Directory Specification).
    fn folder(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        self.current_dir.join(path)
    }

    /// `path` as written in the configuration: `~/` is the home folder, relative paths begin at
    /// `base`.
    pub(super) fn expand(&self, path: &str, base: &Path) -> Option<PathBuf> {
        match path.strip_prefix("~/") {
            Some(rest) => self.home.as_ref().map(|home| home.join(rest)),
            None if path == "~" => self.home.clone(),
            None => Some(base.join(path)),
        }
    }
}

/// The SID. Empty where it cannot be had.
#[cfg(windows)]
fn user() -> String {
    crate::ipc::user().unwrap_or_default()
}

/// Elsewhere the socket's folder is the user's own, and nobody asks.
#[cfg(not(windows))]
const fn user() -> String {
    String::new()
}

#[cfg(unix)]
fn run_user() -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let us = rustix::process::geteuid().as_raw();
    let path = PathBuf::from(format!("/run/user/{us}"));
    let meta = path.symlink_metadata().ok()?;
    (meta.is_dir() && meta.uid() == us && meta.mode() & 0o777 == 0o700).then_some(path)
}

#[cfg(not(unix))]
fn run_user() -> Option<PathBuf> {
    None
}

/// Who said it: a command line may take the variable for its flag, and then the variable did.
fn told(flag: &'static str, variable: &'static str, same: bool) -> Origin {
    if same { Origin::Environment(variable) } else { Origin::Flag(flag) }
}

/// Longest profile name, in bytes.
const MAX_PROFILE: usize = 64;

/// Says where things are, without reading the configuration (`store.path` can still move the
/// database and its lock).
///
/// # Errors
/// When the profile's name cannot be a file name, no home folder is known, or the socket's path
/// is longer than the system can bind.
pub fn locate(sources: &Sources) -> Result<Places, Problem> {
    let env = &sources.environment;
    let (profile, profile_from) = match (&sources.profile, env.get("HOLDLINE_PROFILE")) {
        (Some(name), same) => {
            (name.clone(), told("--profile", "HOLDLINE_PROFILE", same == Some(OsStr::new(name))))
        }
        (None, Some(name)) => (name.to_string_lossy().into_owned(), Origin::Environment("HOLDLINE_PROFILE")),
        (None, None) => ("default".to_owned(), Origin::Default),
    };
    check_profile(&profile, env.platform)?;

    let (config, config_from) = match (&sources.config, env.get("HOLDLINE_CONFIG")) {
        (Some(path), same) => {
            (env.absolute(path), told("--config", "HOLDLINE_CONFIG", same == Some(path.as_os_str())))
        }
        (None, Some(path)) => (env.absolute(Path::new(path)), Origin::Environment("HOLDLINE_CONFIG")),
        (None, None) => {
            let file =
                if profile == "default" { "config.toml".to_owned() } else { format!("{profile}.toml") };
            (config_dir(env)?.join(file), Origin::Default)
        }
    };
    let (state_dir, state_from) = match env.get("HOLDLINE_STATE_DIR") {
        Some(path) => (env.absolute(Path::new(path)), Origin::Environment("HOLDLINE_STATE_DIR")),
        None => (default_state_dir(env)?, Origin::Default),
    };
    let (socket, socket_from) = match (&sources.socket, env.get("HOLDLINE_SOCKET")) {
        (Some(path), same) => {
            (given_socket(env, path)?, told("--socket", "HOLDLINE_SOCKET", same == Some(path.as_os_str())))
        }
        (None, Some(path)) => (given_socket(env, Path::new(path))?, Origin::Environment("HOLDLINE_SOCKET")),
        (None, None) => (default_socket(env, &state_dir, &profile)?, Origin::Default),
    };
    check_socket(env, &socket, &socket_from)?;
    let database = state_dir.join(format!("{profile}.db"));
    Ok(Places {
        lock: lock_beside(&database),
        profile,
        config,
        state_dir,
        database,
        socket,
        home: env.home.clone(),
        origins: Origins {
            profile: profile_from,
            config: config_from,
            state_dir: state_from,
            socket: socket_from,
        },
    })
}

impl Places {
    /// Nowhere: for the manual, which is the same everywhere.
    pub(super) fn unknown() -> Self {
        Self {
            profile: "default".to_owned(),
            config: PathBuf::new(),
            state_dir: PathBuf::new(),
            database: PathBuf::new(),
            lock: PathBuf::new(),
            socket: PathBuf::new(),
            home: None,
            origins: Origins {
                profile: Origin::Default,
                config: Origin::Default,
                state_dir: Origin::Default,
                socket: Origin::Default,
            },
        }
    }

    /// `path` as people read it: `~` for the home folder.
    #[must_use]
    pub fn shorten(&self, path: &Path) -> String {
        super::problem::shorten(path, self.home.as_deref())
    }
}

/// The lock file of a database: the same name with `.lock`.
pub(super) fn lock_beside(database: &Path) -> PathBuf {
    database.with_extension("lock")
}

/// Names that stand for devices on Windows, whatever follows behind a dot; the last two with a digit.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// Whether a file of this name would be a device on Windows: `nul`, `com1.x`.
fn names_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let base = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem.len() - base.len() {
        0 => DEVICES[..4].contains(&base),
        1 => DEVICES[4..].contains(&base),
        _ => false,
    }
}

fn check_profile(name: &str, platform: Platform) -> Result<(), Problem> {
    let hint = "a profile name has letters, digits, `.`, `_` and `-`, and begins with a letter or digit";
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let shown: String = name.chars().filter(|c| !c.is_control()).take(MAX_PROFILE).collect();
    if name.is_empty() || !name.chars().all(good) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(Problem::new("bad_profile", format!("`{shown}` cannot name a profile"), hint));
    }
    if name.len() > MAX_PROFILE {
        let message = format!("the profile name is longer than {MAX_PROFILE} characters");
        return Err(Problem::new("bad_profile", message, "take a shorter one"));
    }
    if platform == Platform::Windows && names_device(name) {
        let message = format!("`{shown}` cannot name a profile: Windows takes it for a device");
        return Err(Problem::new("bad_profile", message, "take another name"));
    }
    if name == "config" {
        let message = "`config` cannot name a profile: its file would be that of the profile `default`";
        return Err(Problem::new("bad_profile", message, "take another name"));
    }
    Ok(())
}

fn no_home(what: &str, variable: &str) -> Problem {
    Problem::new(
        "no_home",
        format!("cannot tell where {what} belongs: neither a home folder nor {variable} is known"),
        format!("set HOME, or {variable} to an absolute path"),
    )
}

fn config_dir(env: &Environment) -> Result<PathBuf, Problem> {
    let (folder, variable) = match env.platform {
        Platform::Linux => {
            (env.folder("XDG_CONFIG_HOME").or_else(|| in_home(env, ".config")), "HOLDLINE_CONFIG")
        }
        Platform::MacOs => (in_home(env, "Library/Application Support"), "HOLDLINE_CONFIG"),
        Platform::Windows => {
            (env.folder("APPDATA").or_else(|| in_home(env, "AppData/Roaming")), "HOLDLINE_CONFIG")
        }
    };
    folder.map(|folder| folder.join("holdline")).ok_or_else(|| no_home("the configuration", variable))
}

fn default_state_dir(env: &Environment) -> Result<PathBuf, Problem> {
    let folder = match env.platform {
        Platform::Linux => env.folder("XDG_STATE_HOME").or_else(|| in_home(env, ".local/state")),
        Platform::MacOs => in_home(env, "Library/Application Support"),
        Platform::Windows => env.folder("LOCALAPPDATA").or_else(|| in_home(env, "AppData/Local")),
    };
    folder.map(|folder| folder.join("holdline")).ok_or_else(|| no_home("the state", "HOLDLINE_STATE_DIR"))
}

/// How the name of a pipe of this machine begins.
const PIPE: &str = r"\\.\pipe\";

/// The socket that a flag or a variable names. On Windows a pipe of this machine: another form
/// could lead to another machine, and what is said there would go over the network.
fn given_socket(env: &Environment, path: &Path) -> Result<PathBuf, Problem> {
    if env.platform != Platform::Windows {
        return Ok(env.absolute(path));
    }
    let name = path.to_string_lossy();
    let begins = name.get(..PIPE.len()).is_some_and(|start| start.eq_ignore_ascii_case(PIPE));
    if begins && name.len() > PIPE.len() && !name[PIPE.len()..].contains(['\\', '/']) {
        return Ok(path.to_owned());
    }
    let hint = format!("write it like {PIPE}holdline-mine");
    Err(Problem::new("bad_path", "the socket is no named pipe of this machine", hint).in_file(path))
}

fn default_socket(env: &Environment, state_dir: &Path, profile: &str) -> Result<PathBuf, Problem> {
    let file = format!("{profile}.sock");
    Ok(match env.platform {
        Platform::Linux => env
            .folder("XDG_RUNTIME_DIR")
            .or_else(|| env.run_user.clone())
            .map_or_else(|| state_dir.join("run"), |run| run.join("holdline"))
            .join(file),
        Platform::MacOs => state_dir.join(file),
        Platform::Windows if env.user.is_empty() => {
            let message = "cannot tell which user this is, and the pipe is named after the user";
            return Err(Problem::new("no_user", message, "set HOLDLINE_SOCKET to the name of a pipe"));
        }
        Platform::Windows => PathBuf::from(format!("{PIPE}holdline-{}-{profile}", env.user)),
    })
}

fn in_home(env: &Environment, below: &str) -> Option<PathBuf> {
    env.home.as_ref().map(|home| home.join(below))
}

fn check_socket(env: &Environment, socket: &Path, origin: &Origin) -> Result<(), Problem> {
    let limit = env.platform.socket_limit();
    let length = socket.as_os_str().len();
    if length <= limit {
        return Ok(());
    }
    let message = format!("the path of the socket is {length} bytes long, this system takes {limit}");
    let hint = match origin {
        Origin::Default => "set HOLDLINE_SOCKET to a shorter path in a folder with mode 0700",
        Origin::Flag(_) | Origin::Environment(_) | Origin::File { .. } => "take a shorter path",
    };
    Err(Problem::new("bad_path", message, hint).in_file(socket))
}
