//! The local address of one import: accepts connections and gives each of them to an exporter.
//!
//! A connection that arrives while no exporter can be reached waits for one, for a bounded time. So a re-binding loses
//! no new connection. Each connection has a task of its own, so one that stalls delays no other. Read next:
//! [`crate::choice`], [`crate::outbound`].

use crate::Exporter;
use crate::choice::{Choice, Chosen};
use crate::outbound::{Far, Plane, break_off, send_at_once};
use rhizo_types::PortName;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// A new connection waits this long for an exporter. Longer than the loss of a host takes to be detected and its copy
/// to be replaced on a host that is there; a program with a shorter time-out of its own gives up before.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The most connections of one import. Further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 8_192;
/// Pause after the kernel refused to accept a connection, usually because no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The exporters that an import is bound to.
pub(crate) type Bound = Arc<BTreeSet<Exporter>>;

/// One listening import.
pub(crate) struct ImportListener {
    plane: Plane,
    export: PortName,
    /// Whether its port is that of a public export.
    is_entry: bool,
    bound: watch::Receiver<Bound>,
    choice: Mutex<Choice>,
    begun: Instant,
}

impl ImportListener {
    pub(crate) fn new(plane: Plane, export: PortName, is_entry: bool, bound: watch::Receiver<Bound>) -> Self {
        Self { plane, export, is_entry, bound, choice: Mutex::default(), begun: Instant::now() }
    }

    /// Accepts connections until it is cancelled. Connections that were accepted continue then.
    pub(crate) async fn run(self, listener: std::net::TcpListener) {
        let listener = match listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "address of an import could not be used"),
        };
        let (this, room) = (Arc::new(self), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((socket, _)) => {
                    let this = Arc::clone(&this);
                    tokio::spawn(async move {
                        this.serve(socket).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "connection of an import not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, socket: TcpStream) {
        send_at_once(&socket);
        match self.connect().await {
            Ok((_counted, far)) => self.plane.carry(socket, far).await,
            Err(error) => {
                tracing::debug!(export = %self.export, %error, "connection of an import not served");
                break_off(&socket);
            }
        }
    }

    /// Connects to an exporter; waits for one that can be reached.
    async fn connect(&self) -> io::Result<(Counted<'_>, Far)> {
        let deadline = Instant::now() + CONNECT_MAX;
        let mut bound = self.bound.clone();
        loop {
            let exporters = bound.borrow_and_update().clone();
            let chosen = {
                let mut choice = self.choice();
                choice.follow(&exporters);
                choice.choose(self.now_ms())
            };
            let retry_at = match chosen {
                Chosen::Exporter(exporter) => {
                    let counted = Counted { listener: self, exporter, has_failed: false };
                    match self.try_one(counted, deadline).await {
                        Some(connected) => return Ok(connected),
                        None => Instant::now(),
                    }
                }
                Chosen::NotBefore(at_ms) => self.begun + Duration::from_millis(at_ms),
                Chosen::Unbound => deadline,
            };
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            tokio::select! {
                changed = bound.changed() => if changed.is_err() {
                    // The instance that imports is gone.
                    return Err(io::ErrorKind::ConnectionAborted.into());
                },
                () = sleep_until(retry_at.min(deadline)) => {}
            }
        }
    }

    async fn try_one<'a>(&self, mut counted: Counted<'a>, deadline: Instant) -> Option<(Counted<'a>, Far)> {
        let exporter = &counted.exporter;
        let error =
            match timeout_at(deadline, self.plane.connect(exporter, &self.export, self.is_entry)).await {
                Ok(Ok(far)) => {
                    self.choice().reached(exporter);
                    return Some((counted, far));
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "time is up".to_owned(),
            };
        tracing::debug!(instance = %exporter.instance, node = %exporter.node, error, "exporter not reached");
        counted.has_failed = true;
        None
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The choice. None of its users can panic in the middle of a change, so a poisoned lock does no harm.
    fn choice(&self) -> MutexGuard<'_, Choice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that the choice counts as open until this is dropped.
struct Counted<'a> {
    listener: &'a ImportListener,
    exporter: Exporter,
    has_failed: bool,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let now_ms = self.listener.now_ms();
        let mut choice = self.listener.choice();
        if self.has_failed {
            choice.failed(&self.exporter, now_ms);
        } else {
            choice.ended(&self.exporter);
        }
    }
}
