//! The model of a purchase: groups of components that rules tie together, the zones they may use, classes of needs.
//!
//! A rule restricts zones (allowed ones, latency, spread), counts, or the instances that share a host. Rules of the
//! first two kinds stay within a group; `packing.rs` keeps rules of the last kind. Read next: `zones.rs`, `layout.rs`.

use super::zones::{Zone, ZoneSet, members, zones};
use crate::constraint::{Comparison, Constraint, Limit};
use crate::objective::Measure;
use crate::problem::{ComponentIndex, Problem};
use crate::rule;
use std::collections::BTreeMap;

/// The largest group; with more components the search for the best layout is hopeless.
const GROUP_MAX: usize = 16;

/// A rule about the spread of one component over a partition.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    /// The class of each zone.
    pub(super) class_of: Vec<usize>,
    pub(super) max_in_class: Option<Limit>,
    pub(super) min_distinct: Option<Limit>,
    /// The number of instances left whichever class is lost.
    pub(super) min_left: Option<Limit>,
}

impl Spread {
    /// The least number of classes and the most instances in one, where these do not depend on the number of instances.
    pub(super) fn constants(&self) -> (u32, u32) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let whole = |value: f64| value.clamp(0.0, f64::from(u32::MAX)) as u32;
        let distinct = match &self.min_distinct {
            Some(Limit::Constant(min)) => whole(min.ceil()),
            _ => 0,
        };
        let max = match &self.max_in_class {
            Some(Limit::Constant(max)) => whole(max.floor()),
            _ => u32::MAX,
        };
        (distinct, max)
    }

    /// Whether a complete set of instances keeps the rule.
    pub(super) fn holds(&self, zones: &[usize]) -> bool {
        let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
        zones.iter().for_each(|z| *counts.entry(self.class_of[*z]).or_default() += 1);
        let most = counts.values().copied().max().unwrap_or(0);
        let size = zones.len();
        let at = |limit: &Option<Limit>| limit.as_ref().map(|l| l.at(size));
        let (most, distinct, size) = (f64::from(most), count(counts.len()), count(size));
        at(&self.max_in_class).is_none_or(|max| most <= max)
            && at(&self.min_distinct).is_none_or(|min| distinct >= min)
            && at(&self.min_left).is_none_or(|min| size - most >= min)
    }
}

/// Counts stay far below 2^53, so the conversion is exact.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn count(n: usize) -> f64 {
    n as f64
}

/// Components whose zones are chosen together.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) components: Vec<ComponentIndex>,
    /// For each pair of components, by position: the matrices of nearness that apply.
    pub(super) near: Vec<Vec<Vec<usize>>>,
    /// Rules about counts.
    pub(super) counted: Vec<Constraint>,
}

pub(super) struct Model<'a> {
    pub(super) problem: &'a Problem,
    pub(super) zones: Vec<Zone>,
    /// The classes: each different vector of needs once.
    pub(super) classes: Vec<Vec<f64>>,
    /// The class of each component.
    pub(super) class_of: Vec<usize>,
    /// The zones that each component may use.
    pub(super) allowed: Vec<ZoneSet>,
    /// The spread rules of each component.
    pub(super) spreads: Vec<Vec<Spread>>,
    pub(super) groups: Vec<Group>,
    /// For each latency limit and zone, the zones near enough.
    pub(super) matrices: Vec<Vec<ZoneSet>>,
    /// Pairs of components that never share a host.
    pub(super) apart: BTreeMap<ComponentIndex, Vec<ComponentIndex>>,
    /// The most instances of each component on one host.
    pub(super) per_host: Vec<u32>,
}

impl<'a> Model<'a> {
    /// Builds the model; none when it cannot represent a rule of the problem.
    pub(super) fn new(problem: &'a Problem) -> Option<Self> {
        let instances = problem.components.iter().map(|c| u64::from(c.replicas_max)).sum();
        let zones = zones(problem, instances)?;
        let mut classes: Vec<Vec<f64>> = Vec::new();
        let mut known: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
        let mut class_of = Vec::new();
        for c in &problem.components {
            let needs: Vec<f64> = (0..problem.resources.len()).map(|r| c.need(0, r)).collect();
            let key = needs.iter().map(|n| n.to_bits()).collect();
            class_of.push(*known.entry(key).or_insert_with(|| {
                classes.push(needs);
                classes.len() - 1
            }));
        }
        let mut model = Self {
            allowed: Vec::new(),
            spreads: vec![Vec::new(); problem.components.len()],
            groups: Vec::new(),
            matrices: Vec::new(),
            apart: BTreeMap::new(),
            per_host: problem.components.iter().map(per_host).collect(),
            problem,
            zones,
            classes,
            class_of,
        };
        model.allowed = (0..problem.components.len()).map(|c| model.roomy(c)).collect();
        let mut lowering = Lowering {
            matrix_of: BTreeMap::new(),
            ties: Ties::new(problem.components.len()),
            rules: Vec::new(),
        };
        for named in &problem.constraints {
            model.add(&named.item, &mut lowering)?;
        }
        model.add_groups(lowering).then_some(model)
    }

    /// Removes zones that are not near enough to any zone of a component that has to be near.
    pub(super) fn narrow(&mut self) {
        let mut changed = true;
        while changed {
            changed = false;
            for group in &self.groups {
                for (p, a) in group.components.iter().enumerate() {
                    for (q, b) in group.components.iter().enumerate() {
                        if p == q || self.problem.components[*b].replicas_min == 0 {
                            continue;
                        }
                        for zone in 0..self.zones.len() {
                            if self.allowed[*a].holds(zone)
                                && !is_near(&self.matrices, &group.near[p][q], zone, &self.allowed[*b])
                            {
                                self.allowed[*a].remove(zone);
                                changed = true;
                            }
                        }
                    }
                }
            }
        }
    }

    /// The zones in which some machine holds an instance.
    fn roomy(&self, component: ComponentIndex) -> ZoneSet {
        let mut set = ZoneSet::default();
        let needs = &self.classes[self.class_of[component]];
        for (index, zone) in self.zones.iter().enumerate() {
            if zone.offers.iter().any(|offer| super::zones::fits(needs, &offer.capacity)) {
                set.insert(index);
            }
        }
        set
    }

    fn forbid(&mut self, component: ComponentIndex, is_refused: &dyn Fn(usize) -> bool) {
        for (index, zone) in self.zones.iter().enumerate() {
            if is_refused(zone.machine) {
                self.allowed[component].remove(index);
            }
        }
    }

    /// Adds one rule to the model; none when the model cannot represent it.
    fn add(&mut self, rule: &Constraint, lowering: &mut Lowering) -> Option<()> {
        let problem = self.problem;
        match rule {
            Constraint::Each(rule::Each { scope, allowed }) => {
                members(problem, scope)?.into_iter().for_each(|c| self.forbid(c, &|m| !allowed[m]));
            }
            Constraint::Ban(rule::Ban { scope, machines }) => {
                members(problem, scope)?.into_iter().for_each(|c| self.forbid(c, &|m| machines.contains(&m)));
            }
            Constraint::Spread(rule::Spread { scope, partition, max_in_class, min_distinct }) => {
                let spread = (max_in_class.clone(), min_distinct.clone(), None);
                self.add_spread(&members(problem, scope)?, *partition, spread)?;
            }
            Constraint::Survive(rule::Survive { scope, partition, min_left }) => {
                let spread = (None, None, Some(min_left.clone()));
                self.add_spread(&members(problem, scope)?, *partition, spread)?;
            }
            Constraint::Bound(rule::Bound { scope, measure, comparison, limit: Limit::Constant(limit) }) => {
                self.add_near((&members(problem, scope)?, measure), (*comparison, *limit), lowering)?;
            }
            Constraint::Require(rule::Require { user, provider, .. }) => {
                lowering.tie_counted([user, provider], rule)
            }
            Constraint::Conflict(rule::Conflict { first, second }) => {
                lowering.tie_counted([first, second], rule)
            }
            Constraint::Linear(rule::Linear { terms, .. }) => {
                lowering.tie_counted(terms.iter().map(|(c, _)| c), rule)
            }
            Constraint::Count(rule::Count { components, .. })
            | Constraint::Alternatives(rule::Alternatives { components, .. }) => {
                lowering.tie_counted(components, rule);
            }
            Constraint::DependsOn(rule::DependsOn { component, any_of }) => {
                lowering.tie_counted([component].into_iter().chain(any_of), rule);
            }
            Constraint::Apart(rule::Apart { scope, partition: None }) => {
                let own = members(problem, scope)?;
                own.iter().for_each(|c| self.per_host[*c] = 1);
                self.keep_apart(&own, &own);
            }
            Constraint::Split(rule::Split { scopes, partition: None }) => {
                let sides = scopes.iter().map(|s| members(problem, s)).collect::<Option<Vec<_>>>()?;
                for (at, side) in sides.iter().enumerate() {
                    sides[at + 1..].iter().for_each(|other| self.keep_apart(side, other));
                }
            }
            // The budget is checked for the finished purchase.
            Constraint::Budget(_) => {}
            // Overbook rules are part of the capacities.
            Constraint::Overbook(_) => {}
            _ => return None,
        }
        Some(())
    }

    /// Adds a limit of round-trip times within a scope or between two scopes.
    fn add_near(
        &mut self,
        (own, measure): (&[ComponentIndex], &Measure),
        (comparison, limit): (Comparison, f64),
        lowering: &mut Lowering,
    ) -> Option<()> {
        let problem = self.problem;
        let strict = match comparison {
            Comparison::Less => true,
            Comparison::LessOrEqual => false,
            _ => return None,
        };
        let own = own.to_vec();
        let other = match measure {
            Measure::DiameterMs => own.clone(),
            Measure::PairLatencyMs(other) => members(problem, other)?,
            _ => return None,
        };
        let matrix = self.matrix(limit, strict, lowering)?;
        own.iter().chain(&other).for_each(|c| self.forbid(*c, &|m| problem.machines[m].site.is_none()));
        lowering.tie(own.iter().chain(&other));
        lowering.rules.push((own[..].first().copied(), Tie::Near { own, other, matrix }));
        Some(())
    }

    fn keep_apart(&mut self, own: &[ComponentIndex], other: &[ComponentIndex]) {
        for a in own {
            for b in other.iter().filter(|b| *b != a) {
                self.apart.entry(*a).or_default().push(*b);
                self.apart.entry(*b).or_default().push(*a);
            }
        }
    }

    fn add_spread(
        &mut self,
        own: &[ComponentIndex],
        partition: usize,
        (max_in_class, min_distinct, min_left): (Option<Limit>, Option<Limit>, Option<Limit>),
    ) -> Option<()> {
        let [component] = own else { return None };
        let class_of = &self.problem.partitions[partition].class_of;
        self.forbid(*component, &|m| class_of[m].is_none());
        let class_of = self.zones.iter().map(|zone| class_of[zone.machine].unwrap_or(0)).collect();
        self.spreads[*component].push(Spread { class_of, max_in_class, min_distinct, min_left });
        Some(())
    }

    /// The zones that are near enough to each other; none when two hosts of one zone are not.
    fn matrix(&mut self, limit: f64, strict: bool, lowering: &mut Lowering) -> Option<usize> {
        let key = (limit.to_bits(), strict);
        if let Some(matrix) = lowering.matrix_of.get(&key) {
            return Some(*matrix);
        }
        let site = |zone: &Zone| self.problem.machines[zone.machine].site;
        let mut rows = Vec::new();
        for (index, a) in self.zones.iter().enumerate() {
            let mut row = ZoneSet::default();
            for (other, b) in self.zones.iter().enumerate() {
                let (Some(x), Some(y)) = (site(a), site(b)) else { continue };
                let ms = self.problem.latency.ms(x, y);
                if ms < limit || (!strict && ms == limit) {
                    row.insert(other);
                } else if index == other {
                    return None;
                }
            }
            rows.push(row);
        }
        self.matrices.push(rows);
        lowering.matrix_of.insert(key, self.matrices.len() - 1);
        Some(self.matrices.len() - 1)
    }

    /// Whether all groups are small enough.
    fn add_groups(&mut self, mut lowering: Lowering) -> bool {
        let mut position = vec![(0, 0); self.problem.components.len()];
        let mut group_of: BTreeMap<usize, usize> = BTreeMap::new();
        for (component, place) in position.iter_mut().enumerate() {
            let root = lowering.ties.root(component);
            let group = *group_of.entry(root).or_insert_with(|| {
                self.groups.push(Group::default());
                self.groups.len() - 1
            });
            *place = (group, self.groups[group].components.len());
            self.groups[group].components.push(component);
        }
        for group in &mut self.groups {
            group.near = vec![vec![Vec::new(); group.components.len()]; group.components.len()];
        }
        for (first, tie) in lowering.rules {
            // A rule over no component holds always or never; the checker decides that.
            let Some(first) = first else { continue };
            let group = &mut self.groups[position[first].0];
            match tie {
                Tie::Counted(rule) => group.counted.push(rule),
                Tie::Near { own, other, matrix } => {
                    for (a, b) in own.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
                        for (x, y) in [(position[a].1, position[b].1), (position[b].1, position[a].1)] {
                            if !group.near[x][y].contains(&matrix) {
                                group.near[x][y].push(matrix);
                            }
                        }
                    }
                }
            }
        }
        self.groups.iter().all(|group| group.components.len() <= GROUP_MAX)
    }
}

/// Whether some zone of a set is near enough to a zone under all these matrices.
fn is_near(matrices: &[Vec<ZoneSet>], near: &[usize], zone: usize, of: &ZoneSet) -> bool {
    let mut left = *of;
    near.iter().for_each(|matrix| left.keep(&matrices[*matrix][zone]));
    !left.is_empty()
}

fn per_host(component: &crate::problem::Component) -> u32 {
    if component.per_host_max == 0 { u32::MAX } else { component.per_host_max }
}

enum Tie {
    Near { own: Vec<ComponentIndex>, other: Vec<ComponentIndex>, matrix: usize },
    Counted(Constraint),
}

struct Lowering {
    matrix_of: BTreeMap<(u64, bool), usize>,
    ties: Ties,
    /// Rules over groups, with the first component of each.
    rules: Vec<(Option<ComponentIndex>, Tie)>,
}

impl Lowering {
    fn tie<'c>(&mut self, components: impl IntoIterator<Item = &'c ComponentIndex>) {
        let mut components = components.into_iter();
        if let Some(first) = components.next() {
            components.for_each(|c| self.ties.join(*first, *c));
        }
    }

    fn tie_counted<'c>(
        &mut self,
        components: impl IntoIterator<Item = &'c ComponentIndex>,
        rule: &Constraint,
    ) {
        let components: Vec<ComponentIndex> = components.into_iter().copied().collect();
        self.tie(&components);
        self.rules.push((components.first().copied(), Tie::Counted(rule.clone())));
    }
}

/// The components that are tied together: a forest of disjoint sets.
struct Ties(Vec<usize>);

impl Ties {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
