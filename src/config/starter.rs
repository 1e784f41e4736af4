//! The first configuration: small, commented, and valid as it stands.

use super::kinds::quote;
use super::{Problem, ServerUrl};

/// A commented configuration for the server at `url`.
///
/// # Errors
/// When `url` is no URL of a WebSocket server that may be dialled.
pub fn starter(url: &str) -> Result<String, Problem> {
    let parsed =
        ServerUrl::parse(url).map_err(|fault| Problem::new("bad_value", fault.message, fault.hint))?;
    if !parsed.secure() && !parsed.is_loopback() {
        let message = "`ws://` to another machine sends everything in the clear";
        let hint = "use `wss://`; or write the file yourself, with allow_plaintext = true";
        return Err(Problem::new("bad_value", message, hint));
    }
    Ok(TEMPLATE.replace("{url}", &quote(url)))
}

const TEMPLATE: &str = r#"# Configuration of holdline. Only `server.url` is needed; what is commented out shows the default.
# `holdline config check` says whether it is in order, `holdline config show --origin` what is in
# force and why. After a change: `holdline ctl reload`.

[server]
url = {url}
# dialect = "json"              # how the server speaks: `holdline dialect list`, or a file

# Sign-in. Put the token into a file that only you can read (chmod 600) and name it here.
# [auth]
# method = "header"             # query | header | basic | cookie | subprotocol | message
# token_file = "token"          # beside this file; or token_env, token_command

# Types of messages and events that are special.
# [types."typing"]
# delivery = "ephemeral"        # never stored, dropped while offline
# [types."driver_location"]
# delivery = "latest"           # only the newest per key
# key = "/orderId"

# How much is kept for apps that come back later.
# [inbox]
# max_events = 1000000
# max_age = "30d"
# max_bytes = "1 GiB"
"#;
