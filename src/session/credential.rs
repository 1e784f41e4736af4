//! What the link knows of its credential: whether another one would help, and whether the server
//! is to see one that has expired by our clock.

use crate::model::Failure;

/// The credential as the dials see it.
#[derive(Debug, Default)]
pub(super) struct Credential {
    /// The next dial reads the source anew.
    fresh: bool,
    /// A refusal has been answered with a fresh one already.
    tried: bool,
    /// Another credential is worth a try at once.
    wanted: bool,
    /// The server has not let us in since the link came up.
    at_the_door: bool,
    /// The dial shows even an expired one: our clock may be wrong …
    expired_too: bool,
    /// … and is, since the server took one.
    clock_doubted: bool,
}

impl Credential {
    /// Old refusals count no longer.
    pub(super) const fn forgive(&mut self) {
        self.tried = false;
    }

    /// Another one may be there.
    pub(super) const fn changed(&mut self) {
        self.tried = false;
        self.fresh = true;
    }

    /// Whether a refusal waits for another one.
    pub(super) const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Whether the server was making up its mind when the link ended. Some just hang up on a
    /// credential they do not like.
    pub(super) const fn is_in_doubt(&self) -> bool {
        self.at_the_door
    }

    /// The slow probe: a token may be good though our clock says that its time is over.
    pub(super) const fn probe(&mut self) {
        self.expired_too = self.wanted;
    }

    /// A dial goes out. Whether it reads the source anew, and shows even an expired one.
    pub(super) const fn dial(&mut self) -> (bool, bool) {
        let fresh = self.fresh;
        self.fresh = false;
        self.at_the_door = false;
        self.expired_too |= self.clock_doubted;
        (fresh, self.expired_too)
    }

    /// The server looks at it.
    pub(super) const fn shown(&mut self) {
        self.at_the_door = true;
    }

    /// The server took it.
    pub(super) const fn taken(&mut self) {
        self.at_the_door = false;
        self.clock_doubted = self.expired_too;
    }

    /// A dial or a link ended so.
    pub(super) fn ended(&mut self, failure: &Failure) {
        self.wanted = failure.is_about_the_credential();
        self.expired_too = false;
        if self.wanted {
            self.clock_doubted = false;
        }
    }

    /// The state is `unauthorized` now. Whether a fresh one is to be tried at once: where there was
    /// something to be refused, and once.
    pub(super) const fn refused(&mut self, failure: &Failure) -> bool {
        self.fresh = true;
        if self.tried || !self.wanted || matches!(failure, Failure::NoCredential(_)) {
            return false;
        }
        self.tried = true;
        true
    }
}
