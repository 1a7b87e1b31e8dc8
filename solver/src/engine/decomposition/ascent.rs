//! The best prices of all zones from one linear program, and the bound that they prove.
//!
//! `duals.rs` finds prices zone by zone for an estimated demand. Here one linear program holds all zones: each group
//! pays at most the cost of any known layout of it, no host holds more than it costs, and the sum that all groups pay
//! is maximised. Layouts and loads that a solution violates are added until there are none (Dantzig and Wolfe, 1960,
//! seen from the dual). Solutions jump, so each step goes half the way from the best prices so far. Prices are scaled
//! before a bound is taken from them, so that the bound does not depend on the linear program being right.

use super::duals::{Duals, alone, scale};
use super::grid::Grid;
use super::layout::{Layout, Prices, cheapest};
use super::model::Model;
use crate::engine::linear::{Row, minimum};
use std::collections::BTreeMap;

/// Rounds of adding layouts and loads. With thirty components the bound no longer rises after some twenty.
const ROUNDS_MAX: u32 = 80;
/// One of this many rounds goes the whole way to the program's solution and adds the layouts and loads missing there.
const WHOLE_STEP_EVERY: u32 = 4;
/// A bound this near to the program's value, relative to it, counts as equal.
const NEAR: f64 = 1e-7;
/// Weight of a price beside the payments of the groups: among equal solutions the one with higher prices is preferred.
const TIE: f64 = 1e-6;

/// A number for each zone and class of needs: instances or a price.
type ByPlace = BTreeMap<(usize, usize), f64>;

/// Prices and the bound that they prove.
pub(super) struct Priced {
    pub(super) prices: Prices,
    pub(super) bound: f64,
}

pub(super) struct Ascent<'a> {
    model: &'a Model<'a>,
    grid: &'a Grid,
    shares: Option<&'a [Vec<u32>]>,
    /// For each zone and class that fits there: the largest price of an instance.
    pairs: ByPlace,
    /// The known layouts of each group.
    layouts: Vec<(usize, ByPlace)>,
}

impl<'a> Ascent<'a> {
    pub(super) fn new(model: &'a Model<'a>, grid: &'a Grid, shares: Option<&'a [Vec<u32>]>) -> Self {
        let mut pairs = ByPlace::new();
        for (component, class) in model.class_of.iter().enumerate() {
            for zone in (0..model.zones.len()).filter(|z| model.allowed[component].holds(*z)) {
                let ceiling = alone(&model.zones[zone], &model.classes[*class]);
                if ceiling.is_finite() {
                    pairs.insert((zone, *class), ceiling);
                }
            }
        }
        Self { model, grid, shares, pairs, layouts: Vec::new() }
    }

    /// Improves the prices until they are optimal or the search is stopped.
    pub(super) fn climb(
        &mut self,
        duals: &mut [Duals],
        mut best: Priced,
        stop: &mut dyn FnMut() -> bool,
    ) -> Priced {
        self.add_layouts(&best.prices, stop);
        for round in 1..=ROUNDS_MAX {
            if stop() {
                break;
            }
            let Some((answer, promise)) = self.answer(duals) else { break };
            if promise - best.bound <= NEAR * promise.abs() {
                break;
            }
            let step = if round.is_multiple_of(WHOLE_STEP_EVERY) { 1.0 } else { 0.5 };
            let mut prices = best.prices.of.clone();
            for (zone, row) in prices.iter_mut().enumerate() {
                for (class, price) in row.iter_mut().enumerate().filter(|(_, price)| price.is_finite()) {
                    let wanted = answer.get(&(zone, class)).copied().unwrap_or(*price);
                    *price += step * (wanted - *price);
                }
            }
            self.scale_prices(&mut prices, duals);
            let prices = Prices::new(prices, self.model.classes.len());
            match self.add_layouts(&prices, stop) {
                Some(bound) if bound > best.bound => best = Priced { prices, bound },
                Some(_) => {}
                None => break,
            }
        }
        best
    }

    /// Adds loads whose value exceeds the cost of their host, and scales the prices so that no load does.
    fn scale_prices(&self, prices: &mut [Vec<f64>], duals: &mut [Duals]) {
        for (zone, row) in prices.iter_mut().enumerate() {
            let share = self.shares.map(|shares| shares[zone].as_slice());
            let mut finite: Vec<f64> = row.iter().map(|p| if p.is_finite() { *p } else { 0.0 }).collect();
            duals[zone].add_rows(&self.model.zones[zone], self.grid, &finite, share);
            scale(&self.model.zones[zone], self.grid, share, &mut finite);
            for (price, fair) in row.iter_mut().zip(finite).filter(|(price, _)| price.is_finite()) {
                *price = fair;
            }
        }
    }

    /// Adds the cheapest layout of each group. Returns the bound; none when stopped or when a group has no layout.
    fn add_layouts(&mut self, prices: &Prices, stop: &mut dyn FnMut() -> bool) -> Option<f64> {
        let mut bound = 0.0;
        for (index, group) in self.model.groups.iter().enumerate() {
            let placed = cheapest(self.model, group, prices);
            bound += placed.bound;
            let usage = self.usage(index, &placed.layout?);
            if !self.layouts.contains(&(index, usage.clone())) {
                self.layouts.push((index, usage));
            }
            if stop() {
                return None;
            }
        }
        Some(bound)
    }

    fn usage(&self, group: usize, layout: &Layout) -> ByPlace {
        let mut usage = ByPlace::new();
        for (component, zones) in self.model.groups[group].components.iter().zip(layout) {
            for zone in zones {
                *usage.entry((*zone, self.model.class_of[*component])).or_default() += 1.0;
            }
        }
        usage
    }

    /// The solution of the program: prices, and the sum that all groups pay under them.
    fn answer(&self, duals: &[Duals]) -> Option<(ByPlace, f64)> {
        let groups = self.model.groups.len();
        let at: BTreeMap<(usize, usize), usize> =
            self.pairs.keys().enumerate().map(|(index, pair)| (*pair, groups + index)).collect();
        let mut rows = Vec::new();
        for (group, usage) in &self.layouts {
            let paid = usage.iter().filter_map(|(pair, n)| at.get(pair).map(|at| (*at, -n)));
            let terms = std::iter::once((*group, 1.0)).chain(paid).collect();
            rows.push(Row { terms, low: f64::NEG_INFINITY, high: 0.0 });
        }
        for (zone, duals) in duals.iter().enumerate() {
            for (load, cost) in duals.rows() {
                let held = load.iter().enumerate().filter(|(_, n)| **n > 0);
                let terms: Vec<(usize, f64)> = held
                    .filter_map(|(class, n)| at.get(&(zone, class)).map(|at| (*at, f64::from(*n))))
                    .collect();
                if !terms.is_empty() {
                    rows.push(Row { terms, low: f64::NEG_INFINITY, high: *cost });
                }
            }
        }
        let most: f64 = self.pairs.values().fold(0.0, |most: f64, c| most.max(*c)) * 1e3;
        let costs = std::iter::repeat_n(-1.0, groups).chain(std::iter::repeat_n(-TIE, self.pairs.len()));
        let ranges = std::iter::repeat_n((0.0, most), groups)
            .chain(self.pairs.values().map(|ceiling| (0.0, *ceiling)));
        let values = minimum(costs, ranges, rows.iter()).ok()?;
        let promise = values.iter().take(groups).sum();
        Some((at.into_iter().map(|(pair, at)| (pair, values[at])).collect(), promise))
    }
}
