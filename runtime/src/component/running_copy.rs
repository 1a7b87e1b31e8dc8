//! A running copy as sensors see it: its run and its processes.
//!
//! Sensors change nothing of a copy. Its life is in [`super::exec`], [`super::embedded`] and [`super::action`].

use super::control_group;
use super::launch::Launch;
use super::listeners::Owner;
use super::processes;
use rhizo_protocol::turn::RunId;
use rhizo_sensors::CopyProcesses;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Number of readings for which a list of processes is used that only a search of the whole machine finds. With a
/// reading every ten seconds the machine is searched once a minute.
const READINGS_PER_SEARCH: u32 = 6;

/// A run of a copy.
#[derive(Clone)]
pub(crate) struct RunningCopy {
    /// The run.
    pub(crate) run: RunId,
    launch: Launch,
    leader: Arc<AtomicI32>,
}

impl RunningCopy {
    pub(super) fn new(run: RunId, launch: Launch, leader: Arc<AtomicI32>) -> Self {
        Self { run, launch, leader }
    }

    /// Returns a function that finds the processes of the copy and may block; none for a Rust closure, which has no
    /// process of its own.
    ///
    /// A control group lists them. Without one, the program and its descendants are read. A service that actions
    /// launched is found by the mark that its processes carry, with a search of the whole machine once a minute.
    pub(crate) fn processes(&self) -> Option<impl Fn() -> CopyProcesses + Send + Sync + 'static> {
        let Owner::Run { mark, .. } = self.launch.owner() else { return None };
        let (mark, leader) = (mark.clone(), self.leader.clone());
        let searched = Mutex::new((0_u32, BTreeSet::new()));
        Some(move || {
            if let Some(group) = mark.group() {
                let members = control_group::members(group);
                if !members.is_empty() {
                    return CopyProcesses::Group { directory: group.to_owned(), members };
                }
            }
            match leader.load(Ordering::Relaxed) {
                0 => {
                    let mut searched = searched.lock().unwrap_or_else(PoisonError::into_inner);
                    if searched.0 % READINGS_PER_SEARCH == 0 {
                        searched.1 = processes::members(&mark, None);
                    }
                    searched.0 = searched.0.wrapping_add(1);
                    CopyProcesses::Listed(searched.1.clone())
                }
                leader => CopyProcesses::Below(leader),
            }
        })
    }
}
