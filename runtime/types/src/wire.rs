//! Records that cross a wire or reach a disk. Each is a versioned enum, so that a reader can tell the versions apart.
//!
//! A new version is a new last variant. An old variant never changes; the tests of `rhizo-protocol` compare its golden
//! bytes. The codec (postcard) is in `rhizo-protocol::codec`, because this crate has no codec.

use crate::counter::{Generation, Revision};
use crate::id::{InstanceId, IntentId, Lineage, NodeId};
use crate::ledger::{Command, MemberRecord};
use crate::message::Message;
use crate::secret::SealingKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest encoded command, in bytes. A ledger entry has a few kilobytes; the longest is a spec with its text.
pub const COMMAND_BYTES_MAX: usize = 256 * 1024;

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

/// A record that a node appends to its own stable storage.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum NodeRecord {
    /// First form.
    V1(Record),
}

/// One durable statement of a node. A later one about the same subject replaces an earlier one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Record {
    /// The lowest generation of an instance that this node may start: the newest that was placed on it.
    Fence {
        /// The instance.
        instance: InstanceId,
        /// The generation; older ones are always refused.
        generation: Generation,
    },
    /// The channel session in use. The first session after a restart has a greater number.
    Session {
        /// Its number.
        session: u64,
    },
    /// The newest target that this node has followed. After a restart with an older ledger, the node starts nothing of
    /// an older target, because an instance that the older target placed here may run elsewhere now.
    Target {
        /// Its number.
        revision: Revision,
    },
}

/// The boot document of a host: how to reach the overlay, and the ticket to join it.
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
    /// The members to ask.
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

/// The request of a joining node to a member.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum JoinAskRecord {
    /// First form.
    V1(crate::ledger::Join),
}

/// The answer of a member to a joining node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum JoinAnswerRecord {
    /// First form.
    V1 {
        /// The decision.
        answer: JoinAnswer,
        /// The key that opens the application's secrets; only for a node that was accepted.
        key: Option<SealingKey>,
    },
}

/// The answer of a member to a joining node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum JoinAnswer {
    /// The node is a member now.
    Accepted {
        /// Its id, which never changes.
        node: NodeId,
        /// The ledger, encoded (`rhizo-protocol::codec::decode_ledger`).
        ledger: Vec<u8>,
    },
    /// The node has to ask this member instead, which coordinates.
    Redirect {
        /// The coordinator.
        node: NodeId,
        /// Its key and addresses.
        member: MemberRecord,
    },
    /// The node has to ask again: no coordinator is known, or the join is not committed yet.
    Later,
    /// The join is refused permanently: the ticket is used, expired, or of another lineage.
    Refused {
        /// The reason, for the joining host's log.
        reason: String,
    },
}
