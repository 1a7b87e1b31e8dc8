//! The shortest sequence of a small change, by dynamic programming over sets of done steps.
//!
//! The done steps are a set of bits; a wave adds a safe set of others. The safety of a set depends only on its parts,
//! so sets are built from smaller ones. A stopover splits a step in two, or moves an instance away and back that does
//! not move otherwise; stopovers are tried one by one, then in pairs.

use super::greedy::Found;
use super::sequence::{Least, Step};
use super::task::{Task, apply};
use crate::assignment::{Assignment, Instance, Place};
use std::collections::BTreeSet;

/// Steps of a change that is ordered exactly without stopovers: 3^10 pairs of sets.
const STEPS_MAX: u32 = 10;
/// The limit when stopovers are tried, which repeats the search many times.
const STEPS_WITH_STOPOVERS_MAX: u32 = 7;
/// The largest number of ways to make stopovers that are tried.
const WAYS_MAX: usize = 4_000;

/// A step, and the step that has to be done in an earlier wave.
#[derive(Clone, Copy)]
struct Bit {
    step: Step,
    after: Option<usize>,
}

/// A stopover of an instance.
#[derive(Clone, Copy, PartialEq)]
struct Stopover {
    instance: Instance,
    at: Place,
}

/// The best sequence with at most `extras_best` extras, and an improved lower bound.
pub(super) fn search(
    task: &Task,
    least: Least,
    extras_best: usize,
    stop: &mut dyn FnMut() -> bool,
) -> (Option<Found>, Least) {
    let steps = task.steps.len();
    if steps > STEPS_MAX as usize {
        return (None, least);
    }
    if least.extras == 0
        && let Some(waves) = shortest(task, &bits(task, &[]))
    {
        let least = Least { extras: 0, waves: waves.len() };
        return (Some(Found { waves, stopovers: 0, extra_hosts: 0 }), least);
    }
    let mut least = Least { extras: least.extras.max(1), waves: 2 };
    if steps > STEPS_WITH_STOPOVERS_MAX as usize {
        return (None, least);
    }
    let single = singles(task);
    while least.extras <= extras_best.min(2) {
        let (found, complete) = best_of(task, &ways(task, &single, least.extras), stop);
        if let Some(found) = found {
            if complete {
                least.waves = found.waves.len();
            }
            return (Some(found), least);
        }
        if !complete {
            break;
        }
        least.extras += 1;
    }
    (None, least)
}

/// The shortest sequence over several ways to make stopovers, and whether all were tried.
fn best_of(task: &Task, ways: &[Vec<Stopover>], stop: &mut dyn FnMut() -> bool) -> (Option<Found>, bool) {
    let mut best: Option<Found> = None;
    for (tried, way) in ways.iter().enumerate() {
        if tried == WAYS_MAX || stop() {
            return (best, false);
        }
        if let Some(waves) = shortest(task, &bits(task, way))
            && best.as_ref().is_none_or(|b| waves.len() < b.waves.len())
        {
            best = Some(Found { waves, stopovers: way.len(), extra_hosts: extra_hosts(task, way) });
        }
    }
    (best, true)
}

fn extra_hosts(task: &Task, way: &[Stopover]) -> usize {
    way.iter().map(|s| s.at).filter(|at| task.is_extra(*at)).collect::<BTreeSet<_>>().len()
}

/// Every single stopover.
fn singles(task: &Task) -> Vec<Stopover> {
    let mut instances: BTreeSet<Instance> = task.from.iter().map(|(instance, _)| instance).collect();
    instances.extend(task.to.iter().map(|(instance, _)| instance));
    let places = task.stopover_places();
    let mut found = Vec::new();
    for instance in instances {
        let ends = [task.from.place(instance), task.to.place(instance)];
        let fresh = places.iter().filter(|at| !ends.contains(&Some(**at)));
        found.extend(fresh.map(|at| Stopover { instance, at: *at }));
    }
    found
}

/// Every way to have a number of extras: one stopover, one on a host bought for it, or two.
fn ways(task: &Task, singles: &[Stopover], extras: usize) -> Vec<Vec<Stopover>> {
    let is_extra = |s: &Stopover| task.is_extra(s.at);
    let known: Vec<Stopover> = singles.iter().copied().filter(|s| !is_extra(s)).collect();
    if extras == 1 {
        return known.into_iter().map(|s| vec![s]).collect();
    }
    let mut ways: Vec<Vec<Stopover>> = singles.iter().filter(|s| is_extra(s)).map(|s| vec![*s]).collect();
    for (i, a) in known.iter().enumerate() {
        for (j, b) in known.iter().enumerate() {
            // Two stopovers of one instance follow each other; those of two instances may come in any order.
            let in_turn = a.instance == b.instance && i != j;
            if ways.len() <= WAYS_MAX && (in_turn || (a.instance < b.instance)) {
                ways.push(vec![*a, *b]);
            }
        }
    }
    ways
}

/// The steps with some stopovers in between.
fn bits(task: &Task, way: &[Stopover]) -> Vec<Bit> {
    let mut bits: Vec<Bit> = task.steps.iter().map(|step| Bit { step: *step, after: None }).collect();
    for stopover in way {
        let last = bits.iter().rposition(|bit| bit.step.instance == stopover.instance);
        match last {
            Some(last) => {
                let rest = Step { from: Some(stopover.at), ..bits[last].step };
                bits[last].step.to = Some(stopover.at);
                bits.push(Bit { step: rest, after: Some(last) });
            }
            None => {
                let (instance, home) = (stopover.instance, task.from.place(stopover.instance));
                let away = Step { instance, from: home, to: Some(stopover.at) };
                bits.push(Bit { step: away, after: None });
                let back = Step { instance, from: Some(stopover.at), to: home };
                bits.push(Bit { step: back, after: Some(bits.len() - 1) });
            }
        }
    }
    bits
}

/// The fewest waves that do all steps.
fn shortest(task: &Task, bits: &[Bit]) -> Option<Vec<Vec<Step>>> {
    let all = (1u32 << bits.len()) - 1;
    let mut sets = Sets { task, bits, allows: vec![None; all as usize + 1] };
    // The wave in which each set of done steps is first reached, and the set before it.
    let mut reached: Vec<Option<u32>> = vec![None; all as usize + 1];
    reached[0] = Some(0);
    let mut front = vec![0u32];
    while reached[all as usize].is_none() && !front.is_empty() {
        let mut next = Vec::new();
        for done in front {
            for wave in sets.safe(done, all & !done) {
                let then = done | wave;
                if reached[then as usize].is_none() {
                    reached[then as usize] = Some(done);
                    next.push(then);
                }
            }
        }
        front = next;
    }
    let mut waves = Vec::new();
    let mut at = all;
    while at != 0 {
        let before = reached[at as usize]?;
        waves.push(members(at & !before).map(|bit| bits[bit].step).collect());
        at = before;
    }
    waves.reverse();
    Some(waves)
}

fn members(set: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |bit| set >> bit & 1 == 1)
}

struct Sets<'t, 'a> {
    task: &'t Task<'a>,
    bits: &'t [Bit],
    /// Whether the rules allow the configuration after exactly these steps.
    allows: Vec<Option<bool>>,
}

impl Sets<'_, '_> {
    /// Every safe wave after some steps are done.
    fn safe(&mut self, done: u32, left: u32) -> Vec<u32> {
        let now = self.after(done);
        let loads = self.task.loads(&now);
        let mut known = vec![false; left as usize + 1];
        known[0] = true;
        let mut waves = Vec::new();
        // In ascending order, so that the subsets of a set come before it.
        for wave in 1..=left {
            if wave & !left != 0 || !members(wave).all(|bit| known[(wave & !(1 << bit)) as usize]) {
                continue;
            }
            let in_turn = members(wave).all(|b| self.bits[b].after.is_none_or(|a| done >> a & 1 == 1));
            if in_turn && self.has_room(&loads, wave) && self.allows(done | wave) {
                known[wave as usize] = true;
                waves.push(wave);
            }
        }
        waves
    }

    fn after(&self, done: u32) -> Assignment {
        let mut now = self.task.from.clone();
        // A later part of a path has a higher bit than an earlier part.
        members(done).for_each(|bit| apply(&mut now, &self.bits[bit].step));
        now
    }

    fn allows(&mut self, done: u32) -> bool {
        if let Some(known) = self.allows[done as usize] {
            return known;
        }
        let allows = self.task.allows(&self.after(done));
        self.allows[done as usize] = Some(allows);
        allows
    }

    fn has_room(&self, loads: &super::task::Loads, wave: u32) -> bool {
        let arrivals: Vec<Step> = members(wave).map(|bit| self.bits[bit].step).collect();
        let places: BTreeSet<Place> = arrivals.iter().filter_map(|step| step.to).collect();
        places.into_iter().all(|place| {
            let coming = arrivals.iter().filter(|step| step.to == Some(place));
            let needs: Vec<Vec<f64>> = coming.map(|step| self.task.needs(step.instance)).collect();
            let resources = self.task.problem.resources.len();
            let sum: Vec<f64> = (0..resources).map(|r| needs.iter().map(|n| n[r]).sum()).collect();
            self.task.has_room(loads, place, &sum)
        })
    }
}
