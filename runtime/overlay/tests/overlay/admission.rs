//! Admission: the peers that get a link, their roles, and the effect of a changed admission.

use crate::harness::{Node, WATCHDOG, client, config, mesh, roster};
use rhizo_overlay::{
    Admission, Class, Credential, DialError, LinkDownReason, NodeSecret, OverlayEvent, Refusal, Role,
    TicketId, TicketSecret,
};
use rhizo_types::{Lineage, NodeId};
use std::collections::BTreeSet;
use std::time::Duration;

const ASK: Duration = WATCHDOG;

/// Admits the holder of this ticket.
fn with_ticket(mut admission: Admission, id: u64, secret: &TicketSecret) -> Admission {
    admission.tickets.insert(TicketId(id), secret.verifier());
    admission
}

fn ticket(id: u64, secret: &TicketSecret) -> Credential {
    Credential::Ticket { id: TicketId(id), secret: secret.clone() }
}

async fn role_seen(node: &mut Node, other: &Node) -> Role {
    let key = other.key();
    node.until("link up", |event| match event {
        OverlayEvent::LinkUp { peer, role, .. } if peer == key => Some(role),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_joiner_with_the_right_ticket_gets_in_and_becomes_a_member() {
    let mut seed = Node::start(config(1)).await;
    let mut joiner = Node::start(config(2)).await;
    let secret = TicketSecret::generate();
    seed.overlay.set_admission(with_ticket(Admission::default(), 7, &secret));
    joiner.overlay.dial(seed.target(), ticket(7, &secret)).await.unwrap();
    assert_eq!(role_seen(&mut joiner, &seed).await, Role::Pinned);
    assert_eq!(role_seen(&mut seed, &joiner).await, Role::Joiner(TicketId(7)));
    // The entry that consumes the ticket makes the joiner a member; its link stands.
    let mut admission = Admission::default();
    admission.members.insert(joiner.key(), NodeId(4));
    seed.overlay.set_admission(admission);
    let role = seed
        .until("role changed", |event| match event {
            OverlayEvent::RoleChanged { role, .. } => Some(role),
            OverlayEvent::LinkDown { reason, .. } => panic!("link down: {reason:?}"),
            _ => None,
        })
        .await;
    assert_eq!(role, Role::Member(NodeId(4)));
    assert_eq!(seed.overlay.counters().admitted, 1);
}

#[tokio::test]
async fn wrong_unknown_and_missing_tickets_are_refused_before_the_multiplexer() {
    let mut seed = Node::start(config(1)).await;
    let joiner = Node::start(config(2)).await;
    let secret = TicketSecret::generate();
    seed.overlay.set_admission(with_ticket(Admission::default(), 7, &secret));
    let attempts = [
        (ticket(7, &TicketSecret::generate()), Refusal::Ticket),
        (ticket(8, &secret), Refusal::Ticket),
        (Credential::Member, Refusal::Stranger),
        (Credential::Operator { secret: NodeSecret::generate() }, Refusal::Operator),
    ];
    for (credential, refusal) in attempts {
        let outcome = joiner.overlay.dial(seed.target(), credential).await;
        assert_eq!(outcome, Err(DialError::Refused(refusal)));
        let key = joiner.key();
        let seen = seed
            .until("refused", |event| match event {
                OverlayEvent::Refused { peer, refusal, .. } => Some((peer, refusal)),
                OverlayEvent::LinkUp { .. } => panic!("let in"),
                _ => None,
            })
            .await;
        assert_eq!(seen, (Some(key), Some(refusal)));
    }
    let counters = seed.overlay.counters();
    assert_eq!((counters.admitted, counters.refused, counters.multiplexers), (0, 4, 0));
}

#[tokio::test]
async fn a_consumed_ticket_opens_no_second_link_and_closes_the_link_of_the_loser() {
    let mut seed = Node::start(config(1)).await;
    let winner = Node::start(config(2)).await;
    let mut loser = Node::start(config(3)).await;
    let secret = TicketSecret::generate();
    seed.overlay.set_admission(with_ticket(Admission::default(), 7, &secret));
    winner.overlay.dial(seed.target(), ticket(7, &secret)).await.unwrap();
    loser.overlay.dial(seed.target(), ticket(7, &secret)).await.unwrap();
    let mut admission = Admission::default();
    admission.members.insert(winner.key(), NodeId(1));
    seed.overlay.set_admission(admission);
    assert_eq!(seed.until_down(loser.key()).await, LinkDownReason::Expelled);
    loser.until_down(seed.key()).await;
    let again = loser.overlay.dial(seed.target(), ticket(7, &secret)).await;
    assert_eq!(again, Err(DialError::Refused(Refusal::Ticket)));
    // The winner may not have received the answer: its ticket is gone, its key is in the roster.
    winner.overlay.close_link(seed.key()).await;
    seed.until_down(winner.key()).await;
    assert_eq!(winner.overlay.dial(seed.target(), ticket(7, &secret)).await, Ok(()));
    assert_eq!(role_seen(&mut seed, &winner).await, Role::Member(NodeId(1)));
}

#[tokio::test]
async fn an_operator_without_a_listener_asks_a_node() {
    let mut node = Node::start(config(1)).await;
    let operator = Node::start(client()).await;
    let secret = NodeSecret::generate();
    let mut admission = Admission::default();
    admission.operators.insert(secret.peer_key());
    node.overlay.set_admission(admission);
    operator.overlay.dial(node.target(), Credential::Operator { secret }).await.unwrap();
    assert_eq!(role_seen(&mut node, &operator).await, Role::Operator);
    let asking = operator.overlay.request(node.key(), Class::Admin, b"status".to_vec(), ASK);
    let answering = node.until("request", |event| match event {
        OverlayEvent::Request { class: Class::Admin, body, reply, .. } => {
            assert_eq!(body, b"status");
            reply.send(b"stable".to_vec()).unwrap();
            Some(())
        }
        _ => None,
    });
    assert_eq!(tokio::join!(asking, answering).0, Ok(b"stable".to_vec()));
}

#[tokio::test]
async fn addresses_may_be_of_the_sixth_version() {
    let mut configs = [config(1), config(2)];
    for config in &mut configs {
        config.listen = Some("[::1]:0".parse().unwrap());
    }
    let nodes = mesh(configs.into()).await;
    assert!(nodes.iter().all(|node| node.overlay.linked().len() == 1));
}

#[tokio::test]
async fn a_member_removed_from_the_roster_loses_its_link_and_gets_no_other() {
    let mut nodes = mesh(vec![config(1), config(2)]).await;
    let mut removed = nodes.pop().unwrap();
    let mut rest = nodes.pop().unwrap();
    rest.overlay.set_links(Vec::new());
    rest.overlay.set_admission(roster(std::slice::from_ref(&rest)));
    assert_eq!(rest.until_down(removed.key()).await, LinkDownReason::Expelled);
    let key = rest.key();
    let refusal = removed
        .until("declined", |event| match event {
            OverlayEvent::Declined { peer, refusal } if peer == key => Some(refusal),
            _ => None,
        })
        .await;
    assert_eq!(refusal, Refusal::Stranger);
}

#[tokio::test]
async fn a_node_of_another_lineage_or_behind_another_key_is_not_linked() {
    let mut seed = Node::start(config(1)).await;
    let mut other = config(2);
    other.lineage = Lineage(2);
    let other = Node::start(other).await;
    let imposter = Node::start(config(3)).await;
    let mut admission = roster(&[]);
    admission.members.insert(other.key(), NodeId(1));
    admission.members.insert(imposter.key(), NodeId(2));
    seed.overlay.set_admission(admission);
    let outcome = other.overlay.dial(seed.target(), Credential::Member).await;
    assert_eq!(outcome, Err(DialError::Refused(Refusal::Lineage)));
    seed.until("refused", |event| matches!(event, OverlayEvent::Refused { .. }).then_some(())).await;
    // The address is right, the key is not: the dialer closes the connection before it sends a credential.
    let mut target = seed.target();
    target.key = other.key();
    let outcome = imposter.overlay.dial(target, Credential::Member).await;
    assert_eq!(outcome, Err(DialError::Unreachable(rhizo_overlay::UnreachableReason::WrongKey)));
    assert_eq!(seed.overlay.counters().multiplexers, 0);
}

#[tokio::test]
async fn commands_of_one_operator_at_the_same_time_keep_their_links() {
    let mut node = Node::start(config(1)).await;
    let commands = [Node::start(client()).await, Node::start(client()).await];
    let secret = NodeSecret::generate();
    let mut admission = Admission::default();
    admission.operators.insert(secret.peer_key());
    node.overlay.set_admission(admission);
    for command in &commands {
        let credential = Credential::Operator { secret: secret.clone() };
        command.overlay.dial(node.target(), credential).await.unwrap();
        assert_eq!(role_seen(&mut node, command).await, Role::Operator);
    }
    for command in &commands {
        assert!(node.overlay.linked().contains(&command.key()), "the link of the other command replaced it");
    }
    // An operator that is removed loses all of its links.
    node.overlay.set_admission(Admission::default());
    let mut expelled = BTreeSet::new();
    while expelled.len() < commands.len() {
        expelled.insert(
            node.until("link down", |event| match event {
                OverlayEvent::LinkDown { peer, reason: LinkDownReason::Expelled } => Some(peer),
                _ => None,
            })
            .await,
        );
    }
    assert_eq!(expelled, commands.iter().map(Node::key).collect());
}
