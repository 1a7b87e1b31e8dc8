//! The cells that instances share: hosts or, where a rule names a partition, classes of it.

use crate::assignment::{Assignment, Instance, Place};
use crate::problem::Problem;
use crate::scope::{MachineIndex, Scope};
use std::collections::BTreeMap;

/// A host, or a class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Cell {
    Host(Place),
    Class(usize),
}

pub(super) type Cells = BTreeMap<Cell, Vec<Instance>>;

/// The cells of a scope with their instances; an error names a machine without a class.
pub(super) fn cells(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    by: Option<usize>,
) -> Result<Cells, String> {
    let mut cells = Cells::new();
    for (instance, place) in assignment.in_scope(scope) {
        let cell = match by {
            None => Cell::Host(place),
            Some(partition) => {
                let partition = &problem.partitions[partition];
                let host = &problem.machines[place.machine].name;
                let unknown = || format!("{} of {host} is unknown", partition.name);
                Cell::Class(partition.class_of[place.machine].ok_or_else(unknown)?)
            }
        };
        cells.entry(cell).or_default().push(instance);
    }
    Ok(cells)
}

/// The name of a cell, as operators see it.
pub(super) fn cell_name(problem: &Problem, cell: Cell, by: Option<usize>) -> String {
    match (cell, by) {
        (Cell::Class(class), Some(partition)) => {
            let partition = &problem.partitions[partition];
            format!("{} {}", partition.name, partition.classes.get(class).map_or("?", String::as_str))
        }
        (Cell::Host(place), _) => problem.machines[place.machine].name.clone(),
        (Cell::Class(class), None) => format!("class {class}"),
    }
}

/// Whether a scope covers a component and the machine has no class in the partition.
pub(super) fn is_unclassed(
    problem: &Problem,
    scope: &Scope,
    partition: usize,
    component: usize,
    machine: MachineIndex,
) -> bool {
    scope.covers(component) && problem.partitions[partition].class_of[machine].is_none()
}
