//! The two tasks of a lane: one writes the queue to the substream, one reads frames and passes them to the shell.
//!
//! Queues, requests and their bounds are in [`crate::lane`]; [`crate::link`] starts these tasks.

use crate::class::Class;
use crate::event::{EventSender, LinkDownReason, OverlayEvent};
use crate::frame::{Frame, FrameError, FrameKind};
use crate::lane::{HELD_REQUESTS_MAX, Lanes, Outlet, Reply, RequestError, decline};
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use rhizo_types::PeerKey;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Small frames are written together up to this many bytes, so that a burst costs one flush.
const GATHER_BYTES: usize = 32 * 1024;

/// Writes a lane's queue to its substream until either ends.
pub(crate) async fn write<W: AsyncWrite + Unpin>(mut io: W, mut outlet: Outlet) -> io::Result<()> {
    let mut gathered = Vec::new();
    while let Some(first) = outlet.frames.recv().await {
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(frame) = next.take() {
            let Some(head) = frame.head() else { continue };
            bytes += frame.body.len();
            gathered.extend_from_slice(&head);
            if frame.body.len() > GATHER_BYTES {
                io.write_all(&gathered).await?;
                gathered.clear();
                io.write_all(&frame.body).await?;
            } else {
                gathered.extend_from_slice(&frame.body);
            }
            if gathered.len() < GATHER_BYTES && bytes < GATHER_BYTES {
                next = outlet.frames.try_recv().ok();
            }
        }
        io.write_all(&gathered).await?;
        gathered.clear();
        // An idle lane keeps no buffer.
        gathered.shrink_to(1024);
        io.flush().await?;
        outlet.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
    io.close().await
}

/// Reads a lane's frames and passes them on until the lane ends; returns the reason of the end.
pub(crate) async fn read<R: AsyncRead + Unpin>(
    mut io: R,
    peer: PeerKey,
    class: Class,
    lanes: Arc<Lanes>,
    events: EventSender,
) -> LinkDownReason {
    loop {
        let frame = match Frame::read(&mut io, class.body_bytes_max()).await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(FrameError::Broken(_)) => return LinkDownReason::Lost,
            Err(error @ (FrameError::Kind(_) | FrameError::TooLong { .. })) => {
                tracing::warn!(%peer, ?class, %error, "lane violated");
                return LinkDownReason::Violation;
            }
        };
        let bytes = frame.body.len();
        let event = match frame.kind {
            FrameKind::Message => OverlayEvent::Frame { peer, class, body: frame.body },
            FrameKind::Request => {
                if lanes.held_requests.fetch_add(1, Ordering::Relaxed) >= HELD_REQUESTS_MAX {
                    lanes.held_requests.fetch_sub(1, Ordering::Relaxed);
                    decline(&lanes, class, frame.number);
                    continue;
                }
                let reply = Reply::new(Arc::clone(&lanes), class, frame.number);
                OverlayEvent::Request { peer, class, body: frame.body, reply }
            }
            FrameKind::Answer => {
                lanes.settle(frame.number, Ok(frame.body));
                continue;
            }
            FrameKind::Declined => {
                lanes.settle(frame.number, Err(RequestError::Declined));
                continue;
            }
        };
        if events.send(event, bytes).await.is_err() {
            return LinkDownReason::Closed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn written_bytes_make_room_again() {
        let (lanes, mut outlets) = Lanes::new();
        let limit = Class::Raft.body_bytes_max();
        for _ in 0..4 {
            lanes
                .push(Class::Raft, Frame { kind: FrameKind::Message, number: 0, body: vec![0; limit] })
                .unwrap();
        }
        let outlet = outlets[Class::Raft.index()].take().unwrap();
        let bytes = Arc::clone(&outlet.bytes);
        let writer = tokio::spawn(write(futures::io::sink(), outlet));
        drop(lanes);
        writer.await.unwrap().unwrap();
        assert_eq!(bytes.load(Ordering::Relaxed), 0);
    }
}
