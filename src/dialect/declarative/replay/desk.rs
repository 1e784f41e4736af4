//! Where recorded frames and frames of ours meet.

use std::sync::{Arc, Mutex, PoisonError};

use super::super::codec;
use super::super::hole::{Base, Drawn, Scope};
use super::super::spec::Codec;
use super::super::talk::{Came, Watch};
use super::super::tape::Tape;
use super::super::template::{Spread, Template};
use super::super::value::Value;
use super::fit::{Bound, Fitting};
use super::transcript::Recorded;

/// The recorded frames of one connection, and what was made to fit them.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) codec: Codec,
    pub(super) lenient: bool,
    /// Recorded frames that may still be sent on this connection, by line index.
    pub(super) open: Vec<(usize, Recorded)>,
    /// Frames that were made to fit a recorded one: their text, and which.
    pub(super) fitted: Vec<(String, usize)>,
    /// Frames with something secret in them.
    pub(super) secret: Vec<String>,
    pub(super) kept: Vec<Arc<str>>,
    pub(super) came: Vec<Came>,
}

impl Desk {
    /// Whether `template` can have made the recorded frame, and with what.
    fn fit(&self, template: &Template, scope: &Scope<'_>, recorded: &Recorded) -> Option<Drawn> {
        let fitting = Fitting { scope, lenient: self.lenient };
        let read = |json: &str| {
            let mut tape = Tape::default();
            tape.read(json).ok()?;
            let mut bound = Bound::default();
            fitting.fits(template, tape.doc(json), &mut bound).then_some(bound.drawn)
        };
        let text = match recorded {
            Recorded::Json(json) => return read(json).or_else(|| self.same_text(template, scope, json)),
            Recorded::Text(text) => text,
            Recorded::Binary(_) => return None,
        };
        let as_text = Value::Text(text.as_str().into()).json().into_owned();
        let framed = if self.codec == Codec::HeadJson { codec::with_head(text) } else { None };
        framed.and_then(|json| read(&json)).or_else(|| read(text)).or_else(|| read(&as_text))
    }

    /// For templates that yield JSON as a text.
    fn same_text(&self, template: &Template, scope: &Scope<'_>, json: &str) -> Option<Drawn> {
        let mine = template.frame(scope, Spread::Lenient).ok().flatten()?;
        Value::Json(mine.into()).same(&Value::Json(json.into())).then(Drawn::default)
    }
}

pub(super) struct Watcher(pub(super) Arc<Mutex<Desk>>);

impl Watch for Watcher {
    fn draw(&mut self, template: &Template, scope: &Scope<'_>, drawn: &mut Drawn) {
        let mut desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scope = *scope;
        let own = drawn.clone();
        scope.drawn = Some(&own);
        let hit = desk.open.iter().enumerate().find_map(|(at, (line, recorded))| {
            desk.fit(template, &scope, recorded).map(|bound| (at, *line, bound))
        });
        if let Some((at, line, bound)) = hit {
            desk.open.remove(at);
            drawn.counter = bound.counter.or_else(|| drawn.counter.take());
            drawn.uuid = bound.uuid.or_else(|| drawn.uuid.take());
            (drawn.id, drawn.now, drawn.token) = (bound.id, bound.now, bound.token);
            scope.drawn = Some(drawn);
            if let Ok(Some(text)) = template.frame(&scope, Spread::Lenient) {
                desk.fitted.push((text, line));
            }
        } else {
            scope.drawn = Some(drawn);
        }
        let secret = template.names(&Base::Token)
            || desk.kept.iter().any(|name| template.names(&Base::Name(Arc::clone(name))));
        if secret && let Ok(Some(text)) = template.frame(&scope, Spread::Lenient) {
            desk.secret.push(text);
        }
    }

    fn came(&mut self, came: Came) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).came.push(came);
    }
}
