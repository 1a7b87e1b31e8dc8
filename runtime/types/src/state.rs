//! The state of a component: data of a copy that has to survive the process of the copy.
//!
//! Only data. A copy with state keeps its name wherever it is placed, so that the data belongs to one name.
//! `rhizo-protocol` decides where the data of a copy is (`ledger::homes`), and the shell of the node keeps it in a
//! directory. Read next: [`crate::spec::Component::state`].

use crate::counter::Generation;
use crate::id::NodeId;
use serde::{Deserialize, Serialize};

/// The data of a copy that has to survive the process of the copy.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum State {
    /// None: a copy can be replaced anywhere at any time.
    #[default]
    None,
    /// The data stays on the host of the copy. No plan moves the copy.
    Pinned {
        /// The reaction when the host is lost.
        on_loss: OnDataLoss,
    },
}

/// The reaction when the host with the data of a copy is lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum OnDataLoss {
    /// The copy is not placed again before an operator gives up its data. The lost host is not released before that.
    Wait,
    /// The copy is placed again with an empty directory.
    Empty,
}

/// Where the data of a copy is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Home {
    /// The node that has the data.
    pub node: NodeId,
    /// The first generation of the copy that wrote the data. Later generations on the same node continue with it. It
    /// tells the directory of this data from that of an earlier copy of the same name.
    pub since: Generation,
}

impl State {
    /// Returns true if a copy has data that has to survive its process.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        *self != Self::None
    }

    /// Returns true if no plan may move a copy.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        matches!(self, Self::Pinned { .. })
    }

    /// Returns the reaction when the host with the data is lost.
    #[must_use]
    pub fn on_loss(&self) -> OnDataLoss {
        match self {
            Self::None => OnDataLoss::Empty,
            Self::Pinned { on_loss } => *on_loss,
        }
    }
}
