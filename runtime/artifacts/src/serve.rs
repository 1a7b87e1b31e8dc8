//! The serving end of a transfer: answers the requests of one peer over one stream.
//!
//! It sends only what the peer asked for, and holds one piece in memory. The caller has authenticated the peer; content
//! is not secret among the members of an application. Read next: [`mod@crate::fetch`], the other end.

use crate::fetch::{self, FetchError, Peers, Progress};
use crate::on_disk::on_disk;
use crate::pieces::PIECE_BYTES;
use crate::share::{Exchange, Share};
use crate::store::StoreError;
use crate::wire::{self, Answer, Request};
use rhizo_types::{Digest, PeerKey};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

/// An answer without a piece comes after this time at the latest, so that both ends notice a broken stream.
const NEWS_MAX: Duration = Duration::from_secs(5);
/// A tree that was offered is kept for this time: until the command line has shown its plan, was answered, and the
/// spec that names the tree is committed.
const OFFERED_KEPT: Duration = Duration::from_secs(3_600);

/// A stream was not served to its end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The stream broke, or the peer broke the protocol.
    #[error("serve a peer")]
    Stream(#[from] io::Error),
    /// The store could not be read.
    #[error("serve a peer")]
    Store(#[from] StoreError),
    /// The peer did not get the tree that it was offered.
    #[error("offer tree {tree}: {reason}")]
    Refused {
        /// The tree.
        tree: Digest,
        /// The peer's reason.
        reason: String,
    },
}

/// Serves a peer until it closes the stream. A peer that may offer trees can have this node fetch one from it.
///
/// # Errors
/// The stream broke, the peer broke the protocol, or the store could not be read.
pub async fn serve<S>(exchange: &Exchange, mut stream: S, may_offer: bool) -> Result<(), ServeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(_client) = exchange.clients.clone().try_acquire_owned() else {
        wire::send_answer(&mut stream, &Answer::Busy, &[]).await?;
        return Ok(wire::flush(&mut stream).await?);
    };
    while let Some(request) = wire::next_request(&mut stream).await? {
        match request {
            Request::Offer { tree } if may_offer => return accept_offer(exchange, stream, tree).await,
            Request::Offer { .. } | Request::Farewell { .. } => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it may not offer trees").into());
            }
            request => answer(exchange, &mut stream, request).await?,
        }
    }
    Ok(())
}

/// Offers a tree of the store to a peer, and serves it until it has the tree.
///
/// # Errors
/// The stream broke, the store could not be read, or the peer did not get the tree and says why.
pub async fn offer<S>(exchange: &Exchange, mut stream: S, tree: Digest) -> Result<(), ServeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _lease = exchange.store.lease_tree(tree);
    wire::send_request(&mut stream, &Request::Offer { tree }).await?;
    wire::flush(&mut stream).await?;
    while let Some(request) = wire::next_request(&mut stream).await? {
        match request {
            Request::Farewell { failure: None } => return Ok(()),
            Request::Farewell { failure: Some(reason) } => return Err(ServeError::Refused { tree, reason }),
            request => answer(exchange, &mut stream, request).await?,
        }
    }
    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
}

async fn answer<S>(exchange: &Exchange, stream: &mut S, request: Request) -> Result<(), ServeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = match request {
        Request::Manifest { tree } => {
            let share = on_disk(exchange, move |exchange| exchange.share(&tree)).await?;
            share.map_or(Answer::Absent, |share| Answer::Manifest { encoded: share.encoded.clone() })
        }
        Request::PieceHashes { blob, bytes } => {
            on_disk(exchange, move |exchange| {
                let store = &exchange.store;
                let hashes = store.partial_hashes(&blob, bytes);
                let hashes = hashes.or_else(|| store.piece_hashes(&blob, bytes).ok());
                hashes.map_or(Answer::Absent, |hashes| Answer::PieceHashes { hashes: hashes.encode() })
            })
            .await
        }
        Request::Take { tree, numbers, seen } => {
            match on_disk(exchange, move |exchange| exchange.share(&tree)).await? {
                Some(share) => {
                    send_pieces(exchange, stream, &share, numbers, seen).await?;
                    Answer::End { held: share.held() }
                }
                None => Answer::Absent,
            }
        }
        Request::Offer { .. } | Request::Farewell { .. } => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this end serves").into());
        }
    };
    wire::send_answer(stream, &answer, &[]).await?;
    Ok(wire::flush(stream).await?)
}

/// Sends named pieces that this node has until the length of one piece is sent. Without one, waits for news.
async fn send_pieces<S>(
    exchange: &Exchange,
    stream: &mut S,
    share: &Arc<Share>,
    mut wanted: Vec<u32>,
    seen: u32,
) -> Result<(), ServeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if wanted.is_empty() && !share.is_whole() {
        let mut counted = share.counted();
        let _no_news_in_time = timeout(NEWS_MAX, counted.wait_for(|count| *count != seen)).await;
    }
    let mut bytes_left = PIECE_BYTES;
    while let Some(number) = share.take_rarest(&mut wanted) {
        let Some(place) = share.layout.place(number) else { break };
        let blob = share.layout.blobs()[place.blob];
        let read =
            on_disk(exchange, move |exchange| exchange.store.read_piece(&blob.hash, blob.bytes, place.piece));
        match read.await {
            Ok(piece) => wire::send_answer(stream, &Answer::Piece { number }, &piece).await?,
            // It was collected, or removed because it was damaged.
            Err(error) => {
                tracing::debug!(%number, error = %error, "piece withdrawn, its content cannot be read");
                share.withdraw(number);
                continue;
            }
        }
        bytes_left = bytes_left.saturating_sub(place.bytes);
        let next = wanted.first().and_then(|next| share.layout.place(*next));
        if next.is_none_or(|next| next.bytes > bytes_left) {
            break;
        }
    }
    Ok(())
}

/// Fetches an offered tree from the peer that offered it, and says goodbye.
async fn accept_offer<S>(exchange: &Exchange, stream: S, tree: Digest) -> Result<(), ServeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let offer = Arc::new(Mutex::new(Some(stream)));
    let peers = OneStream { stream: offer.clone() };
    let lease = exchange.store.lease_tree(tree);
    let (progress, _) = watch::channel(Progress::default());
    let fetched = fetch::fetch(exchange, tree, Arc::new(peers), progress).await;
    let failure = fetched.as_ref().err().map(FetchError::in_words);
    if failure.is_none() {
        exchange.keep(lease, OFFERED_KEPT);
    }
    let stream = offer.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut stream) = stream {
        wire::send_request(&mut stream, &Request::Farewell { failure }).await?;
        wire::flush(&mut stream).await?;
    }
    Ok(())
}

/// The peer that offered a tree: one stream, which is there once more after each use.
struct OneStream<S> {
    stream: Arc<Mutex<Option<S>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Peers for OneStream<S> {
    type Stream = Borrowed<S>;

    fn candidates(&self) -> Vec<PeerKey> {
        let here = self.stream.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if here { vec![PeerKey([0; 32])] } else { Vec::new() }
    }

    async fn open(&self, _: PeerKey) -> io::Result<Borrowed<S>> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = stream.ok_or(io::ErrorKind::NotConnected)?;
        Ok(Borrowed { stream: Some(stream), home: self.stream.clone() })
    }
}

/// A stream that is returned when its user drops it.
struct Borrowed<S> {
    stream: Option<S>,
    home: Arc<Mutex<Option<S>>>,
}

impl<S> Drop for Borrowed<S> {
    fn drop(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
    }
}

mod borrowed;
