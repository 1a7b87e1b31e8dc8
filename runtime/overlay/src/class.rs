//! The classes of traffic: each has its own ordered lane on every link, its own queue and its own bounds.
//!
//! A class concerns transport only; the shell gives the bytes their meaning. Read next: [`crate::lane`].

/// A class of traffic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// The replicated log's own requests.
    Raft,
    /// Messages between agents.
    Agent,
    /// Heartbeats, join, pulls of the ledger.
    Control,
    /// Requests of operators.
    Admin,
    /// Large transfers that must not delay the others.
    Bulk,
}

impl Class {
    /// All classes, in the order of their indices.
    pub const ALL: [Self; 5] = [Self::Raft, Self::Agent, Self::Control, Self::Admin, Self::Bulk];

    /// The longest body a frame of this class may have, in bytes.
    #[must_use]
    pub const fn body_bytes_max(self) -> usize {
        const MIB: usize = 1024 * 1024;
        match self {
            Self::Raft | Self::Agent | Self::Control | Self::Admin => MIB,
            Self::Bulk => 8 * MIB,
        }
    }

    /// The most bytes that may wait to be sent to one peer: a few of the longest frames.
    pub(crate) const fn queue_bytes_max(self) -> usize {
        4 * self.body_bytes_max()
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The name under which a substream of this class is negotiated.
    pub(crate) const fn protocol(self) -> &'static str {
        match self {
            Self::Raft => "/rhizo/raft/1",
            Self::Agent => "/rhizo/agent/1",
            Self::Control => "/rhizo/control/1",
            Self::Admin => "/rhizo/admin/1",
            Self::Bulk => "/rhizo/bulk/1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_and_names_are_distinct() {
        for (place, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), place);
            let same = Class::ALL.iter().filter(|other| other.protocol() == class.protocol());
            assert_eq!(same.count(), 1);
        }
    }
}
