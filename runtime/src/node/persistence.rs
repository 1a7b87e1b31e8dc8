//! Executes turns in the order of their durable records, also while the disk of this node cannot be written.
//!
//! A failed write is repeated until it succeeds. Meanwhile the node goes on: effects on instances and messages to
//! other agents wait behind the records, because one of them could overtake a start that waits. All other effects
//! (heartbeats, proposals, provider calls, answers) are executed at once. So programs run on while a disk is full, and
//! nothing is done that the node would have forgotten after a restart. Read next: [`super::journal`], the file.

use super::journal::{Journal, JournalError};
use rhizo_protocol::Turn;
use rhizo_protocol::turn::Effect;
use rhizo_types::message::Message;
use rhizo_types::wire::Record;
use std::time::{Duration, Instant};

/// The first pause before a failed write is repeated, and the longest one. The log's store has the same.
const PAUSE_MS: u64 = 100;
const PAUSE_MS_MAX: u64 = 2_000;

/// Effects that wait at most. An idle application makes none, a busy one some hundreds a second: the disk then has a
/// minute or more. A node that waits for more ends, as its work can no longer be carried out in order.
const WAITING_MAX: usize = 65_536;

/// The journal, and what waits for it.
pub(super) struct Persistence {
    journal: Journal,
    records: Vec<Record>,
    effects: Vec<Effect>,
    pause_ms: u64,
    retry_at: Option<Instant>,
    problem: Option<String>,
}

impl Persistence {
    pub(super) fn new(journal: Journal) -> Self {
        let (records, effects) = (Vec::new(), Vec::new());
        Self { journal, records, effects, pause_ms: PAUSE_MS, retry_at: None, problem: None }
    }

    /// Makes the turn's records durable and returns the effects to execute now, in order.
    ///
    /// # Errors
    /// When more effects wait for the disk than are kept.
    pub(super) fn take(&mut self, turn: Turn) -> Result<Vec<Effect>, JournalError> {
        let mut ready = turn.now;
        if self.retry_at.is_some() {
            let waits = !turn.durable.is_empty();
            self.records.extend(turn.durable);
            let (hold, pass): (Vec<Effect>, Vec<Effect>) =
                ready.into_iter().chain(turn.after_durable).partition(|effect| waits || is_ordered(effect));
            ready = pass;
            self.effects.extend(hold);
            if self.effects.len() > WAITING_MAX {
                return Err(self.journal.given_up());
            }
        } else if !turn.durable.is_empty() {
            // The records have tens of bytes. Waiting for the disk here keeps "persist, then send" evident.
            self.records = turn.durable;
            self.effects = turn.after_durable;
            ready.extend(self.write());
        } else {
            ready.extend(turn.after_durable);
        }
        Ok(ready)
    }

    /// When a failed write is to be repeated; `None` while the disk works.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Repeats the failed write and returns the effects that waited for it; none when it fails again.
    pub(super) fn retry(&mut self) -> Vec<Effect> {
        if self.retry_at.is_some() { self.write() } else { Vec::new() }
    }

    /// Why the disk cannot be written, with the path.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn write(&mut self) -> Vec<Effect> {
        match self.journal.append(&self.records) {
            Ok(()) => {
                if self.retry_at.take().is_some() {
                    tracing::info!("journal written again");
                }
                self.records.clear();
                self.problem = None;
                self.pause_ms = PAUSE_MS;
                std::mem::take(&mut self.effects)
            }
            Err(error) => {
                let problem = crate::error::chain(&error);
                if self.retry_at.is_none() {
                    tracing::error!(error = %problem, "journal not written, effects on instances wait for it");
                }
                self.problem = Some(problem);
                self.retry_at = Some(Instant::now() + Duration::from_millis(self.pause_ms));
                self.pause_ms = (self.pause_ms * 2).min(PAUSE_MS_MAX);
                Vec::new()
            }
        }
    }
}

/// Whether an effect must not overtake an earlier one that waits for its records.
fn is_ordered(effect: &Effect) -> bool {
    match effect {
        Effect::Start(_)
        | Effect::Stop { .. }
        | Effect::Act(_)
        | Effect::Cancel { .. }
        | Effect::Rebind { .. }
        | Effect::SetAttributes { .. }
        | Effect::Send { message: Message::Channel(_), .. } => true,
        Effect::Send { message: Message::Control(_), .. }
        | Effect::Links(_)
        | Effect::Propose { .. }
        | Effect::ChangeMembership(_)
        | Effect::AskOffers
        | Effect::TransferLeadership { .. }
        | Effect::Acquire(_)
        | Effect::Release { .. }
        | Effect::List { .. }
        | Effect::Solve(_)
        | Effect::ReplyJoin { .. }
        | Effect::Answer { .. }
        | Effect::Notice { .. }
        | Effect::Halt { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_protocol::turn::{ActionId, RunId};
    use rhizo_types::id::InstanceId;
    use rhizo_types::{Generation, NodeId};
    use std::collections::BTreeSet;

    fn record(generation: u64) -> Record {
        let instance = InstanceId { component: "web".into(), ordinal: 0 };
        Record::Fence { instance, generation: Generation(generation) }
    }

    /// An effect that waits, and one that does not.
    fn ordered(count: usize) -> Effect {
        let instance = InstanceId { component: "web".into(), ordinal: 0 };
        let run = RunId { instance, generation: Generation(1), attempt: 1 };
        Effect::Cancel { action: ActionId { run, number: u32::try_from(count).unwrap() } }
    }

    fn links(node: u64) -> Effect {
        Effect::Links(BTreeSet::from([NodeId(node)]))
    }

    fn turn(durable: Vec<Record>, effects: Vec<Effect>) -> Turn {
        if durable.is_empty() {
            Turn { durable, after_durable: Vec::new(), now: effects }
        } else {
            Turn { durable, after_durable: effects, now: Vec::new() }
        }
    }

    #[test]
    fn effects_on_instances_wait_for_a_failing_disk_and_keep_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut persistence = Persistence::new(Journal::open(&path).unwrap().0);
        assert_eq!(persistence.take(turn(vec![record(1)], vec![ordered(1)])).unwrap(), [ordered(1)]);

        persistence.journal.break_file();
        assert_eq!(persistence.take(turn(vec![record(2)], vec![ordered(2), links(1)])).unwrap(), []);
        assert!(persistence.problem().unwrap().contains(&path.display().to_string()));
        // A later turn without records: what concerns instances waits, heartbeats and the like do not.
        assert_eq!(persistence.take(turn(vec![], vec![ordered(3), links(2)])).unwrap(), [links(2)]);
        assert_eq!(persistence.take(turn(vec![record(3)], vec![links(3)])).unwrap(), []);
        assert_eq!(persistence.retry(), [], "the disk still fails");
        assert!(persistence.retry_at().is_some());

        persistence.journal.mend_file();
        assert_eq!(persistence.retry(), [ordered(2), links(1), ordered(3), links(3)]);
        assert_eq!((persistence.retry_at(), persistence.problem()), (None, None));
        assert_eq!(persistence.take(turn(vec![], vec![ordered(4)])).unwrap(), [ordered(4)]);
        drop(persistence);
        assert_eq!(Journal::open(&path).unwrap().1, [record(1), record(2), record(3)]);
    }

    #[test]
    fn a_node_does_not_collect_effects_without_bound() {
        let dir = tempfile::tempdir().unwrap();
        let mut persistence = Persistence::new(Journal::open(&dir.path().join("journal")).unwrap().0);
        persistence.journal.break_file();
        let many = |count: usize| (0..count).map(ordered).collect::<Vec<_>>();
        assert_eq!(persistence.take(turn(vec![record(1)], many(WAITING_MAX))).unwrap(), []);
        assert!(persistence.take(turn(vec![], many(1))).is_err());
    }
}
