//! Ends that do not follow the rules: raw clients with a valid Noise handshake, rogue members.

use crate::harness::{Node, WATCHDOG, config};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::upgrade::OutboundConnectionUpgrade;
use libp2p::identity::Keypair;
use libp2p::noise;
use rand::{RngExt, SeedableRng};
use rhizo_overlay::{Admission, LinkDownReason, NodeSecret, OverlayEvent, TicketId, TicketSecret};
use rhizo_types::NodeId;
use std::net::SocketAddr;
use tokio::net::TcpStream;

type Raw = noise::Output<Compat>;

/// The hello of a member of lineage 1: a nonce of sevens.
fn member_hello() -> [u8; 64] {
    let mut hello = [0; 64];
    hello[..5].copy_from_slice(b"rhz1\x01");
    hello[16..48].fill(7);
    hello[48] = 1;
    hello
}

/// A Noise session as any program could set it up: it needs to know the names, not a secret.
async fn raw(node: &Node, secret: &NodeSecret) -> Raw {
    let address: SocketAddr = node.overlay.listen_address().unwrap();
    let prologue = blake3::derive_key("rhizo 2026-11-29 noise prologue", b"test");
    let keypair = Keypair::ed25519_from_bytes(*secret.expose()).unwrap();
    let config = noise::Config::new(&keypair).unwrap();
    let config = config.with_prologue(prologue.to_vec());
    let stream = Compat(TcpStream::connect(address).await.unwrap());
    config.upgrade_outbound(stream, "/noise").await.unwrap().1
}

/// Reads until the other end closes.
async fn rest(raw: &mut Raw) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = raw.read_to_end(&mut bytes);
    // A reset is an end as well; what counts is what came before.
    let _ = tokio::time::timeout(WATCHDOG, reading).await.expect("the connection is ended");
    bytes
}

async fn seed() -> Node {
    let node = Node::start(config(1)).await;
    let mut admission = Admission::default();
    let secret = TicketSecret::from_bytes([9; 32]);
    admission.tickets.insert(TicketId(7), secret.verifier());
    node.overlay.set_admission(admission);
    node
}

#[tokio::test]
async fn a_stranger_with_a_valid_handshake_never_reaches_a_multiplexer() {
    let node = seed().await;
    let mut raw = raw(&node, &NodeSecret::generate()).await;
    raw.write_all(&member_hello()).await.unwrap();
    raw.flush().await.unwrap();
    let mut answer = [0; 72];
    raw.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[64..], [2, 0, 0, 0, 0, 0, 0, 0], "the verdict is: stranger");
    // A stranger that speaks yamux all the same gets no answer.
    let _ = raw.write_all(&[0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]).await;
    let _ = raw.flush().await;
    assert_eq!(rest(&mut raw).await, b"");
    let counters = node.overlay.counters();
    assert_eq!((counters.admitted, counters.multiplexers), (0, 0));
}

#[tokio::test]
async fn malformed_credentials_are_refused_and_change_nothing() {
    let node = seed().await;
    let mut rng = rand::rngs::StdRng::seed_from_u64(11);
    for round in 0..200 {
        let mut raw = raw(&node, &NodeSecret::generate()).await;
        let mut junk = vec![0_u8; rng.random_range(0..200)];
        rng.fill(&mut junk[..]);
        // Half of the rounds start like a hello, so that the later fields are reached.
        if round % 2 == 0 && junk.len() >= 64 {
            junk[..8].copy_from_slice(&[b'r', b'h', b'z', b'1', rng.random_range(0..5), 0, 0, 0]);
            junk[48..64].fill(0);
            junk[8..16].copy_from_slice(&7_u64.to_le_bytes());
        }
        let _ = raw.write_all(&junk).await;
        let _ = raw.close().await;
        let answer = rest(&mut raw).await;
        let verdict = answer.get(64..).unwrap_or_default();
        assert!(verdict.first() != Some(&1), "let in by {junk:?}");
    }
    let counters = node.overlay.counters();
    assert_eq!((counters.admitted, counters.refused, counters.multiplexers), (0, 200, 0));
}

#[tokio::test]
async fn bytes_that_are_no_handshake_are_refused() {
    let node = seed().await;
    let address = node.overlay.listen_address().unwrap();
    for junk in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 4096]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, junk).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
        let mut answer = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer);
        let _ = tokio::time::timeout(WATCHDOG, reading).await.expect("the connection is ended");
    }
    assert_eq!(node.overlay.counters().multiplexers, 0);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_ended() {
    let node = seed().await;
    let mut stream = TcpStream::connect(node.overlay.listen_address().unwrap()).await.unwrap();
    let mut byte = [0; 1];
    let reading = tokio::io::AsyncReadExt::read(&mut stream, &mut byte);
    let read = tokio::time::timeout(WATCHDOG, reading).await.expect("the connection is ended");
    assert!(matches!(read, Ok(0) | Err(_)), "heard something");
    let mut raw = raw(&node, &NodeSecret::generate()).await;
    assert_eq!(rest(&mut raw).await, b"", "no hello, no answer");
}

/// A member that has passed the gate and then sends raw yamux frames, on any number of streams.
async fn rogue_member(
    node: &Node,
    secret: &NodeSecret,
    streams: usize,
) -> (Vec<yamux::Stream>, tokio::task::JoinHandle<()>) {
    let mut admission = Admission::default();
    admission.members.insert(secret.peer_key(), NodeId(1));
    node.overlay.set_admission(admission);
    let mut raw = raw(node, secret).await;
    raw.write_all(&member_hello()).await.unwrap();
    raw.flush().await.unwrap();
    let mut answer = [0; 72];
    raw.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[64], 1, "the verdict is: come in");
    let mut connection = yamux::Connection::new(raw, yamux::Config::default(), yamux::Mode::Client);
    let mut opened = Vec::new();
    for _ in 0..streams {
        opened.push(std::future::poll_fn(|cx| connection.poll_new_outbound(cx)).await.unwrap());
    }
    let driver = tokio::spawn(async move {
        while let Some(Ok(_)) = std::future::poll_fn(|cx| connection.poll_next_inbound(cx)).await {}
    });
    (opened, driver)
}

/// Opens the Raft lane and sends one message on it.
async fn open_lane(stream: &mut yamux::Stream) {
    stream.write_all(b"\x13/multistream/1.0.0\n\x0e/rhizo/raft/1\n").await.unwrap();
    let good = [&[1][..], &[0; 8], &2_u32.to_le_bytes(), b"ok"].concat();
    stream.write_all(&good).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn a_newer_connection_of_a_member_takes_the_place_of_its_older_one() {
    let mut node = seed().await;
    let secret = NodeSecret::generate();
    let (_first, older) = rogue_member(&node, &secret, 1).await;
    node.until_up(secret.peer_key()).await;
    let (mut second, _newer) = rogue_member(&node, &secret, 1).await;
    assert_eq!(node.until_down(secret.peer_key()).await, LinkDownReason::Superseded);
    node.until_up(secret.peer_key()).await;
    tokio::time::timeout(WATCHDOG, older).await.expect("the older connection is closed").unwrap();
    open_lane(&mut second[0]).await;
    node.until("message", |event| matches!(event, OverlayEvent::Frame { .. }).then_some(())).await;
    assert_eq!(node.overlay.linked(), [secret.peer_key()]);
}

#[tokio::test]
async fn a_member_that_opens_a_second_lane_of_a_class_loses_its_link() {
    let mut node = seed().await;
    let secret = NodeSecret::generate();
    let (mut streams, _driver) = rogue_member(&node, &secret, 2).await;
    open_lane(&mut streams[0]).await;
    node.until("message", |event| matches!(event, OverlayEvent::Frame { .. }).then_some(())).await;
    open_lane(&mut streams[1]).await;
    assert_eq!(node.until_down(secret.peer_key()).await, LinkDownReason::Violation);
}

#[tokio::test]
async fn a_member_that_announces_an_oversized_or_unknown_frame_loses_its_link() {
    let mut node = seed().await;
    let too_long = 1024 * 1024 + 1_u32;
    let oversized = [&[1][..], &[0; 8], &too_long.to_le_bytes()].concat();
    let unknown = vec![77; 13];
    for frame in [oversized, unknown] {
        let secret = NodeSecret::generate();
        let key = secret.peer_key();
        let (mut streams, driver) = rogue_member(&node, &secret, 1).await;
        let stream = &mut streams[0];
        open_lane(stream).await;
        stream.write_all(&frame).await.unwrap();
        stream.flush().await.unwrap();
        let mut seen = Vec::new();
        let reason = node
            .until("link down", |event| match event {
                OverlayEvent::Frame { body, .. } => {
                    seen.push(body);
                    None
                }
                OverlayEvent::LinkDown { peer, reason } if peer == key => Some(reason),
                _ => None,
            })
            .await;
        assert_eq!((reason, seen), (LinkDownReason::Violation, vec![b"ok".to_vec()]));
        tokio::time::timeout(WATCHDOG, driver).await.expect("the connection is closed").unwrap();
    }
}

/// A tokio stream as libp2p's Noise wants it.
struct Compat(TcpStream);

impl futures::AsyncRead for Compat {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        out: &mut [u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let mut buffer = tokio::io::ReadBuf::new(out);
        let stream = std::pin::Pin::new(&mut self.0);
        std::task::ready!(tokio::io::AsyncRead::poll_read(stream, cx, &mut buffer))?;
        std::task::Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl futures::AsyncWrite for Compat {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(std::pin::Pin::new(&mut self.0), cx, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        tokio::io::AsyncWrite::poll_flush(std::pin::Pin::new(&mut self.0), cx)
    }

    fn poll_close(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(std::pin::Pin::new(&mut self.0), cx)
    }
}
