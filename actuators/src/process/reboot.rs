//! Boots hosts again whose supervisors ended together with the machine that emulates them.
//!
//! A power cut ends every process of this machine and leaves the disks. A rented machine boots again by itself when its
//! data centre has power. An emulated host has no such data centre, so the operator's `up` boots it: a new supervisor
//! starts in the same directory, with the same address and the same node directory. A host whose release was
//! requested does not boot again. The end of a single supervisor while other nodes live is different: it stands for a
//! machine that vanished, and the next list ends that host (`census.rs`).

use super::desk::Desk;
use super::ending;
use super::layout::HostFiles;
use super::records::{self, OrderRecord};
use crate::error::ProviderError;
use crate::provider::Owner;
use std::fs;
use std::io;

impl Desk {
    /// Boots every host of this owner that has no supervisor. Returns how many hosts booted.
    pub(super) fn resume(&self, owner: &Owner) -> Result<usize, ProviderError> {
        let mut booted = 0;
        for (order, files) in self.orders()? {
            if order.tags.owner() == *owner && self.boot_again(&order, &files)? {
                booted += 1;
            }
        }
        Ok(booted)
    }

    /// Returns false when the host runs, has ended, is to end, or is being started or ended by another process.
    fn boot_again(&self, order: &OrderRecord, files: &HostFiles) -> Result<bool, ProviderError> {
        let step = || ProviderError::records("boot the host in", &files.directory);
        let Some(_start) = files.try_start_lock().map_err(step())? else { return Ok(false) };
        {
            let Some(_life) = files.try_supervisor_lock().map_err(step())? else { return Ok(false) };
            let is_over =
                files.terminated().map_err(step())?.is_some() || files.path("release.json").exists();
            if is_over || !forget_last_life(files).map_err(step())? {
                return Ok(false);
            }
        }
        self.start_under_lock(order, files)?;
        Ok(true)
    }
}

/// Ends what the last supervisor left and removes the records of that life. Returns false when a process is left.
fn forget_last_life(files: &HostFiles) -> io::Result<bool> {
    let group = files.supervisor()?.and_then(|supervisor| supervisor.cgroup);
    if !ending::kill_all(files, group.as_deref(), None)? {
        return Ok(false);
    }
    // The supervisor's record goes last: without it, a second call starts from here again.
    for name in ["node.json", "supervisor.json"] {
        match fs::remove_file(files.path(name)) {
            Err(error) if !records::is_absent(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(true)
}
