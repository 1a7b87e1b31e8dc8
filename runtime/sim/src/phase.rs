//! The parts of a run: until a time has come, or until a condition holds.

use crate::violation::Violation;
use crate::world::World;
use rhizo_types::Time;

/// Time limit for stability after healing. The slowest chain is a host that is not listed for `visible_ms`, a host
/// that never joins for `join_ms_max`, and a few unexplained ones for `reclaim_after_ms`.
pub(crate) const HEAL_MS: u64 = 240_000;
/// Time between two checks whether a phase has ended.
const LOOK_MS: u64 = 500;
/// The most events of a run. A seed has some two thousand events. One with a hundred times as many is in an endless
/// loop.
const EVENTS_MAX: u64 = 200_000;

/// Runs until a time; none when a check failed.
pub(crate) fn run_until(world: &mut World, end: Time) -> Option<()> {
    while world.next_at().is_some_and(|at| at <= end) {
        if world.events > EVENTS_MAX {
            let detail = format!("more than {EVENTS_MAX} events by {} ms", world.now.0 / 1_000);
            world.violation.get_or_insert(Violation::new("is-calm", detail));
            return None;
        }
        if !world.step() {
            return None;
        }
    }
    world.now = end;
    Some(())
}

/// Runs until a condition holds. Returns a violation when it does not hold within the limit.
pub(crate) fn wait(
    world: &mut World,
    bound_ms: u64,
    name: &'static str,
    condition: impl Fn(&World) -> Result<(), String>,
) -> Option<()> {
    let end = world.now.after_ms(bound_ms);
    loop {
        let Err(reason) = condition(world) else { return Some(()) };
        if world.now >= end {
            world.violation.get_or_insert(Violation::new(name, reason));
            return None;
        }
        run_until(world, world.now.after_ms(LOOK_MS))?;
        world.give_up_data();
    }
}
