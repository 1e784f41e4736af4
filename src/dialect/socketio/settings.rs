//! What `server.vars` may say.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::NAME;
use crate::dialect::Problem;
use crate::dialect::problem::nearest;
use crate::model::TypeGlob;
use crate::model::json::Pointer;

/// Most namespaces: each is asked for at the start of every connection.
const MAX_NAMESPACES: usize = 16;
/// Longest name of a namespace, in bytes.
const MAX_NAME: usize = 128;
/// Attachments per message, at most, whatever `attachments` says.
const MAX_ATTACHMENTS: u64 = 1024;
/// Attachments per message by default: what a server bears that was not told otherwise.
const ATTACHMENTS: usize = 10;

const KNOWN: [&str; 9] =
    ["namespaces", "auth", "token", "lists", "message_id", "reject", "event_id", "offset", "refusals"];
const KNOWN_TOO: &str = "attachments";

/// How the server is to be spoken to.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The first one's types stand alone, those of others have its name before them.
    pub(super) namespaces: Vec<Arc<str>>,
    /// Members of the sign-in payload beside the credential (JSON text, an object).
    pub(super) auth: Map<String, Value>,
    /// Which member of it carries the credential.
    pub(super) token: String,
    /// Types whose data is the list of their arguments.
    pub(super) lists: Vec<TypeGlob>,
    pub(super) message_id: Carried,
    /// Where an answer says that the message is refused.
    pub(super) reject: Option<Pointer>,
    /// Where an event has its id.
    pub(super) event_id: Option<Pointer>,
    pub(super) offset: Offsets,
    /// Further words of a refusal that speaks of the sign-in, in lower case.
    pub(super) refusals: Vec<String>,
    /// Attachments per message, at most.
    pub(super) attachments: usize,
}

/// Where a message carries its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carried {
    Nowhere,
    /// As its last argument.
    Argument,
    /// As this member of its first argument.
    Member(String),
}

/// Which last arguments are offsets, where the server has given a session to recover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offsets {
    /// Those that look like one of an adapter we know.
    Known,
    /// Every last argument that is a text.
    Last,
    /// None.
    Never,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespaces: vec!["/".into()],
            auth: Map::new(),
            token: "token".to_owned(),
            lists: Vec::new(),
            message_id: Carried::Nowhere,
            reject: None,
            event_id: None,
            offset: Offsets::Known,
            refusals: Vec::new(),
            attachments: ATTACHMENTS,
        }
    }
}

impl Settings {
    /// Reads `server.vars`.
    pub(super) fn read(vars: &Map<String, Value>) -> Result<Self, Vec<Problem>> {
        let mut settings = Self::default();
        let mut problems = Vec::new();
        for (name, value) in vars {
            if let Err(problem) = settings.take(name, value) {
                problems.push(problem);
            }
        }
        for name in ["pid", "offset", &settings.token] {
            if settings.auth.contains_key(name) {
                let advice = "leave it out, or give the credential another name with `token`";
                problems.push(bad("auth", &format!("has a member `{name}`, which is sent anyway"), advice));
            }
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    fn take(&mut self, name: &str, value: &Value) -> Result<(), Problem> {
        let bad = |message: &str, advice: &str| bad(name, message, advice);
        match name {
            "namespaces" => self.namespaces = namespaces(value)?,
            "auth" => {
                let Some(auth) = value.as_object() else {
                    return Err(bad("is a table", "write it like { room = \"a\" }"));
                };
                self.auth = auth.clone();
            }
            "token" => match value.as_str().filter(|name| !name.is_empty()) {
                Some(name) => name.clone_into(&mut self.token),
                None => return Err(bad("is a name", "write the member of the payload, like \"token\"")),
            },
            "lists" => {
                let globs = texts(value).ok_or_else(|| bad("is a list of types", "write [\"draw\"]"))?;
                self.lists = globs.into_iter().map(TypeGlob::new).collect();
            }
            "message_id" => {
                let advice = "write \"none\", \"argument\", or a member like \"/messageId\"";
                self.message_id = match value.as_str() {
                    Some("none") => Carried::Nowhere,
                    Some("argument") => Carried::Argument,
                    Some(text) if text.starts_with('/') && text.len() > 1 => {
                        let pointer = pointer(name, value)?;
                        let [member] = pointer.tokens() else {
                            return Err(bad("names a member of the first argument itself", advice));
                        };
                        Carried::Member(member.clone())
                    }
                    _ => return Err(bad("says where a message carries its id", advice)),
                };
            }
            "reject" => self.reject = Some(pointer(name, value)?),
            "event_id" => self.event_id = Some(pointer(name, value)?),
            "offset" => {
                self.offset = match value.as_str() {
                    Some("known") => Offsets::Known,
                    Some("last") => Offsets::Last,
                    Some("never") => Offsets::Never,
                    _ => {
                        return Err(bad(
                            "says which last arguments are offsets",
                            "write \"known\", \"last\" or \"never\"",
                        ));
                    }
                };
            }
            "refusals" => {
                let words = texts(value)
                    .ok_or_else(|| bad("is a list of words", "write [\"banned\", \"expired\"]"))?;
                self.refusals =
                    words.into_iter().filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
            }
            KNOWN_TOO => {
                let number = value.as_u64().filter(|number| *number <= MAX_ATTACHMENTS);
                let Some(number) = number.and_then(|number| usize::try_from(number).ok()) else {
                    let message = format!("is a number up to {MAX_ATTACHMENTS}");
                    return Err(bad(&message, "write what the server's maxAttachments says"));
                };
                self.attachments = number;
            }
            other => {
                let known = KNOWN.into_iter().chain([KNOWN_TOO]);
                let advice = match nearest(other, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("`holdline dialect show {NAME}` prints all there are"),
                };
                let message = format!("this dialect has no variable `{other}`");
                return Err(Problem::whole("unknown_key", NAME, message, advice));
            }
        }
        Ok(())
    }

    /// Whether data of this type is the list of its arguments.
    pub(super) fn is_list(&self, kind: &str) -> bool {
        self.lists.iter().any(|glob| glob.matches(kind))
    }

    /// The namespace a type belongs to, and the event's name there. None: it names a namespace that
    /// is not asked for.
    pub(super) fn target<'k>(&self, kind: &'k str) -> Option<(usize, &'k str)> {
        let Some((namespace, event)) = kind.split_once(',').filter(|_| kind.starts_with('/')) else {
            return Some((0, kind));
        };
        let index = self.namespaces.iter().position(|known| **known == *namespace)?;
        Some((index, event))
    }

    /// The type of an event of this name in that namespace.
    pub(super) fn kind(&self, namespace: &str, event: &str) -> String {
        if self.namespaces.first().is_some_and(|home| **home == *namespace) {
            event.to_owned()
        } else {
            format!("{namespace},{event}")
        }
    }
}

fn bad(name: &str, message: &str, advice: &str) -> Problem {
    Problem::whole("bad_value", NAME, format!("`{name}` {message}"), advice)
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn pointer(name: &str, value: &Value) -> Result<Pointer, Problem> {
    let advice = "write a JSON Pointer into the data, like \"/id\"";
    let text = value.as_str().ok_or_else(|| bad(name, "is a JSON Pointer", advice))?;
    Pointer::parse(text).map_err(|message| bad(name, &format!("is no JSON Pointer: {message}"), advice))
}

fn namespaces(value: &Value) -> Result<Vec<Arc<str>>, Problem> {
    let advice = "write [\"/\", \"/admin\"], the one whose types stand alone first";
    let names = texts(value).filter(|names| (1..=MAX_NAMESPACES).contains(&names.len()));
    let Some(names) = names else {
        let message = format!("is a list of 1 to {MAX_NAMESPACES} names");
        return Err(bad("namespaces", &message, advice));
    };
    let mut all: Vec<Arc<str>> = Vec::new();
    for name in names {
        let fits = name.starts_with('/')
            && name.len() <= MAX_NAME
            && !name.chars().any(|c| matches!(c, ',' | '?' | '#') || c.is_control());
        if !fits {
            let message = format!("has \"{}\", which is no namespace", name.escape_debug());
            return Err(bad("namespaces", &message, "a namespace begins with `/` and has no `,` and no `?`"));
        }
        if all.iter().any(|known| **known == *name) {
            return Err(bad("namespaces", &format!("has {name} twice"), advice));
        }
        all.push(name.into());
    }
    Ok(all)
}
