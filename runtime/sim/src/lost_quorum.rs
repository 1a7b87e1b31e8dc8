//! The last phases of a run whose majority is lost for good: the survivors wait, then an operator recovers.

use crate::check;
use crate::phase::{HEAL_MS, run_until, wait};
use crate::violation::Violation;
use crate::world::World;
use rhizo_protocol::OverlayState;

/// The majority is gone for good. Checks that the survivors report it and order no host.
pub(crate) fn without_quorum(world: &mut World) -> Option<()> {
    let hosts = |world: &World| -> usize { world.providers.values().map(|p| p.hosts.len()).sum() };
    let before = hosts(world);
    let end = world.now.after_ms(30_000);
    run_until(world, end)?;
    let spent = hosts(world) != before;
    let quiet = world.processes.iter().filter(|(_, process)| process.is_awake(end)).all(|(_, process)| {
        let core = process.core.as_ref();
        core.is_none_or(|core| core.status(world.now).state == OverlayState::NoQuorum)
    });
    if !quiet || spent {
        let detail = format!("a minority spends ({spent}), or says that it is one ({quiet})");
        world.violation.get_or_insert(Violation::new("minority-spends-nothing", detail));
        return None;
    }
    Some(())
}

/// An operator begins a new lineage. Checks that it converges, that no node of the former lineage runs on beside it,
/// and that no host is left without an explanation.
pub(crate) fn recovered(world: &mut World) -> Option<()> {
    if !world.recover() {
        return Some(());
    }
    wait(world, HEAL_MS, "recovers", |world| {
        let (lineage, lost) = (world.log.truth.lineage(), check::cannot_learn(world));
        let former = world.processes.iter().find_map(|(node, process)| {
            let core = process.core.as_ref().filter(|core| !core.is_halted())?;
            let is_told = core.ledger().lineage() == lineage || process.silent || lost.contains(node);
            (!is_told).then_some(*node)
        });
        match former {
            Some(node) => Err(format!("{node} of a former lineage runs on")),
            None => check::converged(world),
        }
    })
}
