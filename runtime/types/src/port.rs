//! The exports and imports of components, as a spec wants them.
//!
//! Only data. Bindings between them are in [`crate::target`]. Read next: [`crate::spec`].

use crate::id::{ComponentName, PortName, ValueName};
use litemap::LiteMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One value per port, as a sorted list: there is one such map for each instance, with few entries.
pub type Ports<V> = LiteMap<PortName, V>;

/// A port that other components may import.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Export {
    /// A TCP port. That of a public export is the port at which every node listens; that of any other one is the port of
    /// each copy, or none to let the agent allocate one.
    pub port: Option<u16>,
    /// Whether every node listens at its port and relays connections to a started copy. The copies' own ports are
    /// allocated.
    pub public: bool,
    /// Whether it carries values only and has no address.
    pub data: bool,
    /// The names of the values that its users receive: outputs of actions, or attributes.
    pub values: BTreeSet<ValueName>,
}

impl Export {
    /// A service at a port that the agent allocates.
    pub const SERVICE: Self = Self { port: None, public: false, data: false, values: BTreeSet::new() };

    /// Returns the port at which each copy has to listen; none when the agent allocates it.
    #[must_use]
    pub fn fixed_port(&self) -> Option<u16> {
        self.port.filter(|_| !self.public)
    }

    /// Returns the port at which every node listens; none when the export is not public.
    #[must_use]
    pub fn entry_port(&self) -> Option<u16> {
        self.port.filter(|_| self.public)
    }
}

/// A use of another component's export.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Import {
    /// The exporting component. A component that imports from itself uses its other copies.
    pub component: ComponentName,
    /// The export of that component.
    pub export: PortName,
    /// An optional import is bound and unbound without stopping its user.
    pub optional: bool,
    /// The number of exporters that it is bound to.
    pub pick: Pick,
    /// The effect of the loss of a mandatory import on its user.
    pub on_loss: OnLoss,
    /// Whether a change of its bindings or values triggers the life-cycle's `notify`.
    pub notify: bool,
    /// The way from the user to the exporter.
    pub via: Via,
}

impl Import {
    /// A mandatory import of one exporter.
    #[must_use]
    pub fn of(component: ComponentName, export: PortName) -> Self {
        Self {
            component,
            export,
            optional: false,
            pick: Pick::One,
            on_loss: OnLoss::Stop,
            notify: false,
            via: Via::Node,
        }
    }
}

/// The way of a connection from the user of an import to an exporter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Via {
    /// The user connects to a local address, and its node relays the connection to the exporter's node.
    Node,
    /// The user connects to the exporter's own address.
    Direct,
}

/// The effect of the loss of a mandatory import on its user.
///
/// *Suspend* and *rebind* leave the user started: its exports become inactive and its program keeps running.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum OnLoss {
    /// The user is paused, and deployed again when the import is served again.
    Stop,
    /// Its exports are inactive until as many exporters are bound as a start needs.
    Suspend,
    /// Its exports are inactive until one exporter is bound.
    Rebind,
}

/// The number of exporters that an import is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Pick {
    /// All exporters. Default for an import from the component itself.
    All,
    /// One exporter. Default otherwise.
    One,
    /// This many exporters.
    Some(u32),
}

impl Pick {
    /// The number of exporters that must serve a mandatory import before its user starts. `named` is the number of
    /// exporters that the target binds it to.
    #[must_use]
    pub fn needed(self, named: usize) -> usize {
        let count = match self {
            Self::All => named,
            Self::One => 1,
            Self::Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        count.max(1)
    }
}
