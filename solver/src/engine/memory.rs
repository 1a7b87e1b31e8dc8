//! How much memory an engine will take for a problem: estimates from its sizes, made before anything is built.
//!
//! They are meant to be a little too high, never too low: `tests/memory.rs` holds them against what an allocator
//! counts. The problem itself is not counted, it belongs to the caller. Read next: `solve.rs`, which asks.

use super::market::{PROOF_COMPONENTS_MAX, ZONES_MAX};
use crate::constraint::{Constraint, Scope};
use crate::engine::large::MEMBERS_MAX;
use crate::objective::{Measure, Of};
use crate::plan::Engine;
use crate::problem::Problem;

/// A list by itself: pointer, length, capacity.
const LIST: u64 = 24;
/// An instance in an assignment: a list holds optional places.
const PLACE: u64 = 24;
/// An entry of a map, with its share of half-full nodes.
const ENTRY: u64 = 100;
/// Two machines with the round-trip time between them, and their place in the order of all pairs.
const PAIR: u64 = 24;
/// What the shortest list of numbers that is not empty takes beside it.
const LIST_LEAST: u64 = 16;
/// A rule that speaks of an item: a number that is listed twice, in a list that grew to double its length, and once
/// more while the rule is read.
const MEMBERSHIP: u64 = 32;
/// Assignments that live at once: what runs now, the best, the next, the one that is judged, the plan's.
const ASSIGNMENTS: u64 = 6;
/// A table of the most valuable loads has at most so many cells (`market/grid.rs`), of so many bytes.
const TABLE: u64 = 40_000 * 12;
/// Layouts that the proof of the market engine lists at most (`market/exact.rs`), of some lists each.
const LAYOUTS: u64 = 200_000 * 250;
/// Patterns and columns at most (`patterns/columns.rs`).
const PATTERNS_MAX: u64 = 20_000;
const COLUMNS_MAX: u64 = 60_000;

/// What the estimates are made of.
struct Sizes {
    instances: u64,
    components: u64,
    machines: u64,
    resources: u64,
    partitions: u64,
    rules: u64,
    costs: u64,
    /// Rules about groups that count per machine or class.
    groups: u64,
    /// Rules about single machines, each of which may need a mask of its own.
    masks: u64,
    /// How often rules speak of an instance, all instances together.
    memberships: u64,
}

impl Sizes {
    fn of(problem: &Problem) -> Self {
        let count = |rule: fn(&Constraint) -> bool| {
            problem.constraints.iter().filter(|named| rule(&named.item)).count() as u64
        };
        let alone = problem.components.iter().filter(|c| c.per_host_max == 1 && c.replicas_max > 1).count();
        let counted = count(|rule| {
            matches!(
                rule,
                Constraint::Apart { .. }
                    | Constraint::Gather { .. }
                    | Constraint::Spread { .. }
                    | Constraint::Neighbour { .. }
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
            masks: count(|rule| matches!(rule, Constraint::Each { .. } | Constraint::Ban { .. })),
            memberships: problem.constraints.iter().map(|named| memberships(problem, &named.item)).sum(),
        }
    }

    /// Assignments, and what checker and evaluator count while they judge one.
    fn judged(&self) -> u64 {
        let assignment = self.instances * PLACE + self.components * LIST;
        ASSIGNMENTS * assignment
            + self.instances * (ENTRY + 8 * self.resources)
            + self.machines * (ENTRY + 8 * self.resources)
    }

    /// Flat arrays over items and machines, two states of them, the order of the items, the machine of each for a whole
    /// population; counters of two bytes per group and machine.
    fn large(&self) -> u64 {
        let row = (self.resources + self.costs).next_multiple_of(4) * 8;
        let item = row + 8 * 16 + 3 * (LIST + LIST_LEAST) + 4 * (MEMBERS_MAX as u64 + 1);
        let machine = 6 * row + 24 * self.resources + 2 * LIST + 4 * self.partitions;
        self.instances * item
            + self.memberships * MEMBERSHIP
            + self.machines * machine
            + self.groups * (4 * self.machines + 64)
            + (self.masks + 1) * self.machines
    }

    /// Zones hold offers and prices, groups hold layouts, hosts hold instances.
    fn market(&self, zones: u64) -> u64 {
        // Needs that differ form classes; at worst every component is one.
        let classes = self.components.min(256);
        let prices = zones * classes * 8 * 6;
        // Rows of prices' programs: one per offer and round, half of which are new.
        let rows = (self.machines * 20).min(zones * 400) * (LIST + 4 * classes);
        let proof = if self.components <= PROOF_COMPONENTS_MAX as u64 { LAYOUTS } else { 0 };
        prices
            + rows
            + proof
            + 4 * TABLE
            + self.instances * 200
            + self.components * zones.div_ceil(8) * 4
            + self.rules * 64
    }

    /// Patterns, columns, and the linear program over them.
    fn patterns(&self, kinds: u64) -> u64 {
        let patterns =
            2u64.saturating_pow(self.components.min(40) as u32).saturating_mul(4).min(PATTERNS_MAX);
        let columns = patterns.saturating_mul(kinds).min(COLUMNS_MAX);
        // Each column has an entry in the row of each component it holds, several times over in the back end.
        patterns * (LIST + 4 * self.components) + columns * (40 + 24 * 16 * self.components.min(8))
    }

    /// Machines that can be chosen, with the round-trip times between all of them where the diameter matters.
    fn choice(&self, candidates: u64, spans_pairs: bool) -> u64 {
        let distances =
            if spans_pairs { candidates.saturating_mul(candidates).saturating_mul(PAIR) } else { 0 };
        distances.saturating_add(candidates * (200 + 8 * self.rules))
    }

    /// Judgements of rules, what each component touches, machines each may use.
    fn local(&self) -> u64 {
        let exchanges = (self.instances * self.instances / 2).min(5_000) * 16;
        exchanges
            + self.components * (self.machines * 8 + 2 * LIST)
            + self.instances * (4 * ENTRY + LIST + 8 * self.resources)
            + (self.rules + self.costs) * (64 + 8 * self.components)
            + self.machines * (LIST + 8 * self.resources)
    }
}

/// How many instances a rule of the large engine speaks of.
fn memberships(problem: &Problem, rule: &Constraint) -> u64 {
    let all = |c: &crate::problem::Component| u64::from(c.replicas_max);
    let of = |scope: &Scope| match scope {
        Scope::All => problem.components.iter().map(all).sum(),
        Scope::Component(c) => all(&problem.components[*c]),
        Scope::Components(cs) => cs.iter().map(|c| all(&problem.components[*c])).sum(),
        Scope::Instances(instances) => instances.len() as u64,
    };
    match rule {
        Constraint::Each { scope, .. }
        | Constraint::Ban { scope, .. }
        | Constraint::Apart { scope, .. }
        | Constraint::Gather { scope, .. }
        | Constraint::Root { scope }
        | Constraint::Preserve { scope, .. }
        | Constraint::Spread { scope, .. } => of(scope),
        Constraint::Neighbour { user, provider, .. } => of(user) + of(provider),
        _ => 0,
    }
}

/// Bytes that an engine takes at most for a problem, about.
pub(crate) fn bytes(problem: &Problem, engine: Engine) -> u64 {
    let sizes = Sizes::of(problem);
    let own = match engine {
        Engine::Large => sizes.large(),
        Engine::Market => sizes.market(sizes.machines.min(ZONES_MAX as u64)),
        Engine::Patterns => sizes.patterns(sizes.machines),
        Engine::Choice => {
            let copies = |m: &crate::problem::Machine| u64::from(m.copies_max()).min(sizes.instances);
            sizes.choice(problem.machines.iter().map(copies).sum(), spans_pairs(problem))
        }
        Engine::Exhaustive | Engine::Local => sizes.local(),
        Engine::Stay => 0,
    };
    sizes.judged().saturating_add(own)
}

/// Whether something speaks of the round-trip times between all of a component's hosts.
fn spans_pairs(problem: &Problem) -> bool {
    let spans = |measure: &Measure| matches!(measure, Measure::DiameterMs);
    problem.constraints.iter().any(|n| matches!(&n.item, Constraint::Bound { measure, .. } if spans(measure)))
        || problem.utilities.iter().any(|n| matches!(&n.item.of, Of::Group { measure, .. } if spans(measure)))
        || problem.costs.iter().any(|n| spans(&n.item.measure))
}
