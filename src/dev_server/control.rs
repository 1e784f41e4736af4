//! The fault switches: what they are called on the wire, and what they leave switched on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Something the server is told to do, by the in-process handle or by a frame
/// `{"type":"dev.control","do":…}`. Switches hold until [`Control::Clear`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Control {
    /// Ends every connection with a close frame.
    Close {
        /// Close code (RFC 6455, 7.4).
        #[serde(default = "default_close_code")]
        code: u16,
        /// Close reason.
        #[serde(default)]
        reason: String,
    },
    /// Ends every connection without a word.
    Cut {},
    /// Every connection stops reading, writing and answering pings, but stays open.
    Silent {
        /// For how long, in milliseconds; without it until [`Control::Speak`].
        #[serde(default)]
        ms: Option<u64>,
    },
    /// Ends [`Control::Silent`].
    Speak {},
    /// Stops listening and cuts every connection; what was received and published stays known.
    Down {
        /// For how long, in milliseconds.
        ms: u64,
    },
    /// Loses all published events, as a server does that restarts without a store.
    Forget {},
    /// The next sign-ins are refused.
    RefuseSignIn {
        /// How many.
        #[serde(default = "once")]
        times: u64,
    },
    /// The next upgrades are answered with this HTTP status.
    RefuseUpgrade {
        /// 300 to 599.
        status: u16,
        /// `Retry-After`, in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
        /// How many.
        #[serde(default = "once")]
        times: u64,
    },
    /// The next messages are taken and never answered.
    WithholdAcks {
        /// How many; without it all.
        #[serde(default)]
        times: Option<u64>,
    },
    /// Every answer to a message waits this long.
    DelayAcks {
        /// Milliseconds; 0 ends it.
        ms: u64,
    },
    /// The next messages are answered with an error.
    Reject {
        /// How many.
        #[serde(default = "once")]
        times: u64,
        /// The error's code.
        #[serde(default = "default_reject_code")]
        code: String,
        /// The error's words.
        #[serde(default)]
        message: String,
    },
    /// Sends every connection something that is not the protocol.
    Garbage {
        /// What.
        what: Garbage,
    },
    /// Publishes events.
    Push {
        /// Their type.
        #[serde(rename = "event")]
        kind: String,
        /// Their data; without it `{"n":1}`, `{"n":2}`, and so on.
        #[serde(default)]
        data: Option<serde_json::Value>,
        /// How many, at most [`Control::MAX_PUSH`].
        #[serde(default = "once")]
        count: u64,
        /// To those connected now only, without an id, and not kept.
        #[serde(default)]
        ephemeral: bool,
    },
    /// Asks for another credential from now on; without one for none. Who is signed in stays so.
    Token {
        /// The credential.
        #[serde(default)]
        token: Option<String>,
    },
    /// Every switch off.
    Clear {},
}

impl Control {
    /// Most events one [`Control::Push`] publishes.
    pub const MAX_PUSH: u64 = 1_000_000;
}

const fn once() -> u64 {
    1
}

const fn default_close_code() -> u16 {
    1012
}

fn default_reject_code() -> String {
    "rejected".into()
}

/// Something that is not the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbage {
    /// A text frame that is no JSON.
    Json,
    /// A text frame that is no UTF-8.
    Utf8,
    /// An object of a type nobody knows.
    UnknownType,
    /// JSON nested deeper than anyone should read.
    Deep,
    /// A frame with a reserved opcode.
    Opcode,
}

/// The switches that are on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Faults {
    refuse_sign_ins: u64,
    refuse_upgrades: Option<UpgradeRefusal>,
    withhold: u64,
    rejections: Option<Rejection>,
    /// How long each answer waits.
    pub(super) delay: Duration,
}

/// An HTTP answer in place of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UpgradeRefusal {
    pub(super) status: u16,
    pub(super) retry_after: Option<u64>,
    left: u64,
}

/// An error in place of an ack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) code: String,
    pub(super) message: String,
    left: u64,
}

impl Faults {
    /// Sets what `control` switches. Controls that are no switch change nothing here.
    pub(super) fn set(&mut self, control: &Control) {
        match control {
            Control::RefuseSignIn { times } => self.refuse_sign_ins = *times,
            Control::RefuseUpgrade { status, retry_after, times } => {
                let refusal = UpgradeRefusal { status: *status, retry_after: *retry_after, left: *times };
                self.refuse_upgrades = Some(refusal);
            }
            Control::WithholdAcks { times } => self.withhold = times.unwrap_or(u64::MAX),
            Control::DelayAcks { ms } => self.delay = Duration::from_millis(*ms),
            Control::Reject { times, code, message } => {
                self.rejections =
                    Some(Rejection { code: code.clone(), message: message.clone(), left: *times });
            }
            Control::Clear {} => *self = Self::default(),
            Control::Close { .. }
            | Control::Cut {}
            | Control::Silent { .. }
            | Control::Speak {}
            | Control::Down { .. }
            | Control::Forget {}
            | Control::Garbage { .. }
            | Control::Push { .. }
            | Control::Token { .. } => {}
        }
    }

    /// Whether this sign-in is to be refused; counts it.
    pub(super) fn refuses_sign_in(&mut self) -> bool {
        spend(&mut self.refuse_sign_ins)
    }

    /// How this upgrade is to be refused, if it is; counts it.
    pub(super) fn refuses_upgrade(&mut self) -> Option<UpgradeRefusal> {
        let refusal = self.refuse_upgrades.as_mut()?;
        spend(&mut refusal.left).then(|| refusal.clone())
    }

    /// Whether this message gets no answer; counts it.
    pub(super) fn withholds(&mut self) -> bool {
        spend(&mut self.withhold)
    }

    /// The error this message is answered with, if it is; counts it.
    pub(super) fn rejects(&mut self) -> Option<&Rejection> {
        let rejection = self.rejections.as_mut()?;
        spend(&mut rejection.left).then_some(rejection)
    }
}

/// Takes one of `left`, which never runs out at the maximum.
fn spend(left: &mut u64) -> bool {
    match *left {
        0 => false,
        u64::MAX => true,
        _ => {
            *left -= 1;
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Control, Faults, Garbage};

    fn control(json: &str) -> Control {
        serde_json::from_str(json).expect("a control")
    }

    #[test]
    fn controls_are_written_with_do_and_have_defaults() {
        assert_eq!(control(r#"{"do":"close"}"#), Control::Close { code: 1012, reason: String::new() });
        assert_eq!(control(r#"{"do":"cut"}"#), Control::Cut {});
        assert_eq!(control(r#"{"do":"garbage","what":"utf8"}"#), Control::Garbage { what: Garbage::Utf8 });
        assert_eq!(
            control(r#"{"do":"push","event":"tick"}"#),
            Control::Push { kind: "tick".into(), data: None, count: 1, ephemeral: false }
        );
    }

    #[test]
    fn an_unknown_control_or_member_is_an_error() {
        assert!(serde_json::from_str::<Control>(r#"{"do":"explode"}"#).is_err());
        assert!(serde_json::from_str::<Control>(r#"{"do":"down","seconds":3}"#).is_err());
    }

    #[test]
    fn a_counted_switch_goes_off_by_itself_and_clear_ends_all() {
        let mut faults = Faults::default();
        faults.set(&control(r#"{"do":"refuse_sign_in","times":2}"#));
        assert_eq!(
            [faults.refuses_sign_in(), faults.refuses_sign_in(), faults.refuses_sign_in()],
            [true, true, false]
        );

        faults.set(&control(r#"{"do":"withhold_acks"}"#));
        assert!((0..1000).all(|_| faults.withholds()));
        faults.set(&control(r#"{"do":"clear"}"#));
        assert!(!faults.withholds());

        faults.set(&control(r#"{"do":"reject","code":"full"}"#));
        assert_eq!(faults.rejects().map(|r| r.code.as_str()), Some("full"));
        assert!(faults.rejects().is_none());
    }
}
