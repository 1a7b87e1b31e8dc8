//! The check of one scenario of the failure policy: its states and steps, then what they lead to, and a failure's
//! trace.
//!
//! Read next: [`super::rule`] for the properties, [`crate::explore`] and [`crate::graph`] for the search.

use super::rule::PolicyRule;
use super::world::World;
use super::{PlanFn, PolicyModel, PolicyScenario, PolicyStep};
use crate::explore::{Breach, Model, Watch, explore, follow};
use crate::graph::Counterexample;
use rhizo_protocol::Ledger;
use rhizo_types::Revision;
use rhizo_types::id::{ComponentName, InstanceId};
use rhizo_types::ledger::Command;
use rhizo_types::target::{Cause, Plan};
use std::collections::{BTreeMap, BTreeSet};

/// The result of checking a scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyVerdict {
    /// Number of states visited.
    pub states: u32,
    /// Number of steps checked.
    pub transitions: u32,
    /// The properties whose condition was met at least once.
    pub occurred: BTreeSet<PolicyRule>,
    /// The first property that does not hold.
    pub violation: Option<PolicyViolation>,
    /// Whether every reachable state was visited. If not, the properties of paths are not checked.
    pub is_complete: bool,
}

/// A property that does not hold, with the shortest trace to the violation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyViolation {
    /// The property's name.
    pub property: &'static str,
    /// The violation in words.
    pub detail: String,
    /// The steps, as sentences.
    pub trace: Vec<String>,
}

/// Explores a scenario, at most `states_max` states of it, and checks every property.
pub fn check(scenario: &PolicyScenario, states_max: u32, plan: &mut PlanFn<'_>) -> PolicyVerdict {
    check_rules(scenario, states_max, plan, None)
}

/// Checks one property as [`check`] does. Violations of other properties do not end the exploration.
pub fn check_only(
    scenario: &PolicyScenario,
    states_max: u32,
    plan: &mut PlanFn<'_>,
    rule: PolicyRule,
) -> PolicyVerdict {
    check_rules(scenario, states_max, plan, Some(rule))
}

fn check_rules(
    scenario: &PolicyScenario,
    states_max: u32,
    plan: &mut PlanFn<'_>,
    only: Option<PolicyRule>,
) -> PolicyVerdict {
    let mut model = PolicyModel::new(scenario, plan);
    let mut watcher = Watcher { occurred: BTreeSet::new(), only, breach: None };
    let found = explore(&mut model, &mut watcher, states_max);
    let mut violation = None;
    if let Some((breach, at, last)) = found.breach {
        let mut positions = found.graph.path(at);
        positions.extend(last);
        violation = Some(violated(&mut model, breach, &positions));
    } else if found.is_complete {
        let rules = PATHS.into_iter().filter(|rule| only.is_none_or(|only| only == *rule));
        let mut broken =
            rules.filter_map(|rule| Some((rule, found.graph.leads_to(rule.owed(), rule.done())?)));
        if let Some((rule, Counterexample { from, path, cycle })) = broken.next() {
            let mut positions = found.graph.path(from);
            positions.extend(path);
            let detail = if cycle.is_empty() { "nothing more happens" } else { "it goes round for ever" };
            positions.extend(cycle);
            let breach = Breach { property: rule.name(), detail: detail.to_owned() };
            violation = Some(violated(&mut model, breach, &positions));
        }
    }
    PolicyVerdict {
        states: found.graph.len(),
        transitions: found.graph.transitions(),
        occurred: watcher.occurred,
        violation,
        is_complete: found.is_complete,
    }
}

fn violated(model: &mut PolicyModel<'_>, breach: Breach, positions: &[u16]) -> PolicyViolation {
    let trace = follow(model, positions).iter().map(|(step, _)| step.to_string()).collect();
    PolicyViolation { property: breach.property, detail: breach.detail, trace }
}

/// The properties of paths. The last one fails whenever another one does.
const PATHS: [PolicyRule; 5] = [
    PolicyRule::CorrectionsAreTried,
    PolicyRule::FailingIsTold,
    PolicyRule::BadHostsAreLeft,
    PolicyRule::SparesAreGivenBack,
    PolicyRule::CalmIsReached,
];

struct Watcher {
    occurred: BTreeSet<PolicyRule>,
    only: Option<PolicyRule>,
    breach: Option<Breach>,
}

impl Watcher {
    /// Records that a rule's condition is met, and the first breach.
    fn rule(&mut self, rule: PolicyRule, holds: bool, detail: impl FnOnce() -> String) {
        self.occurred.insert(rule);
        if !holds && self.breach.is_none() && self.only.is_none_or(|only| only == rule) {
            self.breach = Some(Breach { property: rule.name(), detail: detail() });
        }
    }

    fn states(&mut self, scenario: &PolicyScenario, world: &World) {
        let held = world.hosts_held();
        if held > scenario.need {
            let most = scenario.need + 1;
            self.rule(PolicyRule::HostsAreBounded, held <= most, || {
                format!("{held} hosts are held, and {most} are allowed")
            });
        }
        for (component, count) in &world.past.replacements {
            self.rule(PolicyRule::ReplacementsHaveToWork, *count <= 1, || {
                format!("{count} hosts were acquired for {component}, which did not work on the first")
            });
        }
        for (_, instance, copy) in world.copies() {
            let build = world.build(&instance.component, copy.version);
            let never_ran = build.as_ref().is_some_and(|build| !world.past.started.contains(build));
            if copy.is_exhausted() && never_ran {
                self.occurred.insert(PolicyRule::NothingIsBoughtForWhatNeverRan);
            }
            if build.is_some_and(|build| !world.past.tried.contains(&build)) {
                self.rule(PolicyRule::CorrectionsDoNotWait, !copy.waits, || {
                    format!("{instance} waits although its version was never tried")
                });
            }
        }
    }

    /// The marks of a state for the properties of paths.
    fn marks(&mut self, scenario: &PolicyScenario, world: &World, is_calm: bool) -> u64 {
        let mut marks = 0;
        for rule in PATHS {
            let (is_owed, is_done) = match rule {
                PolicyRule::CalmIsReached => (true, is_calm),
                _ => {
                    let is_owed = is_owed(rule, scenario, world);
                    (is_owed, !is_owed)
                }
            };
            if is_owed {
                self.occurred.insert(rule);
                marks |= rule.owed();
            }
            if is_done {
                marks |= rule.done();
            }
        }
        marks
    }
}

fn is_owed(rule: PolicyRule, scenario: &PolicyScenario, world: &World) -> bool {
    let ledger = &world.ledger;
    match rule {
        PolicyRule::CorrectionsAreTried => {
            let revision = ledger.spec_revision();
            let defined = ledger.spec().into_iter().flat_map(|spec| spec.components.keys());
            let mut builds = defined.filter_map(|name| world.build(name, revision));
            builds.any(|build| !world.past.tried.contains(&build))
        }
        PolicyRule::FailingIsTold => world.copies().any(|(_, instance, copy)| {
            let is_wanted =
                ledger.target.instances.get(instance).is_some_and(|placed| {
                    placed.generation == copy.generation && placed.version == copy.version
                });
            is_wanted && copy.is_exhausted() && ledger.failing(&instance.component, copy.version).is_none()
        }),
        PolicyRule::BadHostsAreLeft => {
            rhizo_protocol::coordinator::names_host(scenario.host_error)
                && ledger.target.instances.iter().any(|(instance, placed)| {
                    world.past.bad.contains(&placed.node)
                        && !ledger
                            .avoid
                            .iter()
                            .any(|((name, _), mark)| *name == instance.component && mark.replaced)
                        && ledger.proven(&instance.component, placed.version).is_some()
                })
        }
        PolicyRule::SparesAreGivenBack => world.hosts_held() > scenario.need,
        _ => false,
    }
}

/// Whether nothing changes any more but for attempts that fail as the ones before.
fn is_calm(model: &mut PolicyModel<'_>, world: &World) -> bool {
    let here = world.fingerprint();
    let mut steps = Vec::new();
    model.steps(world, &mut steps);
    steps.iter().all(|(step, to)| match step {
        PolicyStep::Try(..) => to.fingerprint() == here,
        other => model.fairness(other).is_none(),
    })
}

impl Watch<PolicyModel<'_>> for Watcher {
    fn state(&mut self, model: &mut PolicyModel<'_>, world: &World) -> Result<u64, Breach> {
        self.states(model.scenario(), world);
        let is_calm = is_calm(model, world);
        let marks = self.marks(model.scenario(), world, is_calm);
        self.breach.take().map_or(Ok(marks), Err)
    }

    fn step(
        &mut self,
        _: &mut PolicyModel<'_>,
        from: &World,
        step: &PolicyStep,
        to: &World,
    ) -> Result<(), Breach> {
        let PolicyStep::Command(command) = step else { return Ok(()) };
        for command in single(command) {
            match command {
                Command::Plan(plan) => self.bought(from, plan),
                Command::Target(_) => self.placed(&to.ledger),
                _ => {}
            }
        }
        self.breach.take().map_or(Ok(()), Err)
    }
}

impl Watcher {
    /// Checks the hosts that a plan acquires.
    fn bought(&mut self, from: &World, plan: &Plan) {
        let Cause::InstanceFailed(failed) = &plan.verdict.cause else { return };
        let never_ran = |instance: &&InstanceId| {
            from.build_of(instance).is_some_and(|build| !from.past.started.contains(&build))
        };
        if let Some(instance) = failed.iter().find(never_ran) {
            let is_kept = plan.orders.is_empty();
            self.rule(PolicyRule::NothingIsBoughtForWhatNeverRan, is_kept, || {
                format!("a host is acquired because {instance} fails, which never ran")
            });
        }
    }

    /// Checks the number of copies in a target that came into force.
    fn placed(&mut self, ledger: &Ledger) {
        let mut counts: BTreeMap<(&ComponentName, Revision), usize> = BTreeMap::new();
        for (instance, placed) in &ledger.target.instances {
            *counts.entry((&instance.component, placed.version)).or_default() += 1;
        }
        let failing = counts.iter().filter(|((name, _), _)| ledger.keeps_failing(name));
        let failing: Vec<_> = failing.map(|((name, version), count)| (*name, *version, *count)).collect();
        for (name, version, count) in failing {
            let defined = ledger.specs.get(&version).and_then(|set| set.spec.components.get(name));
            let Some(most) = defined.map(|component| component.replicas.max as usize) else { continue };
            self.rule(PolicyRule::CopiesAreBounded, count <= most, || {
                format!("{count} copies of {name}, which may have {most}")
            });
        }
    }
}

fn single(command: &Command) -> &[Command] {
    match command {
        Command::Batch(commands) => commands,
        other => std::slice::from_ref(other),
    }
}
