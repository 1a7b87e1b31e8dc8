//! The coordinator's memory of one open intent: which calls it made, and when.
//!
//! Only data. `hosts` makes the calls, `listing` draws conclusions from lists. A successor begins with empty watches.

use rhizo_types::Time;
use rhizo_types::intent::IntentState;

/// The calls for one open intent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Watch {
    /// The state of the intent when it was last looked at.
    pub(super) state: IntentState,
    /// When it was first seen in that state.
    pub(super) since: Time,
    /// Whether this coordinator committed the plan that ordered the host: no other node can have made a call for it.
    pub(super) own: bool,
    /// Whether this coordinator has made an acquire call.
    pub(super) issued: bool,
    /// Whether a call is outstanding.
    pub(super) calling: bool,
    /// When the last call ended.
    pub(super) call_ended: Time,
    /// No call is made before this time.
    pub(super) not_before: Time,
    /// Number of release calls that the provider did not carry out at once.
    pub(super) tries: u32,
    /// When the provider accepted the release.
    pub(super) release_accepted: Option<Time>,
}

impl Watch {
    pub(super) fn new(state: IntentState, since: Time) -> Self {
        Self {
            state,
            since,
            own: false,
            issued: false,
            calling: false,
            call_ended: since,
            not_before: Time::ZERO,
            tries: 0,
            release_accepted: None,
        }
    }
}
