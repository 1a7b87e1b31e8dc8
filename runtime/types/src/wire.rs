//! Records that cross a wire or reach a disk: each a versioned enum, so that a reader knows what it reads.
//!
//! A new version is a new last variant; an old variant never changes (its golden bytes are in `tests/golden`).
//! The codec (postcard) is in `rhizo-protocol::codec`, because this crate depends on serde alone.

use crate::counter::{Generation, Revision};
use crate::id::{InstanceId, IntentId, Lineage, NodeId};
use crate::ledger::{Command, MemberRecord};
use crate::message::Message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Payload of a Raft entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum CommandRecord {
    /// First form.
    V1(Command),
}

/// Payload of a frame between two cores.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum MessageRecord {
    /// First form.
    V1(Message),
}

/// What a node appends to its own stable storage.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum NodeRecord {
    /// First form.
    V1(Record),
}

/// One durable fact of a node. Later ones of the same subject replace earlier ones.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Record {
    /// The lowest generation of an instance that this node may still start: the newest that was placed here.
    Fence {
        /// The instance.
        instance: InstanceId,
        /// The generation: older ones are refused for ever.
        generation: Generation,
    },
    /// The channel session in use: the next one after a restart is greater.
    Session {
        /// Its number.
        session: u64,
    },
    /// The newest target that this node has followed: it begins nothing of an older one, also when it starts again
    /// with an older ledger, because what that placed here may run elsewhere now.
    Target {
        /// Its number.
        revision: Revision,
    },
}

/// What a new host is given to find the overlay and to be let in.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum BootRecord {
    /// First form.
    V1(Boot),
}

/// The boot document of a host.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Boot {
    /// The application's name.
    pub app: String,
    /// The lineage.
    pub lineage: Lineage,
    /// The intent whose ticket this is.
    pub ticket: IntentId,
    /// The ticket's secret, single use.
    pub secret: TicketSecret,
    /// Members to ask, voters first.
    pub members: BTreeMap<NodeId, MemberRecord>,
}

/// A ticket's secret; it never appears in debug output.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TicketSecret(pub [u8; 32]);

impl std::fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketSecret(..)")
    }
}

/// What a node that wants to join asks of a member.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum JoinAskRecord {
    /// First form.
    V1(crate::ledger::Join),
}

/// What a member answers to a node that wants to join.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum JoinAnswerRecord {
    /// First form.
    V1(JoinAnswer),
}

/// A member's answer to a node that wants to join.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum JoinAnswer {
    /// It is a member now.
    Accepted {
        /// Its id, for ever.
        node: NodeId,
        /// The ledger, encoded (`rhizo-protocol::codec::decode_ledger`).
        ledger: Vec<u8>,
    },
    /// Ask this member instead: it coordinates.
    Redirect {
        /// Who.
        node: NodeId,
        /// How it is reached.
        member: MemberRecord,
    },
    /// Ask again in a moment: nobody is known to coordinate, or the answer is not known yet.
    Later,
    /// For good: the ticket is used, late, or not of this lineage.
    Refused {
        /// Why, for the joining host's log.
        reason: String,
    },
}
