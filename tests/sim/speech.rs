//! How the simulated server speaks: lines of text, one word first. A coded dialect, so that the
//! simulation tests the session and not the dialect language.

use std::sync::Arc;
use std::time::Duration;

use holdline::dialect::{
    About, Act, Connect, Conversation, Dialect, Encoded, Given, Outgoing, Pulse, Traits,
};
use holdline::model::{
    Confirm, Delivery, Failure, Frame, Instant, MessageId, Moment, NewRow, Payload, Refusal, Unit, Verdict,
};

/// What a client's frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientSays {
    Hello { cursor: u64 },
    Message { id: String, counter: u64, body: String },
    Ack(u64),
    Beat,
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerSays {
    Welcome,
    Accepted(String),
    Received(String),
    Rejected(String),
    Deferred(String, u64),
    UpTo(u64),
    Event(u64),
    Typing,
    Beat,
}

pub fn parse(frame: &Frame) -> ClientSays {
    let Frame::Text(text) = frame else { panic!("the session invented a binary frame") };
    let mut words = text.splitn(4, ' ');
    let mut word = || words.next().unwrap_or_default();
    match word() {
        "hello" => ClientSays::Hello { cursor: word().parse().unwrap() },
        "message" => ClientSays::Message {
            id: word().to_owned(),
            counter: word().parse().unwrap(),
            body: word().to_owned(),
        },
        "ack" => ClientSays::Ack(word().parse().unwrap()),
        "beat" => ClientSays::Beat,
        other => panic!("the session invented {other:?}"),
    }
}

pub fn render(says: &ServerSays) -> Frame {
    Frame::Text(match says {
        ServerSays::Welcome => "welcome".to_owned(),
        ServerSays::Accepted(id) => format!("accepted {id}"),
        ServerSays::Received(id) => format!("received {id}"),
        ServerSays::Rejected(id) => format!("rejected {id}"),
        ServerSays::Deferred(id, millis) => format!("deferred {id} {millis}"),
        ServerSays::UpTo(counter) => format!("upto {counter}"),
        ServerSays::Event(number) => format!("event {number}"),
        ServerSays::Typing => "typing".to_owned(),
        ServerSays::Beat => "beat".to_owned(),
    })
}

/// The dialect's side of it.
#[derive(Debug)]
pub struct Lines {
    traits: Traits,
}

impl Lines {
    pub fn new(resumes: bool) -> Self {
        let traits = Traits {
            name: "lines".to_owned(),
            about: "lines of text".to_owned(),
            uses_token: false,
            resumes,
            window: None,
        };
        Self { traits }
    }
}

impl Dialect for Lines {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    fn connect(&self, _: &Given, _: Moment) -> Connect {
        Connect::default()
    }

    fn check(&self, _: &str, _: &Payload) -> Result<(), Refusal> {
        Ok(())
    }

    fn confirm(&self, _: &str, _: &Payload) -> Confirm {
        Confirm::Learned
    }

    fn answers(&self, _: &str, _: &Payload) -> bool {
        true
    }

    fn refused(&self, _: u16) -> Option<Verdict> {
        None
    }

    fn converse(&self, given: Given, _: u64) -> Box<dyn Conversation> {
        Box::new(Talk { resumes: self.traits.resumes, given, counter: 0, welcome_by: None, welcomed: false })
    }
}

#[derive(Debug)]
struct Talk {
    resumes: bool,
    given: Given,
    counter: u64,
    welcome_by: Option<Instant>,
    welcomed: bool,
}

const WELCOME: Duration = Duration::from_secs(10);

impl Conversation for Talk {
    fn begin(&mut self, at: Moment, acts: &mut Vec<Act>) {
        let cursor = self.given.cursors.get("").map_or("0", |cursor| cursor);
        acts.push(Act::Send(Frame::Text(format!("hello {cursor}"))));
        self.welcome_by = Some(at.instant + WELCOME);
    }

    fn frame(&mut self, _: Moment, frame: Frame, acts: &mut Vec<Act>) {
        let Frame::Text(text) = frame else { return };
        let words: Vec<&str> = text.split(' ').collect();
        let one = || About::One(words[1].to_owned());
        match words[0] {
            "welcome" => {
                self.welcome_by = None;
                self.welcomed = true;
                acts.push(Act::Started { resumed: Some(self.resumes) });
            }
            "accepted" => acts.push(Act::Accepted { about: one(), data: None }),
            "upto" => {
                let about = About::UpTo(words[1].parse().unwrap());
                acts.push(Act::Accepted { about, data: None });
            }
            "received" => acts.push(Act::Received { about: one(), data: None }),
            "rejected" => acts.push(Act::Rejected {
                about: one(),
                code: Some("no".to_owned()),
                message: None,
                otherwise: row("error", None),
            }),
            "deferred" => acts.push(Act::Deferred {
                about: one(),
                code: None,
                message: None,
                retry_after: Some(Duration::from_millis(words[2].parse().unwrap())),
            }),
            "event" => {
                let number = words[1];
                let unit = Unit {
                    rows: vec![row("order", Some(number))],
                    cursors: if self.resumes {
                        vec![(Arc::from(""), Some(Arc::from(number)))]
                    } else {
                        Vec::new()
                    },
                    kept: Vec::new(),
                };
                acts.push(Act::Store {
                    unit,
                    then: vec![Frame::Text(format!("ack {number}"))],
                    cumulative: false,
                });
            }
            "typing" => {
                let unit = Unit { rows: vec![row("typing", None)], ..Unit::default() };
                acts.push(Act::Store { unit, then: Vec::new(), cumulative: false });
            }
            _ => {}
        }
    }

    fn closed(&mut self, _: u16, _: &str) -> Option<Verdict> {
        None
    }

    fn encode(&mut self, _: Moment, message: Outgoing<'_>) -> Result<Encoded, Refusal> {
        self.counter += 1;
        let Payload::Json(json) = message.payload else { panic!("only JSON is sent here") };
        Ok(Encoded {
            frame: Frame::Text(format!("message {} {} {json}", message.id, self.counter)),
            behind: Vec::new(),
            reference: Some(message.id.shared()),
            counter: Some(self.counter),
        })
    }

    fn pulse(&self) -> Pulse {
        Pulse { message: false, ws_ping: true, every: None, timeout: None, beat: None }
    }

    fn heartbeat(&mut self, _: Moment) -> Option<Frame> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.welcome_by
    }

    fn handle_timeout(&mut self, at: Moment, acts: &mut Vec<Act>) {
        if self.welcome_by.is_some_and(|by| by <= at.instant) {
            self.welcome_by = None;
            acts.push(Act::HangUp(Failure::StartTimeout {
                step: "the hello".to_owned(),
                after: WELCOME,
                sign_in: false,
            }));
        }
    }
}

fn row(kind: &str, id: Option<&str>) -> NewRow {
    NewRow::Event {
        stream: Arc::from(""),
        id: id.map(str::to_owned),
        kind: kind.to_owned(),
        payload: Payload::Json(Arc::from("{}")),
        delivery: Delivery::Durable,
        key: None,
    }
}

/// A message's id as the simulation makes them.
pub fn message_id(number: u64) -> MessageId {
    MessageId::new(&format!("m{number}")).unwrap()
}
