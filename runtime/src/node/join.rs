//! Makes the node of a new host a member: it dials a member, proves its ticket and repeats its request until an
//! answer is final.
//!
//! The link proves the ticket. The coordinator decides whether the node may join, and commits the join.

use super::NodeError;
use rhizo_overlay::{
    Class, Credential, DialError, LinkTarget, Overlay, OverlayEvents, Refusal, TicketId, TicketSecret,
};
use rhizo_protocol::codec;
use rhizo_protocol::ledger::Ledger;
use rhizo_types::ledger::Join;
use rhizo_types::secret::SealingKey;
use rhizo_types::wire::{Boot, JoinAnswer};
use rhizo_types::{HostId, NodeId};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Time in which a member has to get the join committed, in milliseconds.
const ANSWER_MS_MAX: u64 = 15_000;

/// Pause before the next member is asked, in milliseconds.
const PAUSE_MS: u64 = 200;

/// The content of a node's admission: its id, and the ledger.
pub(super) struct Joined {
    pub(super) node: NodeId,
    pub(super) ledger: Ledger,
    /// The key that opens the application's secrets; none if the answering member has none.
    pub(super) sealing_key: Option<SealingKey>,
}

/// Requests admission from members until one of them gives a final answer.
///
/// The function has no time limit of its own: the host's supervisor ends a node whose requests go on after its ticket
/// has expired.
///
/// # Errors
/// When a member's refusal is final, the boot document names no member, or the node has to stop.
pub(super) async fn join(
    boot: &Boot,
    host: HostId,
    overlay: &Overlay,
    events: &mut OverlayEvents,
    stop: &mut watch::Receiver<bool>,
) -> Result<Joined, NodeError> {
    let asking = ask_all(boot, host, overlay);
    tokio::pin!(asking);
    loop {
        tokio::select! {
            biased;
            () = crate::component::raised(stop) => return Err(NodeError::Join("the node was stopped".to_owned())),
            joined = &mut asking => return joined,
            // Messages have no meaning before the node is a member, but their queue must not fill up.
            _ignored = events.recv() => {}
        }
    }
}

async fn ask_all(boot: &Boot, host: HostId, overlay: &Overlay) -> Result<Joined, NodeError> {
    let join = codec::encode_join(&Join {
        ticket: boot.ticket,
        host,
        key: overlay.local_key(),
        addresses: overlay.listen_address().into_iter().collect(),
    });
    let mut members: Vec<_> = boot.members.values().cloned().collect();
    let mut next = 0;
    loop {
        let Some(member) = members.get(next % members.len().max(1)).cloned() else {
            return Err(NodeError::Join("the boot document names no member".to_owned()));
        };
        let target = LinkTarget { key: member.key, addresses: member.addresses.clone() };
        let secret = TicketSecret::from_bytes(boot.secret.0);
        let credential = Credential::Ticket { id: TicketId(boot.ticket.0), secret };
        next += 1;
        let linked = overlay.linked().contains(&member.key);
        if !linked && let Err(error) = overlay.dial(target, credential).await {
            if error == DialError::Refused(Refusal::Superseded) {
                let reason =
                    "an operator has begun a new lineage, in which the ticket of this host is not valid";
                return Err(NodeError::Join(reason.to_owned()));
            }
            tracing::debug!(%error, "member not reached");
            sleep(Duration::from_millis(PAUSE_MS)).await;
            continue;
        }
        let patience = Duration::from_millis(ANSWER_MS_MAX);
        let answer = overlay.request(member.key, Class::Control, join.clone(), patience).await;
        match answer.map(|bytes| codec::decode_join_answer(&bytes)) {
            Ok(Ok((JoinAnswer::Accepted { node, ledger }, sealing_key))) => {
                let ledger = codec::decode_ledger(&ledger)
                    .map_err(|error| NodeError::Join(crate::error::chain(&error)))?;
                return Ok(Joined { node, ledger, sealing_key });
            }
            Ok(Ok((JoinAnswer::Refused { reason }, _))) => return Err(NodeError::Join(reason)),
            Ok(Ok((JoinAnswer::Redirect { member, .. }, _))) => {
                // The coordinator is asked next. It may have joined after the boot document was written.
                if !members.iter().any(|known| known.key == member.key) {
                    members.push(member.clone());
                }
                next = members.iter().position(|known| known.key == member.key).unwrap_or(next);
            }
            Ok(Ok((JoinAnswer::Later, _))) => sleep(Duration::from_millis(PAUSE_MS)).await,
            Ok(Err(error)) => {
                tracing::warn!(error = %crate::error::chain(&error), "join answer could not be read");
                sleep(Duration::from_millis(PAUSE_MS)).await;
            }
            Err(error) => {
                tracing::debug!(%error, "join not answered");
                sleep(Duration::from_millis(PAUSE_MS)).await;
            }
        }
    }
}
