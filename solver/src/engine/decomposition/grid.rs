//! Needs and capacities in integer cells, and the most valuable load of a host over them.
//!
//! At most two resources are considered, and needs are rounded down: a load that fits in fact also fits here, so the
//! value is never too low, and a bound made from it is valid. Nothing is lost where needs are multiples of a common
//! unit.

/// The number of resources that are considered.
pub(super) const AXES: usize = 2;
/// The largest number of cells of a table; needs are rounded more coarsely when there would be more.
const CELLS_MAX: usize = 40_000;
/// Needs that are multiples of this are exact.
const FINEST: f64 = 1e-3;

/// A point or a size in cells.
pub(super) type Cells = [usize; AXES];

/// The conversion of needs and capacities to cells.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// The resources; fewer than two when the problem has fewer.
    axes: Vec<usize>,
    unit: [f64; AXES],
    /// The needs of each class.
    pub(super) needs: Vec<Cells>,
}

impl Grid {
    /// Makes the grid for classes of needs, with capacities up to `largest`.
    pub(super) fn new(classes: &[Vec<f64>], largest: &[f64]) -> Self {
        let mut axes: Vec<usize> =
            (0..largest.len()).filter(|r| classes.iter().any(|c| c[*r] > 0.0)).collect();
        // The resources that are scarcest relative to the needs restrict loads the most.
        let pressure = |r: usize| classes.iter().map(|c| c[r]).sum::<f64>() / largest[r].max(FINEST);
        axes.sort_by(|a, b| pressure(*b).total_cmp(&pressure(*a)).then(a.cmp(b)));
        axes.truncate(AXES);
        let mut unit = [1.0; AXES];
        for (axis, r) in axes.iter().enumerate() {
            unit[axis] = common_unit(classes.iter().map(|c| c[*r]));
        }
        let mut grid = Self { axes, unit, needs: Vec::new() };
        while grid.cells_of(largest).iter().map(|c| c + 1).product::<usize>() > CELLS_MAX {
            let cells = grid.cells_of(largest);
            let longest = usize::from(cells[1] > cells[0]);
            grid.unit[longest] *= 2.0;
        }
        grid.needs = classes.iter().map(|needs| grid.cells_of(needs)).collect();
        grid
    }

    /// Rounds down; a number that is a multiple up to rounding counts as that multiple.
    pub(super) fn cells_of(&self, numbers: &[f64]) -> Cells {
        let mut cells = [0; AXES];
        for (axis, r) in self.axes.iter().enumerate() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bounded, not negative"
            )]
            let whole = (numbers[*r] / self.unit[axis] + 1e-6).floor().clamp(0.0, 1e9) as usize;
            cells[axis] = whole;
        }
        cells
    }
}

/// The largest number that all are multiples of; none when it is too small.
fn common_unit(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut unit = 0u64;
    for number in numbers {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, not negative"
        )]
        let mut whole = (number / FINEST).round() as u64;
        while whole > 0 {
            (unit, whole) = (whole, if unit == 0 { 0 } else { unit % whole });
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "needs are far below 2^53 thousandths")]
    let unit = unit as f64;
    if unit > 0.0 { unit * FINEST } else { 1.0 }
}

/// The most valuable loads of hosts of every size.
pub(super) struct Table {
    size: Cells,
    value: Vec<f64>,
    /// The class that was added last; none where a smaller host holds a load of the same value.
    last: Vec<Option<u16>>,
}

impl Table {
    /// Makes the table for any number of instances of each class, without classes that need nothing.
    pub(super) fn new(grid: &Grid, values: &[f64], size: Cells) -> Self {
        let width = size[1] + 1;
        let mut table =
            Self { size, value: vec![0.0; (size[0] + 1) * width], last: vec![None; (size[0] + 1) * width] };
        let useful: Vec<(u16, Cells, f64)> = (0u16..)
            .zip(grid.needs.iter().zip(values))
            .filter(|(_, (need, value))| **value > 0.0 && **need != [0; AXES])
            .map(|(class, (need, value))| (class, *need, *value))
            .collect();
        for x in 0..=size[0] {
            for y in 0..=size[1] {
                let at = x * width + y;
                // The load is that of a smaller host, one step down.
                let mut best = 0.0;
                if x > 0 {
                    best = table.value[at - width];
                }
                if y > 0 && table.value[at - 1] > best {
                    best = table.value[at - 1];
                }
                let mut last = None;
                for (class, need, value) in &useful {
                    if need[0] <= x && need[1] <= y {
                        let with = table.value[at - need[0] * width - need[1]] + value;
                        if with > best {
                            (best, last) = (with, Some(*class));
                        }
                    }
                }
                (table.value[at], table.last[at]) = (best, last);
            }
        }
        table
    }

    fn at(&self, cells: Cells) -> usize {
        cells[0].min(self.size[0]) * (self.size[1] + 1) + cells[1].min(self.size[1])
    }

    /// The value of the best load of a host of this size.
    pub(super) fn value(&self, cells: Cells) -> f64 {
        self.value[self.at(cells)]
    }

    /// The best load of a host of this size, as a number of instances for each class.
    pub(super) fn load(&self, grid: &Grid, cells: Cells) -> Vec<u32> {
        let mut load = vec![0; grid.needs.len()];
        let mut point = [cells[0].min(self.size[0]), cells[1].min(self.size[1])];
        loop {
            let at = self.at(point);
            if let Some(class) = self.last[at] {
                let need = grid.needs[class as usize];
                load[class as usize] += 1;
                point = [point[0] - need[0], point[1] - need[1]];
            } else if point[0] > 0 && self.value[at - (self.size[1] + 1)] == self.value[at] {
                point[0] -= 1;
            } else if point[1] > 0 && self.value[at - 1] == self.value[at] {
                point[1] -= 1;
            } else {
                return load;
            }
        }
    }
}
