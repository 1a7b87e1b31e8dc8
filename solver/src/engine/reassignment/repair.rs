//! Makes a configuration keep every rule with as few moves as possible.
//!
//! Every item starts on its current machine. Machines that exceed their limits and groups that break their rules give
//! up as few items as possible. Each of those goes to the fullest machine that accepts it, or pushes one other item
//! away. Read next: `state.rs`.

use super::model::{GroupRule, NOWHERE, to_u32};
use super::state::State;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

/// Machines that are tried when an item has to push another one away.
const PUSH_TRIES: usize = 2_000;
/// Rounds of placing the unplaced items, each with the machines in another order.
const ROUNDS_MAX: usize = 200;

/// Repairs the state. Returns true when every item is placed and every rule is kept.
pub(super) fn repair(
    state: &mut State,
    rng: &mut Xoshiro256PlusPlus,
    stop: &mut dyn FnMut() -> bool,
    evaluated: &mut u64,
) -> bool {
    let mut homeless = settle(state);
    for machine in 0..state.model.machines {
        relieve(state, machine, &mut homeless);
    }
    homeless.extend(break_up(state));
    for round in 0..ROUNDS_MAX {
        sort_by_size(state, &mut homeless);
        let mut left = Vec::new();
        for item in std::mem::take(&mut homeless) {
            *evaluated += state.model.machines as u64;
            if !(place(state, item) || (round > 0 && push(state, rng, item))) {
                left.push(item);
            }
            if left.len().is_multiple_of(16) && stop() {
                return false;
            }
        }
        if left.is_empty() {
            return stands(state);
        }
        if round > 2 {
            // Items on machines that the largest unplaced item may use are removed too, so that the next round differs.
            loosen(state, rng, &mut left);
        }
        homeless = left;
    }
    false
}

/// Whether a repair is possible at all. It is not when pinned items exceed a limit, or when a machine lacks a transient
/// resource even after all items have left.
fn stands(state: &mut State) -> bool {
    let model = state.model;
    let pinned_well = (0..state.at.len()).filter(|i| model.pinned[*i]).all(|item| {
        let machine = state.at[item] as usize;
        state.remove(item);
        let allowed = model.may_use(item, machine) && state.groups_allow(item, machine);
        state.insert(item, machine);
        allowed
    });
    pinned_well && (0..model.machines).all(|machine| state.excess(machine) == 0.0)
}

/// Places every item on its current machine and returns the items that may not run there.
fn settle(state: &mut State) -> Vec<usize> {
    let mut homeless = Vec::new();
    for item in 0..state.at.len() {
        let origin = state.model.origin[item];
        if origin != NOWHERE && (state.model.may_use(item, origin as usize) || state.model.pinned[item]) {
            state.insert(item, origin as usize);
        } else {
            homeless.push(item);
        }
    }
    homeless
}

/// Removes as few items as bring a machine under its limits.
fn relieve(state: &mut State, machine: usize, homeless: &mut Vec<usize>) {
    while state.excess(machine) > 0.0 {
        let mut best: Option<(f64, f64, usize)> = None;
        for item in state.on[machine].clone() {
            let item = item as usize;
            if state.model.pinned[item] {
                continue;
            }
            state.remove(item);
            // The item that leaves the least excess; among those that leave none, the smallest.
            let key = (state.excess(machine), size(state, item));
            state.insert(item, machine);
            if best.is_none_or(|(excess, size, _)| key < (excess, size)) {
                best = Some((key.0, key.1, item));
            }
        }
        let Some((_, _, item)) = best else { return };
        state.remove(item);
        homeless.push(item);
    }
}

/// Removes items that break the rule of a group or lack a provider.
fn break_up(state: &mut State) -> Vec<usize> {
    let mut homeless = Vec::new();
    let model = state.model;
    for (g, group) in model.groups.iter().enumerate() {
        if group.rule == GroupRule::Gather {
            let members: Vec<usize> = (0..state.at.len())
                .filter(|i| state.at[*i] != NOWHERE && model.groups_of.of(*i).contains(&to_u32(g)))
                .collect();
            let cell = |item: usize| model.cells[group.cell_of][state.at[item] as usize];
            let share = |c: u32| members.iter().filter(|i| cell(**i) == c).count();
            let Some(main) =
                members.iter().map(|i| cell(*i)).filter(|c| *c != NOWHERE).max_by_key(|c| (share(*c), *c))
            else {
                continue;
            };
            for item in
                members.into_iter().filter(|i| cell(*i) != main && !model.pinned[*i]).collect::<Vec<_>>()
            {
                state.remove(item);
                homeless.push(item);
            }
        }
    }
    for item in 0..state.at.len() {
        let machine = state.at[item];
        if machine == NOWHERE || model.pinned[item] {
            continue;
        }
        state.remove(item);
        if state.groups_allow(item, machine as usize) {
            state.insert(item, machine as usize);
        } else {
            homeless.push(item);
        }
    }
    homeless
}

/// The size of an item: the largest share of an average machine that it needs.
pub(super) fn size(state: &State, item: usize) -> f64 {
    let model = state.model;
    let share = |r: usize| {
        let typical = model.limit.get(r).copied().unwrap_or(0.0).max(1e-300);
        model.need(item, r) / typical
    };
    (0..model.resources).map(share).fold(0.0, f64::max)
}

fn sort_by_size(state: &State, items: &mut [usize]) {
    items.sort_by(|a, b| size(state, *b).total_cmp(&size(state, *a)).then(a.cmp(b)));
}

/// Places an item where it costs least and, among equals, leaves the least room.
fn place(state: &mut State, item: usize) -> bool {
    let origin = state.model.origin[item];
    if origin != NOWHERE && state.fits(item, origin as usize) {
        state.insert(item, origin as usize);
        return true;
    }
    let mut best: Option<(f64, f64, usize)> = None;
    for machine in 0..state.model.machines {
        if state.fits(item, machine) {
            let key = (state.arrival_cost(item, machine), state.tightness(item, machine));
            if best.is_none_or(|(cost, room, _)| key < (cost, room)) {
                best = Some((key.0, key.1, machine));
            }
        }
    }
    let Some((_, _, machine)) = best else { return false };
    state.insert(item, machine);
    true
}

/// Places an item in the place of another one that finds a place elsewhere.
fn push(state: &mut State, rng: &mut Xoshiro256PlusPlus, item: usize) -> bool {
    for _ in 0..PUSH_TRIES {
        let machine = rng.random_range(0..state.model.machines);
        if !state.model.may_use(item, machine) || state.on[machine].is_empty() {
            continue;
        }
        let other = state.on[machine][rng.random_range(0..state.on[machine].len())] as usize;
        if state.model.pinned[other] || size(state, other) >= size(state, item) {
            continue;
        }
        state.remove(other);
        if state.fits(item, machine) {
            state.insert(item, machine);
            if place(state, other) {
                return true;
            }
            state.remove(item);
        }
        state.insert(other, machine);
    }
    false
}

/// Removes a few items from machines that the largest unplaced item may use.
fn loosen(state: &mut State, rng: &mut Xoshiro256PlusPlus, left: &mut Vec<usize>) {
    let Some(item) = left.first().copied() else { return };
    for _ in 0..PUSH_TRIES {
        let machine = rng.random_range(0..state.model.machines);
        if state.model.may_use(item, machine) && state.groups_allow(item, machine) {
            let others: Vec<usize> =
                state.on[machine].iter().map(|i| *i as usize).filter(|i| !state.model.pinned[*i]).collect();
            for other in others {
                state.remove(other);
                left.push(other);
                if state.fits(item, machine) {
                    state.insert(item, machine);
                    left.retain(|i| *i != item);
                    return;
                }
            }
            return;
        }
    }
}
