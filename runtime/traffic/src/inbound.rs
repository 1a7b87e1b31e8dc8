//! The exporter's side: accepts streams of other nodes and connects each of their connections to a copy of this host.
//!
//! The overlay has authenticated the other end: a member of the application, or an operator. A connection is opened only
//! to an export that is active on this node. Read next: [`crate::wire`], [`crate::relay`].

use crate::outbound::{LocalError, Plane, break_off};
use crate::peers::UNUSED_FOR_MAX;
use crate::relay::relay;
use crate::wire::{self, Answer, AnswerRecord, OpenRecord};
use rhizo_overlay::{InboundStream, PeerStream, Role, StreamListener};
use std::io;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The most inbound streams of this node. Further ones wait in the overlay's queue, which is bounded too.
const STREAMS_MAX: usize = 8_192;

/// Accepts streams for as long as the node runs.
pub(crate) async fn accept(plane: Plane, mut streams: StreamListener) {
    let room = Arc::new(Semaphore::new(STREAMS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Some(stream) = streams.next().await else { return };
        let plane = plane.clone();
        tokio::spawn(async move {
            admit(&plane, stream).await;
            drop(permit);
        });
    }
}

async fn admit(plane: &Plane, stream: InboundStream) {
    let mut stream = match stream.admit().await {
        Ok(stream) => stream,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            return tracing::debug!(%error, cause, "stream not admitted");
        }
    };
    let (key, role) = (stream.peer(), stream.role());
    let outcome = match role {
        Role::Member(node) => tokio::select! {
            outcome = serve(plane, &mut stream) => outcome,
            () = plane.peers.gone(node, key) => Ok(()),
        },
        Role::Operator => serve(plane, &mut stream).await,
        Role::Joiner(_) | Role::Pinned => Ok(()),
    };
    if let Err(error) = outcome {
        tracing::debug!(peer = %key, %error, "stream broke");
    }
}

/// Serves one connection after the other.
async fn serve(plane: &Plane, stream: &mut PeerStream) -> io::Result<()> {
    loop {
        let received = timeout(UNUSED_FOR_MAX, wire::receive(stream)).await;
        let Ok(Some(record)) = received.unwrap_or(Ok(None)) else { return Ok(()) };
        let connected = plane.connect_here(&record).await;
        let (mut socket, _serving) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                let OpenRecord::V1(open) = record;
                tracing::debug!(instance = %open.instance, export = %open.export, %error, "connection declined");
                let answer = match error {
                    LocalError::NotServed => Answer::NotServed,
                    LocalError::Connect { .. } => Answer::NotConnected,
                };
                wire::send(stream, &AnswerRecord::V1(answer)).await?;
                continue;
            }
        };
        wire::send(stream, &AnswerRecord::V1(Answer::Accepted)).await?;
        let relayed = relay(&mut socket, stream).await;
        if relayed.is_err() {
            break_off(&socket);
        }
        relayed?;
    }
}
