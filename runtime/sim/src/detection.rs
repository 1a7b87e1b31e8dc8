//! The phase in which one node of a calm world hangs or ends: it is committed dead within a bound.
//!
//! The bound follows from the timers of the overlay and the delays of the world. It holds for nodes that hang, that end
//! with their links, and that fall silent. While other faults occur there is no such bound, so this is no check of
//! every event.

use crate::check;
use crate::fault::Fault;
use crate::phase::{HEAL_MS, run_until, wait};
use crate::violation::Violation;
use crate::world::World;
use rand::RngExt;
use rhizo_types::id::NodeId;
use std::collections::BTreeSet;

/// Nodes that were woken late stretch their limits by up to 20 s, and halve the stretch every 5 s: after this time no
/// stretch of an earlier fault is left.
const REST_MS: u64 = 50_000;
/// How long a node hangs: longer than every bound, so that it comes back to a world without it.
const HANGS_MS: u64 = 20_000;
/// Messages one after the other between the last heartbeat and the commit of the death: that heartbeat, the question to
/// another observer, its answer, the alert, the entry and its acknowledgement.
const MESSAGES: u64 = 6;
/// The longest time that the world's log takes for an entry beyond the delays of messages, in milliseconds.
const COMMIT_MS: u64 = 600;

/// The longest time from the end of a node to its committed death, in milliseconds.
fn bound_ms(world: &World, led: bool) -> u64 {
    let timers = world.log.truth.timers();
    let detected = timers.silence_ms + timers.confirm_ms + timers.batch_ms;
    let elected = if led { timers.raft_election_ms_max } else { 0 };
    detected + elected + COMMIT_MS + MESSAGES * world.scenario.delay_us.1.div_ceil(1_000)
}

/// Lets one member hang or end, and checks when it is committed dead. Afterwards the world has to converge again.
pub(crate) fn dead_in_time(world: &mut World) -> Option<()> {
    let rested = world.now.after_ms(REST_MS);
    run_until(world, rested)?;
    let members = world.log.truth.members.keys().copied();
    let members: Vec<NodeId> = members.filter(|node| world.is_awake(*node)).collect();
    let may_end = |node: &NodeId| world.may_lose(&BTreeSet::from([*node]));
    let candidates: Vec<NodeId> = members.iter().copied().filter(may_end).collect();
    // Two others at least: a single one has no observer to ask.
    let Some(node) = world.pick(&candidates).filter(|_| members.len() >= 3) else { return Some(()) };
    let bound_ms = bound_ms(world, world.log.leader == Some(node));
    let how = ["hangs", "ends", "falls silent"][world.rng.random_range(0..3)];
    match how {
        "hangs" => world.hang(node, HANGS_MS),
        how => {
            world.destroy(node, how == "falls silent");
        }
    }
    world.coverage.fired(Fault::Hang);
    world.say(|| format!("== {node} {how}; it is to be dead in {bound_ms} ms"));
    let end = world.now.after_ms(bound_ms);
    run_until(world, end)?;
    if world.log.truth.members.contains_key(&node) {
        let detail = format!("{node} {how}, and is still a member after {bound_ms} ms");
        world.violation.get_or_insert(Violation::new("death-is-bounded", detail));
        return None;
    }
    wait(world, HEAL_MS, "converges", check::converged)
}
