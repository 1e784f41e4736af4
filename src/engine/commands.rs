//! Calls of apps and people, as they come out of the loop's inbox.

use std::time::Duration;

use super::run::Loop;
use super::{Command, Dialling, LinkOrder, View};
use crate::model::{ErrorKind, LinkState, ReasonKind, Refusal};
use crate::session::Input;

/// How long a stopping daemon waits for the close and for its last records.
pub const STOP_GRACE: Duration = Duration::from_secs(3);

impl Loop {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Ephemeral { id, kind, payload, answer } => {
                let ticket = self.next_ephemeral;
                self.next_ephemeral += 1;
                self.ephemerals.insert(ticket, answer);
                self.input(Input::Ephemeral { ticket, id, kind, payload });
            }
            Command::Request(request) => self.ask(request),
            Command::Forget(ticket) => self.forget(ticket),
            Command::Link { order, answer } => {
                let refused = order == LinkOrder::Reconnect && self.state() == LinkState::Paused;
                let result = if refused {
                    Err(Refusal::new(ErrorKind::Conflict, "the link is paused")
                        .hint("`holdline ctl link resume` lets it dial again"))
                } else {
                    self.input(match order {
                        LinkOrder::Pause => Input::Pause,
                        LinkOrder::Resume => Input::Resume,
                        LinkOrder::Reconnect => Input::Reconnect(ReasonKind::Requested),
                    });
                    Ok(self.state())
                };
                // A caller that has gone meanwhile needs no answer.
                let _ = answer.send(result);
            }
            Command::Release { place, answer } => {
                let _ = answer.send(self.session.withdraw(place));
            }
            Command::Look { id, answer } => {
                let seen = self.session.message_state(&id);
                let _ = answer.send(seen.map(|(state, attempt, history)| View { state, attempt, history }));
            }
            Command::Retried { id, judged, answer } => {
                self.retries.insert(id, answer);
                self.input(Input::Retried { id, judged });
            }
            Command::Reload { settings, server } => {
                self.input(Input::Reload(settings));
                let anew = server.is_some();
                self.new_server = server.or(self.new_server.take());
                // Where only a person could help, a reload says that one did.
                if anew || matches!(self.state(), LinkState::Unauthorized | LinkState::Misconfigured) {
                    self.input(Input::Reconnect(ReasonKind::Reloaded));
                }
            }
            Command::Alive(answer) => {
                let _ = answer.send(());
            }
            Command::Hint(input) => self.input(input),
            Command::Sleep { closed } => {
                self.punctual.sleep_announced(self.clock.instant());
                if closed.is_some() {
                    self.falling_asleep = closed;
                    self.input(Input::Sleep);
                }
            }
            Command::Woke => self.told_of_wake(),
            Command::Stop => {
                if self.stop_by.is_none() {
                    self.stop_by = Some(self.clock.instant() + STOP_GRACE);
                    self.dialling = Dialling::Idle;
                    self.input(Input::Stop);
                }
            }
        }
    }
}
