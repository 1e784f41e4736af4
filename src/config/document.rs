//! The configuration file as text: read with bounds, checked for owner and mode.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::modes::{OpenFault, only_we_write, open_regular, plain};
use super::{MAX_FILE, Problem, units};
use crate::model::Excerpt;

/// The text of the file, and where it came from.
#[derive(Clone)]
pub(super) struct Document {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text may hold secrets.
        f.debug_struct("Document").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Document {
    /// Reads the file. Never waits for it, never reads more than [`MAX_FILE`].
    pub(super) fn read(path: &Path) -> Result<Self, Problem> {
        let (file, meta) = open_regular(path).map_err(|fault| refused(path, fault))?;
        only_we_write(path, &meta).map_err(|fault| fault.problem(path))?;
        let mut bytes = Vec::new();
        // The size told by the system is not trusted: the file may grow.
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|fault| {
            let message = format!("cannot read the configuration: {}", plain(&fault));
            Problem::new("unreadable", message, "").in_file(path)
        })?;
        if bytes.len() as u64 > MAX_FILE {
            let message = format!("the configuration is larger than {}", units::format_size(MAX_FILE));
            return Err(Problem::new("too_large", message, "is this the right file?").in_file(path));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path: path.to_owned(), text }),
            Err(fault) => Err(not_utf8(path, fault)),
        }
    }
}

fn refused(path: &Path, fault: OpenFault) -> Problem {
    match fault {
        OpenFault::Type(kind) => {
            Problem::unsafe_file(path, format!("the configuration is a regular file, this is {kind}"), "")
        }
        OpenFault::Io(fault) if fault.kind() == std::io::ErrorKind::NotFound => Problem::new(
            "missing_file",
            "there is no configuration",
            "`holdline config init --url wss://api.example.com/socket` writes one",
        )
        .in_file(path),
        OpenFault::Io(fault) if fault.kind() == std::io::ErrorKind::PermissionDenied => Problem::unsafe_file(
            path,
            "we are not allowed to read the configuration",
            "see that the file and its folders belong to you",
        ),
        OpenFault::Io(fault) => {
            let message = format!("cannot open the configuration: {}", plain(&fault));
            Problem::new("unreadable", message, "").in_file(path)
        }
    }
}

fn not_utf8(path: &Path, fault: std::string::FromUtf8Error) -> Problem {
    let valid = fault.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(&fault.as_bytes()[..valid]).into_owned();
    let (line, column, _) = Excerpt::of(&text, &(valid..valid), &[]);
    Problem {
        line: Some(line),
        column: Some(column),
        ..Problem::new("not_utf8", "the configuration is not UTF-8 text", "save the file as UTF-8")
            .in_file(path)
    }
}
