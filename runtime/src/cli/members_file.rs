//! The home's list of members, kept by node 0, with which commands find the application.
//!
//! Writing the list syncs the disk, which takes milliseconds and much longer on a busy one. While hundreds of nodes
//! join, each of them changes the list, and node 0 may lead the log at that time. Additions are therefore written by a
//! task of the blocking pool, which writes the newest list only. The first list, and a list without a former member,
//! are on the disk when the call returns: when the last members leave, no write is in progress that could bring a file
//! back.

use crate::app_dir::{AppDir, KnownMember, to_hex};
use rhizo_protocol::ledger::Ledger;
use rhizo_types::NodeId;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The lists that wait to be written. The lock of `home` is held while a list is written.
struct Lists {
    home: Mutex<AppDir>,
    newest: Mutex<Newest>,
}

#[derive(Default)]
struct Newest {
    waiting: Option<Vec<KnownMember>>,
    /// Whether a task is going to write what waits.
    writing: bool,
}

impl Lists {
    /// Writes the newest list until none waits.
    fn write(&self) {
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(members) = self.take() {
            if let Err(error) = home.set_members(&members) {
                tracing::warn!(error = %crate::error::chain(&error), "list of members could not be written to the home");
            }
        }
    }

    fn take(&self) -> Option<Vec<KnownMember>> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let members = newest.waiting.take();
        newest.writing = members.is_some();
        members
    }

    /// Replaces the newest list. Returns true if no task is going to write it yet.
    fn put(&self, members: Vec<KnownMember>) -> bool {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.waiting = Some(members);
        !std::mem::replace(&mut newest.writing, true)
    }
}

/// Returns the function that keeps the list of this home. It is called on a thread of the runtime.
pub(super) fn keep(home: AppDir) -> Box<dyn FnMut(&Ledger) + Send> {
    let lists = Arc::new(Lists { home: Mutex::new(home), newest: Mutex::default() });
    let mut last: BTreeSet<NodeId> = BTreeSet::new();
    Box::new(move |ledger| {
        let member = |(node, member): (&NodeId, &rhizo_protocol::ledger::Member)| KnownMember {
            node: *node,
            key: to_hex(&member.record.key.0),
            addresses: member.record.addresses.clone(),
        };
        let now: BTreeSet<NodeId> = ledger.members.keys().copied().collect();
        let grows = !last.is_empty() && last.is_subset(&now);
        last = now;
        let is_idle = lists.put(ledger.members.iter().map(member).collect());
        if !grows {
            lists.write();
        } else if is_idle {
            let lists = lists.clone();
            tokio::task::spawn_blocking(move || lists.write());
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_protocol::ledger::Member;
    use rhizo_types::PeerKey;
    use rhizo_types::ledger::MemberRecord;
    use std::time::Duration;

    fn ledger(ids: std::ops::RangeInclusive<u64>) -> Ledger {
        let record = |id: u64| MemberRecord {
            key: PeerKey([u8::try_from(id).unwrap(); 32]),
            addresses: Vec::new(),
            provider: "lab".into(),
            region: "eu-1".into(),
            intent: None,
        };
        let members = ids.map(|id| (NodeId(id), Member { record: record(id), draining: false }));
        Ledger { members: members.collect(), ..Ledger::default() }
    }

    #[tokio::test]
    async fn the_last_of_many_additions_is_written_and_a_removal_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let home = AppDir::below(directory.path()).unwrap();
        let _claim = home.make().unwrap();
        let mut keep = keep(home.clone());
        let noted = || home.members().unwrap().len();
        keep(&ledger(1..=1));
        assert_eq!(noted(), 1, "the first list is on the disk at once");
        for count in 2..=100 {
            keep(&ledger(1..=count));
        }
        let written = async {
            while noted() < 100 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), written).await.expect("the last list is never written");
        keep(&ledger(1..=150));
        keep(&ledger(1..=2));
        assert_eq!(noted(), 2, "no older list comes after it");
    }
}
