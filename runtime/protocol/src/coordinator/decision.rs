//! The coordinator's next command as a function of the ledger, the agents' reports and the time that both have stood.
//!
//! `rhizo-verify` model-checks the failure policy with it. It calls the functions of a running coordinator in the same
//! order: reports, the failure watch, the question to planning, planning's answer, the next command. Every call is that
//! of a new coordinator, so a change of coordinator at any moment is included. Provider calls, voters, deaths and
//! requests are left out.

use super::{Coordinator, View};
use crate::bindings::Latencies;
use crate::event::{LogStatus, SolveOutcome};
use crate::ledger::Ledger;
use crate::observer::Observer;
use crate::out::Out;
use crate::request::SolveRequest;
use crate::turn::Effect;
use rhizo_types::id::NodeId;
use rhizo_types::ledger::{Command, FOUNDER};
use rhizo_types::message::Report;
use rhizo_types::{Term, Time};
use std::collections::BTreeMap;

/// Returns the command that a new coordinator proposes at once, or else the one that it proposes when the ledger and
/// the reports have not changed for `unchanged_ms` milliseconds; none when it proposes nothing.
///
/// `plan` answers the requests to planning.
pub fn next_decision(
    ledger: &Ledger,
    reports: &BTreeMap<NodeId, Report>,
    unchanged_ms: u64,
    plan: &mut dyn FnMut(&SolveRequest) -> SolveOutcome,
) -> Option<Command> {
    let mut coordinator = Coordinator::new(Term(1), Time::ZERO);
    for (node, report) in reports {
        coordinator.report(*node, Report { number: 1, ..report.clone() });
    }
    let (log, observer) = (LogStatus::default(), Observer::new(FOUNDER));
    let (latencies, since) = (Latencies::new(), BTreeMap::new());
    [Time::ZERO, Time::ZERO.after_ms(unchanged_ms)].into_iter().find_map(|now| {
        let view = View {
            me: FOUNDER,
            now,
            ledger,
            log: &log,
            observer: &observer,
            latencies: &latencies,
            since: &since,
            genesis: None,
        };
        coordinator.decide_at(view, plan)
    })
}

impl Coordinator {
    fn decide_at(
        &mut self,
        view: View<'_>,
        plan: &mut dyn FnMut(&SolveRequest) -> SolveOutcome,
    ) -> Option<Command> {
        self.reconfiguration.follow(view);
        self.failures.follow(&self.reconfiguration.reports, view);
        let mut out = Out::default();
        self.advance_control(view, &mut out);
        let turn = out.into_turn();
        let requests = turn.effects().filter_map(|effect| match effect {
            Effect::Solve(request) => Some(request),
            _ => None,
        });
        for request in requests {
            self.solved(request.id, plan(request), view, &mut Out::default());
        }
        self.next_command(view, &mut Out::default()).map(|(command, _)| command)
    }
}
