//! The rows, by section. A row names what is wrong, the kind of reason it must have, and plays it.

mod closes;
mod frames;
mod line;
mod proxy;
mod sign_in;
mod tls;
mod upgrade;
mod way;

use std::time::Duration;

use holdline::model::ReasonKind;

use crate::stage::{Scene, Stage, nothing};

/// A table of the document.
pub struct Section {
    /// Its mark there.
    pub mark: &'static str,
    pub rows: Vec<Row>,
}

type Play = dyn Fn(&Stage) -> Scene + Send + Sync;

/// One failure.
pub struct Row {
    /// What happened, as it stands in the table.
    pub name: &'static str,
    /// The reason it must have.
    pub kind: ReasonKind,
    pub play: Box<Play>,
    /// It is over as soon as it was told: looked up in the history.
    pub fleeting: bool,
    /// The next try waits this long, and up to a fifth more, whatever the delays say.
    pub wish: Option<Duration>,
    /// The delay the scene's configuration names.
    pub delay: Duration,
    /// It takes long: started first.
    pub patient: bool,
    /// It takes minutes: only on request.
    pub slow: bool,
    /// What it needs of the machine.
    pub needs: fn() -> bool,
}

impl Row {
    fn new(
        name: &'static str,
        kind: ReasonKind,
        play: impl Fn(&Stage) -> Scene + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            kind,
            play: Box::new(play),
            fleeting: false,
            wish: None,
            delay: Duration::from_secs(20),
            patient: false,
            slow: false,
            needs: nothing,
        }
    }

    const fn fleeting(mut self) -> Self {
        self.fleeting = true;
        self
    }

    const fn wish(mut self, seconds: u64) -> Self {
        self.wish = Some(Duration::from_secs(seconds));
        self
    }

    const fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    const fn slow(mut self) -> Self {
        self.slow = true;
        self.patient = true;
        self
    }

    const fn needs(mut self, needs: fn() -> bool) -> Self {
        self.needs = needs;
        self
    }
}

/// All of them, in the order of the document.
pub fn sections() -> Vec<Section> {
    vec![
        Section { mark: "the way", rows: way::rows() },
        Section { mark: "the proxy", rows: proxy::rows() },
        Section { mark: "tls", rows: tls::rows() },
        Section { mark: "the upgrade", rows: upgrade::rows() },
        Section { mark: "sign-in and start", rows: sign_in::rows() },
        Section { mark: "closes", rows: closes::rows() },
        Section { mark: "the line", rows: line::rows() },
        Section { mark: "broken frames", rows: frames::rows() },
    ]
}
