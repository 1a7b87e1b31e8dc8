//! A simulated process: the core, its disk, and the instances that really run on it.
//!
//! The disk survives a restart, the rest does not.

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
    /// What was made durable.
    pub records: Vec<Record>,
    /// The ledger the process was born with, as its shell keeps it.
    pub birth: Ledger,
    /// What a founder begins with.
    pub genesis: Option<Box<(Genesis, SetSpec)>>,
    /// The machine; none for the founder's.
    pub host: Option<(ProviderName, HostId)>,
    /// Instances that really run, and whether they are started.
    pub running: BTreeMap<InstanceId, (RunId, bool)>,
    /// Actions of life-cycles that are under way, and whether they were cancelled.
    pub acts: BTreeMap<ActionId, (String, bool)>,
    /// The actions that a generation really did, since it was last undone.
    pub did: BTreeMap<(InstanceId, Generation), BTreeSet<String>>,
    /// The highest generation that was ever started here.
    pub started: BTreeMap<InstanceId, Generation>,
    /// It stands still until then.
    pub paused_until: Time,
    /// When the core will be woken.
    pub wake: Option<Time>,
    /// Entries of the log sent to this life.
    pub sent: u64,
    /// The log status last told.
    pub told: Option<LogStatus>,
    /// When something last happened to it that others may take for death.
    pub hit: Option<Time>,
    /// Its machine fell silent: nobody gets a reset.
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

    /// The process ends; its disk stays.
    pub fn stop(&mut self) {
        if let (Some(core), Some(_)) = (&self.core, &self.told)
            && self.life.is_multiple_of(2)
        {
            // Whoever holds the log has it on disk. The others start from an older copy of the ledger, and so does,
            // every second time, a holder: its engine begins with a snapshot and applies the rest anew.
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

    /// The process starts again from its disk.
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
