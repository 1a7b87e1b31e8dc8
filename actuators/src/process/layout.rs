//! The paths below a state directory, and the locks that order its writers.
//!
//! Locks are advisory file locks. The kernel releases them when their holder dies, so a lock is never stale.

use super::records::{self, OrderRecord, SupervisorRecord, TerminatedRecord};
use rhizo_types::{HostId, ProviderName};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Prefix of directories that are being made or removed and are no hosts.
pub(crate) const ASIDE_PREFIX: char = '.';

/// The part of a state directory that one provider uses.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The state directory, absolute.
    pub(crate) state: PathBuf,
    /// `<state>/providers/<provider>`.
    pub(crate) provider: PathBuf,
}

impl Layout {
    /// Nothing is created by this.
    pub(crate) fn new(state: PathBuf, provider: &ProviderName) -> Self {
        let provider = state.join("providers").join(provider.as_str());
        Self { state, provider }
    }

    pub(crate) fn hosts(&self) -> PathBuf {
        self.provider.join("hosts")
    }

    pub(crate) fn host(&self, id: &HostId) -> HostFiles {
        HostFiles { directory: self.hosts().join(id.as_str()) }
    }

    pub(crate) fn addresses(&self) -> PathBuf {
        self.state.join("addresses")
    }

    pub(crate) fn genesis(&self) -> PathBuf {
        self.state.join("genesis.json")
    }

    /// Creates the directories that a claim needs.
    pub(crate) fn create(&self) -> io::Result<()> {
        rhizo_private_files::create_dirs(&self.hosts())?;
        rhizo_private_files::create_dirs(&self.addresses())
    }

    /// The lock of all changes to the set of hosts and addresses of this machine's state directory.
    pub(crate) fn lock(&self) -> io::Result<Lock> {
        Lock::exclusive(&self.state.join("lock"))
    }

    /// Returns all hosts of this provider. A directory that is being made or removed is not one.
    pub(crate) fn all_hosts(&self) -> io::Result<Vec<HostFiles>> {
        let entries = match fs::read_dir(self.hosts()) {
            Ok(entries) => entries,
            Err(error) if records::is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut hosts = Vec::new();
        for entry in entries {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(ASIDE_PREFIX) {
                hosts.push(HostFiles { directory: entry.path() });
            }
        }
        hosts.sort_by(|left, right| left.directory.cmp(&right.directory));
        Ok(hosts)
    }
}

/// The files of one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HostFiles {
    pub(crate) directory: PathBuf,
}

impl HostFiles {
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// The order; `None` when there is no such host (any more).
    pub(crate) fn order(&self) -> io::Result<Option<OrderRecord>> {
        let order: Option<OrderRecord> = records::read(&self.path("order.json"))?;
        if let Some(order) = &order
            && order.format != records::ORDER_FORMAT
        {
            let problem = format!("order format {} was written by another version", order.format);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(order)
    }

    pub(crate) fn supervisor(&self) -> io::Result<Option<SupervisorRecord>> {
        records::read(&self.path("supervisor.json"))
    }

    pub(crate) fn terminated(&self) -> io::Result<Option<TerminatedRecord>> {
        records::read(&self.path("terminated.json"))
    }

    pub(crate) fn start_lock(&self) -> io::Result<Lock> {
        Lock::exclusive(&self.path("start.lock"))
    }

    /// The lock of the process that starts the supervisor; `None` when another process holds it.
    pub(crate) fn try_start_lock(&self) -> io::Result<Option<Lock>> {
        Lock::try_exclusive(&self.path("start.lock"))
    }

    /// The lock that a supervisor holds for its whole life; `None` when another process holds it.
    pub(crate) fn try_supervisor_lock(&self) -> io::Result<Option<Lock>> {
        Lock::try_exclusive(&self.path("supervisor.lock"))
    }
}

/// A held lock; dropping it, or the death of the process, releases it.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    fn exclusive(path: &Path) -> io::Result<Self> {
        loop {
            let file = open(path)?;
            file.lock()?;
            if is_current(&file, path)? {
                return Ok(Self { _file: file });
            }
        }
    }

    fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
            if is_current(&file, path)? {
                return Ok(Some(Self { _file: file }));
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    rhizo_private_files::options().write(true).open(path)
}

/// Whether the locked file still has this name: a purge may have removed it during the wait for the lock.
fn is_current(file: &File, path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(named) => {
            let locked = file.metadata()?;
            Ok((locked.dev(), locked.ino()) == (named.dev(), named.ino()))
        }
        Err(error) if records::is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes an empty directory; a missing or a filled one is left as it is.
pub(crate) fn remove_if_empty(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Ok(()) => Ok(()),
        Err(error) if records::is_absent(&error) || error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_whose_file_was_removed_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let old = Lock::exclusive(&path).unwrap();
        assert!(Lock::try_exclusive(&path).unwrap().is_none(), "it is held");
        fs::remove_file(&path).unwrap();
        let new = Lock::try_exclusive(&path).unwrap();
        assert!(new.is_some(), "a new file is a new lock");
        drop(old);
        assert!(Lock::try_exclusive(&path).unwrap().is_none(), "the new one is still held");
    }
}
