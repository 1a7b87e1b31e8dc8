//! The peers that may open a stream, and the copies that they reach.

use crate::harness::{Node, copy, echo, export, in_time, make_members, nodes};
use rhizo_overlay::{Credential, NodeSecret, Refusal, TicketId, TicketSecret};
use rhizo_traffic::{Copy, forward};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn strangers_and_hosts_that_have_not_joined_are_refused() {
    let node = &nodes(1).await[0];
    let stranger = Node::new(9).await;
    let (key, address) = (node.overlay.local_key(), node.overlay.listen_address().unwrap());
    let dialer = stranger.overlay.stream_dialer();
    let refused = |credential: Credential| {
        let dialer = dialer.clone();
        async move { in_time(dialer.dial(key, address, &credential)).await.unwrap_err().refusal() }
    };
    assert_eq!(refused(Credential::Member).await, Some(Refusal::Stranger));
    let operator = Credential::Operator { secret: NodeSecret::generate() };
    assert_eq!(refused(operator).await, Some(Refusal::Operator));
    let secret = TicketSecret::generate();
    let mut admission = rhizo_overlay::Admission::default();
    admission.tickets.insert(TicketId(1), secret.verifier());
    node.overlay.set_admission(admission);
    assert_eq!(refused(Credential::Ticket { id: TicketId(1), secret }).await, Some(Refusal::Ticket));
}

#[tokio::test]
async fn the_connections_of_a_former_member_are_closed_at_both_ends() {
    for (kept, view) in [(0, 1), (1, 0)] {
        let nodes = nodes(2).await;
        let exporter = nodes[1].place(0, echo().await);
        let (address, _listening) = nodes[0].import(&[&exporter]);
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"x").await.unwrap();
        in_time(client.read_exact(&mut [0])).await.unwrap();
        assert_ne!(kept, view);
        make_members(&[&nodes[view]], &[&nodes[view]]);
        assert!(in_time(client.read(&mut [0])).await.is_err(), "in the view of {view}");
    }
}

#[tokio::test]
async fn an_operator_reaches_an_active_export_and_no_other() {
    let node = &nodes(1).await[0];
    node.place(0, echo().await);
    let operator = NodeSecret::generate();
    let mut admission = rhizo_overlay::Admission::default();
    admission.operators.insert(operator.peer_key());
    node.overlay.set_admission(admission);
    let machine = Node::new(9).await;
    let (dialer, member) = (machine.overlay.stream_dialer(), node.member());
    let credential = Credential::Operator { secret: operator };
    for (instance, is_served) in [(copy(0), true), (copy(1), false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let (dialer, credential) = (dialer.clone(), credential.clone());
        // A copy that is not served is passed over.
        let copies = [copy(5), instance].map(|instance| Copy { instance, member: member.clone() });
        let forwarding =
            tokio::spawn(async move { forward(socket, &dialer, &credential, &copies, &export()).await });
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = in_time(client.read_to_end(&mut answer)).await;
        assert_eq!(in_time(forwarding).await.unwrap().is_ok(), is_served);
        assert_eq!((read.is_ok(), answer == b"hello"), (is_served, is_served));
    }
}
