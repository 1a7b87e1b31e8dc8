//! The conversation of a fetch with one peer.
//!
//! Several requests are open at a time, because the path to a peer may be long: with 16 requests of 256 KiB, a link
//! with a round-trip time of 200 ms still carries 20 MB/s. The peer answers in the order of the requests. Read next:
//! [`super::depth`], which says how many requests are of use.

use super::depth::Depth;
use super::plan::{Next, Plan, Wish};
use super::{Fetch, Peers};
use crate::manifest::Manifest;
use crate::on_disk::on_disk;
use crate::pieces::PieceHashes;
use crate::store::{Store, StoreError};
use crate::wire::{self, Answer, Held, Request};
use rhizo_types::PeerKey;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::time::Instant;

/// A peer did not do its part.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("it is not reached: {0}")]
    Open(io::Error),
    #[error("its stream broke: {0}")]
    Stream(io::Error),
    #[error("it does not have the tree")]
    Absent,
    #[error("it has no piece that is missing here")]
    Nothing,
    #[error("it serves as many peers as it may")]
    Busy,
    #[error("it sent a manifest that is not that of the tree")]
    Manifest,
    #[error("it sent wrong hashes of pieces")]
    Hashes,
    #[error("it sent a piece with a wrong hash")]
    Piece,
    #[error("it sent an answer that was not asked for")]
    Protocol,
    /// The fetch ends for a reason of its own.
    #[error("this end has stopped")]
    Stopped,
}

impl PeerError {
    /// Returns true if the peer sent bytes that it cannot have verified.
    pub(super) fn is_lie(&self) -> bool {
        matches!(self, Self::Manifest | Self::Hashes | Self::Piece | Self::Protocol)
    }
}

/// A request whose answer has not come.
enum Open {
    Hashes(usize),
    Pieces(Vec<u32>),
}

/// The state of the conversation. What is still open is released when it ends, so that other peers are asked.
struct Conversation<'a, P: Peers> {
    fetch: &'a Fetch<P>,
    plan: Arc<Plan>,
    stream: P::Stream,
    held: Held,
    open: VecDeque<(Open, Instant)>,
    depth: Depth,
    /// The peer does not know the piece hashes of a content: it gets no more requests for hashes.
    without_hashes: bool,
}

/// Fetches from one peer until the tree is complete or the peer fails.
pub(super) async fn run<P: Peers>(fetch: &Fetch<P>, peer: PeerKey) -> Result<(), PeerError> {
    let mut stream = fetch.peers.open(peer).await.map_err(PeerError::Open)?;
    if fetch.plan.get().is_none() {
        ask_manifest(fetch, &mut stream).await?;
    }
    let plan = fetch.plan.get().expect("the manifest was just learnt").clone();
    let held = Held::Some { bits: Vec::new() };
    let open = VecDeque::new();
    let depth = Depth::default();
    let mut conversation = Conversation { fetch, plan, stream, held, open, depth, without_hashes: false };
    while !conversation.plan.is_done() {
        conversation.ask().await?;
        if !conversation.hear().await? {
            return Err(PeerError::Nothing);
        }
    }
    Ok(())
}

async fn ask_manifest<P: Peers>(fetch: &Fetch<P>, stream: &mut P::Stream) -> Result<(), PeerError> {
    let request = Request::Manifest { tree: fetch.tree };
    wire::send_request(stream, &request).await.map_err(PeerError::Stream)?;
    wire::flush(stream).await.map_err(PeerError::Stream)?;
    let encoded = match wire::next_answer(stream).await.map_err(PeerError::Stream)? {
        Answer::Manifest { encoded } => encoded,
        Answer::Absent => return Err(PeerError::Absent),
        Answer::Busy => return Err(PeerError::Busy),
        _ => return Err(PeerError::Protocol),
    };
    if *blake3::hash(&encoded).as_bytes() != fetch.tree.0 {
        return Err(PeerError::Manifest);
    }
    let manifest = Manifest::decode(&encoded).map_err(|_| PeerError::Manifest)?;
    fetch.learn(manifest).await.map_err(|error| {
        fetch.give_up(error);
        PeerError::Stopped
    })
}

impl<P: Peers> Conversation<'_, P> {
    /// Sends requests until enough are open. Without a piece to ask for, asks for news.
    async fn ask(&mut self) -> Result<(), PeerError> {
        let mut sent = false;
        while self.open.len() < self.depth.requests() {
            let Some((request, open)) = self.next_request() else { break };
            self.open.push_back((open, Instant::now()));
            wire::send_request(&mut self.stream, &request).await.map_err(PeerError::Stream)?;
            sent = true;
        }
        if self.open.is_empty() {
            self.open.push_back((Open::Pieces(Vec::new()), Instant::now()));
            let request = self.take(Vec::new());
            wire::send_request(&mut self.stream, &request).await.map_err(PeerError::Stream)?;
            sent = true;
        }
        if sent {
            wire::flush(&mut self.stream).await.map_err(PeerError::Stream)?;
        }
        Ok(())
    }

    /// Chooses the next request; none if the peer has nothing that is missing and not asked for.
    fn next_request(&self) -> Option<(Request, Open)> {
        let peers = self.fetch.progress.borrow().peers.max(1);
        let requests = u32::try_from(peers * self.depth.requests()).unwrap_or(u32::MAX);
        let named = |number| {
            let names = |open: &Open| matches!(open, Open::Pieces(numbers) if numbers.contains(&number));
            self.open.iter().any(|(open, _)| names(open))
        };
        let wish = Wish { held: &self.held, hashes: !self.without_hashes, named: &named };
        match self.plan.next(&wish, requests, rand::random()) {
            Next::Hashes(blob) => {
                let content = self.plan.share().layout.blobs()[blob];
                let request = Request::PieceHashes { blob: content.hash, bytes: content.bytes };
                Some((request, Open::Hashes(blob)))
            }
            Next::Pieces(numbers) => Some((self.take(numbers.clone()), Open::Pieces(numbers))),
            Next::Nothing => None,
        }
    }

    fn take(&self, numbers: Vec<u32>) -> Request {
        let seen = self.held.count(self.plan.share().layout.count());
        Request::Take { tree: self.fetch.tree, numbers, seen }
    }

    /// Waits for the whole answer to the oldest request. Returns false if the peer had no news for a request without
    /// pieces: its place is better used for another peer.
    async fn hear(&mut self) -> Result<bool, PeerError> {
        let mut useful = true;
        match self.open.front() {
            Some((Open::Hashes(blob), _)) => {
                let blob = *blob;
                self.hear_hashes(blob).await?;
                self.open.pop_front();
            }
            Some((Open::Pieces(numbers), asked)) => {
                let (numbers, asked) = (numbers.clone(), *asked);
                let before = self.held.clone();
                self.hear_pieces(&numbers).await?;
                useful = !numbers.is_empty() || self.held != before;
                self.open.pop_front();
                self.plan.release(&numbers);
                if !numbers.is_empty() {
                    self.depth.note(asked, Instant::now());
                }
            }
            None => {}
        }
        self.fetch.report();
        Ok(useful)
    }

    async fn hear_hashes(&mut self, blob: usize) -> Result<(), PeerError> {
        let content = self.plan.share().layout.blobs()[blob];
        match wire::next_answer(&mut self.stream).await.map_err(PeerError::Stream)? {
            Answer::PieceHashes { hashes } => {
                let verified = PieceHashes::verified(&content.hash, content.bytes, &hashes);
                let hashes = verified.ok_or(PeerError::Hashes)?;
                let plan = self.plan.clone();
                self.fetch.write(plan, move |plan, store| plan.take_hashes(store, blob, hashes)).await
            }
            Answer::Absent => {
                self.without_hashes = true;
                self.plan.release_hashes(blob);
                Ok(())
            }
            Answer::Busy => Err(PeerError::Busy),
            _ => Err(PeerError::Protocol),
        }
    }

    async fn hear_pieces(&mut self, numbers: &[u32]) -> Result<(), PeerError> {
        loop {
            match wire::next_answer(&mut self.stream).await.map_err(PeerError::Stream)? {
                Answer::Piece { number } if numbers.contains(&number) => {
                    let place = self.plan.share().layout.place(number).ok_or(PeerError::Protocol)?;
                    let piece = wire::read_piece(&mut self.stream, place.bytes).await;
                    let piece = piece.map_err(PeerError::Stream)?;
                    self.fetch.progress.send_modify(|progress| progress.bytes_received += place.bytes);
                    let plan = self.plan.clone();
                    let written = self.fetch.write(plan, move |plan, _| plan.write(number, &piece));
                    if !written.await? {
                        return Err(PeerError::Piece);
                    }
                }
                Answer::End { held } => {
                    self.held = held;
                    return Ok(());
                }
                Answer::Absent => return Err(PeerError::Absent),
                Answer::Busy => return Err(PeerError::Busy),
                _ => return Err(PeerError::Protocol),
            }
        }
    }
}

impl<P: Peers> Fetch<P> {
    /// Runs a step that writes to the store. A store that fails ends the whole fetch.
    async fn write<T: Send + 'static>(
        &self,
        plan: Arc<Plan>,
        step: impl FnOnce(&Plan, &Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, PeerError> {
        let done = on_disk(&self.exchange, move |exchange| step(&plan, &exchange.store)).await;
        done.map_err(|error| {
            self.give_up(error);
            PeerError::Stopped
        })
    }
}

impl<P: Peers> Drop for Conversation<'_, P> {
    fn drop(&mut self) {
        for (open, _) in self.open.drain(..) {
            match open {
                Open::Hashes(blob) => self.plan.release_hashes(blob),
                Open::Pieces(numbers) => self.plan.release(&numbers),
            }
        }
    }
}
