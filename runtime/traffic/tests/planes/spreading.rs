//! Which copy gets a connection, and what happens while copies come and go.

use crate::harness::{Node, copy, echo, greeter, in_time, nodes, set};
use rhizo_traffic::Exporter;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection, and the byte with which its copy greeted.
async fn greeted(address: SocketAddr) -> (u8, TcpStream) {
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    in_time(client.read_exact(&mut byte)).await.unwrap();
    (byte[0], client)
}

/// An address at which no process listens.
fn closed() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn greeting(node: &Node, ordinal: u32, byte: u8) -> Exporter {
    node.place(ordinal, greeter(byte).await)
}

#[tokio::test]
async fn each_connection_goes_to_the_copy_with_the_fewest() {
    let nodes = nodes(3).await;
    let (one, two) = (greeting(&nodes[1], 0, b'1').await, greeting(&nodes[2], 1, b'2').await);
    let (address, listening) = nodes[0].import(&[&one]);
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(greeted(address).await);
    }
    listening.bind(set(&[&one, &two]));
    for _ in 0..5 {
        open.push(greeted(address).await);
    }
    let bytes: Vec<u8> = open.iter().map(|(byte, _)| *byte).collect();
    assert_eq!(&bytes[..6], b"111222");
    assert_ne!(bytes[6], bytes[7]);
}

#[tokio::test]
async fn a_connection_waits_for_an_exporter_and_the_address_stays() {
    let nodes = nodes(2).await;
    let (address, listening) = nodes[0].import(&[]);
    let waiting = tokio::spawn(greeted(address));
    let exporter = greeting(&nodes[1], 0, b'1').await;
    listening.bind(set(&[&exporter]));
    assert_eq!(in_time(waiting).await.unwrap().0, b'1');
    let (_, kept) = greeted(address).await;
    let moved = greeting(&nodes[0], 0, b'2').await;
    listening.bind(set(&[&moved]));
    assert_eq!(greeted(address).await.0, b'2');
    // The connection to the former exporter goes on: the greeter ends when its client does.
    let mut kept = kept;
    kept.write_all(b"x").await.unwrap();
    assert_eq!(in_time(kept.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_copy_that_cannot_be_reached_leaves_its_connections_to_another() {
    let nodes = nodes(3).await;
    let refuses = nodes[1].place(0, closed());
    let unknown = Exporter { instance: copy(7), node: nodes[1].id };
    let stranger = Exporter { instance: copy(8), node: rhizo_types::NodeId(99) };
    let good = greeting(&nodes[2], 1, b'2').await;
    let (address, _listening) = nodes[0].import(&[&refuses, &unknown, &stranger, &good]);
    for _ in 0..8 {
        assert_eq!(greeted(address).await.0, b'2');
    }
}

#[tokio::test]
async fn a_node_that_ends_breaks_its_connections_and_loses_no_new_one() {
    let mut nodes = nodes(3).await;
    let lost = greeting(&nodes[1], 0, b'1').await;
    let (address, listening) = nodes[0].import(&[&lost]);
    let (_, mut client) = greeted(address).await;
    let gone = nodes.remove(1);
    gone.overlay.close().await;
    drop(gone);
    assert!(in_time(client.read(&mut [0])).await.is_err(), "a broken connection does not look complete");
    let waiting = tokio::spawn(greeted(address));
    let other = greeting(&nodes[1], 1, b'2').await;
    listening.bind(set(&[&lost, &other]));
    assert_eq!(in_time(waiting).await.unwrap().0, b'2');
}

#[tokio::test]
async fn connections_to_a_copy_are_counted_at_its_node() {
    let nodes = nodes(2).await;
    for node in &nodes {
        let exporter = node.place(0, echo().await);
        let (address, _listening) = nodes[0].import(&[&exporter]);
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"x").await.unwrap();
        in_time(client.read_exact(&mut [0])).await.unwrap();
        assert!(node.traffic.is_serving(&copy(0)));
        client.shutdown().await.unwrap();
        in_time(node.traffic.drained(copy(0))).await;
        assert!(!node.traffic.is_serving(&copy(0)));
    }
}

#[tokio::test]
async fn a_burst_of_connections_opens_no_more_streams_at_once_than_the_other_node_takes() {
    let nodes = nodes(2).await;
    let exporter = greeting(&nodes[1], 0, b'1').await;
    let (address, _listening) = nodes[0].import(&[&exporter]);
    // The overlay of the other node takes 64 set-ups from one address.
    let burst: Vec<_> = (0..80).map(|_| tokio::spawn(greeted(address))).collect();
    let mut open = Vec::new();
    for connection in burst {
        open.push(in_time(connection).await.unwrap());
    }
    assert_eq!(nodes[1].overlay.counters().refused, 0);
}
