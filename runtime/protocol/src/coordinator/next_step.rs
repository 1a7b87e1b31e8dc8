//! The coordinator's next step of a reconfiguration, as a pure function of the ledger and the agents' reports.
//!
//! `rhizo-verify` explores agents together with it. It asks the same functions that a coordinator in office asks,
//! in the same order, and leaves out what is not about the architecture: hosts, voters, deaths, requests.

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

/// The next target, the news that the one in force is reached, or a member that may leave.
#[must_use]
pub fn next_step(ledger: &Ledger, reports: &BTreeMap<NodeId, Report>) -> Option<Command> {
    let mut coordinator = Coordinator::new(Term(1), Time::ZERO);
    for (node, report) in reports {
        coordinator.report(*node, Report { number: 1, ..report.clone() });
    }
    let view = View {
        me: FOUNDER,
        // The grace for hosts that are still arriving is over.
        now: Time::ZERO.after_ms(ledger.timers().place_grace_ms),
        ledger,
        log: &LogStatus::default(),
        observer: &Observer::new(FOUNDER),
        latencies: &Latencies::new(),
        since: &BTreeMap::new(),
        genesis: None,
    };
    coordinator.reconfigure_command(view).or_else(|| coordinator.leave_command(view))
}
