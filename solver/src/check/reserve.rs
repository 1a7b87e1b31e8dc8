//! Checker of the rule that the loss of any one class leaves room for what ran there.

use super::Broken;
use super::hosts::{capacity_of, effective_needs, in_scope};
use crate::assignment::{Assignment, Place};
use crate::constraint::Scope;
use crate::problem::{Problem, Stock};
use std::collections::BTreeMap;

/// Why an assignment leaves too little room when some class is lost.
///
/// A host without a class gives no room: nobody knows with what it is lost. Rounding is forgiven as for capacities.
pub(super) fn broken(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    (partition, resource): (usize, usize),
    share: f64,
) -> Option<Broken> {
    let needs = effective_needs(problem, resource);
    let partition = &problem.partitions[partition];
    let kept = problem.machines.iter().enumerate().filter(|(_, m)| m.stock == Stock::Kept);
    let mut used: BTreeMap<Place, f64> = kept.map(|(m, _)| (Place::on(m), 0.0)).collect();
    let mut lost: BTreeMap<usize, f64> = BTreeMap::new();
    for (instance, place) in assignment.iter() {
        let need = needs(instance);
        *used.entry(place).or_default() += need;
        if in_scope(scope, instance) {
            let Some(class) = partition.class_of[place.machine] else {
                let host = &problem.machines[place.machine].name;
                return Some((format!("{} of {host} is unknown", partition.name), 1.0));
            };
            *lost.entry(class).or_default() += need;
        }
    }
    let room = |class: usize| -> f64 {
        let others = used.iter().filter(|(p, _)| partition.class_of[p.machine].is_some_and(|c| c != class));
        others.map(|(p, used)| (capacity_of(problem, p.machine, resource) - used).max(0.0)).sum()
    };
    let short = |(class, need): (usize, f64)| {
        let (room, wanted) = (room(class), share * need);
        (room < wanted - super::CAPACITY_TOLERANCE * wanted).then_some((class, room, wanted))
    };
    let (class, room, wanted) = lost.into_iter().find_map(short)?;
    let (by, class) = (&partition.name, &partition.classes[class]);
    let r = &problem.resources[resource].name;
    Some((
        format!("without {by} {class} {room} of {r} are free, {wanted} are needed"),
        (wanted - room) / wanted,
    ))
}
