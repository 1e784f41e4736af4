//! Messages of apps on their way out.

use super::codec;
use super::hole::{Drawn, Names, Scope};
use super::scalars::Digits;
use super::spec::{Out, Role, Spec};
use super::template::{Clash, Spread};
use crate::dialect::{Encoded, Outgoing};
use crate::model::{Confirm, ErrorKind, Frame, MessageId, Payload, Refusal, Timestamp};

/// The shape of a message on the wire; none: it goes out as it is.
pub(crate) fn shape<'s>(spec: &'s Spec, kind: &str, payload: &Payload) -> Result<Option<&'s Out>, Refusal> {
    let fits = |out: &&Out| out.kinds.is_empty() || out.kinds.iter().any(|glob| glob.matches(kind));
    let out = spec.out.iter().find(fits);
    match payload {
        Payload::Text(_) | Payload::Binary(_) => Ok(out.filter(|out| out.raw)),
        Payload::Json(_) => match out {
            Some(out) => Ok(Some(out)),
            None => Err(unsayable(spec, kind)),
        },
    }
}

fn unsayable(spec: &Spec, kind: &str) -> Refusal {
    let message = format!("the dialect has no frame for messages of type \"{kind}\"");
    let hint = if spec.out.is_empty() {
        "this dialect sends no JSON messages: send a text or binary one"
    } else {
        "use a type that one of the dialect's `[[out]]` names, or add one"
    };
    Refusal::new(ErrorKind::Unsupported, message).hint(hint)
}

/// A text or binary message without a frame around it.
pub(crate) fn as_it_is(payload: &Payload) -> Encoded {
    let frame = match payload {
        Payload::Json(text) | Payload::Text(text) => Frame::Text(text.to_string()),
        Payload::Binary(bytes) => Frame::Binary(bytes.to_vec()),
    };
    Encoded { frame, behind: Vec::new(), reference: None, counter: None }
}

/// The message in `scope`, in the shape of `out`.
pub(crate) fn encode(spec: &Spec, out: &Out, scope: &Scope<'_>) -> Result<Encoded, Refusal> {
    let text = out.frame.frame(scope, Spread::Strict).map_err(|clash| clashes(&clash))?;
    let Some(text) = text else {
        return Err(nothing_to_send());
    };
    let reference = match &out.reference {
        Some(reference) => {
            reference.value(scope).filter(|value| !value.is_null()).map(|value| value.into_text().into())
        }
        None => match scope.drawn.and_then(|drawn| drawn.id.as_deref()) {
            Some(recorded) => Some(super::value::Value::Json(recorded.into()).into_text().into()),
            None => scope.sending.map(|message| message.id.shared()),
        },
    };
    let counter = scope.drawn.and_then(Drawn::counter).and_then(|counter| counter.parse().ok());
    Ok(Encoded { frame: codec::outbound(spec.codec, text), behind: Vec::new(), reference, counter })
}

fn clashes(clash: &Clash) -> Refusal {
    match clash {
        Clash::Member(name) => {
            let message = format!("the frame has a member \"{name}\" of its own, so data cannot have one");
            Refusal::new(ErrorKind::InvalidParams, message).hint("rename the member")
        }
        Clash::NoObject => Refusal::new(ErrorKind::InvalidParams, "this dialect takes objects as data only")
            .hint("send an object"),
        Clash::NoList => {
            Refusal::new(ErrorKind::InvalidParams, "this dialect takes a list as data").hint("send a list")
        }
    }
}

/// What stands for what a message has only on its way, when it is handed in.
#[derive(Debug)]
pub(crate) struct Stand {
    id: MessageId,
    names: Names,
    drawn: Drawn,
}

impl Stand {
    pub(crate) fn new(spec: &Spec) -> Self {
        Self {
            id: MessageId::from(uuid::Uuid::nil()),
            names: Names { vars: std::sync::Arc::clone(&spec.vars), ..Names::default() },
            drawn: Drawn { number: Some(Digits::of(1)), uuid: Some("\"\"".into()), ..Drawn::default() },
        }
    }
}

/// Whether an app may hand this in.
pub(crate) fn check(spec: &Spec, stand: &Stand, kind: &str, payload: &Payload) -> Result<(), Refusal> {
    if matches!(payload, Payload::Json(_)) && spec.reserved.iter().any(|reserved| reserved == kind) {
        let message = format!("messages of type \"{kind}\" belong to the protocol");
        return Err(Refusal::new(ErrorKind::InvalidParams, message).hint("use another type"));
    }
    let Some(out) = shape(spec, kind, payload)? else {
        return Ok(());
    };
    let mut scope = Scope::new(&stand.names, Timestamp::default());
    scope.sending = Some(Outgoing { id: &stand.id, kind, payload });
    scope.drawn = Some(&stand.drawn);
    // What can be said in principle: the frame itself is made when it goes out.
    match out.frame.comes_to_a_frame(&scope, Spread::Strict) {
        Ok(true) => Ok(()),
        Ok(false) => Err(nothing_to_send()),
        Err(clash) => Err(clashes(&clash)),
    }
}

fn nothing_to_send() -> Refusal {
    Refusal::new(ErrorKind::InvalidParams, "the message has nothing that could be sent")
}

/// What confirms messages of this type, where the configuration leaves it to the dialect.
pub(crate) fn confirm(spec: &Spec, kind: &str, payload: &Payload) -> Confirm {
    let silent = if spec.heartbeat.ws_ping { Confirm::Barrier } else { Confirm::Sent };
    let Ok(Some(out)) = shape(spec, kind, payload) else {
        return silent;
    };
    out.confirm.unwrap_or(if accepts(spec) { Confirm::Reply } else { silent })
}

/// Whether some rule says that a message is done.
pub(crate) fn accepts(spec: &Spec) -> bool {
    spec.rules
        .iter()
        .any(|rule| rule.role == Role::Accepted || (rule.role == Role::Event && rule.own.reply_to.is_some()))
}
