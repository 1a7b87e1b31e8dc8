//! Depth-first search under one root, and the construction of first sets.
//!
//! Candidates are tried by falling additive worth. A branch is cut when the best sums under quotas, kept hosts and
//! compatibility, with the best anchors still available, cannot exceed the incumbent.

use super::incumbent::{Incumbent, ROUNDING};
use super::model::{Model, Sized};
use crate::assignment::Place;

/// Search nodes between two calls of `stop`: a few tens of microseconds.
const NODES_PER_POLL: u64 = 256;
/// Improvement passes for a first set; each costs sizes × candidates evaluations.
const FIRST_PASSES_MAX: usize = 20;

pub(super) struct Descent<'m, 'p, 's> {
    model: &'m Model<'p>,
    pub(super) incumbent: Incumbent,
    stop: &'s mut dyn FnMut() -> bool,
    pub(super) stopped: bool,
    pub(super) visited: u64,
    chosen: Vec<u32>,
    /// For each quota, the number of chosen hosts of each class.
    taken: Vec<Vec<u32>>,
    /// Scratch space of the bound: per class of the current quota.
    counted: Vec<u32>,
}

/// The state of a node: the chosen hosts and the sums over them.
#[derive(Clone)]
struct Path {
    /// Additive worth of the chosen hosts.
    sum: f64,
    price: f64,
    /// Number of chosen hosts on which an instance runs now.
    kept: usize,
    /// For each anchor, the round-trip time to the nearest chosen host.
    nearest: Vec<f64>,
}

impl<'m, 'p, 's> Descent<'m, 'p, 's> {
    pub(super) fn new(model: &'m Model<'p>, incumbent: Incumbent, stop: &'s mut dyn FnMut() -> bool) -> Self {
        let taken = model.quotas.iter().map(|q| vec![0; q.classes]).collect();
        let classes = model.quotas.iter().map(|q| q.classes).max().unwrap_or(0);
        Self {
            model,
            incumbent,
            stop,
            stopped: false,
            visited: 0,
            chosen: Vec::new(),
            taken,
            counted: vec![0; classes],
        }
    }

    /// Searches all sets of this size in which `pair` spans the diameter, or all when none is given.
    pub(super) fn run(&mut self, sized: &Sized, pair: Option<(u32, u32)>) {
        let diameter = pair.map_or(f64::INFINITY, |(a, b)| self.model.distance(a, b));
        self.chosen.clear();
        self.taken.iter_mut().for_each(|t| t.fill(0));
        let mut path = Path {
            sum: sized.base,
            price: 0.0,
            kept: 0,
            nearest: vec![f64::INFINITY; self.model.anchors.len()],
        };
        path.sum += pair.map_or_else(|| self.unspanned_worth(sized), |_| self.model.diameter_worth(diameter));
        let mandatory = (0u32..).zip(&self.model.candidates).filter(|(_, c)| c.mandatory).map(|(i, _)| i);
        let mut first: Vec<u32> = pair.into_iter().flat_map(|(a, b)| [a, b]).chain(mandatory).collect();
        first.sort_unstable();
        first.dedup();
        if first.len() > sized.n {
            return;
        }
        for candidate in &first {
            if !self.may_join(sized, *candidate, diameter) {
                return;
            }
            path = self.join(sized, *candidate, &path);
        }
        let left = self.compatible(sized, &sized.order, diameter);
        self.descend(sized, diameter, &path, &left);
    }

    /// The diameter when there are fewer than two hosts or no rule depends on it.
    fn unspanned_worth(&self, sized: &Sized) -> f64 {
        if sized.n < 2 {
            self.model.diameter_worth(0.0)
        } else {
            self.model.diameter.iter().map(|t| t.share).sum()
        }
    }

    /// Whether a candidate is compatible with the chosen hosts.
    fn may_join(&self, sized: &Sized, candidate: u32, diameter: f64) -> bool {
        let quota_left = (self.model.quotas.iter().zip(&self.taken).zip(&sized.quota_max))
            .all(|((q, taken), max)| taken[q.class_of[candidate as usize] as usize] < *max);
        quota_left
            && !self.chosen.contains(&candidate)
            && (!diameter.is_finite()
                || self.chosen.iter().all(|c| self.model.distance(*c, candidate) <= diameter))
    }

    fn compatible(&self, sized: &Sized, from: &[u32], diameter: f64) -> Vec<u32> {
        from.iter().copied().filter(|c| self.may_join(sized, *c, diameter)).collect()
    }

    fn join(&mut self, sized: &Sized, candidate: u32, path: &Path) -> Path {
        let at = candidate as usize;
        self.chosen.push(candidate);
        for (quota, taken) in self.model.quotas.iter().zip(&mut self.taken) {
            taken[quota.class_of[at] as usize] += 1;
        }
        let known = &self.model.candidates[at];
        Path {
            sum: path.sum + sized.value[at],
            price: path.price + known.price,
            kept: path.kept + usize::from(known.current),
            nearest: path.nearest.iter().zip(&self.model.anchors).map(|(n, to)| n.min(to[at])).collect(),
        }
    }

    fn leave(&mut self) {
        if let Some(candidate) = self.chosen.pop() {
            for (quota, taken) in self.model.quotas.iter().zip(&mut self.taken) {
                taken[quota.class_of[candidate as usize] as usize] -= 1;
            }
        }
    }

    fn descend(&mut self, sized: &Sized, diameter: f64, path: &Path, left: &[u32]) {
        self.visited += 1;
        if self.visited.is_multiple_of(NODES_PER_POLL) {
            self.stopped |= (self.stop)();
        }
        let need = sized.n - self.chosen.len();
        if need == 0 {
            let places = self.chosen.iter().map(|c| self.model.candidates[*c as usize].place).collect();
            self.incumbent.offer(self.model.problem, places);
            return;
        }
        for at in 0..left.len() {
            if self.stopped || left.len() - at < need {
                return;
            }
            let rest = &left[at..];
            if self.bound(sized, path, rest, need) <= self.incumbent.to_beat() {
                return;
            }
            let candidate = rest[0];
            if self.skips_a_copy(candidate) || !self.may_join(sized, candidate, diameter) {
                continue;
            }
            let path = self.join(sized, candidate, path);
            let next: Vec<u32> = if diameter.is_finite() {
                let near = |c: &u32| self.model.distance(candidate, *c) <= diameter;
                rest[1..].iter().copied().filter(near).collect()
            } else {
                rest[1..].to_vec()
            };
            self.descend(sized, diameter, &path, &next);
            self.leave();
        }
    }

    /// Copies of an offer are interchangeable, so they are used in order.
    fn skips_a_copy(&self, candidate: u32) -> bool {
        let place = self.model.candidates[candidate as usize].place;
        place.copy > 0
            && !self.chosen.iter().any(|c| {
                self.model.candidates[*c as usize].place
                    == Place { machine: place.machine, copy: place.copy - 1 }
            })
    }

    /// Upper bound of the worth of a set that adds `need` of `rest` to the chosen hosts; negative infinity when none is
    /// allowed.
    fn bound(&mut self, sized: &Sized, path: &Path, rest: &[u32], need: usize) -> f64 {
        let model = self.model;
        let best = |to: &Vec<f64>, nearest: f64| rest.iter().map(|c| to[*c as usize]).fold(nearest, f64::min);
        let anchor = model.anchors.iter().zip(&path.nearest).map(|(to, n)| best(to, *n)).fold(0.0, f64::max);
        if !model.anchor_fits(sized.n, anchor) {
            return f64::NEG_INFINITY;
        }
        let mut price = path.price;
        let price_max = model.price_max(sized.n);
        if price_max.is_finite() || !model.price.is_empty() {
            let mut prices: Vec<f64> = rest.iter().map(|c| model.candidates[*c as usize].price).collect();
            prices.sort_by(f64::total_cmp);
            price += prices.iter().take(need).sum::<f64>();
            if price > price_max {
                return f64::NEG_INFINITY;
            }
        }
        let sum = self.best_sum(sized, path, rest, need);
        path.sum + sum + model.anchor_worth(anchor) + model.price_worth(price)
    }

    /// Upper bound of the additive worth of `need` of `rest`, under each quota alone and under the rule about moves
    /// alone.
    fn best_sum(&mut self, sized: &Sized, path: &Path, rest: &[u32], need: usize) -> f64 {
        let model = self.model;
        let value = |c: &u32| sized.value[*c as usize];
        let kept_wanted = model.kept_min().saturating_sub(path.kept);
        let mut best = if kept_wanted == 0 {
            rest.iter().take(need).map(value).sum()
        } else {
            if kept_wanted > need {
                return f64::NEG_INFINITY;
            }
            let is_current = |c: &&u32| model.candidates[**c as usize].current;
            let kept: Vec<u32> = rest.iter().filter(is_current).copied().take(kept_wanted).collect();
            if kept.len() < kept_wanted {
                return f64::NEG_INFINITY;
            }
            let others = rest.iter().filter(|c| !kept.contains(c)).take(need - kept_wanted);
            kept.iter().map(value).sum::<f64>() + others.map(value).sum::<f64>()
        };
        for ((quota, taken), max) in model.quotas.iter().zip(&self.taken).zip(&sized.quota_max) {
            self.counted[..quota.classes].copy_from_slice(taken);
            let (mut sum, mut count) = (0.0, 0);
            for c in rest {
                let class = quota.class_of[*c as usize] as usize;
                if self.counted[class] < *max {
                    self.counted[class] += 1;
                    sum += value(c);
                    count += 1;
                    if count == need {
                        break;
                    }
                }
            }
            if count < need {
                return f64::NEG_INFINITY;
            }
            best = best.min(sum);
        }
        best
    }
}

/// Builds one good set of this size greedily, improves it by exchanging hosts, and offers it.
pub(super) fn first_sets(model: &Model, sized: &Sized, incumbent: &mut Incumbent) {
    if sized.n == 0 {
        incumbent.offer(model.problem, Vec::new());
        return;
    }
    let Some(mut set) = greedy(model, sized) else { return };
    let mut worth = quick_worth(model, sized, &set);
    for _ in 0..FIRST_PASSES_MAX {
        let mut better = None;
        for at in 0..set.len() {
            let old = set[at];
            for candidate in &sized.order {
                if set.contains(candidate) {
                    continue;
                }
                set[at] = *candidate;
                let next = quick_worth(model, sized, &set);
                if next > worth + ROUNDING {
                    (worth, better) = (next, Some((at, *candidate)));
                }
            }
            set[at] = old;
        }
        match better {
            Some((at, candidate)) => set[at] = candidate,
            None => break,
        }
    }
    let mut copies = std::collections::BTreeMap::new();
    let mut place = |c: &u32| {
        let machine = model.candidates[*c as usize].place.machine;
        let copy = copies.entry(machine).or_insert(0u32);
        *copy += 1;
        Place { machine, copy: *copy - 1 }
    };
    incumbent.offer(model.problem, set.iter().map(&mut place).collect());
}

fn greedy(model: &Model, sized: &Sized) -> Option<Vec<u32>> {
    let mut never = || false;
    let mut descent = Descent::new(model, Incumbent::default(), &mut never);
    let mut path = Path { sum: 0.0, price: 0.0, kept: 0, nearest: vec![f64::INFINITY; model.anchors.len()] };
    let is_first = |c: &&u32| {
        let candidate = &model.candidates[**c as usize];
        candidate.mandatory || (model.kept_min() > 0 && candidate.current)
    };
    let first = sized.order.iter().filter(is_first);
    for candidate in first.chain(&sized.order) {
        if descent.chosen.len() < sized.n && descent.may_join(sized, *candidate, f64::INFINITY) {
            path = descent.join(sized, *candidate, &path);
        }
    }
    (descent.chosen.len() == sized.n).then_some(descent.chosen)
}

/// The worth of a set by the terms of the model; negative infinity when a rule of the model is broken.
fn quick_worth(model: &Model, sized: &Sized, set: &[u32]) -> f64 {
    for (quota, max) in model.quotas.iter().zip(&sized.quota_max) {
        let class = |c: &u32| quota.class_of[*c as usize];
        if set.iter().any(|a| set.iter().filter(|b| class(a) == class(b)).count() > *max as usize) {
            return f64::NEG_INFINITY;
        }
    }
    let mut diameter: f64 = 0.0;
    if model.spans_pairs() {
        for (at, a) in set.iter().enumerate() {
            diameter = set[at + 1..].iter().map(|b| model.distance(*a, *b)).fold(diameter, f64::max);
        }
    }
    let to = |anchor: &Vec<f64>| set.iter().map(|c| anchor[*c as usize]).fold(f64::INFINITY, f64::min);
    let anchor = model.anchors.iter().map(to).fold(0.0, f64::max);
    let known = |c: &u32| &model.candidates[*c as usize];
    let price: f64 = set.iter().map(|c| known(c).price).sum();
    let kept = set.iter().filter(|c| known(c).current).count();
    let fits = model.diameter_fits(sized.n, diameter)
        && model.anchor_fits(sized.n, anchor)
        && price <= model.price_max(sized.n)
        && kept >= model.kept_min();
    if !fits {
        return f64::NEG_INFINITY;
    }
    let sum: f64 = set.iter().map(|c| sized.value[*c as usize]).sum();
    sized.base + sum + model.diameter_worth(diameter) + model.anchor_worth(anchor) + model.price_worth(price)
}
