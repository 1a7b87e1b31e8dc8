//! The most valuable load of a host when few instances of each class are left: a bounded knapsack.

use super::grid::{Cells, Grid};

/// The most valuable load of a host from a limited number of instances of each class.
pub(super) struct Bounded {
    size: Cells,
    value: Vec<f64>,
    /// Bundles of instances: a class and how many.
    bundles: Vec<(usize, u32)>,
    /// For each bundle and point, whether it is taken.
    taken: Vec<bool>,
}

impl Bounded {
    pub(super) fn new(grid: &Grid, values: &[f64], count: &[u32], size: Cells) -> Self {
        let width = size[1] + 1;
        let cells = (size[0] + 1) * width;
        let mut bundles = Vec::new();
        for (class, n) in count.iter().enumerate() {
            if grid.needs[class] == [0; super::grid::AXES] || values[class] <= 0.0 {
                continue;
            }
            // Bundles of 1, 2, 4, … and a rest make up every number there can be.
            let (mut rest, mut bundle) = (*n, 1);
            while rest > 0 {
                bundles.push((class, bundle.min(rest)));
                rest -= bundle.min(rest);
                bundle *= 2;
            }
        }
        let mut value = vec![0.0; cells];
        let mut taken = vec![false; bundles.len() * cells];
        for (index, (class, n)) in bundles.iter().enumerate() {
            let need = grid.needs[*class].map(|need| need * *n as usize);
            let worth = values[*class] * f64::from(*n);
            if need[0] > size[0] || need[1] > size[1] {
                continue;
            }
            for x in (need[0]..=size[0]).rev() {
                for y in (need[1]..=size[1]).rev() {
                    let at = x * width + y;
                    let with = value[at - need[0] * width - need[1]] + worth;
                    if with > value[at] {
                        value[at] = with;
                        taken[index * cells + at] = true;
                    }
                }
            }
        }
        Self { size, value, bundles, taken }
    }

    fn at(&self, cells: Cells) -> usize {
        cells[0].min(self.size[0]) * (self.size[1] + 1) + cells[1].min(self.size[1])
    }

    pub(super) fn value(&self, cells: Cells) -> f64 {
        self.value[self.at(cells)]
    }

    pub(super) fn load(&self, grid: &Grid, cells: Cells) -> Vec<u32> {
        let mut load = vec![0; grid.needs.len()];
        let mut point = [cells[0].min(self.size[0]), cells[1].min(self.size[1])];
        for (index, (class, n)) in self.bundles.iter().enumerate().rev() {
            if self.taken[index * self.value.len() + self.at(point)] {
                load[*class] += n;
                let need = grid.needs[*class].map(|need| need * *n as usize);
                point = [point[0] - need[0], point[1] - need[1]];
            }
        }
        load
    }
}
