//! The dialects that come with the program, by frames of any kind: the first byte says which.
#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use holdline::dialect::{Dialect, Options, builtin, load};
use holdline_fuzz::{Bounds, play};
use libfuzzer_sys::fuzz_target;

static ALL: LazyLock<Vec<Arc<dyn Dialect>>> = LazyLock::new(|| {
    let vars = serde_json::Map::new();
    let sound = |name| load(name, Path::new("."), &vars, &Options::default()).ok();
    // One that asks for variables is not among them; `dialects` has its like.
    builtin::list().iter().filter_map(|builtin| sound(builtin.name)).collect()
});

fuzz_target!(|data: &[u8]| {
    let [which, script @ ..] = data else { return };
    let dialect = &ALL[usize::from(*which) % ALL.len()];
    play(&**dialect, script, Bounds { sends_what_it_takes: true, head: false });
});
