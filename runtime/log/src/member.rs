//! The engine's view of the [`Machine`]: applies entries, takes snapshots, and restores them.
//!
//! The machine lives in memory. The last snapshot and the log after it make it durable. Read next: `snapshot.rs`, which
//! puts a received snapshot together.

use crate::convert;
use crate::engine::{Engine, LogId, Membership, Payload, Snapshot, SnapshotMeta, StoredMembership};
use crate::machine::{Entry, Machine};
use crate::store::{KeptSnapshot, Store};
use crate::wire::{SNAPSHOT_BYTES_MAX, SnapshotHead};
use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use rhizo_types::{NodeId, Term};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// A machine, how far it has applied the log, and the members at that place.
pub(crate) struct Member {
    // The engine shares references to this value between threads; the mutex makes that possible for any machine.
    machine: Mutex<Box<dyn Machine>>,
    applied: Option<LogId>,
    members: StoredMembership,
    store: Store,
}

impl Member {
    pub(crate) fn new(machine: Box<dyn Machine>, store: Store) -> Self {
        Self { machine: Mutex::new(machine), applied: None, members: StoredMembership::default(), store }
    }

    fn machine(&mut self) -> &mut dyn Machine {
        self.machine.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut()
    }

    fn head(&self) -> SnapshotHead {
        convert::snapshot_head(&SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.members.clone(),
        })
    }
}

/// A change of the members as the machine sees it.
pub(crate) fn members_entry(membership: &Membership) -> Entry<'static> {
    Entry::Membership {
        voters: membership.voter_ids().map(NodeId).collect(),
        learners: membership.learner_ids().map(NodeId).collect(),
        joint: membership.get_joint_config().len() > 1,
    }
}

fn describe(kept: KeptSnapshot) -> io::Result<Snapshot> {
    let (head, state) = kept;
    let meta = convert::snapshot_meta(head)
        .ok_or_else(|| io::Error::other("a snapshot's members are inconsistent"))?;
    Ok(Snapshot { meta, snapshot: state })
}

impl RaftStateMachine<Engine> for Member {
    type SnapshotData = Arc<[u8]>;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.members.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Engine>, io::Error>> + Unpin + Send,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let at = entry.log_id;
            let seen = match &entry.payload {
                Payload::Blank => Entry::Blank,
                Payload::Normal(command) => Entry::Command(&command.0),
                Payload::Membership(membership) => {
                    self.members = StoredMembership::new(Some(at), membership.clone());
                    members_entry(membership)
                }
            };
            self.machine().ready().await;
            self.machine().apply(at.index, Term(at.leader_id.term), seen);
            self.applied = Some(at);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        let head = self.head();
        let state = self.machine().snapshot();
        if state.len() > SNAPSHOT_BYTES_MAX {
            tracing::error!(bytes = state.len(), "snapshot is too large to be sent to a new member");
        }
        Builder { snapshot: (head, state.into()), store: self.store.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, state: Arc<[u8]>) -> Result<(), io::Error> {
        let Some(at) = meta.last_log_id else { return Err(io::Error::other("a snapshot of nothing")) };
        self.machine().ready().await;
        self.machine().restore(at.index, Term(at.leader_id.term), &state).map_err(io::Error::other)?;
        self.applied = Some(at);
        self.members = meta.last_membership.clone();
        let head = self.head();
        // After a restart the engine installs the snapshot that the store has just read from the disk.
        let kept = self.store.snapshot().is_some_and(|(kept, _)| kept == head);
        if !kept {
            self.store.keep_snapshot((head, state)).await?;
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.store.snapshot().map(describe).transpose()
    }
}

/// A snapshot that was taken and is not on the disk yet.
pub(crate) struct Builder {
    snapshot: KeptSnapshot,
    store: Store,
}

impl RaftSnapshotBuilder<Engine> for Builder {
    type SnapshotData = Arc<[u8]>;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        self.store.keep_snapshot(self.snapshot.clone()).await?;
        describe(self.snapshot.clone())
    }
}
