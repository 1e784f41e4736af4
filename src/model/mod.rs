//! The words every room shares: ids, messages, events, link states, failures, the status report.
//!
//! A leaf. It knows no runtime, no socket, no database and no clock; it holds values and the
//! decisions that belong to them (what a failure means, which state is final), nothing else.

mod event;
#[cfg(feature = "daemon")]
mod excerpt;
mod failure;
mod id;
pub mod json;
mod link;
mod message;
mod notice;
mod payload;
mod peer;
mod proxy;
mod refusal;
mod rules;
mod secret;
mod sentence;
mod status;
mod text;
mod time;
mod traffic;
pub mod words;

pub use event::{Event, EventRow, Gap, GapReason, QuarantineEntry, RowKind};
#[cfg(feature = "daemon")]
pub use excerpt::Excerpt;
pub use failure::{ConnectFault, CredentialFault, Failure, TlsFault, Validity, Verdict};
pub use id::{Epoch, MessageId, MessageIdError, Place, Seq};
pub use link::{LinkState, Reason, ReasonKind, Transition};
pub use message::{
    Confirm, Delivery, Durability, HistoryEntry, Level, Message, MessageState, Moved, Receipt, Resend,
};
pub use notice::{NoticeEntry, NoticeOutcome};
pub use payload::{Frame, Payload};
pub use peer::Peer;
pub use proxy::{Proxy, ProxyFault, ProxyKind, ProxySignIn};
pub use refusal::{ErrorKind, Refusal};
pub use rules::{Judge, Misfit, TypeGlob, TypeRule, TypeRules};
pub use secret::{Secret, Veiled, veiled};
pub use sentence::{Times, sentence};
pub use status::{
    ClientStatus, CloseStatus, CursorStatus, DaemonStatus, HealthEntry, InboxStatus, LinkStatus,
    NotificationStatus, OutboxStatus, Severity, StatusReport, StoreStatus,
};
pub use text::{misleads, plain};
pub use time::{Instant, Moment, Timestamp};
pub use traffic::{
    Appended, Due, DueQuery, DueRow, Held, HeldBody, Judged, MISFIT, NewMessage, NewRow, Record, Recorded,
    Remembered, Retried, STOPPED_LANE, Unit,
};
