//! Lists hosts with their states, releases them, and removes the records of ended ones.
//!
//! A supervisor that was killed cannot report the end of its host, so the process that lists hosts does: it finds by
//! the recorded identity that the supervisor has ended, kills the host's remaining processes, and records the end.

use super::desk::Desk;
use super::layout::{ASIDE_PREFIX, HostFiles, remove_if_empty};
use super::records::{self, Cause, OrderRecord, ReleaseRecord, TerminatedRecord, unix_ms};
use super::{address, ending};
use crate::error::ProviderError;
use crate::provider::{Host, HostState, Owner};
use rhizo_types::{HostId, OfferName};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::io;

/// A claimed host that has no supervisor after this many milliseconds was abandoned.
///
/// Starting takes milliseconds; a machine that needs longer than this is better served by another order.
const START_MS_MAX: u64 = 30_000;

/// Number of terminated hosts that a provider keeps. Beyond it, the oldest are removed before their time.
const TERMINATED_MAX: usize = 256;

/// The state of a host that a listing found.
enum Seen {
    Booting,
    Running,
    Terminated(TerminatedRecord),
}

impl Desk {
    /// This owner's hosts, as the provider shows them now.
    pub(super) fn list(&self, owner: &Owner) -> Result<Vec<Host>, ProviderError> {
        let faults = self.misbehaviour("list the hosts")?;
        let now = unix_ms();
        let seen_until = now.saturating_sub(faults.list_lag_ms);
        let mut hosts = Vec::new();
        for (order, files) in self.orders()? {
            if order.tags.owner() != *owner {
                continue;
            }
            let seen = self.settle(&order, &files)?;
            let is_late = order.visible_at_unix_ms > now;
            // A list without lag also shows hosts that were created in this very millisecond.
            let is_behind = faults.list_lag_ms > 0 && order.created_unix_ms > seen_until;
            if is_late || is_behind {
                continue;
            }
            hosts.push(match seen {
                Seen::Terminated(end) if faults.list_lag_ms > 0 && end.at_unix_ms > seen_until => {
                    host(order, &Seen::Running)
                }
                seen => host(order, &seen),
            });
        }
        Ok(hosts)
    }

    /// One host as the provider shows it now.
    pub(super) fn look(&self, order: &OrderRecord, files: &HostFiles) -> Result<Host, ProviderError> {
        let seen = self.settle(order, files)?;
        Ok(host(order.clone(), &seen))
    }

    /// Requests the end of a host. An unknown or ended host is no error.
    pub(super) fn release(&self, id: &HostId) -> Result<(), ProviderError> {
        if self.misbehaviour("release a host")?.release_lost {
            return Ok(());
        }
        let is_name = id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name || id.as_str().is_empty() {
            // This provider gives no such names, so it has no such host.
            return Ok(());
        }
        let files = self.layout.host(id);
        let step = || ProviderError::records("release", &files.directory);
        let Some(order) = files.order().map_err(step())? else { return Ok(()) };
        if files.terminated().map_err(step())?.is_some() {
            return Ok(());
        }
        match records::write_first(&files.path("release.json"), &ReleaseRecord { at_unix_ms: unix_ms() }) {
            // The host's records were removed meanwhile.
            Err(error) if records::is_absent(&error) => return Ok(()),
            other => other.map_err(step())?,
        };
        // The supervisor records itself and then reads the request; this writes the request and then reads the record
        // of the supervisor. So at least one of the two sees the other.
        let signalled = match files.supervisor().map_err(step())? {
            Some(supervisor) => supervisor.identity.signal(Signal::USR1).map_err(step())?,
            None => false,
        };
        if !signalled {
            self.settle(&order, &files)?;
        }
        Ok(())
    }

    /// Removes the records of an owner's terminated hosts, and the directories that are empty then.
    pub(super) fn purge(&self, owner: &Owner) -> Result<usize, ProviderError> {
        self.misbehaviour("purge ended hosts")?;
        let state = &self.layout.state;
        if !self.layout.provider.exists() {
            return Ok(0);
        }
        let _lock = match self.layout.lock() {
            Err(error) if records::is_absent(&error) => return Ok(0),
            lock => lock.map_err(ProviderError::records("lock", state))?,
        };
        let mut purged = 0;
        for (order, files) in self.orders()? {
            if order.tags.owner() == *owner && matches!(self.settle(&order, &files)?, Seen::Terminated(_)) {
                self.forget(&order, &files)?;
                purged += 1;
            }
        }
        self.sweep().map_err(ProviderError::records("sweep", state))?;
        Ok(purged)
    }

    /// Hosts that are not terminated, per offer.
    pub(super) fn taken(&self) -> Result<BTreeMap<OfferName, u32>, ProviderError> {
        let mut taken = BTreeMap::new();
        for (order, files) in self.orders()? {
            let terminated = files.terminated().map_err(ProviderError::records("read", &files.directory))?;
            if terminated.is_none() {
                *taken.entry(order.offer).or_default() += 1;
            }
        }
        Ok(taken)
    }

    /// Removes the records of hosts that ended long ago, and the oldest of too many. The caller holds the lock.
    pub(super) fn forget_old(&self) -> Result<(), ProviderError> {
        let mut ended = Vec::new();
        for (order, files) in self.orders()? {
            let terminated = files.terminated().map_err(ProviderError::records("read", &files.directory))?;
            if let Some(terminated) = terminated {
                ended.push((terminated.at_unix_ms, order, files));
            }
        }
        ended.sort_by_key(|(at_unix_ms, ..)| *at_unix_ms);
        let keep_since = unix_ms().saturating_sub(self.settings.terminated_keep_s.saturating_mul(1_000));
        let too_many = ended.len().saturating_sub(TERMINATED_MAX);
        for (at, (at_unix_ms, order, files)) in ended.iter().enumerate() {
            if at < too_many || *at_unix_ms < keep_since {
                self.forget(order, files)?;
            }
        }
        Ok(())
    }

    /// All orders of this provider; a host that is removed meanwhile is left out.
    pub(super) fn orders(&self) -> Result<Vec<(OrderRecord, HostFiles)>, ProviderError> {
        let step = ProviderError::records("list", self.layout.hosts());
        let mut orders = Vec::new();
        for files in self.layout.all_hosts().map_err(step)? {
            let read = ProviderError::records("read the order in", &files.directory);
            if let Some(order) = files.order().map_err(read)? {
                orders.push((order, files));
            }
        }
        Ok(orders)
    }

    /// Returns the state of a host; ends the host first when its supervisor has died.
    fn settle(&self, order: &OrderRecord, files: &HostFiles) -> Result<Seen, ProviderError> {
        let step = || ProviderError::records("look at", &files.directory);
        if let Some(end) = files.terminated().map_err(step())? {
            return Ok(Seen::Terminated(end));
        }
        let Some(supervisor) = files.supervisor().map_err(step())? else {
            if files.path("release.json").exists() {
                self.end_unstarted(order, files, Cause::Released)?;
            } else if unix_ms().saturating_sub(order.created_unix_ms) > START_MS_MAX {
                self.end_unstarted(order, files, Cause::NeverStarted)?;
            }
            return self.ended_or(files, Seen::Booting);
        };
        if !supervisor.identity.is_alive().map_err(step())? {
            // When the lock is held, another process is ending the host already.
            if let Some(_lock) = files.try_supervisor_lock().map_err(step())?
                && files.terminated().map_err(step())?.is_none()
            {
                let group = supervisor.cgroup.as_deref();
                ending::end(&self.layout, files, order, group, None, Cause::SupervisorLost).map_err(step())?;
                tracing::warn!(host = %order.host, "supervisor vanished, its host was ended");
            }
        }
        let node_started = files.path("node.json").exists();
        self.ended_or(files, if node_started { Seen::Running } else { Seen::Booting })
    }

    fn ended_or(&self, files: &HostFiles, otherwise: Seen) -> Result<Seen, ProviderError> {
        let end = files.terminated().map_err(ProviderError::records("look at", &files.directory))?;
        Ok(end.map_or(otherwise, Seen::Terminated))
    }

    /// Ends a host that has no supervisor, unless one is just being started.
    fn end_unstarted(
        &self,
        order: &OrderRecord,
        files: &HostFiles,
        cause: Cause,
    ) -> Result<(), ProviderError> {
        let step = || ProviderError::records("end", &files.directory);
        let Some(_start) = files.try_start_lock().map_err(step())? else { return Ok(()) };
        // The process that started it may have died and left a supervisor that has not recorded itself yet.
        let Some(_life) = files.try_supervisor_lock().map_err(step())? else { return Ok(()) };
        if files.supervisor().map_err(step())?.is_none() {
            ending::end(&self.layout, files, order, None, None, cause).map_err(step())?;
        }
        Ok(())
    }

    /// Removes a host directory: first renames it so that no list shows it, then deletes it.
    fn forget(&self, order: &OrderRecord, files: &HostFiles) -> Result<(), ProviderError> {
        let step = || ProviderError::records("forget", &files.directory);
        address::release(&self.layout, order).map_err(step())?;
        let aside = self.layout.hosts().join(format!("{ASIDE_PREFIX}gone-{}", order.host));
        // Left by a removal that crashed.
        match fs::remove_dir_all(&aside) {
            Err(error) if !records::is_absent(&error) => return Err(step()(error)),
            _ => {}
        }
        fs::rename(&files.directory, &aside).map_err(step())?;
        fs::remove_dir_all(&aside).map_err(step())
    }

    /// Removes the remains of crashed claims and removals, and all directories that are empty. The caller holds the
    /// lock.
    fn sweep(&self) -> io::Result<()> {
        let entries = match fs::read_dir(self.layout.hosts()) {
            // Another `down` has removed the directories.
            Err(error) if records::is_absent(&error) => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(ASIDE_PREFIX) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let state = &self.layout.state;
        remove_if_empty(&self.layout.hosts())?;
        remove_if_empty(&self.layout.provider)?;
        remove_if_empty(&state.join("providers"))?;
        if state.join("providers").exists() {
            return Ok(());
        }
        // The last host of the last provider is gone. The clock and the lock of the emulated providers are removed
        // with it, and the addresses of hosts whose directory was removed from outside.
        match fs::remove_dir_all(self.layout.addresses()) {
            Err(error) if !records::is_absent(&error) => return Err(error),
            _ => {}
        }
        for file in [self.layout.genesis(), state.join("lock")] {
            match fs::remove_file(&file) {
                Err(error) if !records::is_absent(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The host of an order in the provider's terms.
fn host(order: OrderRecord, seen: &Seen) -> Host {
    let (state, cause) = match seen {
        Seen::Booting => (HostState::Booting, None),
        Seen::Running => (HostState::Running, None),
        Seen::Terminated(end) => (HostState::Terminated, Some(end.cause.to_string())),
    };
    Host {
        id: order.host,
        offer: order.offer,
        region: order.region,
        state,
        token: order.token,
        tags: order.tags,
        address: Some(order.address.into()),
        created_unix_ms: order.created_unix_ms,
        cause,
    }
}
