//! The files of a service under systemd: what is shipped, for one user's program. Pure.

use super::plan::{Encoding, Item, Site};
use super::template;

/// What is shipped for the profile `default`, and for all others together.
const SERVICE: [&str; 2] =
    [include_str!("../../../systemd/holdline.service"), include_str!("../../../systemd/holdline@.service")];
const SOCKET: [&str; 2] =
    [include_str!("../../../systemd/holdline.socket"), include_str!("../../../systemd/holdline@.socket")];
const HARDENED: &str = include_str!("../../../systemd/hardened.conf");

/// The program as the units that are shipped name it.
const PROGRAM: &str = "%h/.cargo/bin/holdline";
/// What they say about that, which is not so once it is filled in.
const ABOUT_PROGRAM: &str =
    "# Where `cargo install` puts the program. A package that installs it elsewhere changes both lines.\n";

/// The unit of this profile, `service` or `socket`.
pub(super) fn name(site: &Site, kind: &str) -> String {
    if site.is_default() { format!("holdline.{kind}") } else { format!("holdline@{}.{kind}", site.profile) }
}

/// The file of that unit: all profiles but `default` share one.
pub(super) fn file(site: &Site, kind: &str) -> String {
    if site.is_default() { format!("holdline.{kind}") } else { format!("holdline@.{kind}") }
}

/// Where a file of this user's units is.
pub(super) fn path(site: &Site, name: &str) -> String {
    format!("{}/{name}", site.units)
}

/// Where the drop-in of this profile is.
pub(super) fn drop_in(site: &Site) -> String {
    path(site, &format!("{}.d/hardened.conf", name(site, "service")))
}

fn made(site: &Site, path: String, shipped: &str, more: &str) -> Item {
    let edit = if site.is_default() { "holdline" } else { "holdline@NAME" };
    let mark = template::mark();
    let program = quoted(&site.program);
    let text = template::fill(settings(shipped), &[(PROGRAM, &program), (ABOUT_PROGRAM, "")]);
    let head = format!(
        "# {mark}\n# To change something, leave this file alone and write a drop-in: systemctl --user edit {edit}\n\n"
    );
    Item { path, text: template::seal(&format!("{head}{text}{more}")), encoding: Encoding::Utf8 }
}

fn of(site: &Site, shipped: [&'static str; 2]) -> &'static str {
    shipped[usize::from(!site.is_default())]
}

/// The service.
pub(super) fn service(site: &Site) -> Item {
    made(site, path(site, &file(site, "service")), of(site, SERVICE), "")
}

/// Its socket.
pub(super) fn socket(site: &Site) -> Item {
    made(site, path(site, &file(site, "socket")), of(site, SOCKET), "")
}

/// The drop-in that leaves less of the machine to it. Where the database is not in the usual place,
/// that place is let in as well.
pub(super) fn hardened(site: &Site) -> Item {
    let more = if site.data == format!("{}/.local/state/holdline", site.home) {
        String::new()
    } else {
        let data = escaped(&site.data);
        format!(
            "# The database is elsewhere.\nExecStartPre=+/bin/mkdir -p -m 0700 \"{}\"\nReadWritePaths=\"-{data}\"\n",
            // An argument, where variables are put in.
            data.replace('$', "$$")
        )
    };
    made(site, drop_in(site), HARDENED, &more)
}

/// What follows the comment at the head of a shipped file, which tells how to install it by hand.
pub(super) fn settings(shipped: &str) -> &str {
    shipped.split_once("\n\n").map_or(shipped, |(_, rest)| rest)
}

/// `text` as it stands between quotes in a unit, with no specifier in it.
fn escaped(text: &str) -> String {
    template::fill(text, &[("%", "%%"), ("\\", "\\\\"), ("\"", "\\\"")])
}

/// `program` as the first word of a command line: in quotes where it has to be, and with no
/// specifier in it. A `$` means itself there: variables are put into arguments only.
fn quoted(program: &str) -> String {
    let text = escaped(program);
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(plain) { text } else { format!("\"{text}\"") }
}

/// The program that a unit starts: [`quoted`], the other way round.
pub(super) fn started(unit: &str) -> Option<String> {
    let line =
        unit.lines().filter_map(|line| line.strip_prefix("ExecStart=")).find(|line| !line.is_empty())?;
    let word = match line.strip_prefix('"') {
        Some(rest) => rest.split('"').next(),
        None => line.split(' ').next(),
    };
    word.map(|word| word.replace("%%", "%"))
}
