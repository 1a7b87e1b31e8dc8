//! The prices of one zone: for each class of needs a price, such that the load of no host is worth more than the host.
//!
//! Such prices bound every purchase, because the instances on a host are worth at most what the host costs. The best
//! prices for a demand solve a linear program with a row for each load of each host (the dual of cutting stock, Gilmore
//! and Gomory, 1961). Rows are added while some load is worth more than its host. At the end the prices are scaled by
//! dynamic programming so that no load is, so that the bound does not depend on the linear program being right.

use super::grid::{Cells, Grid, Table};
use super::knapsack::Bounded;
use super::zones::Zone;
use crate::engine::linear::{self, minimum};

/// Rounds of adding rows; prices usually no longer change after a dozen.
const ROUNDS_MAX: usize = 40;
/// A load that is worth less than this more than its host gets no row.
const WORTH_MORE: f64 = 1e-7;

/// A load of a host: the number of instances of each class, and the cost of the host.
pub(super) type Row = (Vec<u32>, f64);

/// The prices of one zone, and the rows they were found with.
#[derive(Clone, Debug, Default)]
pub(super) struct Duals {
    pub(super) prices: Vec<f64>,
    rows: Vec<Row>,
}

impl Duals {
    /// Finds prices for a demand, starting with the rows of earlier demands.
    ///
    /// A class that no host of the zone holds gets an infinite price, so that no instance is placed there.
    ///
    /// `share` is the largest number of instances of each class on one host, where that is known.
    pub(super) fn settle(
        &mut self,
        zone: &Zone,
        grid: &Grid,
        classes: &[Vec<f64>],
        demand: &[f64],
        share: Option<&[u32]>,
    ) {
        let ceiling: Vec<f64> = classes.iter().map(|needs| alone(zone, needs)).collect();
        let finite: Vec<f64> = ceiling.iter().map(|c| if c.is_finite() { *c } else { 0.0 }).collect();
        let mut prices = finite.clone();
        for _ in 0..ROUNDS_MAX {
            if !self.add_rows(zone, grid, &prices, share) {
                break;
            }
            match best_prices(&self.rows, &finite, demand) {
                Some(better) => prices = better,
                None => break,
            }
        }
        scale(zone, grid, share, &mut prices);
        for (price, ceiling) in prices.iter_mut().zip(&ceiling) {
            if !ceiling.is_finite() {
                *price = f64::INFINITY;
            }
        }
        self.prices = prices;
    }

    /// Adds a row for each host whose best load is worth more than it costs. Returns true when a row was added.
    pub(super) fn add_rows(
        &mut self,
        zone: &Zone,
        grid: &Grid,
        prices: &[f64],
        share: Option<&[u32]>,
    ) -> bool {
        let (sizes, largest) = sizes(zone, grid);
        let table = Loads::new(grid, prices, largest, share);
        let mut grew = false;
        for (offer, size) in zone.offers.iter().zip(&sizes) {
            if table.value(*size) > offer.cost + WORTH_MORE {
                let row = (table.load(grid, *size), offer.cost);
                if !self.rows.contains(&row) {
                    self.rows.push(row);
                    grew = true;
                }
            }
        }
        grew
    }

    /// The known loads, each with the cost of its host.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// The capacities of a zone's offers in cells, and the largest capacity along each axis.
fn sizes(zone: &Zone, grid: &Grid) -> (Vec<Cells>, Cells) {
    let sizes: Vec<Cells> = zone.offers.iter().map(|o| grid.cells_of(&o.capacity)).collect();
    let largest = [0, 1].map(|axis| sizes.iter().map(|s| s[axis]).max().unwrap_or(0));
    (sizes, largest)
}

/// The most valuable loads, with or without a limit of instances per class.
enum Loads {
    Any(Table),
    Bounded(Bounded),
}

impl Loads {
    fn new(grid: &Grid, prices: &[f64], largest: Cells, share: Option<&[u32]>) -> Self {
        match share {
            None => Self::Any(Table::new(grid, prices, largest)),
            Some(share) => Self::Bounded(Bounded::new(grid, prices, share, largest)),
        }
    }

    fn value(&self, size: Cells) -> f64 {
        match self {
            Self::Any(table) => table.value(size),
            Self::Bounded(table) => table.value(size),
        }
    }

    fn load(&self, grid: &Grid, size: Cells) -> Vec<u32> {
        match self {
            Self::Any(table) => table.load(grid, size),
            Self::Bounded(table) => table.load(grid, size),
        }
    }
}

/// The least cost of a host that holds an instance; infinite when no host does.
pub(super) fn alone(zone: &Zone, needs: &[f64]) -> f64 {
    let holding = zone.offers.iter().filter(|offer| super::zones::fits(needs, &offer.capacity));
    holding.map(|offer| offer.cost).fold(f64::INFINITY, f64::min)
}

/// Scales prices down until no load is worth more than its host.
pub(super) fn scale(zone: &Zone, grid: &Grid, share: Option<&[u32]>, prices: &mut [f64]) {
    let (sizes, largest) = sizes(zone, grid);
    prices.iter_mut().for_each(|p| *p = if p.is_finite() { p.max(0.0) } else { 0.0 });
    let table = Loads::new(grid, prices, largest, share);
    let mut factor: f64 = 1.0;
    for (offer, size) in zone.offers.iter().zip(&sizes) {
        let value = table.value(*size);
        if value > offer.cost {
            factor = factor.min(offer.cost / value);
        }
    }
    // Classes without needs cost nothing: they fit anywhere.
    for (price, need) in prices.iter_mut().zip(&grid.needs) {
        *price = if *need == [0; super::grid::AXES] { 0.0 } else { *price * factor };
    }
}

/// Maximises the payment of the demand under the rows.
fn best_prices(rows: &[Row], ceiling: &[f64], demand: &[f64]) -> Option<Vec<f64>> {
    // A class without demand still gets a price: it is the cost of an instance for groups that move there.
    let total: f64 = demand.iter().sum::<f64>().max(1.0);
    let unpaid = demand.iter().map(|d| -(d / total + 1e-4));
    let under = |(load, cost): &Row| {
        let terms = load.iter().enumerate().filter(|(_, n)| **n > 0);
        let terms = terms.map(|(class, n)| (class, f64::from(*n))).collect();
        linear::Row { terms, low: f64::NEG_INFINITY, high: *cost }
    };
    let rows: Vec<linear::Row> = rows.iter().map(under).collect();
    minimum(unpaid, ceiling.iter().map(|max| (0.0, *max)), rows.iter()).ok()
}
