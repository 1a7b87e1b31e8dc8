//! Refuses a proposal whose plan or target would not fit into one entry of the log.
//!
//! The coordinator proposes a plan and each of its targets as one command. A command above the limit of an entry is
//! never committed, and the coordinator would propose it again without end. Read next:
//! `rhizo_config::target_bytes_max`.

use rhizo_config::target_bytes_max;
use rhizo_protocol::codec::encode_command;
use rhizo_protocol::{Proposal, SolveRequest};
use rhizo_types::ledger::Command;
use rhizo_types::target::{Plan, Slot, Verdict};
use rhizo_types::wire::COMMAND_BYTES_MAX;
use rhizo_types::{ComponentName, InstanceId, Revision};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of an entry that other commands beside a target may take: the names of up to 256 instances that are gone.
const BESIDE_BYTES: usize = 16 * 1024;

/// Returns the reason, with the numbers and a remedy, why a proposal does not fit into the log; none when it fits.
/// `after` has the proposed copies under their names.
pub(crate) fn excess(
    request: &SolveRequest,
    proposal: &Proposal,
    after: &BTreeMap<InstanceId, Slot>,
) -> Option<String> {
    let limit = COMMAND_BYTES_MAX - BESIDE_BYTES;
    let (name, bytes) =
        [("plan", plan_bytes(request, proposal, after)), ("target", target_bytes(request, after))]
            .into_iter()
            .max_by_key(|(_, bytes)| *bytes)
            .filter(|(_, bytes)| *bytes > limit)?;
    let copies = after.len();
    Some(format!(
        "the {name} of these {copies} copies takes up to {bytes} bytes in the log, and at most {limit} fit. \
         Remedy: lower `replicas`, write `pick = 3` for imports that are bound to all exporters, or divide the application"
    ))
}

/// The bytes of the plan. Its numbers have their longest encoding.
fn plan_bytes(request: &SolveRequest, proposal: &Proposal, after: &BTreeMap<InstanceId, Slot>) -> usize {
    let last = Revision(u64::MAX);
    let verdict = Verdict {
        cause: request.terms.cause.clone(),
        forced: true,
        worth: proposal.worth.clone(),
        reasons: proposal.reasons.clone(),
    };
    let (orders, placement) = (proposal.orders.clone(), after.clone());
    let plan =
        Plan { revision: last, parent: last, spec: last, orders, placement, avoid: BTreeSet::new(), verdict };
    encode_command(&Command::Plan(Box::new(plan))).len()
}

/// The most bytes of a target during the change: copies that leave are in it beside their successors.
fn target_bytes(request: &SolveRequest, after: &BTreeMap<InstanceId, Slot>) -> usize {
    let before = request.placement();
    let mut copies: BTreeMap<ComponentName, u64> = BTreeMap::new();
    for instance in before.keys().filter(|instance| !after.contains_key(instance)).chain(after.keys()) {
        *copies.entry(instance.component.clone()).or_default() += 1;
    }
    usize::try_from(target_bytes_max(&request.spec, &copies)).unwrap_or(usize::MAX)
}
