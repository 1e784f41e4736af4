//! One connection's talk: the open packet, the namespaces, then events and acknowledgements.

use std::sync::Arc;
use std::time::Duration;

use super::findings::Findings;
use super::packet::{self, Engine, Kind, Packet, engine, head, is_offset};
use super::rooms::{Joined, MAX_OFFSET, Room};
use super::settings::{Offsets, Settings};
use super::{Limit, binary, outbound, refusal};
use crate::dialect::declarative::odd;
use crate::dialect::declarative::roles::clean;
use crate::dialect::declarative::tape::{Doc, Tape};
use crate::dialect::{About, Act, Conversation, Encoded, Given, Outgoing, Pulse};
use crate::model::json::compact;
use crate::model::{Delivery, Failure, Frame, Instant, Moment, NewRow, Payload, Refusal, Verdict};

/// How long the server may take for its open packet, and then for its answers to our CONNECTs
/// (`auth.reply_timeout` stands over the latter).
const PATIENCE: Duration = Duration::from_secs(10);
/// Attachments of one packet, at most: more stand in quarantine.
const MAX_PARTS: usize = 1024;
/// Bytes of the attachments of one packet, at most.
const MAX_PARTS_BYTES: usize = 16 << 20;
/// Longest beat that is believed: a server that wants more says nothing of its life.
const MAX_BEAT: u64 = 24 * 60 * 60 * 1000;

/// A conversation in Socket.IO.
#[derive(Debug)]
pub(super) struct Talk {
    settings: Arc<Settings>,
    limit: Arc<Limit>,
    given: Given,
    phase: Phase,
    deadline: Option<(Instant, Duration)>,
    rooms: Vec<Room>,
    /// Some namespace went on, or did not.
    recovered: bool,
    lost: bool,
    /// The last number an answer was asked for by.
    ack: u64,
    beat: Option<Duration>,
    patience: Option<Duration>,
    parcel: Option<Parcel>,
    /// What came in place of the open packet.
    first_words: Option<String>,
    tape: Tape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has begun: a frame on its own.
    Alone,
    /// The open packet has not come.
    Opening,
    /// Not all namespaces have let us in.
    Joining,
    Started,
}

/// A packet whose attachments are on their way.
#[derive(Debug)]
struct Parcel {
    text: String,
    wanted: usize,
    parts: Vec<Vec<u8>>,
    bytes: usize,
}

impl Talk {
    pub(super) fn new(settings: Arc<Settings>, limit: Arc<Limit>, given: Given) -> Self {
        let names = settings.namespaces.iter().enumerate();
        let rooms = names.map(|(index, name)| Room::new(name, index == 0, &given)).collect();
        Self {
            settings,
            limit,
            given,
            phase: Phase::Alone,
            deadline: None,
            rooms,
            recovered: false,
            lost: false,
            ack: 0,
            beat: None,
            patience: None,
            parcel: None,
            first_words: None,
            tape: Tape::default(),
        }
    }

    fn text(&mut self, at: Moment, text: String, findings: &mut Findings) {
        let packet = engine(&text);
        if self.phase == Phase::Opening && !matches!(packet, Engine::Open(_)) {
            // It may be noise before the open packet. Where none follows, it says what this is.
            self.first_words.get_or_insert_with(|| clean(&text));
        }
        match packet {
            Engine::Open(json) => self.opened(at, json, &text, findings),
            Engine::Close => {
                findings.hang_up(Verdict::Retry { after: None }, "it closed the Engine.IO session");
            }
            Engine::Ping(words) => {
                findings.acts.push(Act::Send(Frame::Text(format!("3{words}"))));
            }
            Engine::Pong | Engine::Noop => {}
            Engine::Message(message) => {
                self.spill("attachments_missing", "its attachments did not all come", findings);
                self.message(message, &text, findings);
            }
            Engine::Unknown => {
                let frame = Frame::Text(text);
                findings.bad("invalid_packet", "it is no packet of Engine.IO", frame);
            }
        }
    }

    fn opened(&mut self, at: Moment, json: &str, text: &str, findings: &mut Findings) {
        if self.phase != Phase::Opening {
            findings.bad("unexpected_packet", "a second open packet", Frame::Text(text.to_owned()));
            return;
        }
        let mut tape = std::mem::take(&mut self.tape);
        let open = tape.read(json).ok().map(|()| tape.doc(json));
        if let Some(open) = open.filter(|open| open.member("sid").is_some_and(|sid| sid.string().is_some())) {
            let number = |name: &str| {
                let number = open.member(name)?.json().parse::<f64>().ok()?;
                // Whole milliseconds, and no more than MAX_BEAT below.
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked to be positive; what is too large saturates"
                )]
                (number >= 1.0).then_some(number as u64)
            };
            let beat =
                |name: &str| number(name).filter(|millis| *millis <= MAX_BEAT).map(Duration::from_millis);
            self.beat = beat("pingInterval");
            self.patience = beat("pingTimeout");
            if let Some(limit) = number("maxPayload") {
                self.limit.set(limit);
            }
            for room in &mut self.rooms {
                findings.acts.push(Act::Send(room.connect(&self.settings, &self.given)));
            }
            let patience = self.given.sign_in.map_or(PATIENCE, |sign_in| sign_in.timeout);
            self.deadline = Some((at.instant + patience, patience));
            self.phase = Phase::Joining;
        } else {
            let message = format!("it does not speak Engine.IO 4: its open packet was \"{}\"", clean(text));
            findings.hang_up(Verdict::Misconfigured, message);
        }
        self.tape = tape;
    }

    /// A packet of Socket.IO; `text` is the frame it stood in.
    fn message(&mut self, message: &str, text: &str, findings: &mut Findings) {
        let packet = match packet::packet(message) {
            Ok(packet) => packet,
            Err(why) => {
                let detail = format!("it is no packet of Socket.IO: {why}");
                findings.bad("invalid_packet", detail, Frame::Text(text.to_owned()));
                return;
            }
        };
        match packet.kind {
            Kind::Event | Kind::Ack => self.read(packet, &[], text, findings),
            Kind::BinaryEvent | Kind::BinaryAck => match packet.attachments {
                wanted @ 1..=MAX_PARTS => {
                    let text = text.to_owned();
                    self.parcel = Some(Parcel { text, wanted, parts: Vec::new(), bytes: 0 });
                }
                other => {
                    let detail = format!("it has {other} attachments, not 1 to {MAX_PARTS}");
                    findings.bad("too_many_items", detail, Frame::Text(text.to_owned()));
                }
            },
            Kind::Connect => self.connected(packet, text, findings),
            Kind::ConnectError => self.refused(packet, text, findings),
            Kind::Disconnect => {
                if self.room(packet.namespace).is_some() {
                    let message = format!("it put us out of the namespace {}", packet.namespace);
                    findings.hang_up(Verdict::Retry { after: None }, message);
                }
            }
        }
    }

    fn room(&mut self, namespace: &str) -> Option<&mut Room> {
        self.rooms.iter_mut().find(|room| *room.name == *namespace)
    }

    /// Reads a packet's JSON, then deals with it.
    fn read(&mut self, packet: Packet<'_>, parts: &[Vec<u8>], text: &str, findings: &mut Findings) {
        let mut tape = std::mem::take(&mut self.tape);
        let read = tape.read(packet.json).and_then(|()| odd::look(tape.doc(packet.json)));
        let fault = match read {
            Ok(()) if parts.is_empty() => {
                self.take(packet, tape.doc(packet.json), findings);
                None
            }
            Ok(()) => match binary::fill(packet.json, tape.doc(packet.json), parts) {
                // Attachments are strings now: what was sound stays so.
                Ok(json) if tape.read(&json).is_ok() => {
                    self.take(packet, tape.doc(&json), findings);
                    None
                }
                Ok(_) => Some(("invalid_json", "with its attachments it is not JSON".to_owned())),
                Err(why) => Some(("attachments_missing", why.to_owned())),
            },
            Err(fault) => Some(fault.told()),
        };
        if let Some((reason, detail)) = fault {
            findings.bad(reason, detail.clone(), Frame::Text(text.to_owned()));
            for part in parts {
                findings.bad(reason, detail.clone(), Frame::Binary(part.clone()));
            }
        }
        tape.trim();
        self.tape = tape;
    }

    fn take(&mut self, packet: Packet<'_>, doc: Doc<'_>, findings: &mut Findings) {
        match packet.kind {
            Kind::Ack | Kind::BinaryAck => self.answered(packet, doc, findings),
            Kind::Event | Kind::BinaryEvent | Kind::Connect | Kind::Disconnect | Kind::ConnectError => {
                self.event(packet, doc, findings)
            }
        }
    }

    fn event(&mut self, packet: Packet<'_>, doc: Doc<'_>, findings: &mut Findings) {
        let mut items = doc.items();
        let name = items.next().and_then(|name| match name.json().as_bytes().first() {
            Some(b'"') => name.string().map(|name| name.into_owned()),
            Some(b'-' | b'0'..=b'9') => Some(name.json().to_owned()),
            _ => None,
        });
        let mut arguments: Vec<Doc<'_>> = items.collect();
        let settings = Arc::clone(&self.settings);
        let namespace = packet.namespace;
        let stream = match self.room(namespace) {
            Some(room) => Arc::clone(&room.stream),
            None => Arc::from(namespace),
        };
        let mut id = None;
        let (kind, payload) = match name.filter(|name| !name.is_empty()) {
            Some(name) => {
                let kind = settings.kind(namespace, &name);
                // An event whose acknowledgement is awaited never has an offset.
                if packet.id.is_none()
                    && let Some(room) = self.room(namespace).filter(|room| room.pid.is_some())
                    && let Some(offset) = arguments.last().and_then(|last| last.string())
                    && is_taken(settings.offset, &offset)
                {
                    room.move_on(&offset, &mut findings.unit);
                    id = Some(offset.into_owned());
                    arguments.pop();
                }
                if id.is_none()
                    && let Some(pointer) = &settings.event_id
                {
                    let found = match arguments.as_slice() {
                        [one] if !settings.is_list(&kind) => one.find(pointer).map(shown),
                        _ => pointer.find(&list(&arguments)).map(shown_text),
                    };
                    id = found.filter(|id| !id.is_empty() && id != "null");
                }
                let data = data(&arguments, settings.is_list(&kind));
                (kind, data)
            }
            None => ("unrecognised".to_owned(), body(doc.json())),
        };
        findings.unit.rows.push(NewRow::Event {
            stream,
            id,
            kind,
            payload: Payload::Json(payload),
            delivery: Delivery::Durable,
            key: None,
        });
        if packet.id.is_some() {
            findings.then.push(Frame::Text(head(Kind::Ack, 0, namespace, packet.id) + "[]"));
        }
    }

    fn answered(&mut self, packet: Packet<'_>, doc: Doc<'_>, findings: &mut Findings) {
        let Some(number) =
            packet.id.and_then(|id| id.parse::<u64>().ok()).filter(|_| doc.json().starts_with('['))
        else {
            let row = event_row("unrecognised", body(doc.json()));
            findings.unit.rows.push(row);
            return;
        };
        let about = About::One(number.to_string());
        let data = data(&doc.items().collect::<Vec<_>>(), false);
        let refused = self.settings.reject.as_ref().and_then(|pointer| pointer.find(&data));
        match refused.filter(|why| !matches!(*why, "null" | "false")) {
            Some(why) => {
                let message = Some(clean(&shown_text(why)));
                let otherwise = event_row("error", data);
                findings.acts.push(Act::Rejected { about, code: None, message, otherwise });
            }
            None => findings.acts.push(Act::Accepted { about, data: Some(data) }),
        }
    }

    fn connected(&mut self, packet: Packet<'_>, text: &str, findings: &mut Findings) {
        let mut tape = std::mem::take(&mut self.tape);
        let read = tape.read(packet.json).map(|()| tape.doc(packet.json));
        let answer = read.ok().filter(|answer| answer.member("sid").is_some());
        let joining = self.phase == Phase::Joining;
        let limit = self.limit.get();
        match (self.room(packet.namespace).filter(|room| joining && !room.joined), answer) {
            (Some(room), Some(answer)) => {
                let joined = room.join(answer, limit, &mut findings.unit);
                self.recovered |= joined == Joined::Recovered;
                self.lost |= joined == Joined::Lost;
                if self.rooms.iter().all(|room| room.joined) {
                    self.phase = Phase::Started;
                    self.deadline = None;
                    let resumed = (self.recovered || self.lost).then_some(!self.lost);
                    findings.acts.push(Act::Started { resumed });
                }
            }
            (_, None) if joining => findings.hang_up(
                Verdict::Misconfigured,
                "it speaks Socket.IO 2, and this is Socket.IO 3 and later: the two do not understand each other",
            ),
            _ => findings.bad("unexpected_packet", "nobody asked for it", Frame::Text(text.to_owned())),
        }
        self.tape = tape;
    }

    fn refused(&mut self, packet: Packet<'_>, text: &str, findings: &mut Findings) {
        if self.phase != Phase::Joining || self.room(packet.namespace).is_none() {
            findings.bad("unexpected_packet", "nobody asked for it", Frame::Text(text.to_owned()));
            return;
        }
        let mut tape = std::mem::take(&mut self.tape);
        let payload = tape.read(packet.json).ok().map(|()| tape.doc(packet.json));
        let failure = refusal::failure(payload, packet.namespace, &self.settings.refusals);
        findings.acts.push(Act::HangUp(failure));
        self.tape = tape;
    }

    fn binary(&mut self, bytes: Vec<u8>, findings: &mut Findings) {
        let Some(parcel) = &mut self.parcel else {
            let payload = Payload::Binary(bytes.into());
            findings.unit.rows.push(NewRow::Event {
                stream: "".into(),
                id: None,
                kind: "binary".to_owned(),
                payload,
                delivery: Delivery::Durable,
                key: None,
            });
            return;
        };
        parcel.bytes += bytes.len();
        parcel.parts.push(bytes);
        if parcel.bytes > MAX_PARTS_BYTES {
            let detail = format!("its attachments have more than {} MiB", MAX_PARTS_BYTES >> 20);
            self.spill("too_large", &detail, findings);
        } else if parcel.parts.len() == parcel.wanted
            && let Some(parcel) = self.parcel.take()
            && let Engine::Message(message) = engine(&parcel.text)
            && let Ok(packet) = packet::packet(message)
        {
            self.read(packet, &parcel.parts, &parcel.text, findings);
        }
    }

    /// A packet whose attachments came to nothing: all of it stands in quarantine.
    fn spill(&mut self, reason: &'static str, detail: &str, findings: &mut Findings) {
        let Some(parcel) = self.parcel.take() else { return };
        findings.bad(reason, detail, Frame::Text(parcel.text));
        for part in parcel.parts {
            findings.bad(reason, detail, Frame::Binary(part));
        }
    }
}

fn is_taken(offsets: Offsets, text: &str) -> bool {
    match offsets {
        Offsets::Known => is_offset(text),
        Offsets::Last => text.len() <= MAX_OFFSET,
        Offsets::Never => false,
    }
}

fn event_row(kind: &str, payload: Arc<str>) -> NewRow {
    NewRow::Event {
        stream: "".into(),
        id: None,
        kind: kind.to_owned(),
        payload: Payload::Json(payload),
        delivery: Delivery::Durable,
        key: None,
    }
}

/// The arguments of an event, or of an answer, as one value: none is null, one stands alone.
fn data(arguments: &[Doc<'_>], always_list: bool) -> Arc<str> {
    match arguments {
        [] if !always_list => "null".into(),
        [one] if !always_list => body(one.json()),
        several => body(&list(several)),
    }
}

fn list(items: &[Doc<'_>]) -> String {
    let items: Vec<&str> = items.iter().map(|item| item.json()).collect();
    format!("[{}]", items.join(","))
}

/// Bodies travel in lines later on.
fn body(json: &str) -> Arc<str> {
    if json.bytes().any(|byte| matches!(byte, b'\n' | b'\r')) { compact(json).into() } else { json.into() }
}

fn shown(doc: Doc<'_>) -> String {
    doc.string().map_or_else(|| doc.json().to_owned(), |text| text.into_owned())
}

fn shown_text(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())
}

impl Conversation for Talk {
    fn begin(&mut self, at: Moment, _: &mut Vec<Act>) {
        self.phase = Phase::Opening;
        self.deadline = Some((at.instant + PATIENCE, PATIENCE));
    }

    fn frame(&mut self, at: Moment, frame: Frame, acts: &mut Vec<Act>) {
        let mut findings = Findings::default();
        match frame {
            Frame::Text(text) => self.text(at, text, &mut findings),
            Frame::Binary(bytes) => self.binary(bytes, &mut findings),
        }
        findings.into_acts(acts);
    }

    fn closed(&mut self, _: u16, _: &str) -> Option<Verdict> {
        None
    }

    fn encode(&mut self, _: Moment, message: Outgoing<'_>) -> Result<Encoded, Refusal> {
        let encoded = outbound::encode(&self.settings, message, self.ack, self.limit.get())?;
        self.ack += 1;
        Ok(encoded)
    }

    fn pulse(&self) -> Pulse {
        // The server pings by itself: into silence that is longer than it bears we ask, so that a
        // dead line is noticed soon after a wake too.
        Pulse { message: false, ws_ping: true, every: self.beat, timeout: self.patience, beat: None }
    }

    fn heartbeat(&mut self, _: Moment) -> Option<Frame> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline.map(|(deadline, _)| deadline)
    }

    fn handle_timeout(&mut self, at: Moment, acts: &mut Vec<Act>) {
        let Some((_, after)) = self.deadline.take_if(|(deadline, _)| *deadline <= at.instant) else {
            return;
        };
        if let Some(words) = self.first_words.take().filter(|_| self.phase == Phase::Opening) {
            let mut findings = Findings::default();
            let message = format!("it does not speak Engine.IO 4: its first words were \"{words}\"");
            findings.hang_up(Verdict::Misconfigured, message);
            return findings.into_acts(acts);
        }
        let step = match self.rooms.iter().find(|room| !room.joined) {
            Some(room) if self.phase == Phase::Joining => format!("CONNECT {}", room.name),
            _ => "open".to_owned(),
        };
        acts.push(Act::HangUp(Failure::StartTimeout { step, after, sign_in: false }));
    }
}
