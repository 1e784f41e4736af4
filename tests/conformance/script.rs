//! Transcripts as this suite reads them: the lines of a recorded session, and which case of the
//! nine they show. It is read here a second time, apart from `dialect replay`, so that the suite
//! does not believe the program about itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use holdline::model::{Frame, Payload, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;

/// What every dialect shows, or says why it cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    Start,
    Refusal,
    Event,
    Send,
    Confirm,
    Reject,
    Heartbeat,
    Resume,
    Garbage,
}

impl Case {
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Refusal,
        Self::Event,
        Self::Send,
        Self::Confirm,
        Self::Reject,
        Self::Heartbeat,
        Self::Resume,
        Self::Garbage,
    ];

    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }
}

/// A frame as it was recorded.
#[derive(Debug, Clone)]
pub enum Said {
    Json(Value),
    Text(String),
    Binary(Vec<u8>),
}

/// What happens in a line.
#[derive(Debug, Clone)]
pub enum Step {
    Set { token: Option<String>, vars: serde_json::Map<String, Value>, now: Option<Timestamp> },
    Open { query: Option<Value>, headers: Option<Value> },
    Refused(u16),
    In(Frame),
    Out(Said),
    Send { kind: String, id: String, payload: Payload },
    Close { code: Option<u16>, reason: String, ours: bool },
    Wait(Duration),
    Expect(BTreeMap<String, Value>),
}

impl Step {
    /// It says what the line before came to, and so belongs to it.
    pub const fn follows(&self) -> bool {
        matches!(self, Self::Out(_) | Self::Expect(_))
    }
}

#[derive(Debug, Clone)]
pub struct Line {
    pub number: usize,
    pub case: Option<Case>,
    pub step: Step,
}

/// One recorded session.
#[derive(Debug, Clone)]
pub struct Script {
    pub name: String,
    pub lines: Vec<Line>,
}

impl Script {
    /// Whether it says which cases it shows: only then it is one of this suite, and not merely a
    /// recording (perhaps of a client that counts in another way).
    pub fn shows_cases(&self) -> bool {
        self.lines.iter().any(|line| line.case.is_some())
    }

    pub fn token(&self) -> Option<&str> {
        match &self.lines.first()?.step {
            Step::Set { token, .. } => token.as_deref(),
            _ => None,
        }
    }

    /// The lines of `case`, as a range.
    pub fn of(&self, case: Case) -> Option<std::ops::Range<usize>> {
        let first = self.lines.iter().position(|line| line.case == Some(case))?;
        let length = self.lines[first..].iter().take_while(|line| line.case == Some(case)).count();
        Some(first..first + length)
    }
}

/// Reads the transcript at `path`, and the reasons in it why some cases cannot be shown.
pub fn read(path: &Path, cannot: &mut BTreeMap<Case, String>) -> Script {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut case = None;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let wrong = |what: &str| -> ! { panic!("{name}:{number}: {what}") };
        if let Some(comment) = line.trim().strip_prefix('#') {
            let comment = comment.trim();
            if let Some(named) = comment.strip_prefix("case:") {
                let named = named.trim();
                case = Some(
                    Case::parse(named).unwrap_or_else(|| wrong(&format!("no case is called `{named}`"))),
                );
            } else if let Some(reason) = comment.strip_prefix("cannot ") {
                let Some((named, why)) = reason.split_once(':') else { wrong("write `# cannot CASE: why`") };
                let named = Case::parse(named.trim()).unwrap_or_else(|| wrong("no such case"));
                let before = cannot.insert(named, why.trim().to_owned());
                assert!(before.is_none() && !why.trim().is_empty(), "{name}:{number}: one reason, not empty");
            }
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        lines.push(Line { number, case, step: step(line, number).unwrap_or_else(|what| wrong(&what)) });
    }
    Script { name, lines }
}

fn step(line: &str, number: usize) -> Result<Step, String> {
    let raw: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let json = |name: &str| raw.get(name).map(|value| serde_json::from_str::<Value>(value.get()).unwrap());
    let text = |name: &str| json(name).and_then(|value| value.as_str().map(str::to_owned));
    let bytes = |name: &str| text(name).map(|base64| BASE64.decode(base64).expect("base64"));
    let short =
        |name: &str| json(name).and_then(|value| value.as_u64()).and_then(|value| u16::try_from(value).ok());
    Ok(match text("dir").as_deref() {
        Some("set") => Step::Set {
            token: text("token"),
            vars: json("vars").and_then(|vars| vars.as_object().cloned()).unwrap_or_default(),
            now: text("now").map(|now| Timestamp::parse(&now).expect("a time")),
        },
        Some("open") => Step::Open { query: json("query"), headers: json("headers") },
        Some("refused") => Step::Refused(short("status").ok_or("a status is missing")?),
        Some("in") => Step::In(match (raw.get("frame"), text("text"), bytes("binary")) {
            (Some(frame), ..) => Frame::Text(frame.get().to_owned()),
            (_, Some(text), _) => Frame::Text(text),
            (.., Some(bytes)) => Frame::Binary(bytes),
            _ => return Err("a frame is missing".to_owned()),
        }),
        Some("out") => Step::Out(match (json("frame"), text("text"), bytes("binary")) {
            (Some(frame), ..) => Said::Json(frame),
            (_, Some(text), _) => Said::Text(text),
            (.., Some(bytes)) => Said::Binary(bytes),
            _ => return Err("a frame is missing".to_owned()),
        }),
        Some("send") => {
            let id = text("id").unwrap_or_else(|| format!("message-{number}"));
            let (kind, payload) = match (text("type"), text("text"), bytes("binary")) {
                (Some(kind), ..) => {
                    let data = raw.get("data").map_or("{}", |data| data.get());
                    (kind, Payload::Json(data.into()))
                }
                (_, Some(text), _) => ("text".to_owned(), Payload::Text(text.into())),
                (.., Some(bytes)) => ("binary".to_owned(), Payload::Binary(bytes.into())),
                _ => return Err("a message is missing".to_owned()),
            };
            Step::Send { kind, id, payload }
        }
        Some("close") => Step::Close {
            code: short("code"),
            reason: text("reason").unwrap_or_default(),
            ours: text("by").is_some(),
        },
        Some("wait") => {
            let length = text("for").ok_or("`for` is missing")?;
            let (number, unit) = length.split_at(length.find(|c: char| !c.is_ascii_digit()).unwrap_or(0));
            let number: u64 = number.parse().map_err(|_| "no duration")?;
            Step::Wait(match unit {
                "ms" => Duration::from_millis(number),
                "s" => Duration::from_secs(number),
                "m" => Duration::from_secs(number * 60),
                _ => return Err(format!("the suite knows ms, s and m, not {unit:?}")),
            })
        }
        Some("expect") => {
            let names = raw.keys().filter(|name| *name != "dir").cloned();
            Step::Expect(names.map(|name| (name.clone(), json(&name).unwrap())).collect())
        }
        other => return Err(format!("no `dir` is called {other:?}")),
    })
}
