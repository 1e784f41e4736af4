//! A dialect file, and frames. Input that begins with `dialect` is the file's very text; else its first
//! part is choices from which a file is put together that mostly has nothing wrong with it.
#![no_main]

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use holdline::dialect::declarative::examine;
use holdline::dialect::{Dialect, Options, read};
use holdline_fuzz::{Bounds, file, play};
use libfuzzer_sys::fuzz_target;

/// Between file and script.
const BREAK: &[u8] = b"\n====\n";

/// Files that are kept once read: most inputs differ from one before in their script only.
const KEPT: usize = 4096;

thread_local! {
    static READ: RefCell<HashMap<Vec<u8>, Option<Arc<dyn Dialect>>>> = RefCell::default();
}

fn dialect(first: &[u8]) -> Option<Arc<dyn Dialect>> {
    let text = if first.starts_with(b"dialect") {
        String::from_utf8_lossy(first).into_owned()
    } else {
        file::written(first)
    };
    match read(&text, "fuzz.toml", &serde_json::Map::new(), &Options::default()) {
        Ok(dialect) => Some(dialect),
        Err(problems) => {
            let lines = text.matches('\n').count() + 1;
            assert!(!problems.is_empty() && problems.iter().all(|problem| problem.line <= lines));
            // What `dialect check` prints on top.
            assert!(!examine(&text, "fuzz.toml").problems.is_empty());
            None
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let at = data.windows(BREAK.len()).position(|window| window == BREAK);
    let (first, script) = match at {
        Some(at) => (&data[..at], &data[at + BREAK.len()..]),
        None => (data, &[][..]),
    };
    let dialect = READ.with_borrow_mut(|read| {
        if let Some(known) = read.get(first) {
            return known.clone();
        }
        if read.len() >= KEPT {
            read.clear();
        }
        let dialect = dialect(first);
        read.insert(first.to_vec(), dialect.clone());
        dialect
    });
    if let Some(dialect) = dialect {
        play(&*dialect, script, Bounds::default());
    }
});
