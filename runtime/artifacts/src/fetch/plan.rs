//! The pieces of a tree that a fetch still needs, and which peer was asked for which of them.
//!
//! Each open request names pieces that no other open request names, so no piece arrives twice, although the server
//! chooses among the named ones. When every missing piece is named by a request, a peer without work is asked for
//! pieces of a slower one: the end of a transfer does not wait for its slowest peer.

use crate::pieces::PieceHashes;
use crate::share::Share;
use crate::store::{Lease, Partial, Store, StoreError};
use crate::wire::{Held, NUMBERS_MAX};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A missing piece is asked from at most this many peers at a time.
const ASKED_MAX: u8 = 2;

/// The missing pieces of a tree.
#[derive(Debug)]
pub(super) struct Plan {
    share: Arc<Share>,
    bytes: u64,
    state: Mutex<State>,
    _lease: Lease,
}

#[derive(Debug)]
struct State {
    /// The contents in transfer, by their index in the layout.
    partials: BTreeMap<usize, Arc<Partial>>,
    /// The contents whose piece hashes were asked for.
    hashes_asked: Vec<bool>,
    /// The number of open requests that name a piece; [`u8::MAX`] for a piece that is here.
    asked: Vec<u8>,
    /// The missing pieces that no request names.
    unasked: u32,
    bytes_here: u64,
    /// The pieces before this one are here.
    first_missing: usize,
}

/// A piece that is here has this count of requests.
const HERE: u8 = u8::MAX;

/// The next request to a peer.
#[derive(Debug)]
pub(super) enum Next {
    /// The hashes of the pieces of the content with this index.
    Hashes(usize),
    /// Some of these pieces.
    Pieces(Vec<u32>),
    /// The peer has no piece that is missing and not asked for elsewhere.
    Nothing,
}

/// The peer that the next request is for.
pub(super) struct Wish<'a> {
    /// The pieces that it has.
    pub(super) held: &'a Held,
    /// Whether it may be asked for the hashes of pieces.
    pub(super) hashes: bool,
    /// Returns true if an open request to this peer names the piece.
    pub(super) named: &'a dyn Fn(u32) -> bool,
}

impl Plan {
    /// Plans what is missing, with what earlier transfers have left.
    pub(super) fn new(store: &Store, share: Arc<Share>, lease: Lease) -> Result<Self, StoreError> {
        let layout = &share.layout;
        let mut partials = BTreeMap::new();
        for (index, blob) in layout.blobs().iter().enumerate() {
            if store.has_blob(&blob.hash) {
                continue;
            }
            if blob.count == 0 {
                store.put(&lease, &[][..])?;
                continue;
            }
            if let Some(hashes) = store.partial_hashes(&blob.hash, blob.bytes) {
                partials.insert(index, store.partial(&blob.hash, hashes)?);
            }
        }
        let count = layout.count() as usize;
        let bytes = layout.blobs().iter().map(|blob| blob.bytes).sum();
        let mut state = State {
            hashes_asked: vec![false; layout.blobs().len()],
            asked: vec![0; count],
            unasked: layout.count(),
            bytes_here: 0,
            first_missing: 0,
            partials: BTreeMap::new(),
        };
        for number in 0..layout.count() {
            let place = layout.place(number).expect("the number is below the count");
            let partial = partials.get(&place.blob);
            if share.has(number) || partial.is_some_and(|partial| partial.has(place.piece)) {
                state.arrived(number, place.bytes);
                share.add(number);
            }
        }
        state.partials = partials;
        Ok(Self { share, bytes, state: Mutex::new(state), _lease: lease })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn bytes_here(&self) -> u64 {
        self.state().bytes_here
    }

    pub(super) fn is_done(&self) -> bool {
        self.state().bytes_here == self.bytes
    }

    /// Chooses the next request to a peer. `requests` is the number of requests that are open at all peers when each has
    /// as many as it may; `from` is a random number.
    pub(super) fn next(&self, wish: &Wish<'_>, requests: u32, from: u32) -> Next {
        let mut state = self.state();
        let share = state.unasked / requests.max(1);
        let wanted = (share as usize).clamp(1, NUMBERS_MAX);
        let count = state.asked.len();
        if state.first_missing >= count {
            return Next::Nothing;
        }
        let mut numbers = Vec::new();
        let (mut hashes, mut shared) = (None, None);
        let begin = state.first_missing;
        let span = count - begin;
        for step in 0..span {
            let index = begin + (from as usize % span + step) % span;
            let asked = state.asked[index];
            let number = index as u32;
            if asked == HERE || asked >= ASKED_MAX || !wish.held.has(number) {
                continue;
            }
            let Some(place) = self.share.layout.place(number) else { continue };
            if !state.partials.contains_key(&place.blob) {
                if wish.hashes && !state.hashes_asked[place.blob] {
                    hashes = hashes.or(Some(place.blob));
                }
            } else if asked == 0 {
                numbers.push(number);
                if numbers.len() == wanted {
                    break;
                }
            } else if shared.is_none() && !(wish.named)(number) {
                shared = Some(number);
            }
        }
        if let Some(blob) = hashes {
            state.hashes_asked[blob] = true;
            return Next::Hashes(blob);
        }
        if numbers.is_empty() {
            numbers.extend(shared);
        }
        for number in &numbers {
            state.ask(*number);
        }
        if numbers.is_empty() { Next::Nothing } else { Next::Pieces(numbers) }
    }

    /// Releases the pieces that a request named, after its answer or its failure.
    pub(super) fn release(&self, numbers: &[u32]) {
        let mut state = self.state();
        for number in numbers {
            state.release(*number);
        }
    }

    /// The piece hashes of a content did not come from the peer that was asked.
    pub(super) fn release_hashes(&self, blob: usize) {
        self.state().hashes_asked[blob] = false;
    }

    /// Takes the hashes of the pieces of a content: its pieces can be asked for. Blocks on the disk.
    pub(super) fn take_hashes(
        &self,
        store: &Store,
        blob: usize,
        hashes: PieceHashes,
    ) -> Result<(), StoreError> {
        let content = self.share.layout.blobs()[blob];
        let partial = store.partial(&content.hash, hashes)?;
        let mut state = self.state();
        // Another fetch may have got pieces of the same content.
        for piece in 0..content.count {
            if partial.has(u64::from(piece)) {
                self.arrived(&mut state, content.first + piece);
            }
        }
        state.partials.insert(blob, partial);
        Ok(())
    }

    /// Writes a piece that has arrived. Returns false if its bytes are wrong. Blocks on the disk.
    pub(super) fn write(&self, number: u32, bytes: &[u8]) -> Result<bool, StoreError> {
        let Some(place) = self.share.layout.place(number) else { return Ok(false) };
        let Some(partial) = self.state().partials.get(&place.blob).cloned() else { return Ok(false) };
        if !partial.write(place.piece, bytes)? {
            return Ok(false);
        }
        self.arrived(&mut self.state(), number);
        Ok(true)
    }

    fn arrived(&self, state: &mut State, number: u32) {
        let bytes = self.share.layout.place(number).map_or(0, |place| place.bytes);
        state.arrived(number, bytes);
        self.share.add(number);
    }
}

impl State {
    fn ask(&mut self, number: u32) {
        let asked = &mut self.asked[number as usize];
        if *asked == HERE {
            return;
        }
        if *asked == 0 {
            self.unasked -= 1;
        }
        *asked += 1;
    }

    fn release(&mut self, number: u32) {
        let asked = &mut self.asked[number as usize];
        if *asked == HERE || *asked == 0 {
            return;
        }
        *asked -= 1;
        if *asked == 0 {
            self.unasked += 1;
        }
    }

    fn arrived(&mut self, number: u32, bytes: u64) {
        let asked = &mut self.asked[number as usize];
        if *asked == HERE {
            return;
        }
        if *asked == 0 {
            self.unasked -= 1;
        }
        *asked = HERE;
        self.bytes_here += bytes;
        while self.asked.get(self.first_missing) == Some(&HERE) {
            self.first_missing += 1;
        }
    }
}
