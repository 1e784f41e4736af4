//! The files of a service: how those that are there compare with those that are to be, and what is
//! done about it. Never over what is not ours. Pure.

use super::plan::{Encoding, Found, Item, Plan, Seen, Site, Step};
use super::template::{self, Author};
use crate::cli::{Exit, Failed};

/// How a file that is to be compares with what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is there.
    Absent,
    /// It is there, to the letter.
    Same,
    /// We wrote what is there, of another version or with other options.
    Ours,
    /// We wrote it, and somebody changed it.
    Edited,
    /// Somebody else's.
    Foreign(String),
    /// Nobody knows.
    Hidden(String),
}

/// How `item` compares with what was `found`.
pub(super) fn standing(item: &Item, found: &Found) -> Standing {
    match found {
        Found::Absent => Standing::Absent,
        Found::Other(what) => Standing::Foreign(format!("there is {what}")),
        Found::Hidden(why) => Standing::Hidden(why.clone()),
        Found::Text(text) if *text == item.text => Standing::Same,
        Found::Text(text) => match template::author(text) {
            Author::Us => Standing::Ours,
            Author::UsAndSomebody => Standing::Edited,
            Author::Somebody => Standing::Foreign("somebody else wrote what is there".to_owned()),
        },
    }
}

/// Names for a file that is set aside, the first free one is taken.
pub(super) fn asides(path: &str) -> impl Iterator<Item = String> {
    const MOST: usize = 9;
    let path = path.to_owned();
    (1..=MOST).map(move |n| if n == 1 { format!("{path}.old") } else { format!("{path}.old{n}") })
}

/// The name under which the file at `path` is kept. Where all are taken, the last one gives way.
fn aside(path: &str, seen: &Seen) -> String {
    let free = asides(path).find(|name| *seen.file(name) == Found::Absent);
    free.or_else(|| asides(path).last()).unwrap_or_default()
}

/// What we may not see, if anything.
fn hidden(odd: &[(String, Standing)]) -> Option<(&str, &str)> {
    odd.iter().find_map(|(path, standing)| match standing {
        Standing::Hidden(why) => Some((path.as_str(), why.as_str())),
        Standing::Absent | Standing::Same | Standing::Ours | Standing::Edited | Standing::Foreign(_) => None,
    })
}

/// Refuses to touch files that are not as we left them.
fn refuse(site: &Site, verb: &str, odd: &[(String, Standing)]) -> Failed {
    if let Some((path, why)) = hidden(odd) {
        let folder = path.rfind(['/', '\\']).map_or("", |at| &path[..at]);
        return Failed::new(
            Exit::Refused,
            format!("cannot see what {} is: {why}; nothing was changed", site.short(path)),
        )
        .hint(format!("see that the folders on the way to it are yours: ls -ld '{folder}'"));
    }
    let lines: Vec<String> = odd
        .iter()
        .map(|(path, standing)| {
            let why = match standing {
                Standing::Edited => "it was edited after `holdline service` installed it",
                Standing::Foreign(why) => why,
                Standing::Absent | Standing::Same | Standing::Ours | Standing::Hidden(_) => {
                    "it is in the way"
                }
            };
            format!("  {}: {why}", site.short(path))
        })
        .collect();
    let masked = odd
        .iter()
        .any(|(_, standing)| matches!(standing, Standing::Foreign(why) if why.contains("/dev/null")));
    let hint = if masked {
        "a link to /dev/null is how systemd forbids a unit: `systemctl --user unmask` allows it again"
            .to_owned()
    } else {
        format!(
            "move your changes into a file of your own, or {verb} with --force, which keeps the file as NAME.old"
        )
    };
    Failed::new(Exit::Refused, "a file is not as `holdline service` would have left it; nothing was changed")
        .detail(lines.join("\n"))
        .hint(hint)
}

/// Plans the writing of `items`: only what differs, and never over what is not ours.
///
/// # Errors
/// When a file is not ours, and `force` was not said.
pub(super) fn write(
    site: &Site,
    items: Vec<Item>,
    seen: &Seen,
    force: bool,
    plan: &mut Plan,
) -> Result<bool, Failed> {
    let standings: Vec<Standing> = items.iter().map(|item| standing(item, seen.file(&item.path))).collect();
    let odd: Vec<(String, Standing)> = items
        .iter()
        .zip(&standings)
        .filter(|(_, standing)| {
            matches!(standing, Standing::Edited | Standing::Foreign(_) | Standing::Hidden(_))
        })
        .map(|(item, standing)| (item.path.clone(), standing.clone()))
        .collect();
    if !odd.is_empty() && (!force || hidden(&odd).is_some()) {
        return Err(refuse(site, "install", &odd));
    }
    let mut changed = false;
    for (item, standing) in items.into_iter().zip(standings) {
        match standing {
            Standing::Same => plan.settled.push(item.path),
            Standing::Edited | Standing::Foreign(_) | Standing::Hidden(_) => {
                plan.steps.push(Step::SetAside { path: item.path.clone(), to: aside(&item.path, seen) });
                plan.steps.push(Step::Write { item, new: true });
                changed = true;
            }
            Standing::Absent | Standing::Ours => {
                let new = standing == Standing::Absent;
                plan.steps.push(Step::Write { item, new });
                changed = true;
            }
        }
    }
    Ok(changed)
}

/// Plans the removing of the files at `paths`: only what we installed.
///
/// # Errors
/// When a file is not ours, and `force` was not said.
pub(super) fn remove(site: &Site, paths: &[String], seen: &Seen, force: bool) -> Result<Vec<Step>, Failed> {
    let mut steps = Vec::new();
    let mut odd = Vec::new();
    for path in paths {
        // Compared with nothing: only who wrote it counts.
        let nothing = Item { path: path.clone(), text: String::new(), encoding: Encoding::Utf8 };
        match standing(&nothing, seen.file(path)) {
            Standing::Absent => {}
            Standing::Ours => steps.push(Step::Remove { path: path.clone() }),
            found @ (Standing::Same | Standing::Edited | Standing::Foreign(_) | Standing::Hidden(_)) => {
                odd.push((path.clone(), found));
                steps.push(Step::SetAside { path: path.clone(), to: aside(path, seen) });
            }
        }
    }
    if odd.is_empty() || (force && hidden(&odd).is_none()) {
        Ok(steps)
    } else {
        Err(refuse(site, "uninstall", &odd))
    }
}
