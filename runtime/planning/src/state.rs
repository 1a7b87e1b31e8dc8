//! Copies with state in a problem: which ones stay where they are, and how many wait for their data.
//!
//! The request says where the data of each copy is; the core decided that. Read next: [`crate::problem`].

use rhizo_protocol::{CopyView, SolveRequest};
use rhizo_types::spec::Component;
use rhizo_types::{ComponentName, InstanceId};
use std::ops::RangeInclusive;

/// Returns the copies of a component that can stay, in the order of their names. The solver counts them from 0.
pub(crate) fn kept<'a>(
    component: &ComponentName,
    request: &'a SolveRequest,
) -> impl Iterator<Item = (&'a InstanceId, &'a CopyView)> {
    request.copies.range(InstanceId::copies_of(component)).filter(|(_, copy)| copy.is_kept())
}

/// Returns the number of copies of a component that wait for their data.
pub(crate) fn waiting(component: &ComponentName, request: &SolveRequest) -> u32 {
    let waiting = request.waiting.range(InstanceId::copies_of(component)).count();
    u32::try_from(waiting).unwrap_or(u32::MAX)
}

/// Returns how many copies of a component may be placed. Copies that wait for their data count as copies and are not
/// placed, but no pinned copy ends because of them.
pub(crate) fn replicas(
    name: &ComponentName,
    component: &Component,
    request: &SolveRequest,
) -> RangeInclusive<u32> {
    let waiting = waiting(name, request);
    let pinned = kept(name, request).filter(|(_, copy)| copy.is_pinned).count();
    let pinned = u32::try_from(pinned).unwrap_or(u32::MAX).min(component.replicas.max);
    let max = component.replicas.max.saturating_sub(waiting).max(pinned);
    component.replicas.min.saturating_sub(waiting).min(max)..=max
}

/// Returns the pinned copies of a component, each with its number in the problem and the name of its slot. When the spec
/// allows fewer copies than are pinned, the last ones may end.
pub(crate) fn pinned<'a>(
    name: &ComponentName,
    component: &Component,
    request: &'a SolveRequest,
) -> impl Iterator<Item = (usize, &'a InstanceId, &'a CopyView)> {
    let numbered = (0..).zip(kept(name, request)).filter(|(_, (_, copy))| copy.is_pinned);
    let pinned = numbered.map(|(number, (instance, copy))| (number, instance, copy));
    pinned.take(component.replicas.max as usize)
}

/// Returns a sentence for each copy that waits for its data.
pub(crate) fn warnings(request: &SolveRequest) -> Vec<String> {
    let sentence = |(copy, node): (&InstanceId, &rhizo_types::NodeId)| {
        format!(
            "{copy} is not placed: its data is on {node}, which is lost. `snapshot restore {copy} --empty` starts it \
             without the data"
        )
    };
    request.waiting.iter().map(sentence).collect()
}
