//! A group in one process: members on disks in temporary directories, a network that can be cut and slowed, and a
//! history that notices when two members disagree.
//!
//! The machines report to the history, so it checks the engine and the store from outside: which member applied which
//! entry at an index, and which member led in which term. Read next: the tests that use it.

#![expect(dead_code, reason = "each test binary uses its own part of this module")]
#![expect(clippy::unwrap_used, reason = "a failure here is the test's failure")]

use rhizo_log::{
    BoxFuture, CallError, ChangeError, Entry, LogConfig, LogNode, LogStatus, Machine, ProposeError, Proposed,
    RestoreError, Role, Storage, Timers, Transport,
};
use rhizo_types::{Lineage, NodeId, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than any wait in these tests, even on a busy machine; a test that reaches it has failed.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// Timeout of one proposal, and of one change of the members.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) const LINEAGE: Lineage = Lineage(1);

/// A machine's record of one entry: the index, the term and the bytes; blanks and memberships have no bytes.
pub(crate) type Applied = (u64, u64, Option<Vec<u8>>);

/// The entries that all members together applied, and the leader of each term.
#[derive(Default)]
pub(crate) struct History {
    applied: BTreeMap<u64, (u64, Option<Vec<u8>>)>,
    leaders: BTreeMap<u64, NodeId>,
    pub(crate) violations: Vec<String>,
}

impl History {
    fn apply(&mut self, node: NodeId, (index, term, bytes): Applied) {
        let entry = (term, bytes);
        match self.applied.get(&index) {
            Some(first) if *first != entry => {
                self.violations
                    .push(format!("{node} applied {entry:?} at {index}, another member {first:?}"));
            }
            Some(_) => {}
            None => {
                self.applied.insert(index, entry);
            }
        }
    }

    /// Records that `node` led in `term`: two leaders of one term are a violation.
    pub(crate) fn lead(&mut self, node: NodeId, term: Term) {
        let first = *self.leaders.entry(term.0).or_insert(node);
        if first != node {
            self.violations.push(format!("{node} and {first} both led in term {}", term.0));
        }
    }
}

/// Its state is the list of all commands that it applied.
pub(crate) struct Recorder {
    node: NodeId,
    history: Arc<Mutex<History>>,
    state: Arc<Mutex<Vec<Applied>>>,
}

impl Machine for Recorder {
    fn apply(&mut self, index: u64, term: Term, entry: Entry<'_>) {
        let bytes = match entry {
            Entry::Command(bytes) => Some(bytes.to_vec()),
            Entry::Blank | Entry::Membership { .. } => None,
        };
        let mut state = self.state.lock().unwrap();
        let mut history = self.history.lock().unwrap();
        if let Some((last, _, _)) = state.last()
            && *last + 1 != index
        {
            history.violations.push(format!("{} applied {index} after {last}", self.node));
        }
        history.apply(self.node, (index, term.0, bytes.clone()));
        state.push((index, term.0, bytes));
    }

    fn snapshot(&self) -> Vec<u8> {
        postcard::to_stdvec(&*self.state.lock().unwrap()).unwrap()
    }

    fn restore(&mut self, index: u64, _term: Term, bytes: &[u8]) -> Result<(), RestoreError> {
        let restored: Vec<Applied> = postcard::from_bytes(bytes)
            .map_err(|fault| RestoreError { bytes: bytes.len(), reason: fault.to_string() })?;
        let mut history = self.history.lock().unwrap();
        if restored.last().map(|(last, _, _)| *last) != Some(index) {
            history
                .violations
                .push(format!("{} restored a snapshot that does not end at {index}", self.node));
        }
        for entry in &restored {
            history.apply(self.node, entry.clone());
        }
        *self.state.lock().unwrap() = restored;
        Ok(())
    }
}

/// The network: the running members, and the directions that are cut or slow.
#[derive(Default)]
pub(crate) struct Net {
    nodes: Mutex<BTreeMap<NodeId, LogNode>>,
    cut: Mutex<BTreeSet<(NodeId, NodeId)>>,
    one_way_delay: Mutex<Duration>,
    pub(crate) calls: Mutex<u64>,
    pub(crate) snapshot_pieces: Mutex<u64>,
}

impl Net {
    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.lock().unwrap().contains(&(from, to))
    }

    pub(crate) fn set_delay(&self, one_way: Duration) {
        *self.one_way_delay.lock().unwrap() = one_way;
    }

    pub(crate) fn cut_one_way(&self, from: NodeId, to: NodeId) {
        self.cut.lock().unwrap().insert((from, to));
    }

    /// Cuts `node` off from everyone in `others`, both ways.
    pub(crate) fn isolate(&self, node: NodeId, others: impl IntoIterator<Item = NodeId>) {
        for other in others {
            self.cut_one_way(node, other);
            self.cut_one_way(other, node);
        }
    }

    pub(crate) fn heal(&self) {
        self.cut.lock().unwrap().clear();
    }

    async fn carry(
        self: Arc<Self>,
        from: NodeId,
        to: NodeId,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        *self.calls.lock().unwrap() += 1;
        // Version 1, lineage 1, and the number of the request: the golden bytes of a piece of a snapshot.
        *self.snapshot_pieces.lock().unwrap() += u64::from(request.starts_with(&[0, 1, 3]));
        let delay = *self.one_way_delay.lock().unwrap();
        let lost = async {
            tokio::time::sleep(timeout).await;
            Err(CallError::Timeout)
        };
        if self.is_cut(from, to) {
            return lost.await;
        }
        let Some(node) = self.nodes.lock().unwrap().get(&to).cloned() else {
            return Err(CallError::Unreachable);
        };
        // The receiver finishes a request even if the sender stops waiting, so it runs in a task of its own.
        let handled = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            node.handle(from, &request).await
        });
        let reply = tokio::time::timeout(timeout, handled).await.map_err(|_| CallError::Timeout)?;
        tokio::time::sleep(delay).await;
        if self.is_cut(to, from) {
            return lost.await;
        }
        let reply = reply.map_err(|fault| CallError::Refused(fault.to_string()))?;
        reply.map_err(|fault| CallError::Refused(fault.to_string()))
    }
}

/// One member's transport into the network.
pub(crate) struct Wire {
    pub(crate) net: Arc<Net>,
    pub(crate) from: NodeId,
}

impl Transport for Wire {
    fn call(&self, to: NodeId, request: Vec<u8>, timeout: Duration) -> BoxFuture<Result<Vec<u8>, CallError>> {
        Box::pin(self.net.clone().carry(self.from, to, request, timeout))
    }
}

/// A running member, its state and its watcher.
pub(crate) struct Running {
    pub(crate) node: LogNode,
    pub(crate) state: Arc<Mutex<Vec<Applied>>>,
    watcher: tokio::task::JoinHandle<()>,
}

/// Members 1 to n, some running.
pub(crate) struct Cluster {
    pub(crate) net: Arc<Net>,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) running: BTreeMap<NodeId, Running>,
    pub(crate) timers: Timers,
    pub(crate) snapshot_every: u64,
    disks: tempfile::TempDir,
    founded: BTreeSet<NodeId>,
}

impl Cluster {
    pub(crate) fn new(timers: Timers) -> Self {
        Self {
            net: Arc::default(),
            history: Arc::default(),
            running: BTreeMap::new(),
            timers,
            snapshot_every: 1_024,
            disks: tempfile::tempdir().unwrap(),
            founded: BTreeSet::new(),
        }
    }

    /// A group of `voters` voters, founded by member 1 and enlarged by one change.
    pub(crate) async fn grown(voters: u64, timers: Timers) -> Self {
        let mut cluster = Self::new(timers);
        cluster.found(voters).await;
        cluster
    }

    /// Founds the group with member 1 and enlarges it to `voters` voters by one change.
    pub(crate) async fn found(&mut self, voters: u64) {
        self.start(NodeId(1)).await;
        self.node(1).initialise().await.unwrap();
        self.leader().await;
        for id in 2..=voters {
            self.start(NodeId(id)).await;
            self.node(1).add_learner(NodeId(id), PATIENCE).await.unwrap();
        }
        if voters > 1 {
            self.node(1).change_voters((1..=voters).map(NodeId).collect(), PATIENCE).await.unwrap();
        }
        self.converge().await;
    }

    /// Makes `id` the leader.
    pub(crate) async fn lead(&self, id: NodeId) {
        watchdog("leadership", async {
            loop {
                let leader = self.leader().await;
                if leader == id {
                    return;
                }
                // The transfer may fail while another change is in progress.
                let _ = self.running[&leader].node.transfer_leadership(id, PATIENCE).await;
            }
        })
        .await;
    }

    pub(crate) fn dir(&self, id: NodeId) -> PathBuf {
        self.disks.path().join(id.to_string())
    }

    pub(crate) fn config(&self, id: NodeId) -> LogConfig {
        let storage = Storage::Disk { dir: self.dir(id), must_exist: self.founded.contains(&id) };
        LogConfig { snapshot_every: self.snapshot_every, ..LogConfig::new(id, LINEAGE, storage, self.timers) }
    }

    /// Starts a member, or starts it again on its old disk.
    pub(crate) async fn start(&mut self, id: NodeId) {
        let state = Arc::default();
        let recorder = Recorder { node: id, history: self.history.clone(), state: Arc::clone(&state) };
        let wire = Wire { net: self.net.clone(), from: id };
        let node = LogNode::open(self.config(id), Box::new(recorder), Arc::new(wire)).await.unwrap();
        self.founded.insert(id);
        let (history, mut watch) = (self.history.clone(), node.watch());
        let watcher = tokio::spawn(async move {
            loop {
                let status = watch.borrow_and_update().clone();
                if status.role == Role::Leader {
                    history.lock().unwrap().lead(id, status.term);
                }
                if watch.changed().await.is_err() || status.role == Role::Stopped {
                    return;
                }
            }
        });
        self.net.nodes.lock().unwrap().insert(id, node.clone());
        self.running.insert(id, Running { node, state, watcher });
    }

    /// Takes a member off the network at once, then stops it.
    pub(crate) async fn kill(&mut self, id: NodeId) {
        self.net.nodes.lock().unwrap().remove(&id);
        let running = self.running.remove(&id).unwrap();
        running.node.shutdown().await;
        running.watcher.await.unwrap();
    }

    pub(crate) fn node(&self, id: u64) -> &LogNode {
        &self.running[&NodeId(id)].node
    }

    pub(crate) fn state(&self, id: NodeId) -> Vec<Applied> {
        self.running[&id].state.lock().unwrap().clone()
    }

    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.running.keys().copied().collect()
    }

    /// Waits until a running member passes the read barrier, and returns it.
    pub(crate) async fn leader(&self) -> NodeId {
        watchdog("a leader", async {
            loop {
                for (id, running) in &self.running {
                    if running.node.status().role == Role::Leader
                        && running.node.read_barrier(Duration::from_secs(1)).await.is_ok()
                    {
                        return *id;
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// Proposes on the current leader until it commits. The command must be recognisable, since it may commit twice.
    pub(crate) async fn commit(&self, command: impl Into<Vec<u8>>) -> Proposed {
        let command = command.into();
        watchdog("a commit", async {
            loop {
                let leader = self.leader().await;
                match self.running[&leader].node.propose(command.clone(), PATIENCE).await {
                    Ok(proposed) => return proposed,
                    Err(ProposeError::NotLeader { .. } | ProposeError::Unknown) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        })
        .await
    }

    /// Requests the change of voters from the current leader until it is done.
    pub(crate) async fn change_voters(&self, voters: &BTreeSet<NodeId>) {
        watchdog("a change of the voters", async {
            loop {
                let leader = &self.running[&self.leader().await].node;
                let status = leader.status();
                if status.voters == *voters && !status.joint {
                    return;
                }
                match leader.change_voters(voters.clone(), PATIENCE).await {
                    Ok(())
                    | Err(ChangeError::NotLeader { .. } | ChangeError::InProgress | ChangeError::Unknown) => {
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        })
        .await;
    }

    /// Waits until every running member that is in the group has applied the same log.
    pub(crate) async fn converge(&self) {
        watchdog("convergence", async {
            loop {
                let leader = self.leader().await;
                let status = self.running[&leader].node.status();
                let members: BTreeSet<NodeId> = status.voters.union(&status.learners).copied().collect();
                let mut applied = BTreeSet::new();
                for (id, running) in &self.running {
                    if members.contains(id) {
                        let seen = running.node.status();
                        applied.insert((seen.last_applied, seen.last_applied_term, seen.leader));
                    }
                }
                if applied.len() == 1 && status.last_applied == status.last_log {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Waits until `id`'s status satisfies `wanted`.
    pub(crate) async fn until(
        &self,
        id: NodeId,
        what: &str,
        wanted: impl FnMut(&LogStatus) -> bool,
    ) -> LogStatus {
        let mut watch = self.running[&id].node.watch();
        watchdog(what, async { watch.wait_for(wanted).await.unwrap().clone() }).await
    }

    /// Asserts that no member contradicted another.
    pub(crate) fn assert_consistent(&self) {
        assert_eq!(self.history.lock().unwrap().violations, Vec::<String>::new());
    }

    pub(crate) async fn stop(mut self) {
        for id in self.ids() {
            self.kill(id).await;
        }
        self.assert_consistent();
    }
}

/// Waits for `future`, and panics after [`WATCHDOG`].
pub(crate) async fn watchdog<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(WATCHDOG, future).await {
        Ok(done) => done,
        Err(_) => panic!("no {what} within {WATCHDOG:?}"),
    }
}

/// The median and the greatest of some durations, in milliseconds.
pub(crate) fn median_and_max(mut durations: Vec<Duration>) -> (u128, u128) {
    durations.sort_unstable();
    (durations[durations.len() / 2].as_millis(), durations[durations.len() - 1].as_millis())
}

/// The start of a measurement.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A machine that reports to the history of `cluster`.
pub(crate) fn recorder(node: NodeId, cluster: &Cluster) -> Recorder {
    recorder_and_state(node, cluster).0
}

/// A machine that reports to the history of `cluster`, and a view of its state.
pub(crate) fn recorder_and_state(node: NodeId, cluster: &Cluster) -> (Recorder, Arc<Mutex<Vec<Applied>>>) {
    let state = Arc::default();
    (Recorder { node, history: cluster.history.clone(), state: Arc::clone(&state) }, state)
}
