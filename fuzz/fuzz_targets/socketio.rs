//! The dialect in code, by frames of any kind: the first byte says how it is configured.
#![no_main]

use std::sync::Arc;

use holdline::dialect::{Dialect, coded};
use holdline_fuzz::{Bounds, play};
use libfuzzer_sys::fuzz_target;

/// What `server.vars` may say, one of each kind.
const VARS: [&str; 4] = [
    "{}",
    r#"{"namespaces":["/","/admin"],"message_id":"argument","reject":"/error","offset":"last"}"#,
    r#"{"namespaces":["/admin"],"lists":["l*"],"message_id":"/mid","event_id":"/id","attachments":2}"#,
    r#"{"auth":{"room":[1]},"token":"jwt","offset":"never","refusals":["no"],"lists":["*"]}"#,
];

fn dialect(which: u8) -> Arc<dyn Dialect> {
    let vars = serde_json::from_str(VARS[usize::from(which) % VARS.len()]).expect("JSON");
    coded::find("socketio").expect("it is there").load(&vars).expect("sound variables")
}

fuzz_target!(|data: &[u8]| {
    let [which, script @ ..] = data else { return };
    // Made anew each time: it learns how much the server takes.
    play(&*dialect(*which), script, Bounds { sends_what_it_takes: true, head: true });
});
