//! The content of a relayed connection: bytes in both directions, ends, breaks, and the pace of its reader.

use crate::harness::{copy, echo, in_time, nodes, service};
use std::io::ErrorKind;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

async fn ask(address: std::net::SocketAddr, question: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(question).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_half_closed_connection_is_answered_on_this_host_and_on_another() {
    let nodes = nodes(2).await;
    let reversed = service(|mut socket| async move {
        let mut all = Vec::new();
        socket.read_to_end(&mut all).await.unwrap();
        all.reverse();
        socket.write_all(&all).await.unwrap();
    })
    .await;
    let question: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let answer: Vec<u8> = question.iter().rev().copied().collect();
    for node in &nodes {
        let exporter = node.place(0, reversed);
        let (address, _listening) = nodes[0].import(&[&exporter]);
        assert!(in_time(ask(address, &question)).await == answer, "{}", node.id);
    }
}

#[tokio::test]
async fn one_stream_carries_connection_after_connection() {
    let nodes = nodes(2).await;
    let exporter = nodes[1].place(0, echo().await);
    let (address, _listening) = nodes[0].import(&[&exporter]);
    for turn in 0..20_u8 {
        assert_eq!(in_time(ask(address, &[turn; 100])).await, [turn; 100]);
        // The client sees the end of a connection before the nodes do.
        in_time(nodes[1].traffic.drained(copy(0))).await;
    }
    let streams = nodes[1].overlay.counters().admitted;
    assert!(streams < 20, "{streams} streams for 20 connections");
}

#[tokio::test]
async fn a_connection_that_the_copy_breaks_is_broken_at_the_client() {
    let nodes = nodes(2).await;
    let breaks = service(|mut socket| async move {
        socket.write_all(b"the first half").await.unwrap();
        socket.read_exact(&mut [0]).await.unwrap();
        socket.set_zero_linger().unwrap();
    })
    .await;
    for node in &nodes {
        let exporter = node.place(0, breaks);
        let (address, _listening) = nodes[0].import(&[&exporter]);
        let mut client = TcpStream::connect(address).await.unwrap();
        in_time(client.read_exact(&mut [0; 14])).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let ended = in_time(client.read(&mut [0])).await;
        assert_eq!(ended.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset), "{}", node.id);
    }
}

#[tokio::test]
async fn a_connection_that_the_client_breaks_is_broken_at_the_copy() {
    let nodes = nodes(2).await;
    let (sender, mut seen) = tokio::sync::mpsc::channel(2);
    let reports = service(move |mut socket| {
        let sender = sender.clone();
        async move {
            socket.read_exact(&mut [0]).await.unwrap();
            let ended = socket.read(&mut [0]).await.map_err(|error| error.kind());
            sender.send(ended).await.unwrap();
        }
    })
    .await;
    for node in &nodes {
        let exporter = node.place(0, reports);
        let (address, _listening) = nodes[0].import(&[&exporter]);
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"x").await.unwrap();
        // The copy has the byte before the connection breaks.
        while !node.traffic.is_serving(&copy(0)) {
            tokio::task::yield_now().await;
        }
        client.set_zero_linger().unwrap();
        drop(client);
        assert_eq!(in_time(seen.recv()).await, Some(Err(ErrorKind::ConnectionReset)), "{}", node.id);
    }
}

#[tokio::test]
async fn a_reader_that_stalls_stops_its_writer_and_delays_no_other_connection() {
    let nodes = nodes(2).await;
    let written = Arc::new(Semaphore::new(0));
    let count = written.clone();
    let floods = service(move |mut socket| {
        let count = count.clone();
        async move {
            while socket.write_all(&[7; 64 * 1024]).await.is_ok() {
                count.add_permits(1);
            }
        }
    })
    .await;
    let flooding = nodes[1].place(0, floods);
    let echoing = nodes[1].place(1, echo().await);
    let (flooded, _listening) = nodes[0].import(&[&flooding]);
    let (address, _also) = nodes[0].import(&[&echoing]);
    let stalled = TcpStream::connect(flooded).await.unwrap();
    // Until nothing more is written while 20 other connections are served, one after the other.
    let mut before = usize::MAX;
    while before != written.available_permits() {
        before = written.available_permits();
        for turn in 0..20_u8 {
            assert_eq!(in_time(ask(address, &[turn; 1_000])).await, [turn; 1_000]);
        }
    }
    let bytes = before * 64 * 1024;
    assert!((64 * 1024..64 * 1024 * 1024).contains(&bytes), "{bytes} bytes for a reader that reads none");
    drop(stalled);
}
