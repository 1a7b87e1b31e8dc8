//! The coordinator's next step of a reconfiguration, as a pure function of the ledger and the agents' reports.
//!
//! `rhizo-verify` model-checks agents together with it. It calls the same functions as a running coordinator, in the
//! same order, and leaves out hosts, voters, deaths and requests.

use super::{Coordinator, View};
use crate::bindings::Latencies;
use crate::event::LogStatus;
use crate::ledger::Ledger;
use crate::observer::Observer;
use rhizo_types::id::NodeId;
use rhizo_types::ledger::{Command, FOUNDER};
use rhizo_types::message::Report;
use rhizo_types::{Term, Time};
use std::collections::BTreeMap;

/// Returns the next target, the statement that the target in force is reached, a step of a script, or the removal of a
/// member; none when there is nothing to commit.
#[must_use]
pub fn next_step(ledger: &Ledger, reports: &BTreeMap<NodeId, Report>) -> Option<Command> {
    let mut coordinator = Coordinator::new(Term(1), Time::ZERO);
    for (node, report) in reports {
        coordinator.report(*node, Report { number: 1, ..report.clone() });
    }
    let view = View {
        me: FOUNDER,
        now: Time::ZERO,
        ledger,
        log: &LogStatus::default(),
        observer: &Observer::new(FOUNDER),
        latencies: &Latencies::new(),
        since: &BTreeMap::new(),
        genesis: None,
    };
    coordinator.reconfiguration.next(view).or_else(|| coordinator.leave_command(view))
}
