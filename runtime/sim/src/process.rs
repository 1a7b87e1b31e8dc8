//! A simulated process: the core, its disk, and the instances that really run on it.
//!
//! The disk survives a restart. The other state does not.

use rhizo_protocol::{ActionId, Ledger, LogStatus, Node, NodeConfig, RunId};
use rhizo_types::id::{HostId, InstanceId, NodeId, ProviderName};
use rhizo_types::ledger::{Genesis, SetSpec};
use rhizo_types::wire::Record;
use rhizo_types::{Generation, Time};
use std::collections::{BTreeMap, BTreeSet};

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    /// The core; none while the process is down.
    pub core: Option<Node>,
    /// Grows with every start, so that events of an earlier life are dropped.
    pub life: u64,
    /// The durable records.
    pub records: Vec<Record>,
    /// The ledger with which the process starts, as its shell keeps it.
    pub birth: Ledger,
    /// The genesis and first spec of a founder.
    pub genesis: Option<Box<(Genesis, SetSpec)>>,
    /// The machine; none for the founder's.
    pub host: Option<(ProviderName, HostId)>,
    /// Instances that really run, and whether they are started.
    pub running: BTreeMap<InstanceId, (RunId, bool)>,
    /// Actions of life-cycles that are under way, and whether each was cancelled.
    pub acts: BTreeMap<ActionId, (String, bool)>,
    /// The actions that a generation has really executed since it was last undone.
    pub did: BTreeMap<(InstanceId, Generation), BTreeSet<String>>,
    /// The highest generation that was ever started here.
    pub started: BTreeMap<InstanceId, Generation>,
    /// The process stands still until this time.
    pub paused_until: Time,
    /// Time of the next wake-up of the core.
    pub wake: Option<Time>,
    /// Number of entries of the log that were sent to this life.
    pub sent: u64,
    /// The last log status that the core received.
    pub told: Option<LogStatus>,
    /// Time of the last fault that other nodes may take for this node's death.
    pub hit: Option<Time>,
    /// True if its machine fell silent: peers get no reset.
    pub silent: bool,
}

impl Process {
    /// A process that was just started.
    #[must_use]
    pub fn new(
        me: NodeId,
        birth: Ledger,
        genesis: Option<Box<(Genesis, SetSpec)>>,
        host: Option<(ProviderName, HostId)>,
    ) -> Self {
        let config = NodeConfig { me, ledger: birth.clone(), records: Vec::new(), genesis: genesis.clone() };
        Self {
            core: Some(Node::new(config)),
            life: 1,
            records: Vec::new(),
            sent: birth.index,
            birth,
            genesis,
            host,
            running: BTreeMap::new(),
            acts: BTreeMap::new(),
            did: BTreeMap::new(),
            started: BTreeMap::new(),
            paused_until: Time::ZERO,
            wake: None,
            told: None,
            hit: None,
            silent: false,
        }
    }

    /// Ends the process; its disk stays.
    pub fn stop(&mut self) {
        if let (Some(core), Some(_)) = (&self.core, &self.told)
            && self.life.is_multiple_of(2)
        {
            // A node that holds the log has it on disk. Other nodes start from an older copy of the ledger. So does a
            // holder every second time: its engine begins with a snapshot and applies the remaining entries again.
            self.birth = core.ledger().clone();
        }
        self.core = None;
        self.running.clear();
        self.acts.clear();
        self.did.clear();
        self.told = None;
        self.wake = None;
        self.life += 1;
    }

    /// Starts the process again from its disk.
    pub fn start_again(&mut self, me: NodeId) {
        let (ledger, records, genesis) = (self.birth.clone(), self.records.clone(), self.genesis.clone());
        self.sent = self.birth.index;
        self.silent = false;
        self.core = Some(Node::new(NodeConfig { me, ledger, records, genesis }));
    }

    /// Whether it runs and is not halted.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.core.as_ref().is_some_and(|core| !core.is_halted())
    }

    /// Whether it runs and does not stand still.
    #[must_use]
    pub fn is_awake(&self, now: Time) -> bool {
        self.is_up() && now >= self.paused_until
    }
}
