//! Files with a JSON Schema, named by `[types."…"] schema`.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::config::modes::{OpenFault, only_we_write, open_regular, plain};
use crate::config::section::Section;
use crate::config::{Problem, units};
use crate::model::Judge;
use crate::schema;

/// Largest file with a schema, in bytes.
const MAX_SCHEMA: u64 = 1024 * 1024;

/// What the file at `path`, the value of the key `name`, says of bodies. What is wrong with it is
/// told as a problem with the key.
pub(super) fn judge(it: &mut Section<'_, '_>, name: &str, path: &Path) -> Option<Arc<dyn Judge>> {
    let text = match read(path) {
        Ok(text) => text,
        Err(problem) => {
            if problem.file.is_some() {
                it.problem_elsewhere(name, problem);
            } else {
                it.problem(name, problem);
            }
            return None;
        }
    };
    it.stands_for(name, &text);
    match schema::compile(&text) {
        Ok(judge) => Some(judge),
        Err(fault) => {
            let place = match fault.line {
                Some((line, column)) => format!(":{line}:{column}"),
                None if fault.pointer.is_empty() => String::new(),
                None => format!(", at {}", fault.pointer),
            };
            let message = format!("the schema {}{place}: {}", path.display(), fault.message);
            it.problem(name, Problem::new("bad_schema", message, fault.advice));
            None
        }
    }
}

fn read(path: &Path) -> Result<String, Problem> {
    let shown = path.display();
    let unreadable = |message: String, hint: &str| Problem::new("unreadable", message, hint);
    let (file, meta) = open_regular(path).map_err(|fault| match fault {
        OpenFault::Type(kind) => {
            unreadable(format!("the schema {shown} is {kind}"), "name a regular file with a JSON Schema")
        }
        OpenFault::Io(fault) if fault.kind() == std::io::ErrorKind::NotFound => Problem::new(
            "missing_file",
            format!("there is no schema {shown}"),
            "relative paths begin beside the configuration; write the file, or take the key out",
        ),
        OpenFault::Io(fault) => unreadable(
            format!("cannot open the schema {shown}: {}", plain(&fault)),
            "see that it and its folders belong to you",
        ),
    })?;
    only_we_write(path, &meta).map_err(|fault| fault.problem(path))?;
    let mut bytes = Vec::new();
    // The size told by the system is not trusted: the file may grow.
    file.take(MAX_SCHEMA + 1)
        .read_to_end(&mut bytes)
        .map_err(|fault| unreadable(format!("cannot read the schema {shown}: {}", plain(&fault)), ""))?;
    if bytes.len() as u64 > MAX_SCHEMA {
        let message = format!("the schema {shown} is larger than {}", units::format_size(MAX_SCHEMA));
        return Err(Problem::new("too_large", message, "is this the right file?"));
    }
    String::from_utf8(bytes).map_err(|_| {
        Problem::new("not_utf8", format!("the schema {shown} is not UTF-8 text"), "save it as UTF-8")
    })
}
