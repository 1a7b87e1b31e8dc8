//! The failure policy: which versions keep failing, which have run well, and when a host is held to be at fault.
//!
//! A failure belongs to a version of a component until there is evidence against the host. What has to survive this
//! coordinator is committed. It remembers only when it saw something first, and a successor begins to count anew. The
//! agents keep the waits between attempts; `control` asks for a plan that avoids a host.

use super::View;
use super::reports::Reports;
use super::target::can_unwind;
use crate::back_off::{FAILURE_WINDOW_MS, FAILURES_MAX, back_off_ms};
use crate::ledger::Ledger;
use crate::out::earlier;
use crate::sabotage::{self, Sabotage};
use rhizo_types::failure::{Failing, Proven, WITNESSES_MAX};
use rhizo_types::id::{ComponentName, InstanceId, NodeId};
use rhizo_types::ledger::Command;
use rhizo_types::message::InstancePhase;
use rhizo_types::target::Placed;
use rhizo_types::{Generation, Revision, Time};
use std::collections::{BTreeMap, BTreeSet};

/// From this number of failures in a row on, the quorum remembers them: a single crash needs no entry of the log.
const RECORDED_MIN: u32 = 2;
/// Beyond this number of failures the waits grow no more, and the count is not committed again.
pub(crate) const COUNTED_MAX: u32 = 7;
/// A mark ends after this time, because the fault of the host may be over.
const MARK_MS_MAX: u64 = 600_000;
/// The number of hosts on which a version is tried without evidence against any of them.
const TRIED_MAX: usize = 2;
/// Errors for which the host is at fault: no room, no such device, address taken, and the like. These are the texts of
/// `strerror` in glibc and musl, and the text of a node for a fixed port that another process holds.
const HOST_ERRORS: [&str; 13] = [
    "no space left on device",
    "disk quota exceeded",
    "quota exceeded",
    "read-only file system",
    "input/output error",
    "i/o error",
    "no such device",
    "address already in use",
    "address in use",
    "is held by another process",
    "cannot assign requested address",
    "cannot allocate memory",
    "out of memory",
];

/// The copies of a component that were started, by the identity of their runs.
type Runs = BTreeMap<InstanceId, (Generation, u32)>;

/// When this coordinator first saw what it waits for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct FailureWatch {
    /// Since when all copies of a component have been started without a failure.
    started: BTreeMap<ComponentName, (Runs, Time)>,
    /// Since when there has been each mark.
    marked: BTreeMap<(ComponentName, NodeId), Time>,
    /// When each instance that failed is tried again, with its generation and its failures.
    retries: BTreeMap<InstanceId, (Generation, u32, Time)>,
    /// The index of the ledger and the number of reports at the last look.
    seen: Option<(u64, u64)>,
}

/// Copies that are to be placed elsewhere, because their host is held to be at fault or is to be compared with another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Blamed {
    /// The copies, all on one node.
    pub(super) copies: BTreeMap<InstanceId, NodeId>,
    /// Whether one host may be acquired for them.
    pub(super) may_acquire: bool,
}

impl FailureWatch {
    /// Looks at the ledger and the reports again if they have changed.
    pub(super) fn follow(&mut self, reports: &Reports, view: View<'_>) {
        let seen = Some((view.ledger.index, reports.taken()));
        if self.seen == seen {
            return;
        }
        self.seen = seen;
        self.follow_started(reports, view);
        self.follow_retries(reports, view);
        self.marked.retain(|key, _| view.ledger.avoid.contains_key(key));
        for key in view.ledger.avoid.keys() {
            self.marked.entry(key.clone()).or_insert(view.now);
        }
    }

    fn follow_started(&mut self, reports: &Reports, view: View<'_>) {
        let mut started = BTreeMap::new();
        for (component, copies) in copies(view.ledger) {
            if version_to_prove(component, &copies, view.ledger).is_none() {
                continue;
            }
            let run = |(instance, _): (&InstanceId, &Placed)| {
                let report = reports.of(instance, view.ledger)?;
                let is_up = reports.is_started(instance, view.ledger);
                is_up.then(|| (instance.clone(), (report.generation, report.failures)))
            };
            let runs: Option<Runs> =
                copies.iter().map(|(instance, placed)| run((instance, placed))).collect();
            let Some(runs) = runs else { continue };
            let known = self.started.remove(component).filter(|(known, _)| *known == runs);
            started.insert(component.clone(), known.unwrap_or((runs, view.now)));
        }
        self.started = started;
    }

    fn follow_retries(&mut self, reports: &Reports, view: View<'_>) {
        let mut retries = BTreeMap::new();
        for instance in view.ledger.target.instances.keys() {
            let Some(report) = reports.of(instance, view.ledger) else { continue };
            let Some(retry) = report.retry else { continue };
            let known = self.retries.get(instance).copied();
            let known = known.filter(|known| (known.0, known.1) == (report.generation, retry.failures));
            let new = (report.generation, retry.failures, view.now.after_ms(retry.wait_ms));
            retries.insert(instance.clone(), known.unwrap_or(new));
        }
        self.retries = retries;
    }

    /// When a component is tried again; none when no copy of it waits.
    pub(super) fn next_try(&self, component: &ComponentName) -> Option<Time> {
        let copies = self.retries.range(InstanceId::copies_of(component));
        copies.map(|(_, (.., at))| *at).min()
    }

    /// The most failures in a row that a copy of a component which waits has reported. The ledger counts up to
    /// seven only.
    pub(super) fn reported_failures(&self, component: &ComponentName) -> Option<u32> {
        let copies = self.retries.range(InstanceId::copies_of(component));
        copies.map(|(_, (_, failures, _))| *failures).max()
    }

    /// Returns the next record to commit: failures first, then versions that have run well, then marks that are old.
    pub(super) fn command(&self, reports: &Reports, view: View<'_>) -> Option<Command> {
        let failing = failing(reports, view.ledger);
        if !failing.is_empty() && !sabotage::is(Sabotage::HidesFailures) {
            return Some(Command::Failing { components: failing });
        }
        let steady = self.steady(view);
        if !steady.is_empty() {
            return Some(Command::Steady { components: steady });
        }
        let is_old = |(key, since): &(&(ComponentName, NodeId), &Time)| {
            // Until the host that replaces the node is the only one, another one must not be acquired.
            is_ageing(key, view.ledger) && view.now.ms_since(**since) >= MARK_MS_MAX
        };
        let marks: BTreeSet<_> = self.marked.iter().filter(is_old).map(|(key, _)| key.clone()).collect();
        (!marks.is_empty()).then_some(Command::Forgive { marks })
    }

    fn steady(&self, view: View<'_>) -> BTreeMap<ComponentName, Proven> {
        let mut steady = BTreeMap::new();
        for (component, (runs, since)) in &self.started {
            let copies: Vec<(&InstanceId, &Placed)> =
                view.ledger.target.instances.range(InstanceId::copies_of(component)).collect();
            let Some(version) = version_to_prove(component, &copies, view.ledger) else { continue };
            if runs.len() != copies.len() || view.now.ms_since(*since) < window_ms(component, version, view) {
                continue;
            }
            let nodes: BTreeSet<NodeId> = copies.iter().map(|(_, placed)| placed.node).collect();
            let nodes = nodes.into_iter().take(WITNESSES_MAX).collect();
            steady.insert(component.clone(), Proven { version, nodes });
        }
        steady
    }

    /// When there may be something to commit without an event.
    pub(super) fn deadline(&self, view: View<'_>) -> Option<Time> {
        let started = self.started.iter().map(|(component, (_, since))| {
            let version = view.ledger.version_of(component);
            since.after_ms(window_ms(component, version, view))
        });
        let marks = self.marked.iter().filter(|(key, _)| is_ageing(key, view.ledger));
        earlier(started.min(), marks.map(|(_, since)| since.after_ms(MARK_MS_MAX)).min())
    }
}

/// Whether a mark ends with its age: not while the host that was replaced because of it still exists.
fn is_ageing(key: &(ComponentName, NodeId), ledger: &Ledger) -> bool {
    ledger.avoid.get(key).is_some_and(|mark| !ledger.is_being_replaced(key.1, mark))
}

/// The copies of each component in the target.
fn copies(ledger: &Ledger) -> BTreeMap<&ComponentName, Vec<(&InstanceId, &Placed)>> {
    let mut copies: BTreeMap<&ComponentName, Vec<(&InstanceId, &Placed)>> = BTreeMap::new();
    for (instance, placed) in &ledger.target.instances {
        copies.entry(&instance.component).or_default().push((instance, placed));
    }
    copies
}

/// The newest version of these copies, if all of them run alike and that version still has to show that it runs well. A
/// copy whose definition a new spec left alone keeps the number of the older one.
fn version_to_prove(
    component: &ComponentName,
    copies: &[(&InstanceId, &Placed)],
    ledger: &Ledger,
) -> Option<Revision> {
    let version = copies.iter().map(|(_, placed)| placed.version).max()?;
    let is_one = copies.iter().all(|(_, placed)| ledger.runs_alike(component, placed.version, version));
    let open = ledger.proven(component, version).is_none() || ledger.failing(component, version).is_some();
    (is_one && open).then_some(version)
}

/// How long all copies have to be started before the version counts as working, in milliseconds. A version that kept
/// failing has to run for longer than it last waited: one that fails every ten seconds is not working in between.
fn window_ms(component: &ComponentName, version: Revision, view: View<'_>) -> u64 {
    let failures = view.ledger.failures_of(component, version);
    let waited_ms = back_off_ms(failures, view.ledger.timers().restart_ms);
    if failures == 0 { FAILURE_WINDOW_MS } else { FAILURE_WINDOW_MS.max(waited_ms) }
}

/// The versions of which the agents report more failures than the ledger has.
fn failing(reports: &Reports, ledger: &Ledger) -> BTreeMap<ComponentName, Failing> {
    let mut failing: BTreeMap<ComponentName, Failing> = BTreeMap::new();
    for (instance, placed) in &ledger.target.instances {
        let Some(report) = reports.of(instance, ledger).filter(|report| report.version == placed.version)
        else {
            continue;
        };
        let Some(retry) = report.retry.filter(|retry| retry.failures >= RECORDED_MIN) else { continue };
        let tried = report.failures >= FAILURES_MAX;
        let error = report.failure.clone().unwrap_or_default();
        let new = Failing {
            version: placed.version,
            failures: retry.failures,
            error,
            nodes: tried.then_some(placed.node).into_iter().collect(),
        };
        let entry = failing.entry(instance.component.clone()).or_insert_with(|| new.clone());
        entry.nodes.extend(&new.nodes);
        if new.failures > entry.failures {
            (entry.failures, entry.error) = (new.failures, new.error);
        }
    }
    failing.retain(|component, new| {
        let Some(known) = ledger.failing(component, new.version) else { return true };
        if new.error.is_empty() {
            new.error.clone_from(&known.error);
        }
        if sabotage::is(Sabotage::RecordsAgain) {
            return true;
        }
        let grows = new.failures > known.failures && known.failures < COUNTED_MAX;
        let other_error = new.failures >= known.failures && new.error != known.error;
        let other_node = known.nodes.len() < WITNESSES_MAX && !new.nodes.is_subset(&known.nodes);
        grows || other_error || other_node
    });
    failing
}

/// The copies that exhausted their attempts where they are, if they may be placed elsewhere. All are on one node, so
/// that one host at a time is replaced.
pub(super) fn blamed(reports: &Reports, ledger: &Ledger) -> Blamed {
    let exhausted = exhausted(reports, ledger);
    let on_first_node = |copies: Vec<(&InstanceId, NodeId)>| -> BTreeMap<InstanceId, NodeId> {
        let first = copies.first().map(|(_, node)| *node);
        let copies = copies.into_iter().filter(|(_, node)| Some(*node) == first);
        copies.map(|(instance, node)| (instance.clone(), node)).collect()
    };
    let evident = exhausted.iter().filter(|(instance, placed)| {
        sabotage::is(Sabotage::AcquiresForUnproven)
            || is_host_at_fault(instance, placed, &exhausted, reports, ledger)
    });
    let evident = on_first_node(evident.map(|(instance, placed)| (*instance, placed.node)).collect());
    if !evident.is_empty() {
        let may_acquire = ledger.may_replace(evident.keys().map(|instance| &instance.component));
        return Blamed { copies: evident, may_acquire };
    }
    let tried = exhausted.iter().filter(|(instance, placed)| {
        let record = ledger.failing(&instance.component, placed.version);
        let is_first = record.is_some_and(|record| record.nodes.len() < TRIED_MAX);
        is_first && has_other_host(placed.node, ledger)
    });
    let tried = on_first_node(tried.map(|(instance, placed)| (*instance, placed.node)).collect());
    Blamed { copies: tried, may_acquire: false }
}

/// Planned copies that failed several times in a row and wait for the next attempt, unless they avoid their node
/// already or return to an older version. Copies with state are left where their data is.
fn exhausted<'a>(reports: &Reports, ledger: &'a Ledger) -> BTreeMap<&'a InstanceId, &'a Placed> {
    let exhausted = ledger.target.instances.iter().filter(|(instance, placed)| {
        let is_planned = ledger.plan.as_ref().is_some_and(|plan| plan.placement.contains_key(*instance));
        let has_failed = reports
            .of(instance, ledger)
            .is_some_and(|report| report.failures >= FAILURES_MAX && report.phase == InstancePhase::Waiting);
        is_planned
            && has_failed
            // Its data is here; another host would not help it.
            && !ledger.state_of(&instance.component).is_kept()
            && !can_unwind(instance, placed, ledger)
            && !ledger.avoid.contains_key(&(instance.component.clone(), placed.node))
    });
    exhausted.collect()
}

/// Whether there is evidence that the host of a copy is at fault, and not its version: the version has run well, and it
/// did so elsewhere, or other components fail on the same host, or the error names the host.
fn is_host_at_fault(
    instance: &InstanceId,
    placed: &Placed,
    exhausted: &BTreeMap<&InstanceId, &Placed>,
    reports: &Reports,
    ledger: &Ledger,
) -> bool {
    let component = &instance.component;
    let Some(proven) = ledger.proven(component, placed.version) else { return false };
    let ran_elsewhere = proven.nodes.iter().any(|node| *node != placed.node);
    let mut copies = ledger.target.instances.range(InstanceId::copies_of(component));
    let runs_elsewhere = copies.any(|(other, at)| {
        at.node != placed.node && at.version == placed.version && reports.is_started(other, ledger)
    });
    let others_fail =
        exhausted.iter().any(|(other, at)| at.node == placed.node && other.component != *component);
    let error = reports.of(instance, ledger).and_then(|report| report.failure.as_deref());
    let is_evident = ran_elsewhere || runs_elsewhere || others_fail || error.is_some_and(names_host);
    is_evident && !sabotage::is(Sabotage::NeverBlamesHosts)
}

/// Whether the text of an error blames the host.
#[must_use]
pub fn names_host(error: &str) -> bool {
    let error = error.to_lowercase();
    HOST_ERRORS.iter().any(|text| error.contains(text))
}

/// Whether there is another host on which copies can be placed.
fn has_other_host(node: NodeId, ledger: &Ledger) -> bool {
    let mut members = ledger.members.iter();
    members.any(|(other, member)| *other != node && !member.draining && ledger.has_host(*other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_beyond_the_committed_count_are_known_from_reports() {
        let instance =
            |component: &str, ordinal| InstanceId { component: ComponentName::from(component), ordinal };
        let wait = |failures| (Generation(1), failures, Time(0));
        let retries = BTreeMap::from([
            (instance("web", 0), wait(9)),
            (instance("web", 1), wait(12)),
            (instance("worker", 0), wait(30)),
        ]);
        let watch = FailureWatch { retries, ..FailureWatch::default() };
        assert_eq!(watch.reported_failures(&ComponentName::from("web")), Some(12));
        assert_eq!(watch.reported_failures(&ComponentName::from("db")), None);
    }

    #[test]
    fn a_port_that_another_process_holds_is_a_fault_of_the_host() {
        let held = "its ports could not be taken: port 80 is held by another process";
        for error in [held, &format!("{held} (pid 7, nginx)"), "open: No space left on device (os error 28)"]
        {
            assert!(names_host(error), "{error}");
        }
        for error in ["exit status: 3", "it was not ready: 404 Not Found", "its program could not be run: x"]
        {
            assert!(!names_host(error), "{error}");
        }
    }
}
