//! The events of an application as a stream.

use super::asking::{Asking, SILENT_MAX};
use crate::admin::{Answer, EventRecord};
use crate::cli::events::Seen;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Time between two looks for new events.
const LOOK: Duration = Duration::from_millis(300);

/// The most events that wait for their reader; then no more are asked for until it has read some.
const WAITING_MAX: usize = 256;

/// A stream of events; see [`Handle::events`](super::Handle::events).
pub struct Events {
    events: mpsc::Receiver<EventRecord>,
}

impl Events {
    pub(super) fn new(asking: Asking) -> Self {
        let (sender, events) = mpsc::channel(WAITING_MAX);
        tokio::spawn(follow(asking, sender));
        Self { events }
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<EventRecord> {
        self.events.recv().await
    }
}

impl Stream for Events {
    type Item = EventRecord;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<EventRecord>> {
        self.events.poll_recv(context)
    }
}

async fn follow(asking: Asking, out: mpsc::Sender<EventRecord>) {
    let mut seen = Seen::default();
    let mut answered = Instant::now();
    while answered.elapsed() < SILENT_MAX {
        if let Ok(Answer::Events(events)) = asking.ask(&seen.ask()).await {
            answered = Instant::now();
            for event in seen.new_of(events) {
                if out.send(event).await.is_err() {
                    return;
                }
            }
        }
        tokio::select! {
            () = out.closed() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
