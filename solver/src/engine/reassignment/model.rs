//! A problem with many instances on existing machines, lowered to flat arrays.
//!
//! Instances become *items*. Rules over shared hosts or classes become *groups*; the machines that an item may use are
//! a mask. Resources become *dimensions*, and so does each balance: `target * free(first) - free(second)` grows by a
//! fixed amount with each item, just as a load does. Dimensions are packed by four, so that a judgement is a few vector
//! operations without a branch. Read next: `state.rs`.

use super::lists::Lists;
pub(super) use super::lists::to_u32;
use crate::check::{CAPACITY_TOLERANCE, capacity_of};
use crate::constraint::{Constraint, Limit, Scope};
use crate::objective::Measure;
use crate::problem::Problem;
use crate::rule;
use std::collections::BTreeMap;

/// No machine: the item does not run.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Dimensions that are processed together: two vectors of a plain x86-64.
pub(super) const LANES: usize = 4;
/// Four dimensions.
pub(super) type Quad = [f64; LANES];

/// The rule of a group over the cells of its members.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum GroupRule {
    /// No two members share a cell.
    Apart,
    /// The members use at least this number of cells.
    Distinct(u32),
    /// All members share one cell.
    Gather,
}

/// A rule over the cells of its members; a cell is a machine or a class of a partition.
pub(super) struct Group {
    pub(super) rule: GroupRule,
    /// The cell of each machine; none where members are not allowed.
    pub(super) cell_of: usize,
    /// Index of its first counter.
    pub(super) start: usize,
    pub(super) members: u32,
}

/// A user needs a provider in the same class.
pub(super) struct Dependency {
    pub(super) cell_of: usize,
    /// Index of its first counter; counters of users and providers alternate.
    pub(super) start: usize,
}

/// `max(0, target * free(first) - free(second))`, weighted.
#[derive(Clone, Copy)]
pub(super) struct Balance {
    pub(super) first: usize,
    pub(super) second: usize,
    pub(super) target: f64,
    pub(super) weight: f64,
}

pub(super) struct Model<'a> {
    pub(super) problem: &'a Problem,
    pub(super) resources: usize,
    pub(super) machines: usize,
    /// Component and ordinal of each item.
    pub(super) items: Vec<(u32, u32)>,
    /// Number of quads of dimensions: resources first, then balances, then padding.
    pub(super) quads: usize,
    /// The amount that an item adds to each dimension, `quads` per item.
    pub(super) amount: Vec<Quad>,
    /// The cost of one unit beyond zero in each dimension.
    pub(super) weight: Vec<Quad>,
    /// One where a moving item releases its share, zero where it holds the share at its origin until the move is done.
    pub(super) released: Vec<Quad>,
    /// The value one in every dimension.
    pub(super) whole: Vec<Quad>,
    /// For each machine, its distance beyond the soft limits when nothing runs on it, as quads.
    pub(super) over_empty: Vec<Quad>,
    /// For each machine, its room when nothing runs on it and nothing is held, as quads.
    pub(super) room_empty: Vec<Quad>,
    /// Hard limits with the checker's tolerance.
    pub(super) limit: Vec<f64>,
    pub(super) capacity: Vec<f64>,
    pub(super) safety: Vec<f64>,
    pub(super) is_transient: Vec<bool>,
    pub(super) overload: Vec<f64>,
    pub(super) balances: Vec<Balance>,
    pub(super) origin: Vec<u32>,
    pub(super) move_cost: Vec<f64>,
    /// Per item: whether it holds a transient resource at its origin while it is elsewhere.
    pub(super) holds: Vec<bool>,
    mask_of: Vec<u32>,
    masks: Vec<Vec<bool>>,
    /// Per item: whether a root rule keeps it on its machine.
    pub(super) pinned: Vec<bool>,
    pub(super) groups: Vec<Group>,
    pub(super) groups_of: Lists,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) uses: Lists,
    pub(super) provides: Lists,
    /// For each division of machines into cells, the cell of each machine.
    pub(super) cells: Vec<Vec<u32>>,
    pub(super) group_counts: usize,
    pub(super) dependency_counts: usize,
    /// Weighted cost of moving between two machines; an empty row costs nothing.
    pub(super) pair: Vec<&'a [f64]>,
    pub(super) per_pair: f64,
}

impl<'a> Model<'a> {
    pub(super) fn new(problem: &'a Problem) -> Self {
        let (resources, machines) = (problem.resources.len(), problem.machines.len());
        let mut first_of = Vec::new();
        let mut items = Vec::new();
        for (component, c) in (0u32..).zip(&problem.components) {
            first_of.push(items.len());
            items.extend((0..c.replicas_max).map(|ordinal| (component, ordinal)));
        }
        let component = |i: usize| &problem.components[items[i].0 as usize];
        let ordinal = |i: usize| items[i].1 as usize;
        let count = items.len();
        let of = |f: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..machines).flat_map(|m| (0..resources).map(move |r| (m, r))).map(|(m, r)| f(m, r)).collect()
        };
        let overbooks = problem.constraints.iter().any(|n| matches!(n.item, Constraint::Overbook(_)));
        let capacity =
            of(&|m, r| if overbooks { capacity_of(problem, m, r) } else { problem.machines[m].capacity[r] });
        let mut model = Self {
            problem,
            resources,
            machines,
            quads: 0,
            amount: Vec::new(),
            weight: Vec::new(),
            released: Vec::new(),
            whole: Vec::new(),
            over_empty: Vec::new(),
            room_empty: Vec::new(),
            limit: capacity.iter().map(|c| c + CAPACITY_TOLERANCE * c.abs() / 2.0).collect(),
            capacity,
            safety: of(&|m, r| problem.machines[m].safety_of(r)),
            is_transient: problem.resources.iter().map(|r| r.transient).collect(),
            overload: vec![0.0; resources],
            balances: Vec::new(),
            origin: (0..count).map(|i| component(i).current_of(ordinal(i)).map_or(NOWHERE, to_u32)).collect(),
            move_cost: (0..count)
                .map(|i| component(i).move_cost_of(ordinal(i)) * problem.migration.per_move)
                .collect(),
            holds: Vec::new(),
            mask_of: vec![0; count],
            masks: Vec::new(),
            pinned: vec![false; count],
            groups: Vec::new(),
            groups_of: Lists::default(),
            dependencies: Vec::new(),
            uses: Lists::default(),
            provides: Lists::default(),
            cells: vec![(0..to_u32(machines)).collect()],
            group_counts: 0,
            dependency_counts: 0,
            pair: problem.machines.iter().map(|m| m.move_cost.as_slice()).collect(),
            per_pair: problem.migration.per_pair,
            items,
        };
        model.add_costs();
        model.add_dimensions();
        model.add_rules(first_of);
        model
    }

    /// Lowers costs and rules.
    fn add_rules(&mut self, first_of: Vec<usize>) {
        self.add_masks(&first_of);
        let none = vec![Vec::new(); self.items.len()];
        let mut lowered = Lowered {
            first_of,
            cells_of: BTreeMap::new(),
            groups_of: none.clone(),
            uses: none.clone(),
            provides: none,
        };
        for (index, c) in self.problem.components.iter().enumerate() {
            if c.per_host_max == 1 && c.replicas_max > 1 {
                self.add_group(&mut lowered, &Scope::Component(index), GroupRule::Apart, 0);
            }
        }
        for named in &self.problem.constraints {
            self.add_rule(&mut lowered, &named.item);
        }
        self.groups_of = Lists::pack(&lowered.groups_of);
        self.uses = Lists::pack(&lowered.uses);
        self.provides = Lists::pack(&lowered.provides);
        let transient = |i: usize| (0..self.resources).any(|r| self.is_transient[r] && self.need(i, r) > 0.0);
        self.holds = (0..self.items.len()).map(|i| self.origin[i] != NOWHERE && transient(i)).collect();
    }

    /// Packs the needs of items, the limits of machines and the costs by dimension.
    fn add_dimensions(&mut self) {
        let (resources, balances) = (self.resources, self.balances.clone());
        let quads = (resources + balances.len()).div_ceil(LANES);
        let pack = |f: &dyn Fn(usize) -> f64| -> Vec<Quad> {
            (0..quads).map(|q| std::array::from_fn(|lane| f(q * LANES + lane))).collect()
        };
        let balance = |d: usize| d.checked_sub(resources).and_then(|b| balances.get(b));
        self.quads = quads;
        self.whole = pack(&|_| 1.0);
        self.released = pack(&|d| if self.is_transient.get(d) == Some(&true) { 0.0 } else { 1.0 });
        self.weight =
            pack(&|d| self.overload.get(d).copied().or(balance(d).map(|b| b.weight)).unwrap_or(0.0));
        let problem = self.problem;
        self.amount = (self.items.iter())
            .flat_map(|(component, ordinal)| {
                let of = &problem.components[*component as usize];
                let need = |r: usize| of.need(*ordinal as usize, r);
                pack(&|d| match balance(d) {
                    Some(b) => need(b.second) - b.target * need(b.first),
                    None if d < resources => need(d),
                    None => 0.0,
                })
            })
            .collect();
        let (capacity, safety, limit) = (&self.capacity, &self.safety, &self.limit);
        self.over_empty = (0..self.machines)
            .map(|m| m * resources)
            .flat_map(|base| {
                pack(&|d| match balance(d) {
                    Some(b) => b.target * capacity[base + b.first] - capacity[base + b.second],
                    None if d < resources => -safety[base + d],
                    None => 0.0,
                })
            })
            .collect();
        self.room_empty = (0..self.machines)
            .map(|m| m * resources)
            .flat_map(|base| pack(&|d| if d < resources { limit[base + d] } else { f64::INFINITY }))
            .collect();
    }

    /// The need of an item of a resource.
    pub(super) fn need(&self, item: usize, resource: usize) -> f64 {
        self.amount[item * self.quads + resource / LANES][resource % LANES]
    }

    /// The amounts of an item in each dimension.
    #[inline]
    pub(super) fn amount(&self, item: usize) -> &[Quad] {
        &self.amount[item * self.quads..(item + 1) * self.quads]
    }

    /// The amounts that an item removes from a machine when it leaves and adds when it arrives: everything, except
    /// transient resources at its origin.
    #[inline]
    pub(super) fn share(&self, item: usize, machine: usize) -> &[Quad] {
        if self.origin[item] as usize == machine { &self.released } else { &self.whole }
    }

    pub(super) fn may_use(&self, item: usize, machine: usize) -> bool {
        self.masks[self.mask_of[item] as usize][machine]
    }

    fn add_costs(&mut self) {
        for cost in self.problem.costs.iter().map(|c| &c.item) {
            match cost.measure {
                Measure::Overload { resource } => self.overload[resource] += cost.per_unit,
                Measure::Imbalance { first, second, target } => {
                    self.balances.push(Balance { first, second, target, weight: cost.per_unit });
                }
                _ => {}
            }
        }
    }

    /// Builds the masks; items under the same rules over single machines share one.
    fn add_masks(&mut self, first_of: &[usize]) {
        let mut rules_of: Vec<Vec<usize>> = vec![Vec::new(); self.items.len()];
        for (rule, named) in self.problem.constraints.iter().enumerate() {
            if let Constraint::Each(rule::Each { scope, .. }) | Constraint::Ban(rule::Ban { scope, .. }) =
                &named.item
            {
                for item in members(self.problem, first_of, scope) {
                    rules_of[item].push(rule);
                }
            }
        }
        let mut known: BTreeMap<Vec<usize>, u32> = BTreeMap::new();
        for (item, rules) in rules_of.into_iter().enumerate() {
            let next = to_u32(known.len());
            let mask = *known.entry(rules.clone()).or_insert(next);
            if mask == next {
                let mut allowed = vec![true; self.machines];
                for rule in rules {
                    match &self.problem.constraints[rule].item {
                        Constraint::Each(rule::Each { allowed: mask, .. }) => {
                            allowed.iter_mut().zip(mask).for_each(|(a, ok)| *a &= ok);
                        }
                        Constraint::Ban(rule::Ban { machines, .. }) => {
                            machines.iter().for_each(|m| allowed[*m] = false)
                        }
                        _ => {}
                    }
                }
                self.masks.push(allowed);
            }
            self.mask_of[item] = mask;
        }
    }

    fn add_rule(&mut self, lowered: &mut Lowered, rule: &Constraint) {
        match rule {
            Constraint::Apart(rule::Apart { scope, partition }) => {
                let cells = lowered.cells(self, *partition);
                self.add_group(lowered, scope, GroupRule::Apart, cells);
            }
            Constraint::Gather(rule::Gather { scope, partition }) => {
                let cells = lowered.cells(self, *partition);
                self.add_group(lowered, scope, GroupRule::Gather, cells);
            }
            Constraint::Spread(rule::Spread {
                scope,
                partition,
                min_distinct: Some(Limit::Constant(limit)),
                ..
            }) => {
                let cells = lowered.cells(self, Some(*partition));
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
                self.add_group(lowered, scope, GroupRule::Distinct(limit.ceil().max(0.0) as u32), cells);
            }
            Constraint::Neighbour(rule::Neighbour { user, provider, partition }) => {
                let cells = lowered.cells(self, Some(*partition));
                let dependency = to_u32(self.dependencies.len());
                self.dependencies.push(Dependency { cell_of: cells, start: self.dependency_counts });
                self.dependency_counts += 2 * self.cell_count(cells);
                for item in members(self.problem, &lowered.first_of, user) {
                    lowered.uses[item].push(dependency);
                }
                for item in members(self.problem, &lowered.first_of, provider) {
                    lowered.provides[item].push(dependency);
                }
            }
            Constraint::Root(rule::Root { scope }) => {
                for item in members(self.problem, &lowered.first_of, scope) {
                    self.pinned[item] |= self.origin[item] != NOWHERE;
                }
            }
            Constraint::Preserve(rule::Preserve { scope, resource, amount }) => {
                for item in members(self.problem, &lowered.first_of, scope) {
                    let need = &mut self.amount[item * self.quads + resource / LANES][resource % LANES];
                    *need = need.max(*amount);
                }
            }
            _ => {}
        }
    }

    fn cell_count(&self, cells: usize) -> usize {
        self.cells[cells].iter().filter(|c| **c != NOWHERE).max().map_or(0, |c| *c as usize + 1)
    }

    fn add_group(&mut self, lowered: &mut Lowered, scope: &Scope, rule: GroupRule, cell_of: usize) {
        let items = members(self.problem, &lowered.first_of, scope);
        let group = to_u32(self.groups.len());
        self.groups.push(Group { rule, cell_of, start: self.group_counts, members: to_u32(items.len()) });
        self.group_counts += self.cell_count(cell_of);
        for item in items {
            lowered.groups_of[item].push(group);
        }
    }
}

struct Lowered {
    /// The first item of each component.
    first_of: Vec<usize>,
    cells_of: BTreeMap<usize, usize>,
    groups_of: Vec<Vec<u32>>,
    uses: Vec<Vec<u32>>,
    provides: Vec<Vec<u32>>,
}

impl Lowered {
    fn cells(&mut self, model: &mut Model, partition: Option<usize>) -> usize {
        let Some(partition) = partition else { return 0 };
        *self.cells_of.entry(partition).or_insert_with(|| {
            let class_of = &model.problem.partitions[partition].class_of;
            model.cells.push(class_of.iter().map(|c| c.map_or(NOWHERE, to_u32)).collect());
            model.cells.len() - 1
        })
    }
}

/// The items of a scope.
fn members(problem: &Problem, first_of: &[usize], scope: &Scope) -> Vec<usize> {
    let of = |c: usize| first_of[c]..first_of[c] + problem.components[c].replicas_max as usize;
    match scope {
        Scope::All => (0..problem.components.len()).flat_map(of).collect(),
        Scope::Component(c) => of(*c).collect(),
        Scope::Components(cs) => cs.iter().flat_map(|c| of(*c)).collect(),
        Scope::Instances(list) => list.iter().map(|(c, ordinal)| first_of[*c] + ordinal).collect(),
    }
}
