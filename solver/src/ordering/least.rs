//! Lower bounds of stopovers and waves of any safe sequence, from capacity alone.
//!
//! A step can run in wave t at the earliest when its host has room for it after all instances have left that can have
//! left before. Steps for which that never becomes true wait for each other, and another instance has to make a
//! stopover.

use super::sequence::Least;
use super::task::{Loads, Task, add, take};
use crate::assignment::Place;
use crate::check::CAPACITY_TOLERANCE;
use std::collections::{BTreeMap, BTreeSet};

/// Lower bounds on stopovers and, with as few stopovers, on waves.
pub(super) fn least(task: &Task) -> Least {
    if task.steps.is_empty() {
        return Least { extras: 0, waves: 0 };
    }
    let needs: Vec<Vec<f64>> = task.steps.iter().map(|step| task.needs(step.instance)).collect();
    let mut loads = task.loads(task.from);
    let mut earliest: Vec<Option<usize>> = vec![None; task.steps.len()];
    let mut wave = 0;
    loop {
        wave += 1;
        let fits = |s: &usize| {
            earliest[*s].is_none() && task.steps[*s].to.is_none_or(|to| task.has_room(&loads, to, &needs[*s]))
        };
        let now: Vec<usize> = (0..task.steps.len()).filter(fits).collect();
        if now.is_empty() {
            break;
        }
        for s in now {
            earliest[s] = Some(wave);
            if let Some(from) = task.steps[s].from {
                take(&mut loads, from, &needs[s]);
            }
        }
    }
    let stopovers = stuck_parts(task, &earliest);
    let first = earliest.iter().flatten().copied().max().unwrap_or(1);
    // A stopover takes a wave of its own before the steps that wait for it.
    let waves = if stopovers > 0 { 2 } else { first.max(last_arrivals(task, &needs, &earliest)) };
    Least { extras: stopovers, waves }
}

/// The number of parts of the change that share no host and are stuck; each needs a stopover of its own.
fn stuck_parts(task: &Task, earliest: &[Option<usize>]) -> usize {
    let mut part: BTreeMap<Place, usize> = BTreeMap::new();
    for step in task.steps.iter().zip(earliest).filter(|(_, e)| e.is_none()).map(|(step, _)| step) {
        let ends: Vec<Place> = step.from.into_iter().chain(step.to).collect();
        let known: BTreeSet<usize> = ends.iter().filter_map(|p| part.get(p).copied()).collect();
        let name = known.iter().next().copied().unwrap_or(part.len());
        part.values_mut().filter(|p| known.contains(p)).for_each(|p| *p = name);
        ends.into_iter().for_each(|place| {
            part.insert(place, name);
        });
    }
    part.values().collect::<BTreeSet<_>>().len()
}

/// The first wave before which enough instances can have left every host for all that arrive.
fn last_arrivals(task: &Task, needs: &[Vec<f64>], earliest: &[Option<usize>]) -> usize {
    let mut arriving = Loads::new();
    for (step, needs) in task.steps.iter().zip(needs) {
        if let Some(to) = step.to {
            add(&mut arriving, to, needs);
        }
    }
    let mut loads = task.loads(task.from);
    let most = earliest.iter().flatten().copied().max().unwrap_or(1);
    for wave in 1..=most {
        let all_fit = arriving.iter().all(|(place, coming)| {
            let here = loads.get(place);
            coming.iter().enumerate().zip(task.capacity(place.machine)).all(|((r, need), capacity)| {
                let load = here.map_or(0.0, |load| load[r]);
                *need <= 0.0 || load + need <= capacity + CAPACITY_TOLERANCE * capacity.abs()
            })
        });
        if all_fit {
            return wave;
        }
        for ((step, needs), earliest) in task.steps.iter().zip(needs).zip(earliest) {
            if let (Some(from), true) = (step.from, *earliest == Some(wave)) {
                take(&mut loads, from, needs);
            }
        }
    }
    most + 1
}
