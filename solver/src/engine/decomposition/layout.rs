//! The cheapest layout of one group under prices for every zone and class, by exact depth-first search.
//!
//! Components are placed one after another, the instances of a component by rising price. A branch is cut when its
//! lower bound reaches the best cost, or when a component has no zone left that is near enough.

use super::model::{Group, Model, Spread};
use super::zones::ZoneSet;
use crate::constraint::Constraint;
use crate::rule;
use std::collections::BTreeSet;

/// Branches of one group after which the search returns the best layout so far: some milliseconds.
const NODES_MAX: u64 = 20_000;

/// Branches without a layout after which the order of components is changed.
const FIRST_NODES_MAX: u64 = 500;
/// The largest number of classes in a bound. Components mostly have fewer instances; with more, the bound is weaker.
const SEEN_MAX: usize = 16;

/// The price of an instance of each class in each zone, and the zones of each class from the cheapest.
#[derive(Clone, Debug)]
pub(super) struct Prices {
    /// By zone, then by class.
    pub(super) of: Vec<Vec<f64>>,
    order: Vec<Vec<usize>>,
}

impl Prices {
    pub(super) fn new(of: Vec<Vec<f64>>, classes: usize) -> Self {
        let sorted = |class: usize| {
            let mut zones: Vec<usize> = (0..of.len()).collect();
            zones.sort_by(|a, b| of[*a][class].total_cmp(&of[*b][class]).then(a.cmp(b)));
            zones
        };
        let order = (0..classes).map(sorted).collect();
        Self { of, order }
    }
}

/// The zones of a group: for each of its components, one zone per instance.
pub(super) type Layout = Vec<Vec<usize>>;

/// The result for one group.
pub(super) struct Placed {
    pub(super) layout: Option<Layout>,
    /// Lower bound of the cost of every layout; infinite when there is none.
    pub(super) bound: f64,
}

/// Finds the cheapest layout of a group.
pub(super) fn cheapest(model: &Model, group: &Group, prices: &Prices) -> Placed {
    let mut search = Search::new(model, group, prices, f64::INFINITY, None);
    search.run();
    let bound =
        if search.nodes > NODES_MAX { search.root_bound.min(search.best_cost) } else { search.best_cost };
    Placed { layout: search.best, bound }
}

/// All layouts that cost less than `limit`; none when there are more than `max`.
pub(super) fn all_below(
    model: &Model,
    group: &Group,
    prices: &Prices,
    limit: f64,
    max: usize,
) -> Option<Vec<(f64, Layout)>> {
    let mut search = Search::new(model, group, prices, limit, Some(max));
    search.run();
    let mut found = search.found;
    found.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    (search.nodes <= search.nodes_max && found.len() <= max).then_some(found)
}

/// Whether a component can have an instance in a zone in some layout that costs less than `limit`.
pub(super) fn may_use(
    model: &Model,
    group: &Group,
    prices: &Prices,
    limit: f64,
    (position, zone): (usize, usize),
) -> bool {
    let mut search = Search::new(model, group, prices, limit, Some(0));
    search.nodes_max = NODES_MAX;
    let zones: Vec<ZoneSet> = group.components.iter().map(|c| model.allowed[*c]).collect();
    let at = search.order.iter().position(|p| *p == position).unwrap_or(0);
    search.order.swap(0, at);
    let next = search.nearer(position, zone, &zones);
    search.chosen[position].push(zone);
    let price = prices.of[zone][search.class(position)];
    search.instances(0, 0, price, &next);
    // The answer is true when a layout was found, and also when the search was cut off.
    !search.found.is_empty() || search.nodes > search.nodes_max
}

struct Search<'a> {
    model: &'a Model<'a>,
    group: &'a Group,
    prices: &'a Prices,
    /// The positions of components, in the order in which they are placed.
    order: Vec<usize>,
    chosen: Layout,
    best: Option<Layout>,
    best_cost: f64,
    root_bound: f64,
    /// Collects all layouts below the limit instead of the best one.
    found: Vec<(f64, Layout)>,
    collect_max: Option<usize>,
    /// For each position, the number of times that it had no zone left.
    failures: Vec<u64>,
    nodes: u64,
    nodes_max: u64,
}

impl<'a> Search<'a> {
    fn new(
        model: &'a Model,
        group: &'a Group,
        prices: &'a Prices,
        limit: f64,
        collect_max: Option<usize>,
    ) -> Self {
        let count = group.components.len();
        let mut order: Vec<usize> = (0..count).collect();
        let options = |p: usize| {
            let allowed = &model.allowed[group.components[p]];
            (0..model.zones.len()).filter(|z| allowed.holds(*z)).count()
        };
        order.sort_by_key(|p| (options(*p), *p));
        Self {
            model,
            group,
            prices,
            order,
            chosen: vec![Vec::new(); count],
            best: None,
            best_cost: limit,
            root_bound: 0.0,
            found: Vec::new(),
            collect_max,
            failures: vec![0; count],
            nodes: 0,
            nodes_max: collect_max.map_or(NODES_MAX, |max| NODES_MAX.max(max as u64 * 20)),
        }
    }

    fn run(&mut self) {
        let zones: Vec<ZoneSet> = self.group.components.iter().map(|c| self.model.allowed[*c]).collect();
        self.root_bound = self.least(0, &zones).unwrap_or(f64::INFINITY);
        let nodes_max = self.nodes_max;
        // When no layout is found soon, the components that failed most often are placed first (Boussemart and others,
        // ECAI 2004).
        self.nodes_max = FIRST_NODES_MAX.min(nodes_max);
        loop {
            self.nodes = 0;
            self.component(0, 0.0, &zones);
            if !self.is_over() || self.best.is_some() || !self.found.is_empty() || self.nodes_max >= nodes_max
            {
                break;
            }
            self.nodes_max = (self.nodes_max * 2).min(nodes_max);
            let failures = &self.failures;
            self.order.sort_by_key(|p| (std::cmp::Reverse(failures[*p]), *p));
        }
        if self.nodes > self.nodes_max && self.nodes_max < nodes_max {
            // A layout was found: the complete search follows, with its cost as the limit.
            self.nodes_max = nodes_max;
            (self.nodes, self.found) = (0, Vec::new());
            self.component(0, 0.0, &zones);
        }
    }

    fn class(&self, position: usize) -> usize {
        self.model.class_of[self.group.components[position]]
    }

    /// Lower bound of the cost of the components from `depth` on; none when one of them has no zone.
    fn least(&self, depth: usize, zones: &[ZoneSet]) -> Option<f64> {
        self.order[depth..].iter().map(|p| self.least_of(*p, &zones[*p])).sum()
    }

    /// Lower bound of the cost of one component in these zones, with each of its spread rules taken alone.
    fn least_of(&self, position: usize, zones: &ZoneSet) -> Option<f64> {
        let component = self.group.components[position];
        let wanted = self.model.problem.components[component].replicas_min;
        let spreads = &self.model.spreads[component];
        if spreads.is_empty() {
            return self.least_spread(position, zones, wanted, None);
        }
        spreads.iter().try_fold(0.0f64, |most, s| {
            Some(most.max(self.least_spread(position, zones, wanted, Some(s))?))
        })
    }

    /// Fills the cheapest class as far as enough other classes can still be used, then the next.
    fn least_spread(
        &self,
        position: usize,
        zones: &ZoneSet,
        wanted: u32,
        spread: Option<&Spread>,
    ) -> Option<f64> {
        let (distinct, max) = spread.map_or((0, u32::MAX), Spread::constants);
        let mut left = wanted.max(distinct);
        if left == 0 {
            return Some(0.0);
        }
        let class = self.class(position);
        let (mut sum, mut missing) = (0.0, distinct);
        let mut seen: [usize; SEEN_MAX] = [usize::MAX; SEEN_MAX];
        let mut count = 0;
        for zone in self.prices.order[class].iter().filter(|z| zones.holds(**z)) {
            if let Some(spread) = spread {
                if seen[..count].contains(&spread.class_of[*zone]) {
                    continue;
                }
                if count == SEEN_MAX {
                    return Some(sum);
                }
                seen[count] = spread.class_of[*zone];
                count += 1;
            }
            missing = missing.saturating_sub(1);
            let here = max.min(left - missing.min(left)).max(1);
            sum += f64::from(here) * self.prices.of[*zone][class];
            left -= here.min(left);
            if left == 0 {
                return Some(sum);
            }
        }
        None
    }

    fn is_over(&self) -> bool {
        self.nodes > self.nodes_max || self.collect_max.is_some_and(|max| self.found.len() > max)
    }

    /// Places the components from `depth` on. Returns false when that was impossible from the start.
    fn component(&mut self, depth: usize, cost: f64, zones: &[ZoneSet]) -> bool {
        self.nodes += 1;
        if self.is_over() {
            return true;
        }
        if depth == self.order.len() {
            let count = |component: &usize| {
                let position = self.group.components.iter().position(|c| c == component);
                position.map_or(0, |p| self.chosen[p].len() as u64)
            };
            if self.group.counted.iter().all(|rule| counts_hold(rule, &count)) {
                if self.collect_max.is_some() {
                    self.found.push((cost, self.chosen.clone()));
                } else if cost < self.best_cost {
                    (self.best_cost, self.best) = (cost, Some(self.chosen.clone()));
                }
            }
            return true;
        }
        match self.least(depth, zones) {
            Some(rest) if cost + rest < self.best_cost => {
                let position = self.order[depth];
                let possible = self.instances(depth, 0, cost, zones);
                self.failures[position] += u64::from(!possible);
                true
            }
            Some(_) => true,
            None => {
                let order = &self.order[depth..];
                if let Some(p) = order.iter().find(|p| self.least_of(**p, &zones[**p]).is_none()) {
                    self.failures[*p] += 1;
                }
                false
            }
        }
    }

    /// Places the next instance of the component at `depth`, or continues with the next component. Returns whether any
    /// zone was possible.
    fn instances(&mut self, depth: usize, from: usize, cost: f64, zones: &[ZoneSet]) -> bool {
        if !self.counts_possible(depth, zones) {
            return true;
        }
        let mut possible = false;
        let model = self.model;
        let position = self.order[depth];
        let component = self.group.components[position];
        let c = &model.problem.components[component];
        let placed = self.chosen[position].len();
        if placed >= c.replicas_min as usize {
            let spread = model.spreads[component].iter().all(|s| s.holds(&self.chosen[position]));
            if spread {
                possible |= self.component(depth + 1, cost, zones);
            }
            // More instances only cost more, unless a rule requires them.
            if placed >= c.replicas_max as usize || (spread && self.group.counted.is_empty()) {
                return possible;
            }
        }
        let class = self.class(position);
        let wanted = (c.replicas_min as usize).saturating_sub(placed).max(1);
        let order = &self.prices.order[class];
        let Some(rest) = self.least(depth + 1, zones) else { return possible };
        for (at, zone) in order.iter().enumerate().skip(from) {
            let price = self.prices.of[*zone][class];
            if self.is_over() || cost + super::model::count(wanted) * price + rest >= self.best_cost {
                // A zone that is too expensive is still possible.
                return true;
            }
            if !zones[position].holds(*zone) || self.crowds(component, position, *zone) {
                continue;
            }
            let next = self.nearer(position, *zone, zones);
            self.chosen[position].push(*zone);
            possible |= self.instances(depth, at, cost + price, &next);
            self.chosen[position].pop();
        }
        possible
    }

    /// Whether one more instance in a zone breaks a limit that more instances cannot repair.
    fn crowds(&self, component: usize, position: usize, zone: usize) -> bool {
        use crate::constraint::Limit;
        self.model.spreads[component].iter().any(|spread| {
            let Some(Limit::Constant(max)) = spread.max_in_class else { return false };
            let class = spread.class_of[zone];
            let there = self.chosen[position].iter().filter(|z| spread.class_of[**z] == class).count();
            super::model::count(there + 1) > max
        })
    }

    /// The zones left to each component after one has an instance in a zone.
    fn nearer(&self, position: usize, zone: usize, zones: &[ZoneSet]) -> Vec<ZoneSet> {
        let mut next = zones.to_vec();
        for (other, set) in next.iter_mut().enumerate() {
            for matrix in &self.group.near[position][other] {
                set.keep(&self.model.matrices[*matrix][zone]);
            }
        }
        next
    }

    /// The largest number of instances of a component in these zones under its spread rules.
    fn most_of(&self, position: usize, zones: &ZoneSet) -> i64 {
        let component = self.group.components[position];
        let replicas_max = i64::from(self.model.problem.components[component].replicas_max);
        let most = |spread: &Spread| {
            let (_, max) = spread.constants();
            let held = (0..self.model.zones.len()).filter(|z| zones.holds(*z));
            let classes: BTreeSet<usize> = held.map(|z| spread.class_of[z]).collect();
            // At most as many classes as zones, so that the number always fits.
            i64::from(max).saturating_mul(classes.len() as i64)
        };
        let bounded = self.model.spreads[component].iter().filter(|s| s.constants().1 < u32::MAX);
        bounded.map(most).fold(replicas_max, i64::min)
    }

    /// Whether the rules about counts can still be kept when the components before `depth` are placed and these zones
    /// are left to the others.
    fn counts_possible(&self, depth: usize, zones: &[ZoneSet]) -> bool {
        if self.group.counted.is_empty() {
            return true;
        }
        let range = |component: &usize| {
            let Some(position) = self.group.components.iter().position(|c| c == component) else {
                return (0, 0);
            };
            let c = &self.model.problem.components[*component];
            let placed = self.chosen[position].len() as i64;
            match self.order.iter().position(|p| *p == position) {
                Some(at) if at < depth => (placed, placed),
                Some(at) if at == depth => (placed.max(i64::from(c.replicas_min)), i64::from(c.replicas_max)),
                _ => (i64::from(c.replicas_min), self.most_of(position, &zones[position])),
            }
        };
        self.group.counted.iter().all(|rule| may_hold(rule, &range))
    }
}

/// Whether a rule about counts can hold when each number of instances is in a range; true when unknown.
fn may_hold(rule: &Constraint, range: &dyn Fn(&usize) -> (i64, i64)) -> bool {
    let runs = |c: &usize| range(c).0 > 0;
    let may_run = |c: &usize| range(c).1 > 0;
    let sum = |components: &[usize]| {
        components.iter().map(range).fold((0, 0), |sum, (low, high)| (sum.0 + low, sum.1 + high))
    };
    match rule {
        Constraint::Require(rule::Require { user, provider, per_user, per_provider, .. }) => {
            range(user).0 * i64::from(*per_user) <= range(provider).1 * i64::from(*per_provider)
        }
        Constraint::Linear(rule::Linear { terms, max }) => {
            let least = |(c, weight): &(usize, i64)| {
                let (low, high) = range(c);
                (weight * low).min(weight * high)
            };
            terms.iter().map(least).sum::<i64>() <= *max
        }
        Constraint::Count(rule::Count { components, min, max }) => {
            let (low, high) = sum(components);
            low <= i64::from(*max) && high >= i64::from(*min)
        }
        Constraint::Alternatives(rule::Alternatives { components, min, max }) => {
            let low = components.iter().filter(|c| runs(c)).count();
            let high = components.iter().filter(|c| may_run(c)).count();
            low <= *max as usize && high >= *min as usize
        }
        Constraint::DependsOn(rule::DependsOn { component, any_of }) => {
            !runs(component) || any_of.iter().any(may_run)
        }
        Constraint::Conflict(rule::Conflict { first, second }) => !(runs(first) && runs(second)),
        _ => true,
    }
}

/// Whether numbers of instances keep to a rule about counts; other rules are not judged.
fn counts_hold(rule: &Constraint, count: &dyn Fn(&usize) -> u64) -> bool {
    let runs = |c: &usize| count(c) > 0;
    match rule {
        Constraint::Require(rule::Require { user, provider, per_user, per_provider, exactly }) => {
            let (wanted, providers) = (count(user) * u64::from(*per_user), count(provider));
            let share = u64::from(*per_provider);
            let spare = providers > 0 && wanted <= (providers - 1) * share;
            wanted <= providers * share && !(*exactly && spare)
        }
        Constraint::Linear(rule::Linear { terms, max }) => {
            let term = |(c, weight): &(usize, i64)| weight * i64::try_from(count(c)).unwrap_or(i64::MAX);
            terms.iter().map(term).sum::<i64>() <= *max
        }
        Constraint::Count(rule::Count { components, min, max }) => {
            (u64::from(*min)..=u64::from(*max)).contains(&components.iter().map(count).sum())
        }
        Constraint::Alternatives(rule::Alternatives { components, min, max }) => {
            let running = components.iter().filter(|c| runs(c)).count() as u64;
            (u64::from(*min)..=u64::from(*max)).contains(&running)
        }
        Constraint::DependsOn(rule::DependsOn { component, any_of }) => {
            !runs(component) || any_of.iter().any(runs)
        }
        Constraint::Conflict(rule::Conflict { first, second }) => !(runs(first) && runs(second)),
        _ => true,
    }
}
