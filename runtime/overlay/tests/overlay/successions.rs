//! The change of a lineage: who follows, who is refused, and what the refused end learns.

use crate::harness::{Node, config, mesh, roster};
use rhizo_overlay::{
    Credential, DialError, LinkDownReason, LinkTarget, NodeSecret, OverlayEvent, Refusal, Succession,
};
use rhizo_types::{AppName, Lineage, NodeId, PeerKey};

const FORMER: Lineage = Lineage(1);
const NEXT: Lineage = Lineage(2);

fn statement(operator: &NodeSecret) -> Succession {
    Succession::sign(&AppName::from("test"), FORMER, NEXT, operator)
}

/// Makes the node one of the next lineage, whose members are `members`.
fn begin_next(node: &Node, members: &[PeerKey], operator: &NodeSecret) {
    let mut admission = roster(&[]);
    admission.members = members.iter().zip(1..).map(|(key, id)| (*key, NodeId(id))).collect();
    admission.successions.insert(FORMER, statement(operator));
    node.overlay.set_lineage(NEXT);
    node.overlay.set_admission(admission);
}

async fn superseded(node: &mut Node, by: PeerKey) -> (Succession, bool) {
    node.until("superseded", |event| match event {
        OverlayEvent::Superseded { peer, succession, is_member } if peer == by => {
            Some((*succession, is_member))
        }
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_member_of_the_former_lineage_gets_the_operators_statement_and_can_follow() {
    let mut nodes = mesh(vec![config(1), config(2), config(3)]).await;
    let (mut lost, mut follower, mut survivor) =
        (nodes.pop().unwrap(), nodes.pop().unwrap(), nodes.pop().unwrap());
    let operator = NodeSecret::generate();
    let keys = [survivor.key(), follower.key()];
    begin_next(&survivor, &keys, &operator);
    assert_eq!(survivor.until_down(follower.key()).await, LinkDownReason::Closed);
    let (succession, is_member) = superseded(&mut follower, survivor.key()).await;
    assert!(is_member && succession == statement(&operator) && succession.is_signed(&AppName::from("test")));
    let (succession, is_member) = superseded(&mut lost, survivor.key()).await;
    assert!(!is_member && succession == statement(&operator));
    begin_next(&follower, &keys, &operator);
    follower.until_up(survivor.key()).await;
    survivor.until_up(follower.key()).await;
    // The follower ends its link to the lost member, which then learns the same from both.
    let (_, is_member) = superseded(&mut lost, follower.key()).await;
    assert!(!is_member);
    assert!(!survivor.overlay.linked().contains(&lost.key()));
}

#[tokio::test]
async fn a_lineage_that_the_listener_does_not_know_gets_no_statement() {
    let seed = Node::start(config(1)).await;
    let operator = NodeSecret::generate();
    begin_next(&seed, &[], &operator);
    let mut stranger = config(2);
    stranger.lineage = Lineage(7);
    let stranger = Node::start(stranger).await;
    let outcome = stranger.overlay.dial(seed.target(), Credential::Member).await;
    assert_eq!(outcome, Err(DialError::Refused(Refusal::Lineage)));
    // A command of the former lineage gets the same refusal, with an operator's credential too.
    let command = Node::start(config(3)).await;
    let target = LinkTarget { ..seed.target() };
    let outcome = command.overlay.dial(target, Credential::Operator { secret: operator }).await;
    assert_eq!(outcome, Err(DialError::Refused(Refusal::Superseded)));
}
