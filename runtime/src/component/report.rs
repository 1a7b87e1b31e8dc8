//! What became of an order to run something: reports of tasks, and the core's events that they become.
//!
//! Who reports is in [`super::exec`], [`super::embedded`] and [`super::action`].

use super::ExportTable;
use rhizo_protocol::event::{ActResult, Event};
use rhizo_protocol::turn::{ActionId, RunId};
use rhizo_types::lifecycle::Values;

/// What became of a service or an action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The service works and listens at these addresses.
    Started(ExportTable),
    /// The service could not be started, for this reason.
    StartFailed(String),
    /// The service had started and came to an end by itself or failed its health check, for this reason.
    Failed(String),
    /// The service was stopped as ordered; nothing of it runs any more.
    Stopped,
    /// An action is over.
    Acted {
        /// Its number in the run.
        number: u32,
        /// What came of it.
        result: ActResult,
    },
    /// The service has new data values.
    Published(Values),
}

/// One thing a task has to tell the node's event loop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Of which run.
    pub run: RunId,
    /// What became of it.
    pub outcome: Outcome,
}

impl Report {
    /// The event that tells the core.
    #[must_use]
    pub fn into_event(self) -> Event {
        let Self { run, outcome } = self;
        match outcome {
            Outcome::Started(exports) => Event::Started { run, exports },
            Outcome::StartFailed(reason) => Event::StartFailed { run, reason },
            Outcome::Failed(reason) => Event::Exited { run, reason },
            Outcome::Stopped => Event::Stopped { run },
            Outcome::Acted { number, result } => Event::Acted { action: ActionId { run, number }, result },
            Outcome::Published(values) => Event::Published { run, values },
        }
    }
}
