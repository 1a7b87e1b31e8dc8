//! Enumerator of what can share a host, and which machine each is run on.

use crate::assignment::Place;
use crate::check::{CAPACITY_TOLERANCE, capacity_of};
use crate::constraint::{Constraint, Scope};
use crate::eligible::refused_by;
use crate::problem::{ComponentIndex, MachineIndex, Problem, Stock};
use crate::rule;

/// Problems with more configurations are left to other engines.
pub(super) const CONFIGURATIONS_MAX: usize = 20_000;
/// Problems with more columns are left to other engines: the linear programs would be slow.
pub(super) const COLUMNS_MAX: usize = 60_000;

/// Machines with the same price, capacities and allowed components.
pub(super) struct Kind {
    pub(super) machines: Vec<MachineIndex>,
    /// The number of hosts that these machines can provide.
    pub(super) count_max: u64,
    pub(super) price: f64,
    /// The cost of one host in the objective.
    pub(super) cost: f64,
    capacity: Vec<f64>,
    /// Per component: whether it is allowed on these machines.
    allowed: Vec<bool>,
}

impl Kind {
    /// The n-th host of this kind.
    pub(super) fn place(&self, problem: &Problem, mut n: usize) -> Place {
        for machine in &self.machines {
            let copies = problem.machines[*machine].copies_max() as usize;
            if n < copies {
                return Place { machine: *machine, copy: u32::try_from(n).unwrap_or(u32::MAX) };
            }
            n -= copies;
        }
        // There are fewer hosts than that; the checker refuses this place.
        Place { machine: self.machines[0], copy: u32::MAX }
    }

    fn fits(&self, needs: &[f64], configuration: &[u32]) -> bool {
        let holds = |(need, capacity): (&f64, &f64)| *need <= capacity + CAPACITY_TOLERANCE * capacity.abs();
        needs.iter().zip(&self.capacity).all(holds)
            && configuration.iter().zip(&self.allowed).all(|(n, ok)| *n == 0 || *ok)
    }
}

/// A host configuration on a kind of machine.
pub(super) struct Column {
    pub(super) configuration: usize,
    pub(super) kind: usize,
    pub(super) count_max: u64,
}

/// The columns of the integer program.
pub(super) struct Columns {
    pub(super) kinds: Vec<Kind>,
    /// For each configuration: the number of instances of each component that share the host.
    pub(super) configurations: Vec<Vec<u32>>,
    pub(super) columns: Vec<Column>,
}

impl Columns {
    /// Builds every useful column; none when there are too many.
    pub(super) fn new(problem: &Problem) -> Option<Self> {
        let kinds = kinds(problem);
        let configurations = Enumerator::all(problem, &kinds)?;
        let hosts_max: u64 = problem.components.iter().map(|c| u64::from(c.replicas_max)).sum();
        let mut by_cost: Vec<usize> = (0..kinds.len()).collect();
        by_cost.sort_by(|a, b| kinds[*a].cost.total_cmp(&kinds[*b].cost).then(a.cmp(b)));
        // A budget or a limit of used hosts may prefer a machine that the objective does not.
        let only_cost = !problem
            .constraints
            .iter()
            .any(|named| matches!(named.item, Constraint::MaxOnline(_) | Constraint::Budget(_)));
        let mut columns = Vec::new();
        for (index, configuration) in configurations.iter().enumerate() {
            let needs = needs_of(problem, configuration);
            for kind in by_cost.iter().copied().filter(|k| kinds[*k].fits(&needs, configuration)) {
                let count_max = kinds[kind].count_max.min(hosts_max);
                columns.push(Column { configuration: index, kind, count_max });
                // Machines come by rising cost: one with enough hosts makes all costlier ones useless.
                if only_cost && count_max == hosts_max {
                    break;
                }
            }
            if columns.len() > COLUMNS_MAX {
                return None;
            }
        }
        Some(Self { kinds, configurations, columns })
    }
}

fn needs_of(problem: &Problem, configuration: &[u32]) -> Vec<f64> {
    let sum = |r: usize| {
        problem.components.iter().zip(configuration).map(|(c, n)| c.need(0, r) * f64::from(*n)).sum()
    };
    (0..problem.resources.len()).map(sum).collect()
}

fn kinds(problem: &Problem) -> Vec<Kind> {
    let refused: Vec<Vec<bool>> = (0..problem.components.len())
        .map(|c| (0..problem.machines.len()).map(|m| refused_by(problem, c, m).is_none()).collect())
        .collect();
    let mut found: Vec<(Vec<u64>, Kind)> = Vec::new();
    for (machine, m) in problem.machines.iter().enumerate() {
        let capacity: Vec<f64> =
            (0..problem.resources.len()).map(|r| capacity_of(problem, machine, r)).collect();
        let allowed: Vec<bool> = refused.iter().map(|of| of[machine]).collect();
        let cost = host_cost(problem, machine);
        let masks = problem.constraints.iter().filter_map(|named| match &named.item {
            Constraint::MaxOnline(rule::MaxOnline { machines, .. }) => Some(u64::from(machines[machine])),
            _ => None,
        });
        let numbers = capacity.iter().chain([&cost, &m.price]).map(|v| v.to_bits());
        let stock = match m.stock {
            Stock::Running => 0,
            Stock::Kept => 1,
            Stock::Offer { .. } => 2,
        };
        let key: Vec<u64> =
            numbers.chain(allowed.iter().map(|a| u64::from(*a))).chain(masks).chain([stock]).collect();
        let copies = u64::from(m.copies_max());
        match found.iter_mut().find(|(k, _)| *k == key) {
            Some((_, kind)) => {
                kind.machines.push(machine);
                kind.count_max += copies;
            }
            None => {
                let price = if m.stock == Stock::Kept { 0.0 } else { m.price };
                found.push((
                    key,
                    Kind { machines: vec![machine], count_max: copies, price, cost, capacity, allowed },
                ));
            }
        }
    }
    found.into_iter().map(|(_, kind)| kind).filter(|kind| kind.count_max > 0).collect()
}

/// The cost that using one host of a machine adds.
fn host_cost(problem: &Problem, machine: MachineIndex) -> f64 {
    use crate::objective::Measure;
    let m = &problem.machines[machine];
    let mut cost = match m.stock {
        Stock::Offer { .. } => problem.migration.add,
        Stock::Running => -problem.migration.remove,
        Stock::Kept => 0.0,
    };
    for c in problem.costs.iter().map(|c| &c.item) {
        cost += match c.measure {
            Measure::TotalPrice if m.stock != Stock::Kept => c.per_unit * m.price,
            Measure::Hosts => c.per_unit,
            _ => 0.0,
        };
    }
    cost
}

/// Enumerates host configurations component by component.
struct Enumerator<'a> {
    problem: &'a Problem,
    kinds: &'a [Kind],
    found: Vec<Vec<u32>>,
}

impl<'a> Enumerator<'a> {
    fn all(problem: &'a Problem, kinds: &'a [Kind]) -> Option<Vec<Vec<u32>>> {
        let mut enumerator = Self { problem, kinds, found: Vec::new() };
        let mut configuration = vec![0; problem.components.len()];
        enumerator.extend(&mut configuration, 0)?;
        Some(enumerator.found)
    }

    fn extend(&mut self, configuration: &mut Vec<u32>, component: ComponentIndex) -> Option<()> {
        let Some(c) = self.problem.components.get(component) else {
            if configuration.iter().any(|n| *n > 0) && self.is_whole(configuration) {
                self.found.push(configuration.clone());
            }
            return (self.found.len() <= CONFIGURATIONS_MAX).then_some(());
        };
        let max = if c.per_host_max == 0 { c.replicas_max } else { c.per_host_max.min(c.replicas_max) };
        for n in 0..=max {
            configuration[component] = n;
            // Further instances only need more room.
            if n > 0 && !self.may_grow(configuration) {
                break;
            }
            self.extend(configuration, component + 1)?;
        }
        configuration[component] = 0;
        Some(())
    }

    /// Whether some machine holds the configuration and no rule forbids it.
    fn may_grow(&self, configuration: &[u32]) -> bool {
        let needs = needs_of(self.problem, configuration);
        let total = |scope: &Scope| -> u32 {
            (0..configuration.len()).filter(|c| covers(scope, *c)).map(|c| configuration[c]).sum()
        };
        let allowed = |rule: &Constraint| match rule {
            Constraint::Apart(rule::Apart { scope, partition: None }) => total(scope) <= 1,
            // A component that is in two of the scopes conflicts with itself and cannot run at all.
            Constraint::Split(rule::Split { scopes, .. }) => {
                let sides = scopes.iter().filter(|s| total(s) > 0).count();
                sides <= 1
            }
            Constraint::Lonely(rule::Lonely { scope }) => {
                let own = total(scope);
                own == 0 || own == configuration.iter().sum::<u32>()
            }
            _ => true,
        };
        self.kinds.iter().any(|kind| kind.fits(&needs, configuration))
            && self.problem.constraints.iter().all(|named| allowed(&named.item))
    }

    /// Whether the configuration has every instance that a rule requires on the same host.
    fn is_whole(&self, configuration: &[u32]) -> bool {
        let has = |c: &usize| configuration[*c] > 0;
        self.problem.constraints.iter().all(|named| match &named.item {
            Constraint::Together(rule::Together { components }) => {
                components.iter().all(has) || !components.iter().any(has)
            }
            Constraint::Everywhere(rule::Everywhere { component }) => {
                let excuse = |c: usize| has(&c) && crate::check::kept_apart(self.problem, *component, c);
                has(component) || (0..configuration.len()).any(excuse)
            }
            _ => true,
        })
    }
}

pub(super) fn covers(scope: &Scope, component: ComponentIndex) -> bool {
    match scope {
        Scope::All => true,
        Scope::Component(c) => *c == component,
        Scope::Components(cs) => cs.contains(&component),
        Scope::Instances(_) => false,
    }
}
