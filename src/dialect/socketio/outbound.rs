//! Messages of apps on their way out.

use super::binary;
use super::packet::{Kind, head};
use super::settings::{Carried, Settings};
use crate::dialect::declarative::scalars::write_string;
use crate::dialect::{Encoded, Outgoing};
use crate::model::{ErrorKind, Frame, Payload, Refusal, words};

/// Names the protocol keeps for itself: a packet with one of them ends the session.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
/// What Socket.IO calls an event that has no name, as `socket.send()` makes them.
const NAMELESS: &str = "message";

/// The message as frames. `ack`: the number its answer will carry. `limit`: most bytes of one frame
/// that the server takes, where it said so.
///
/// # Errors
/// When the message cannot be said, or the server would hang up at it.
pub(super) fn encode(
    settings: &Settings,
    message: Outgoing<'_>,
    ack: u64,
    limit: Option<u64>,
) -> Result<Encoded, Refusal> {
    let (namespace, event) = match message.payload {
        Payload::Json(_) => target(settings, message.kind)?,
        Payload::Text(_) | Payload::Binary(_) => (&*settings.namespaces[0], NAMELESS),
    };
    let mut parts = Vec::new();
    let mut json = String::from("[");
    write_string(event, &mut json);
    match message.payload {
        Payload::Json(data) => {
            let (data, taken) = binary::take_out(data, settings.attachments)?;
            parts = taken;
            arguments(settings, message, &data, &mut json)?;
        }
        Payload::Text(text) => {
            json.push(',');
            write_string(text, &mut json);
        }
        Payload::Binary(bytes) => {
            json.push_str(",{\"_placeholder\":true,\"num\":0}");
            parts.push(bytes.to_vec());
        }
    }
    if settings.message_id == Carried::Argument {
        json.push(',');
        write_string(message.id.as_str(), &mut json);
    }
    json.push(']');
    let kind = if parts.is_empty() { Kind::Event } else { Kind::BinaryEvent };
    let reference = ack.to_string();
    let text = head(kind, parts.len(), namespace, Some(&reference)) + &json;
    for bytes in std::iter::once(text.len()).chain(parts.iter().map(Vec::len)) {
        if limit.is_some_and(|limit| bytes as u64 > limit) {
            let limit = words::size(limit.unwrap_or_default());
            let message = format!(
                "the message has {} on the wire, the server takes {limit}",
                words::size(bytes as u64)
            );
            return Err(Refusal::new(ErrorKind::TooLarge, message)
                .hint("send less at a time; the server sets that limit (maxHttpBufferSize)"));
        }
    }
    Ok(Encoded {
        frame: Frame::Text(text),
        behind: parts.into_iter().map(Frame::Binary).collect(),
        reference: Some(reference.into()),
        counter: None,
    })
}

fn target<'s>(settings: &'s Settings, kind: &'s str) -> Result<(&'s str, &'s str), Refusal> {
    let Some((index, event)) = settings.target(kind) else {
        let namespace = kind.split(',').next().unwrap_or_default();
        return Err(invalid(format!("the namespace {namespace} is not asked for"))
            .hint("add it: [server] vars = { namespaces = […] }"));
    };
    if RESERVED.contains(&event) || event.is_empty() {
        return Err(
            invalid(format!("messages of type \"{event}\" belong to the protocol")).hint("use another type")
        );
    }
    Ok((&settings.namespaces[index], event))
}

/// Writes what stands behind the event's name: `data` is one argument, or the list of them.
fn arguments(
    settings: &Settings,
    message: Outgoing<'_>,
    data: &str,
    json: &mut String,
) -> Result<(), Refusal> {
    let list = settings.is_list(message.kind);
    let data = data.trim();
    let inner = if list {
        data.strip_prefix('[').and_then(|data| data.strip_suffix(']')).ok_or_else(|| {
            invalid(format!("data of type \"{}\" is the list of the event's arguments", message.kind))
                .hint("send an array, or take the type out of server.vars lists")
        })?
    } else {
        data
    };
    if inner.trim().is_empty() {
        return Ok(());
    }
    json.push(',');
    let Carried::Member(member) = &settings.message_id else {
        json.push_str(inner);
        return Ok(());
    };
    let Some(rest) = inner.strip_prefix('{') else {
        return Err(invalid(format!("the message carries its id as `{member}`, so it must be an object"))
            .hint("send an object, or set server.vars message_id to \"argument\" or \"none\""));
    };
    let first = if list { format!("[{inner}]") } else { inner.to_owned() };
    let pointer = if list { format!("/0/{}", escape(member)) } else { format!("/{}", escape(member)) };
    let there =
        crate::model::json::Pointer::parse(&pointer).is_ok_and(|pointer| pointer.find(&first).is_some());
    if there {
        return Err(invalid(format!("data cannot have a member `{member}`: it carries the message's id"))
            .hint("rename the member"));
    }
    json.push('{');
    write_string(member, json);
    json.push(':');
    write_string(message.id.as_str(), json);
    if !rest.trim_start().starts_with('}') {
        json.push(',');
    }
    json.push_str(rest);
    Ok(())
}

/// A member's name as a token of a JSON Pointer.
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn invalid(message: String) -> Refusal {
    Refusal::new(ErrorKind::InvalidParams, message)
}
