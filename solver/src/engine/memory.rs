//! Estimates of the memory that an engine allocates for a problem, from its sizes and before anything is built.
//!
//! The estimates may be a little too high and never too low: `tests/memory.rs` compares them with a counting allocator.
//! The problem itself belongs to the caller and is not counted. Read next: `registry.rs`, which applies them.

use crate::constraint::{Constraint, Scope};
use crate::problem::Problem;
use crate::rule;

/// Bytes of a list without its entries: pointer, length, capacity.
pub(crate) const LIST: u64 = 24;
/// Bytes of an instance in an assignment: a list of optional places.
const PLACE: u64 = 24;
/// Bytes of a map entry, with its share of half-full nodes.
pub(crate) const ENTRY: u64 = 100;
/// Bytes of a pair of machines: their round-trip time, and their position in the order of all pairs.
pub(crate) const PAIR: u64 = 24;
/// Bytes of the allocation of the shortest non-empty list of numbers.
pub(crate) const LIST_LEAST: u64 = 16;
/// Bytes of an item in the scope of a rule: a number that is listed twice, in a list that grew to double its length,
/// and once more while the rule is read.
pub(crate) const MEMBERSHIP: u64 = 32;
/// Assignments that exist at once: the running one, the best, the next, the one being judged, the plan's.
const ASSIGNMENTS: u64 = 6;

/// The sizes of a problem.
pub(crate) struct Sizes {
    pub(crate) instances: u64,
    pub(crate) components: u64,
    pub(crate) machines: u64,
    pub(crate) resources: u64,
    pub(crate) partitions: u64,
    pub(crate) rules: u64,
    pub(crate) costs: u64,
    /// Rules about groups that count per machine or class.
    pub(crate) groups: u64,
    /// Rules about single machines, each of which may need a mask of its own.
    pub(crate) masks: u64,
    /// Memberships of instances in the scopes of rules, all rules together.
    pub(crate) memberships: u64,
}

impl Sizes {
    pub(crate) fn of(problem: &Problem) -> Self {
        let count = |rule: fn(&Constraint) -> bool| {
            problem.constraints.iter().filter(|named| rule(&named.item)).count() as u64
        };
        let alone = problem.components.iter().filter(|c| c.per_host_max == 1 && c.replicas_max > 1).count();
        let counted = count(|rule| {
            matches!(
                rule,
                Constraint::Apart(_)
                    | Constraint::Gather(_)
                    | Constraint::Spread(_)
                    | Constraint::Neighbour(_)
            )
        });
        let of = |c: &crate::problem::Component| u64::from(c.replicas_max).max(c.current.len() as u64);
        Self {
            instances: problem.components.iter().map(of).sum(),
            components: problem.components.len() as u64,
            machines: problem.machines.len() as u64,
            resources: problem.resources.len() as u64,
            partitions: problem.partitions.len() as u64,
            rules: problem.constraints.len() as u64,
            costs: (problem.costs.len() + problem.utilities.len()) as u64,
            groups: alone as u64 + counted,
            masks: count(|rule| matches!(rule, Constraint::Each(_) | Constraint::Ban(_))),
            memberships: problem.constraints.iter().map(|named| memberships(problem, &named.item)).sum(),
        }
    }

    /// Bytes of the judgements of rules, the rules and terms of each component, and its eligible machines: what local
    /// search and the exhaustive engine allocate.
    pub(crate) fn judgements(&self) -> u64 {
        let exchanges = (self.instances * self.instances / 2).min(5_000) * 16;
        exchanges
            + self.components * (self.machines * 8 + 2 * LIST)
            + self.instances * (4 * ENTRY + LIST + 8 * self.resources)
            + (self.rules + self.costs) * (64 + 8 * self.components)
            + self.machines * (LIST + 8 * self.resources)
    }

    /// Bytes of the assignments, and of what checker and evaluator count while they judge one.
    pub(crate) fn judged(&self) -> u64 {
        let assignment = self.instances * PLACE + self.components * LIST;
        ASSIGNMENTS * assignment
            + self.instances * (ENTRY + 8 * self.resources)
            + self.machines * (ENTRY + 8 * self.resources)
    }
}

/// The number of instances in the scopes of a rule of the reassignment engine.
fn memberships(problem: &Problem, rule: &Constraint) -> u64 {
    let all = |c: &crate::problem::Component| u64::from(c.replicas_max);
    let of = |scope: &Scope| match scope {
        Scope::All => problem.components.iter().map(all).sum(),
        Scope::Component(c) => all(&problem.components[*c]),
        Scope::Components(cs) => cs.iter().map(|c| all(&problem.components[*c])).sum(),
        Scope::Instances(instances) => instances.len() as u64,
    };
    match rule {
        Constraint::Each(rule::Each { scope, .. })
        | Constraint::Ban(rule::Ban { scope, .. })
        | Constraint::Apart(rule::Apart { scope, .. })
        | Constraint::Gather(rule::Gather { scope, .. })
        | Constraint::Root(rule::Root { scope })
        | Constraint::Preserve(rule::Preserve { scope, .. })
        | Constraint::Spread(rule::Spread { scope, .. }) => of(scope),
        Constraint::Neighbour(rule::Neighbour { user, provider, .. }) => of(user) + of(provider),
        _ => 0,
    }
}
