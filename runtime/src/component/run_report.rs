//! Reports of services and actions to the node's event loop, and the core's events that they become.
//!
//! Nothing is decided here. The reports are made in [`super::exec`], [`super::embedded`] and [`super::action`].

use super::ExportTable;
use rhizo_protocol::event::{ActResult, Event};
use rhizo_protocol::turn::{ActionId, RunId};
use rhizo_types::lifecycle::Values;

/// The result of a service or an action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RunOutcome {
    /// The service passed its start gate and listens at these addresses.
    Started(ExportTable),
    /// The service could not be started, for this reason.
    StartFailed(String),
    /// The service had started, and then ended by itself or failed its health check, for this reason.
    Failed(String),
    /// The service was stopped as ordered; nothing of it runs any more.
    Stopped,
    /// An action has ended.
    Acted {
        /// Its number in the run.
        number: u32,
        /// Its result.
        result: ActResult,
    },
    /// The service has new data values.
    Published(Values),
}

/// A message of a service or an action to the node's event loop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RunReport {
    /// The run it belongs to.
    pub(crate) run: RunId,
    /// The result.
    pub(crate) outcome: RunOutcome,
}

impl RunReport {
    /// Returns the event that reports it to the core.
    #[must_use]
    pub(crate) fn into_event(self) -> Event {
        let Self { run, outcome } = self;
        match outcome {
            RunOutcome::Started(exports) => Event::Started { run, exports },
            RunOutcome::StartFailed(reason) => Event::StartFailed { run, reason },
            RunOutcome::Failed(reason) => Event::Exited { run, reason },
            RunOutcome::Stopped => Event::Stopped { run },
            RunOutcome::Acted { number, result } => Event::Acted { action: ActionId { run, number }, result },
            RunOutcome::Published(values) => Event::Published { run, values },
        }
    }
}
