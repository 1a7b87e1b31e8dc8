//! The change of this node to the next lineage, after an operator recovered the application from a lost quorum.
//!
//! The survivor makes the files of the next lineage first: a store whose log begins with a snapshot, then its copy of
//! the ledger. The rename of that copy decides which lineage the node is of after a crash, and also when a later step
//! of the write fails. A node that follows only closes its links and its log: it gets the new ledger from the others.
//! Instances run on in both cases. The command `cli::recover` decides whether a new lineage may begin;
//! [`Ledger::recovered`] makes its ledger.

use super::NodeError;
use super::admin::Asker;
use super::applied::Applied;
use super::identity::{Identity, IdentityError};
use super::input::Input;
use super::log_stores::{forget_stores, store_of, stores};
use super::replicated_log::{ENTRIES_MAX, log_config};
use super::shell::Shell;
use crate::admin::{Answer, MemberStanding, Place, Standing};
use rhizo_overlay::Succession;
use rhizo_protocol::OverlayState;
use rhizo_protocol::codec;
use rhizo_protocol::event::Event;
use rhizo_protocol::ledger::{Ledger, Recovery, RecoveryRefusal};
use rhizo_types::{NodeId, PeerKey};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// The reason why the survivor could not begin a new lineage. A restart brings it back in the former one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    /// The former log could not be read.
    #[error("read the log of the former lineage")]
    Read(#[from] rhizo_log::ReplayError),
    /// The order does not fit the ledger that the log adds up to.
    #[error("make the ledger of the new lineage")]
    Refused(#[from] RecoveryRefusal),
    /// The new log could not be written.
    #[error("make the log of the new lineage")]
    Begin(#[from] rhizo_log::BeginError),
    /// The copy of the new ledger could not be written.
    #[error("make the node a member of the new lineage")]
    Identity(#[from] IdentityError),
    /// The task that does this ended early.
    #[error("make the files of the new lineage: the task ended early")]
    Ended,
}

/// The input of [`make_files`].
struct Files {
    dir: PathBuf,
    me: NodeId,
    identity: Identity,
    /// The ledger of the core. It is the only source at a node that holds no log.
    known: Ledger,
    order: Recovery,
    /// Set while an older write of the ledger's copy is under way.
    writing: Arc<AtomicBool>,
}

/// Makes the files of the next lineage, and returns the ledger with which a restart would bring this node back. Blocks.
///
/// # Errors
/// When the new lineage could not be begun. The copy on the disk is of the former lineage then.
fn begin_lineage(files: &Files) -> Result<Ledger, RecoverError> {
    make_files(files).or_else(|error| begun_on_disk(files).ok_or(error))
}

/// Returns the ledger's copy on the disk if it is of the lineage that is to begin.
///
/// A write can fail after its rename, when the directory cannot be synced. A node that continued in the former lineage
/// would come back in the new one after a restart, when the operator's home has forgotten that lineage.
fn begun_on_disk(files: &Files) -> Option<Ledger> {
    let resumed = files.identity.resumed().ok().flatten()?;
    (resumed.ledger.lineage() == files.order.lineage).then_some(resumed.ledger)
}

/// Makes the files of the next lineage, and returns its ledger.
fn make_files(files: &Files) -> Result<Ledger, RecoverError> {
    let Files { dir, me, identity, known, order, writing } = files;
    let (stores, timers) = (stores(dir), known.timers());
    let former = known.lineage();
    let mut machine = Applied::alone();
    let mut order = order.clone();
    if store_of(&stores, former).exists() {
        let stored = rhizo_log::replay(&log_config(&stores, *me, former, &timers, true), &mut machine)?;
        order.term = order.term.max(stored.term);
    }
    // A node that holds no log, or whose log is behind, knows committed entries from the other members.
    let whole = if machine.ledger.index >= known.index { &machine.ledger } else { known };
    let next = whole.recovered(&order)?;
    let config = log_config(&stores, *me, next.lineage(), &timers, false);
    let at = rhizo_log::Proposed { index: next.index, term: next.term };
    rhizo_log::begin(&config, at, &codec::encode_ledger(&next))?;
    while writing.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(10));
    }
    // The node's id does not change. A second file would make a second moment at which this step can fail.
    identity.keep_ledger(&next)?;
    Ok(next)
}

impl Shell {
    /// Carries out an operator's order to begin a new lineage with this node as its survivor. The answer is sent when
    /// the files of the new lineage are on the disk.
    pub(super) fn recover(&mut self, order: Recovery, asker: Asker) {
        let ledger = self.core.ledger();
        if ledger.lineage() == order.lineage {
            return asker.answer(&Answer::Done { spec: ledger.spec_revision() });
        }
        // The order is being carried out, and this is its repetition: the command was ended and started again, or its
        // link was lost. Or the log opens after a restart, and the order may have been sent before it. The home forgets
        // the new lineage after a refusal, and this node could begin it all the same.
        if self.admin.recovering.is_some() || self.log.is_changing() {
            return asker.answer(&Answer::Later);
        }
        if let Err(reason) = self.may_recover(&order) {
            return asker.answer(&Answer::Refused { reason, hint: None });
        }
        tracing::warn!(
            former = %order.former.lineage, lineage = %order.lineage, lost = ?order.lost,
            "an operator recovers the application, this node begins a new lineage"
        );
        let files = Files {
            dir: self.dir.clone(),
            me: self.core.me(),
            identity: Identity::new(&self.dir),
            known: self.core.ledger().clone(),
            order,
            writing: self.copy.hold(),
        };
        self.admin.recovering = Some(asker);
        let log = self.end_log();
        let input = self.input.clone();
        tokio::spawn(async move {
            if let Some(log) = log {
                log.shutdown().await;
            }
            let made = tokio::task::spawn_blocking(move || begin_lineage(&files)).await;
            let made = made.unwrap_or(Err(RecoverError::Ended)).map(Box::new);
            let made = made.map_err(|error| crate::error::chain(&error));
            let _loop_ended = input.send(Input::Recovered(made)).await;
        });
    }

    /// Checks an order to begin a new lineage.
    ///
    /// # Errors
    /// The reason of a refusal, completing "failed to …".
    fn may_recover(&self, order: &Recovery) -> Result<(), String> {
        let (ledger, me) = (self.core.ledger(), self.core.me());
        let refused = |reason: &dyn std::fmt::Display| Err(format!("begin a new lineage: {reason}"));
        if order.survivor != me {
            return refused(&format!("{} is to survive, and this is {me}", order.survivor));
        }
        if let Err(refusal) = ledger.recovered(order) {
            return refused(&refusal);
        }
        let signature = order.former.signature.as_slice().try_into().ok();
        let succession = signature.map(|signature| Succession {
            former: order.former.lineage,
            lineage: order.lineage,
            operator: order.former.operator,
            signature,
        });
        let app = ledger.genesis.as_ref().map(|genesis| &genesis.app);
        let is_signed = succession.zip(app).is_some_and(|(succession, app)| succession.is_signed(app));
        if !is_signed {
            return refused(&RecoveryRefusal::NotOperator);
        }
        if self.core.status(self.now()).state != OverlayState::NoQuorum {
            return refused(&"a quorum exists");
        }
        Ok(())
    }

    /// Follows the survivor's files into the new lineage, or opens the log of the former one again.
    pub(super) async fn recovered(&mut self, made: Result<Box<Ledger>, String>) -> Result<(), NodeError> {
        let answer = match &made {
            Ok(ledger) => Answer::Done { spec: ledger.spec_revision() },
            Err(reason) => Answer::Refused { reason: reason.clone(), hint: None },
        };
        if let Some(asker) = self.admin.recovering.take() {
            asker.answer(&answer);
        }
        match made {
            Ok(ledger) => self.feed(Event::Restored(ledger)).await,
            Err(error) => {
                tracing::error!(error, "new lineage not begun");
                self.copy.release();
                let ledger = self.core.ledger();
                let is_voter = ledger.voters.contains(&self.core.me());
                let (lineage, timers) = (ledger.lineage(), ledger.timers());
                self.log.wait_for_leader();
                self.log.reopen(lineage, &timers, is_voter);
                Ok(())
            }
        }
    }

    /// Passes to the core that a peer refused this node because an operator ended its lineage. A statement that no
    /// operator of this application has signed is dropped.
    pub(super) async fn superseded(
        &mut self,
        peer: PeerKey,
        succession: &Succession,
        is_member: bool,
    ) -> Result<(), NodeError> {
        let ledger = self.core.ledger();
        let Some(genesis) = &ledger.genesis else { return Ok(()) };
        if !genesis.operators.contains(&succession.operator) || !succession.is_signed(&genesis.app) {
            tracing::warn!(%peer, "peer claims that this lineage has ended, without an operator's signature");
            return Ok(());
        }
        let (former, lineage) = (succession.former, succession.lineage);
        if former == ledger.lineage() {
            tracing::warn!(
                %former, %lineage, is_member,
                "an operator began a new lineage; a member follows it, any other node ends"
            );
        }
        self.feed(Event::Superseded { former, lineage, is_member }).await
    }

    /// Changes the links and the log to the lineage of the ledger.
    pub(super) fn follow_lineage(&mut self) {
        let ledger = self.core.ledger();
        let (lineage, timers) = (ledger.lineage(), ledger.timers());
        self.lineage = lineage;
        self.links.set_lineage(lineage);
        if self.log.has_ended() {
            // The survivor: its store was made before its ledger changed.
            self.log.reopen(lineage, &timers, true);
        } else {
            if let Some(log) = self.end_log() {
                tokio::spawn(async move { log.shutdown().await });
            }
            self.log.wait_for_leader();
        }
        self.copy.lineage_changed();
        drop(forget_stores(&self.dir, lineage));
    }

    /// Takes the open log out of the loop. Entries that it still applies have no reader.
    fn end_log(&mut self) -> Option<rhizo_log::LogNode> {
        let (entries_in, entries) = mpsc::channel(ENTRIES_MAX);
        self.next_entries = Some(entries);
        self.log.end(entries_in)
    }

    /// How far this node's ledger and log reach, for the choice of a survivor.
    pub(super) fn standing(&self) -> Standing {
        let ledger = self.core.ledger();
        let log = self.log.node().map(rhizo_log::LogNode::standing);
        let applied = Place { term: ledger.term.0, index: ledger.index };
        let last = log.as_ref().and_then(|log| log.last);
        let last = last.map_or(applied, |at| Place { term: at.term.0, index: at.index }.max(applied));
        let committed = log.as_ref().and_then(|log| log.committed).unwrap_or(0).max(ledger.index);
        let sets = log.map(|log| log.voter_sets).filter(|sets| !sets.is_empty());
        let placed = |node: NodeId| {
            let here = ledger.target.instances.iter().filter(move |(_, placed)| placed.node == node);
            here.map(|(instance, _)| instance.to_string()).collect()
        };
        let member = |(node, member): (&NodeId, &rhizo_protocol::ledger::Member)| MemberStanding {
            node: *node,
            provider: member.record.provider.clone(),
            host: member
                .record
                .intent
                .and_then(|intent| ledger.intents.get(&intent))
                .and_then(|intent| intent.host.as_ref())
                .map(|bound| bound.host.clone()),
            key: crate::app_dir::to_hex(&member.record.key.0),
            addresses: member.record.addresses.clone(),
            instances: placed(*node),
        };
        let status = self.core.status(self.now());
        Standing {
            node: self.core.me(),
            lineage: ledger.lineage(),
            term: status.term,
            has_quorum: status.state != OverlayState::NoQuorum,
            last,
            uncommitted: last.index.saturating_sub(committed),
            voter_sets: sets.unwrap_or_else(|| vec![ledger.voters.clone()]),
            members: ledger.members.iter().map(member).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
