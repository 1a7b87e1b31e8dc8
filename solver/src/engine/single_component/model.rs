//! The model of a problem with one component: candidates, additive worth, diameter, anchors, quotas, price.
//!
//! Everything here is a bound or a necessary condition; the checker and the evaluator judge complete sets. Read next:
//! `descent.rs`.

use crate::assignment::Place;
use crate::constraint::{Comparison, Constraint, Limit, Scope};
use crate::eligible::eligible;
use crate::objective::{Cost, Measure, Of, Utility};
use crate::problem::{Named, Problem, Stock};
use crate::rule;

/// Whether the model has an optimistic value of a cost.
pub(crate) fn is_boundable(cost: &Named<Cost>) -> bool {
    let may_be_negative = matches!(cost.item.measure, Measure::Sum(_) | Measure::Average(_));
    is_additive(&cost.item) || cost.item.per_unit == 0.0 || (cost.item.per_unit > 0.0 && !may_be_negative)
}

/// Whether a cost is a sum over hosts when each host has one instance.
fn is_additive(cost: &Cost) -> bool {
    match cost.measure {
        Measure::TotalPrice => true,
        Measure::Size | Measure::Hosts | Measure::Price | Measure::Count(_) | Measure::Sum(_) => {
            is_whole(&cost.scope)
        }
        _ => false,
    }
}

/// A candidate host. An offer gives several, which are used in order.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) place: Place,
    /// Whether an instance runs there now.
    pub(super) current: bool,
    /// Whether a rule keeps the instance there.
    pub(super) mandatory: bool,
    pub(super) price: f64,
}

/// A limit of hosts in each class, by the number of instances.
pub(super) struct Quota {
    pub(super) class_of: Vec<u32>,
    pub(super) classes: usize,
    limit: Limit,
}

/// A group utility whose worth only falls as hosts are added, or is known.
pub(super) struct GroupTerm {
    pub(super) utility: Utility,
    /// Weight divided by the sum of weights.
    pub(super) share: f64,
}

/// A problem with one component, lowered for the search.
pub(super) struct Model<'a> {
    pub(super) problem: &'a Problem,
    pub(super) candidates: Vec<Candidate>,
    /// Round-trip times between candidates, row by row; empty when no diameter matters.
    distance: Vec<f64>,
    /// For each anchor, the round-trip time to each candidate.
    pub(super) anchors: Vec<Vec<f64>>,
    pub(super) diameter: Vec<GroupTerm>,
    pub(super) anchor: Vec<GroupTerm>,
    pub(super) price: Vec<GroupTerm>,
    pub(super) quotas: Vec<Quota>,
    diameter_limits: Vec<(Comparison, Limit)>,
    anchor_limits: Vec<(Comparison, Limit)>,
    price_limits: Vec<Limit>,
    /// Price of the hosts that are kept in any case.
    kept_price: f64,
    /// The number of running instances, and how many of them may move or end.
    running: usize,
    moves_max: usize,
}

impl<'a> Model<'a> {
    pub(super) fn new(problem: &'a Problem) -> Self {
        let mut model = Self {
            problem,
            candidates: candidates(problem),
            distance: Vec::new(),
            anchors: Vec::new(),
            diameter: Vec::new(),
            anchor: Vec::new(),
            price: Vec::new(),
            quotas: Vec::new(),
            diameter_limits: Vec::new(),
            anchor_limits: Vec::new(),
            price_limits: Vec::new(),
            kept_price: problem.machines.iter().filter(|m| m.stock == Stock::Kept).map(|m| m.price).sum(),
            running: problem.components[0].current.iter().flatten().count(),
            moves_max: usize::MAX,
        };
        model.add_terms();
        for named in &problem.constraints {
            model.add_rule(&named.item);
        }
        if model.spans_pairs() {
            model.distance = model.distances();
        }
        if !(model.anchor.is_empty() && model.anchor_limits.is_empty()) {
            let to = |anchor: &Vec<f64>| {
                let site = |c: &Candidate| problem.machines[c.place.machine].site;
                model.candidates.iter().map(|c| site(c).map_or(f64::INFINITY, |s| anchor[s])).collect()
            };
            model.anchors = problem.anchors.iter().map(to).collect();
        }
        model
    }

    fn distances(&self) -> Vec<f64> {
        let between =
            |a: &Candidate, b: &Candidate| crate::evaluate::latency_ms(self.problem, a.place, b.place);
        self.candidates.iter().flat_map(|a| self.candidates.iter().map(move |b| between(a, b))).collect()
    }

    fn add_terms(&mut self) {
        let total: f64 = self.problem.utilities.iter().map(|u| u.item.weight).sum();
        for named in &self.problem.utilities {
            let utility = named.item.clone();
            let lower_is_better = utility.best < utility.worst;
            let share = if total > 0.0 { utility.weight / total } else { 0.0 };
            let Of::Group { scope, measure } = &utility.of else { continue };
            if !is_whole(scope) {
                continue;
            }
            let list = match measure {
                Measure::DiameterMs => &mut self.diameter,
                Measure::AnchorLatencyMs if lower_is_better => &mut self.anchor,
                Measure::Price | Measure::TotalPrice if lower_is_better => &mut self.price,
                _ => continue,
            };
            list.push(GroupTerm { utility, share });
        }
    }

    fn add_rule(&mut self, rule: &Constraint) {
        match rule {
            Constraint::Spread(rule::Spread { scope, partition, max_in_class: Some(limit), .. })
                if is_whole(scope) =>
            {
                let partition = &self.problem.partitions[*partition];
                // Machines without a class are not candidates.
                let class = |c: &Candidate| partition.class_of[c.place.machine].unwrap_or(0);
                let class_of = self.candidates.iter().map(|c| u32::try_from(class(c)).unwrap_or(0)).collect();
                self.quotas.push(Quota { class_of, classes: partition.classes.len(), limit: limit.clone() });
            }
            Constraint::Apart(rule::Apart { scope, partition: Some(partition) }) if is_whole(scope) => {
                let limit = Limit::Constant(1.0);
                let rule = Constraint::Spread(rule::Spread {
                    scope: scope.clone(),
                    partition: *partition,
                    max_in_class: Some(limit),
                    min_distinct: None,
                });
                self.add_rule(&rule);
            }
            // A rule that requires an instance on a mask with one machine: that machine has to be chosen.
            Constraint::Bound(rule::Bound {
                scope,
                measure: Measure::Count(mask),
                comparison,
                limit: Limit::Constant(limit),
            }) if is_whole(scope) && *limit >= 1.0 && *comparison == Comparison::GreaterOrEqual => {
                if let [machine] =
                    mask.iter().enumerate().filter(|(_, m)| **m).map(|(i, _)| i).collect::<Vec<_>>()[..]
                {
                    let first = |c: &&mut Candidate| c.place == Place::on(machine);
                    self.candidates.iter_mut().filter(first).for_each(|c| c.mandatory = true);
                }
            }
            Constraint::Bound(rule::Bound { scope, measure, comparison, limit }) if is_whole(scope) => {
                let is_upper = matches!(comparison, Comparison::Less | Comparison::LessOrEqual);
                match measure {
                    Measure::DiameterMs => self.diameter_limits.push((*comparison, limit.clone())),
                    Measure::AnchorLatencyMs if is_upper => {
                        self.anchor_limits.push((*comparison, limit.clone()))
                    }
                    Measure::TotalPrice if is_upper => self.price_limits.push(limit.clone()),
                    _ => {}
                }
            }
            Constraint::Budget(rule::Budget { max_per_hour }) => {
                self.price_limits.push(Limit::Constant(*max_per_hour))
            }
            Constraint::Moves(rule::Moves { scope, max }) if is_whole(scope) => {
                self.moves_max = self.moves_max.min(*max as usize);
            }
            _ => {}
        }
    }

    /// Whether the diameter matters, so that the pair that spans it is fixed first.
    pub(super) fn spans_pairs(&self) -> bool {
        !(self.diameter.is_empty() && self.diameter_limits.is_empty())
    }

    /// The possible numbers of instances.
    pub(super) fn sizes(&self) -> impl Iterator<Item = usize> {
        let component = &self.problem.components[0];
        component.replicas_min as usize..=(component.replicas_max as usize).min(self.candidates.len())
    }

    pub(super) fn distance(&self, a: u32, b: u32) -> f64 {
        self.distance[a as usize * self.candidates.len() + b as usize]
    }

    /// Whether a pair uses the first copies of its offers; other copies are interchangeable with them.
    pub(super) fn is_first_pair(&self, a: u32, b: u32) -> bool {
        let (a, b) = (self.candidates[a as usize].place, self.candidates[b as usize].place);
        if a.machine == b.machine {
            a.copy.min(b.copy) == 0 && a.copy.max(b.copy) == 1
        } else {
            a.copy == 0 && b.copy == 0
        }
    }

    /// Whether a diameter is allowed for a number of instances.
    pub(super) fn diameter_fits(&self, n: usize, diameter: f64) -> bool {
        self.diameter_limits.iter().all(|(comparison, limit)| comparison.holds(diameter, limit.at(n)))
    }

    /// Whether the best possible anchor latency is allowed for a number of instances.
    pub(super) fn anchor_fits(&self, n: usize, latency: f64) -> bool {
        self.anchor_limits.iter().all(|(comparison, limit)| comparison.holds(latency, limit.at(n)))
    }

    /// The largest allowed price of the chosen hosts together.
    pub(super) fn price_max(&self, n: usize) -> f64 {
        let limit = self.price_limits.iter().map(|l| l.at(n)).fold(f64::INFINITY, f64::min);
        // The checker tolerates rounding; a necessary condition must tolerate more.
        limit * (1.0 + 1e-8) - self.kept_price
    }

    /// The number of running hosts that must stay.
    pub(super) fn kept_min(&self) -> usize {
        self.running.saturating_sub(self.moves_max)
    }

    pub(super) fn diameter_worth(&self, diameter: f64) -> f64 {
        self.diameter.iter().map(|t| t.share * t.utility.worth(diameter)).sum()
    }

    pub(super) fn anchor_worth(&self, latency: f64) -> f64 {
        self.anchor.iter().map(|t| t.share * t.utility.worth(latency)).sum()
    }

    pub(super) fn price_worth(&self, price: f64) -> f64 {
        self.price.iter().map(|t| t.share * t.utility.worth(price)).sum()
    }
}

fn is_whole(scope: &Scope) -> bool {
    matches!(scope, Scope::All | Scope::Component(0))
        || matches!(scope, Scope::Components(c) if c.contains(&0))
}

fn candidates(problem: &Problem) -> Vec<Candidate> {
    let component = &problem.components[0];
    let stays = |ordinal: usize| {
        let pinned = |scope: &Scope| {
            is_whole(scope) || matches!(scope, Scope::Instances(i) if i.contains(&(0, ordinal)))
        };
        problem
            .constraints
            .iter()
            .any(|n| matches!(&n.item, Constraint::Root(rule::Root { scope }) if pinned(scope)))
    };
    let mut found = Vec::new();
    for machine in eligible(problem, 0) {
        let m = &problem.machines[machine];
        let runs = component.current.iter().position(|c| *c == Some(machine));
        for copy in 0..m.copies_max().min(component.replicas_max) {
            found.push(Candidate {
                place: Place { machine, copy },
                current: runs.is_some(),
                mandatory: runs.is_some_and(stays),
                // A kept host is paid for anyway, so that zero is a valid lower bound of its price.
                price: if m.stock == Stock::Kept { 0.0 } else { m.price },
            });
        }
    }
    found
}

/// The parts of the model that depend on the number of instances.
pub(super) struct Sized {
    pub(super) n: usize,
    /// Additive worth of each candidate.
    pub(super) value: Vec<f64>,
    /// The worth that every set of this size has in common.
    pub(super) base: f64,
    /// Candidates by falling worth; copies of an offer in order.
    pub(super) order: Vec<u32>,
    /// For each quota, the most hosts in a class.
    pub(super) quota_max: Vec<u32>,
    /// Upper bound of the worth of any set of this size.
    pub(super) bound: f64,
    /// The best sums of additive worth of 0, 1, … candidates.
    best_sums: Vec<f64>,
    /// The anchor latency if all candidates were chosen.
    anchor_best: f64,
}

impl Sized {
    pub(super) fn new(model: &Model, n: usize) -> Self {
        let problem = model.problem;
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let size = n as f64;
        let total: f64 = problem.utilities.iter().map(|u| u.item.weight).sum();
        let migration = &problem.migration;
        let idle = problem.machines.iter().filter(|m| m.stock == Stock::Running).count();
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let mut base = -migration.remove * idle as f64;
        let mut value = vec![0.0; model.candidates.len()];
        for (v, c) in value.iter_mut().zip(&model.candidates) {
            let machine = c.place.machine;
            match problem.machines[machine].stock {
                Stock::Offer { .. } => *v -= migration.add,
                Stock::Running => *v += migration.remove,
                Stock::Kept => {}
            }
            for utility in problem.utilities.iter().map(|u| &u.item) {
                if let Of::Each { quantity, .. } = utility.of
                    && let Some(x) = problem.quantities[quantity].values[machine]
                    && total > 0.0
                {
                    *v += utility.weight / total * utility.worth(x) / size;
                }
            }
            *v -= problem.costs.iter().map(|cost| additive_cost(problem, &cost.item, machine)).sum::<f64>();
        }
        base += problem
            .utilities
            .iter()
            .map(|u| constant_worth(&u.item, size) * u.item.weight / total.max(1e-300))
            .sum::<f64>();
        base -= problem.costs.iter().map(|c| constant_cost(&c.item, model.kept_price)).sum::<f64>();
        let mut order: Vec<u32> = (0..u32::try_from(value.len()).unwrap_or(u32::MAX)).collect();
        order.sort_by(|a, b| value[*b as usize].total_cmp(&value[*a as usize]).then(a.cmp(b)));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "floored, clamped to 0..=n"
        )]
        let quota_max = model.quotas.iter().map(|q| q.limit.at(n).floor().clamp(0.0, size) as u32).collect();
        let anchor_best = model
            .anchors
            .iter()
            .map(|to| to.iter().copied().fold(f64::INFINITY, f64::min))
            .fold(0.0, f64::max);
        let mut sized =
            Self { n, value, base, order, quota_max, bound: 0.0, best_sums: vec![0.0], anchor_best };
        for k in 0..n {
            let next = sized.order.get(k).map_or(f64::NEG_INFINITY, |c| sized.value[*c as usize]);
            sized.best_sums.push(sized.best_sums[k] + next);
        }
        let free = sized.base + model.anchor_worth(anchor_best) + model.price_worth(0.0);
        sized.bound = free + sized.best_sums[n] + model.diameter.iter().map(|t| t.share).sum::<f64>();
        sized
    }

    /// Upper bound for sets in which this pair spans the diameter; none when that diameter is not allowed.
    pub(super) fn pair_bound(&self, model: &Model, a: u32, b: u32) -> Option<f64> {
        let diameter = model.distance(a, b);
        if !model.diameter_fits(self.n, diameter) {
            return None;
        }
        let pair = self.value[a as usize] + self.value[b as usize];
        let free = self.base + model.anchor_worth(self.anchor_best) + model.price_worth(0.0);
        Some(free + pair + self.best_sums[self.n - 2] + model.diameter_worth(diameter))
    }
}

/// The part of a cost that one chosen machine adds.
fn additive_cost(problem: &Problem, cost: &Cost, machine: usize) -> f64 {
    if !is_additive(cost) {
        return 0.0;
    }
    let m = &problem.machines[machine];
    cost.per_unit
        * match &cost.measure {
            Measure::Size | Measure::Hosts => 1.0,
            Measure::Price => m.price,
            Measure::TotalPrice if m.stock != Stock::Kept => m.price,
            Measure::Count(mask) if mask[machine] => 1.0,
            Measure::Sum(quantity) => problem.quantities[*quantity].values[machine].unwrap_or(0.0),
            _ => 0.0,
        }
}

fn constant_cost(cost: &Cost, kept_price: f64) -> f64 {
    if matches!(cost.measure, Measure::TotalPrice) { cost.per_unit * kept_price } else { 0.0 }
}

/// Upper bound of the worth of a utility for any set; terms of the model are added elsewhere.
fn constant_worth(utility: &Utility, size: f64) -> f64 {
    match &utility.of {
        Of::Each { .. } => 0.0,
        Of::Group { scope, .. } if !is_whole(scope) => 1.0,
        Of::Group { measure: Measure::DiameterMs, .. } => 0.0,
        Of::Group { measure: Measure::AnchorLatencyMs | Measure::Price | Measure::TotalPrice, .. }
            if utility.best < utility.worst =>
        {
            0.0
        }
        Of::Group { measure: Measure::Size | Measure::Hosts, .. } => utility.worth(size),
        Of::Group { .. } => 1.0,
    }
}
