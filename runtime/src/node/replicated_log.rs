//! This node's member of the replicated log: opened when it is needed, its calls, and the queue of committed entries.
//!
//! Committed entries go to the event loop through a bounded queue. The core interprets them. When the queue is full
//! the log stops applying ([`Applied`]), so that a busy loop never holds more than [`ENTRIES_MAX`] entries. The
//! loop therefore never waits for an operation that needs the log to apply: the log is opened and called in tasks of
//! their own, whose results arrive as [`Input`]. A loop that ends closes its end of the queue, which ends the log's
//! wait. Read next: [`super::links`] for the log's transport.

use super::NodeError;
use super::applied::Applied;
use super::input::Input;
use super::log_stores::{store_of, stores};
use rhizo_log::{InitialiseError, LogConfig, LogNode, OpenError, ProposeError, Storage, Timers, Transport};
use rhizo_overlay::Reply;
use rhizo_protocol::codec;
use rhizo_protocol::event::{Event, LogStatus, ProposeResult};
use rhizo_protocol::turn::{MembershipChange, ProposalId};
use rhizo_types::ledger::Command;
use rhizo_types::{Lineage, NodeId, ledger};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch;

/// The most committed entries that wait for the event loop. A command has at most 256 KiB, so a full queue holds 16
/// MiB in the worst case. One turn takes well under a millisecond, so the log seldom waits.
pub(super) const ENTRIES_MAX: usize = 64;

/// Number of requests of other members that are kept while the log is being opened. Opening takes milliseconds, in
/// which a leader sends a few requests. It repeats those that are dropped.
const WAITING_MAX: usize = 16;

/// Time limit of a proposal, in milliseconds. After it the outcome is unknown. It covers several election time-outs
/// over a wide area.
const PROPOSE_MS_MAX: u64 = 10_000;

/// Time limit of a change of the members, in milliseconds. The change needs a majority of the old and of the new
/// voters. New voters have caught up as learners before it begins.
const CHANGE_MS_MAX: u64 = 20_000;

/// The log's timers for the timers of an overlay.
fn timers(timers: &ledger::Timers) -> Timers {
    Timers {
        heartbeat_ms: timers.raft_heartbeat_ms,
        election_ms_min: timers.raft_election_ms_min,
        election_ms_max: timers.raft_election_ms_max,
    }
}

/// The configuration of the log of one lineage, with its store below the directory `dir` of all of them.
pub(super) fn log_config(
    dir: &Path,
    me: NodeId,
    lineage: Lineage,
    of: &ledger::Timers,
    must_exist: bool,
) -> LogConfig {
    let storage = Storage::Disk { dir: store_of(dir, lineage), must_exist };
    LogConfig::new(me, lineage, storage, timers(of))
}

/// A request of another member's log that arrived before this node's log was open.
struct Waiting {
    from: NodeId,
    body: Vec<u8>,
    reply: Reply,
}

enum State {
    /// This node holds no log: it follows the ledger by gossip and pull.
    Closed,
    /// A task opens the log and sends [`Input::LogOpened`].
    Opening(Vec<Waiting>),
    Open(LogNode),
    /// The log of the former lineage is closed, and that of the next one is not open yet.
    Ended,
}

/// This node's member of the replicated log.
pub(super) struct ReplicatedLog {
    me: NodeId,
    dir: PathBuf,
    transport: Arc<dyn Transport>,
    entries: mpsc::Sender<Event>,
    results: mpsc::Sender<Input>,
    state: State,
}

impl ReplicatedLog {
    /// Creates a log that is not open yet and keeps its store below `dir`. Committed entries will go to `entries`,
    /// results of calls to `results`.
    pub(super) fn new(
        me: NodeId,
        dir: &Path,
        transport: Arc<dyn Transport>,
        entries: mpsc::Sender<Event>,
        results: mpsc::Sender<Input>,
    ) -> Self {
        Self { me, dir: stores(dir), transport, entries, results, state: State::Closed }
    }

    /// Begins a new log with this node as its only voter. [`Input::LogOpened`] reports the result.
    ///
    /// A founder that was ended after this step and before it was a member comes here again: its log has begun then.
    pub(super) fn found(&mut self, lineage: Lineage, of: &ledger::Timers) {
        let opening = self.opening(lineage, of, false);
        self.begin(lineage, Vec::new(), async move {
            let log = opening.await?;
            match log.initialise().await {
                Ok(()) | Err(InitialiseError::NotEmpty) => Ok(log),
                Err(error) => Err(NodeError::Found(error.to_string())),
            }
        });
    }

    /// Opens the log that this node had before it was restarted. Without a call a restarted group would never have a
    /// leader: each node would wait for a message of another one. A voter whose log is missing must not vote, so
    /// that is an error. A node that neither votes nor has a log waits for the first message.
    pub(super) fn reopen(&mut self, lineage: Lineage, of: &ledger::Timers, is_voter: bool) {
        // A directory without a store is left when the node was ended while it made the store.
        if is_voter || store_of(&self.dir, lineage).exists() {
            let opening = self.opening(lineage, of, is_voter);
            self.begin(lineage, Vec::new(), async move { Ok(opening.await?) });
        }
    }

    /// Passes on a request of another member's log, and opens the log when it is the first one. The answer goes to
    /// `reply`; a request that is not answered is repeated by its sender.
    pub(super) fn handle(
        &mut self,
        from: NodeId,
        body: Vec<u8>,
        reply: Reply,
        lineage: Lineage,
        of: &ledger::Timers,
    ) {
        let request = Waiting { from, body, reply };
        match &mut self.state {
            State::Ended => tracing::debug!(%from, "log message declined: the lineage ends"),
            State::Open(log) => answer(log.clone(), request),
            State::Opening(waiting) if waiting.len() < WAITING_MAX => waiting.push(request),
            State::Opening(_) => tracing::debug!(%from, "log message declined: the log is being opened"),
            State::Closed => {
                let opening = self.opening(lineage, of, false);
                self.begin(lineage, vec![request], async move { Ok(opening.await?) });
            }
        }
    }

    fn begin<F>(&mut self, lineage: Lineage, waiting: Vec<Waiting>, opening: F)
    where
        F: Future<Output = Result<LogNode, NodeError>> + Send + 'static,
    {
        self.state = State::Opening(waiting);
        let results = self.results.clone();
        tokio::spawn(async move {
            let _loop_ended = results.send(Input::LogOpened(lineage, opening.await)).await;
        });
    }

    fn opening(
        &self,
        lineage: Lineage,
        of: &ledger::Timers,
        must_exist: bool,
    ) -> impl Future<Output = Result<LogNode, OpenError>> + Send + use<> {
        let config = log_config(&self.dir, self.me, lineage, of, must_exist);
        let machine = Applied::new(self.entries.clone());
        LogNode::open(config, Box::new(machine), self.transport.clone())
    }

    /// Takes the opened log and lets it answer the requests that waited. Returns the log's status and its changes.
    pub(super) fn opened(&mut self, log: LogNode) -> watch::Receiver<rhizo_log::LogStatus> {
        let changes = log.watch();
        if let State::Opening(waiting) = std::mem::replace(&mut self.state, State::Open(log.clone())) {
            waiting.into_iter().for_each(|request| answer(log.clone(), request));
        }
        changes
    }

    /// Proposes a command; answered by [`Event::Proposed`].
    pub(super) fn propose(&self, id: ProposalId, command: &Command) {
        let command = codec::encode_command(command);
        let refused = Event::Proposed { id, result: ProposeResult::Refused };
        self.call(refused, move |log| async move {
            let result = match log.propose(command, Duration::from_millis(PROPOSE_MS_MAX)).await {
                Ok(proposed) => ProposeResult::Committed { index: proposed.index },
                Err(error @ ProposeError::TooLarge { .. }) => {
                    // `check` and planning measure what they accept, so a command of this size is a bug.
                    tracing::error!(%error, "command not proposed, it is larger than an entry of the log");
                    ProposeResult::Refused
                }
                Err(ProposeError::NotLeader { .. } | ProposeError::Busy) => ProposeResult::Refused,
                Err(ProposeError::Unknown | ProposeError::Stopped) => ProposeResult::Unknown,
            };
            Event::Proposed { id, result }
        });
    }

    /// Changes the members of the log; answered by [`Event::MembershipChanged`].
    pub(super) fn change_membership(&self, change: MembershipChange) {
        let patience = Duration::from_millis(CHANGE_MS_MAX);
        self.call(Event::MembershipChanged { done: false }, move |log| async move {
            let changed = match change {
                MembershipChange::AddLearner(node) => log.add_learner(node, patience).await,
                MembershipChange::SetVoters(voters) => log.change_voters(voters, patience).await,
                MembershipChange::Remove(node) => log.remove(node, patience).await,
            };
            if let Err(error) = &changed {
                tracing::debug!(%error, "log membership not changed");
            }
            Event::MembershipChanged { done: changed.is_ok() }
        });
    }

    /// Hands leadership to another voter. The log's status shows the result.
    pub(super) fn transfer_leadership(&self, to: NodeId) {
        if let State::Open(log) = &self.state {
            let log = log.clone();
            tokio::spawn(async move {
                if let Err(error) = log.transfer_leadership(to, Duration::from_millis(CHANGE_MS_MAX)).await {
                    tracing::debug!(%error, %to, "leadership not handed over");
                }
            });
        }
    }

    /// Runs `task` with the log in a task of its own and passes its event to the core; `absent` when the log is not
    /// open.
    pub(super) fn call<F, Fut>(&self, absent: Event, task: F)
    where
        F: FnOnce(LogNode) -> Fut + Send + 'static,
        Fut: Future<Output = Event> + Send,
    {
        let log = match &self.state {
            State::Open(log) => Some(log.clone()),
            State::Closed | State::Opening(_) | State::Ended => None,
        };
        let results = self.results.clone();
        tokio::spawn(async move {
            let event = match log {
                Some(log) => task(log).await,
                None => absent,
            };
            let _loop_ended = results.send(Input::Core(event)).await;
        });
    }

    /// The open log.
    pub(super) fn node(&self) -> Option<&LogNode> {
        match &self.state {
            State::Open(log) => Some(log),
            State::Closed | State::Opening(_) | State::Ended => None,
        }
    }

    /// Takes the log out, so that the caller can shut it down. Messages of other members are declined from here on,
    /// until a log is opened or [`ReplicatedLog::wait_for_leader`] is called. Committed entries go to `entries`
    /// then.
    pub(super) fn end(&mut self, entries: mpsc::Sender<Event>) -> Option<LogNode> {
        self.entries = entries;
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Open(log) => Some(log),
            State::Closed | State::Opening(_) | State::Ended => None,
        }
    }

    /// Whether the log was taken out by [`ReplicatedLog::end`] and none is opened yet.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether the log is being opened or has ended.
    pub(super) fn is_changing(&self) -> bool {
        matches!(self.state, State::Opening(_) | State::Ended)
    }

    /// Waits for the first message of another member's log, as a node that holds no log does.
    pub(super) fn wait_for_leader(&mut self) {
        self.state = State::Closed;
    }

    /// Stops the log, if it is open, and waits until its store is closed.
    pub(super) async fn close(&mut self) {
        if let State::Open(log) = std::mem::replace(&mut self.state, State::Closed) {
            log.shutdown().await;
        }
    }
}

/// Lets the log answer a request of another member, in a task of its own.
fn answer(log: LogNode, request: Waiting) {
    let Waiting { from, body, reply } = request;
    tokio::spawn(async move {
        match log.handle(from, &body).await {
            Ok(answer) => {
                let _link_gone = reply.send(answer);
            }
            Err(error) => tracing::debug!(%from, %error, "log message declined"),
        }
    });
}

/// The log's own status as an event's content.
pub(super) fn status(status: &rhizo_log::LogStatus) -> LogStatus {
    LogStatus {
        term: status.term,
        leader: status.leader,
        quorum: status.quorum,
        last_index: status.last_log.unwrap_or(0),
        voters: status.voters.clone(),
        changing: status.joint,
        learners: status.learners.clone(),
        matched: status.matched.iter().filter_map(|(node, index)| Some((*node, (*index)?))).collect(),
        unwritable: BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_log::{BoxFuture, CallError};
    use rhizo_types::Revision;
    use tokio::time::timeout;

    const WATCHDOG: Duration = Duration::from_secs(60);
    const LINEAGE: Lineage = Lineage(7);

    /// The log of a group of one calls no other member.
    struct Nobody;

    impl Transport for Nobody {
        fn call(&self, _: NodeId, _: Vec<u8>, _: Duration) -> BoxFuture<Result<Vec<u8>, CallError>> {
            Box::pin(async { Err(CallError::Unreachable) })
        }
    }

    struct Fixture {
        log: ReplicatedLog,
        entries: mpsc::Receiver<Event>,
        results: mpsc::Receiver<Input>,
    }

    impl Fixture {
        fn new(dir: &Path) -> Self {
            let (entries_in, entries) = mpsc::channel(ENTRIES_MAX);
            let (results_in, results) = mpsc::channel(1_024);
            let log = ReplicatedLog::new(NodeId(0), dir, Arc::new(Nobody), entries_in, results_in);
            Self { log, entries, results }
        }

        async fn lead(&mut self) -> watch::Receiver<rhizo_log::LogStatus> {
            self.log.found(LINEAGE, &ledger::Timers::LOCAL);
            let Some(Input::LogOpened(_, opened)) = self.results.recv().await else { panic!("not opened") };
            let mut status = self.log.opened(opened.unwrap());
            status.wait_for(|status| status.role == rhizo_log::Role::Leader).await.unwrap();
            status
        }

        fn propose(&self, count: u64) {
            for number in 0..count {
                self.log.propose(ProposalId(number), &Command::Settled { target: Revision(number) });
            }
        }
    }

    fn committed(entry: Option<Event>) -> u64 {
        match entry {
            Some(Event::Committed { index, .. }) => index,
            other => panic!("not a committed entry: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_busy_loop_holds_a_bounded_number_of_entries_and_gets_all_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let test = async {
            let mut node = Fixture::new(dir.path());
            let mut status = node.lead().await;
            // More than the queue holds, but no more than may be proposed at the same time.
            let count = 2 * ENTRIES_MAX as u64 + 17;
            node.propose(count);
            // The log continues to append while no entry is taken out …
            let appended = status.wait_for(|status| status.last_log.unwrap_or(0) >= count).await;
            let last = appended.unwrap().last_log.unwrap();
            // … and stops applying as soon as the queue is full.
            while node.entries.len() < ENTRIES_MAX {
                tokio::task::yield_now().await;
            }
            for expected in 0..=last {
                assert_eq!(committed(node.entries.recv().await), expected);
                assert!(node.entries.len() <= ENTRIES_MAX);
            }
            for _ in 0..count {
                let result = node.results.recv().await;
                assert!(matches!(
                    result,
                    Some(Input::Core(Event::Proposed { result: ProposeResult::Committed { .. }, .. }))
                ));
            }
            node.log.close().await;
        };
        timeout(WATCHDOG, test).await.unwrap();
    }

    #[tokio::test]
    async fn a_log_that_waits_for_a_place_can_be_closed() {
        let dir = tempfile::tempdir().unwrap();
        let test = async {
            let mut node = Fixture::new(dir.path());
            node.lead().await;
            let count = 2 * ENTRIES_MAX as u64;
            node.propose(count);
            while node.entries.len() < ENTRIES_MAX {
                tokio::task::yield_now().await;
            }
            // The event loop ends: the log applies the rest without a reader, and no proposal stays unanswered.
            node.entries.close();
            for _ in 0..count {
                let result = node.results.recv().await;
                assert!(matches!(
                    result,
                    Some(Input::Core(Event::Proposed { result: ProposeResult::Committed { .. }, .. }))
                ));
            }
            node.log.close().await;
        };
        timeout(WATCHDOG, test).await.unwrap();
    }

    #[tokio::test]
    async fn a_store_with_more_entries_than_the_queue_holds_can_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        let test = async {
            let count = 2 * ENTRIES_MAX as u64;
            let mut node = Fixture::new(dir.path());
            node.lead().await;
            node.propose(count);
            while committed(node.entries.recv().await) < count {}
            node.log.close().await;

            let mut node = Fixture::new(dir.path());
            node.log.reopen(LINEAGE, &ledger::Timers::LOCAL, true);
            let mut last = 0;
            let opened = loop {
                // The loop's other inputs are served while the log applies its old entries again.
                tokio::select! {
                    Some(Input::LogOpened(_, opened)) = node.results.recv() => break opened.unwrap(),
                    entry = node.entries.recv() => last = committed(entry),
                }
            };
            drop(node.log.opened(opened));
            while last < count {
                last = committed(node.entries.recv().await);
            }
        };
        timeout(WATCHDOG, test).await.unwrap();
    }

    #[tokio::test]
    async fn a_voter_whose_log_is_missing_does_not_begin_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut node = Fixture::new(dir.path());
        node.log.reopen(LINEAGE, &ledger::Timers::LOCAL, true);
        let Some(Input::LogOpened(_, opened)) = node.results.recv().await else { panic!("not opened") };
        assert!(matches!(opened, Err(NodeError::Log(OpenError::StoreMissing { .. }))));
        // A member that does not vote waits for a leader.
        let mut node = Fixture::new(dir.path());
        node.log.reopen(LINEAGE, &ledger::Timers::LOCAL, false);
        assert!(node.results.try_recv().is_err());
    }
}
