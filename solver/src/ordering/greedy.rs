//! Heuristic waves for changes of any size: as many safe steps at once as possible, and a stopover when none is safe.
//!
//! Steps that free hosts which other steps wait for go first. Read next: `exact.rs` for small changes.

use super::sequence::Step;
use super::task::{Loads, Task, add, apply, take};
use crate::assignment::{Assignment, Instance, Place};
use std::collections::BTreeMap;

/// Instances of one host that are tried for a stopover, the smallest first.
const GUESTS_MAX: usize = 64;

/// A sequence, in steps.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) waves: Vec<Vec<Step>>,
    pub(super) stopovers: usize,
    pub(super) extra_hosts: usize,
}

impl Found {
    /// The number of stopovers and of hosts bought for them.
    pub(super) fn extras(&self) -> usize {
        self.stopovers + self.extra_hosts
    }
}

struct Search<'t, 'a> {
    task: &'t Task<'a>,
    now: Assignment,
    loads: Loads,
    left: Vec<Step>,
    found: Found,
    hosts: Vec<Place>,
}

/// Finds a safe sequence, or returns the steps that are left when no further step is possible.
pub(super) fn search(task: &Task) -> Result<Found, Vec<Step>> {
    let mut search = Search {
        task,
        now: task.from.clone(),
        loads: task.loads(task.from),
        left: task.steps.clone(),
        found: Found { waves: Vec::new(), stopovers: 0, extra_hosts: 0 },
        hosts: Vec::new(),
    };
    // Each instance makes at most two stopovers; more would repeat a configuration.
    let stopovers_max = 2 * task.steps.len() + 8;
    while !search.left.is_empty() {
        if !search.wave() && (search.found.stopovers >= stopovers_max || !search.stopover()) {
            return Err(search.left);
        }
    }
    Ok(search.found)
}

impl Search<'_, '_> {
    /// Makes a wave of the steps that are safe now. Returns false when there is none.
    fn wave(&mut self) -> bool {
        let mut waiting: BTreeMap<Place, usize> = BTreeMap::new();
        for step in &self.left {
            if let Some(to) = step.to
                && !self.task.has_room(&self.loads, to, &self.task.needs(step.instance))
            {
                *waiting.entry(to).or_default() += 1;
            }
        }
        let wanted = |step: &Step| step.from.and_then(|from| waiting.get(&from)).copied().unwrap_or(0);
        self.left.sort_by_key(|step| (std::cmp::Reverse(wanted(step)), *step));
        let mut wave: Vec<Step> = Vec::new();
        let mut during = self.loads.clone();
        for step in &self.left {
            let needs = self.task.needs(step.instance);
            let has_room = step.to.is_none_or(|to| self.task.has_room(&during, to, &needs));
            if has_room && self.task.rules_allow(&self.now, &wave, step) {
                step.to.iter().for_each(|to| add(&mut during, *to, &needs));
                wave.push(*step);
            }
        }
        self.left.retain(|step| !wave.contains(step));
        let any = !wave.is_empty();
        if any {
            self.run(wave);
        }
        any
    }

    fn run(&mut self, wave: Vec<Step>) {
        for step in &wave {
            let needs = self.task.needs(step.instance);
            step.from.iter().for_each(|from| take(&mut self.loads, *from, &needs));
            step.to.iter().for_each(|to| add(&mut self.loads, *to, &needs));
            apply(&mut self.now, step);
        }
        self.found.waves.push(wave);
    }

    /// Moves one instance to a stopover. Returns false when that is not possible.
    ///
    /// Prefers a stopover after which a waiting step can go, and else takes any waiting instance.
    fn stopover(&mut self) -> bool {
        let mut places = self.task.stopover_places();
        places.sort_by_key(|place| (self.task.is_extra(*place) && !self.hosts.contains(place), *place));
        for must_help in [true, false] {
            for blocked in self.left.clone() {
                let Some(at) = blocked.to else { continue };
                for guest in self.guests(at, must_help) {
                    if must_help && !self.helps(&blocked, at, guest) {
                        continue;
                    }
                    if let Some(place) = self.refuge(guest, at, &places) {
                        self.send(guest, at, place);
                        return true;
                    }
                }
            }
        }
        false
    }

    /// The instances on a host that are to leave anyway, then, if `others` is set, the rest; the smallest first.
    fn guests(&self, at: Place, others_too: bool) -> Vec<Instance> {
        let here = self.now.iter().filter(|(_, place)| *place == at).map(|(instance, _)| instance);
        let leaves = |i: &Instance| self.left.iter().any(|s| s.instance == *i);
        let size = |i: &Instance| self.task.needs(*i).iter().sum::<f64>();
        let mut guests: Vec<Instance> = here.filter(|i| others_too || leaves(i)).collect();
        guests.sort_by(|a, b| (!leaves(a)).cmp(&!leaves(b)).then(size(a).total_cmp(&size(b))).then(a.cmp(b)));
        guests.truncate(GUESTS_MAX);
        guests
    }

    /// Whether a step can go after an instance has left its host.
    fn helps(&self, blocked: &Step, at: Place, guest: Instance) -> bool {
        let mut loads = BTreeMap::new();
        loads.extend(self.loads.get(&at).map(|load| (at, load.clone())));
        take(&mut loads, at, &self.task.needs(guest));
        self.task.has_room(&loads, at, &self.task.needs(blocked.instance))
    }

    fn refuge(&self, guest: Instance, at: Place, places: &[Place]) -> Option<Place> {
        let needs = self.task.needs(guest);
        let wanted = |place: &Place| self.left.iter().any(|step| step.to == Some(*place));
        let able = |place: &&Place| {
            **place != at
                && self.task.has_room(&self.loads, **place, &needs)
                && self.task.rules_allow(
                    &self.now,
                    &[],
                    &Step { instance: guest, from: Some(at), to: Some(**place) },
                )
        };
        // A host that no step waits for is preferred.
        let free = places.iter().filter(|place| !wanted(place)).find(|place| able(place));
        free.or_else(|| places.iter().find(|place| able(place))).copied()
    }

    fn send(&mut self, guest: Instance, at: Place, place: Place) {
        let step = Step { instance: guest, from: Some(at), to: Some(place) };
        match self.left.iter_mut().find(|s| s.instance == guest) {
            Some(rest) => rest.from = Some(place),
            None => self.left.push(Step { instance: guest, from: Some(place), to: Some(at) }),
        }
        self.found.stopovers += 1;
        if self.task.is_extra(place) && !self.hosts.contains(&place) {
            self.hosts.push(place);
            self.found.extra_hosts += 1;
        }
        self.run(vec![step]);
    }
}
