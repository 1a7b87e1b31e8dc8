//! Opening the database file, with a switch that lets tests make its disk fail.

use super::fault::StoreFault;
use redb::Database;
use std::path::Path;

/// The log is mirrored in memory, so the database needs little more than the pages of one commit.
const CACHE_BYTES: usize = 2 * 1024 * 1024;

/// Opens a file as a database and verifies all of it; a missing or empty file becomes a new database.
#[cfg(not(test))]
pub(super) fn open(path: &Path) -> Result<Database, StoreFault> {
    // The library would make a file that all users can read.
    rhizo_private_files::options().write(true).open(path).map_err(StoreFault::Io)?;
    Ok(Database::builder().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create(path)?)
}

/// As the version above, on a file whose writes fail while [`faults::fail`] requests it.
#[cfg(test)]
pub(super) fn open(path: &Path) -> Result<Database, StoreFault> {
    let file = rhizo_private_files::options().read(true).write(true).open(path);
    let file = file.map_err(StoreFault::Io)?;
    let backend = faults::Failing::new(redb::backends::FileBackend::new(file)?, path);
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    Ok(builder.create_with_backend(backend)?)
}

/// A disk that fails on request, per directory.
#[cfg(test)]
pub(super) mod faults {
    use redb::backends::FileBackend;
    use redb::{BackendError, StorageBackend};
    use std::collections::BTreeMap;
    use std::io;
    use std::ops::Bound;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    /// The operations that fail in a directory.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) enum Fault {
        /// Every write and every extension of the file, as on a full disk.
        Write,
        /// Every sync. Writes before it reach the file, as on a disk that reports an error late.
        Sync,
    }

    static FAILING: Mutex<BTreeMap<PathBuf, Fault>> = Mutex::new(BTreeMap::new());

    /// Makes the stores in `dir` fail in this way from now on, or work again if `fault` is `None`.
    pub(crate) fn fail(dir: &Path, fault: Option<Fault>) {
        let mut failing = FAILING.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => failing.insert(dir.to_owned(), fault),
            None => failing.remove(dir),
        };
    }

    #[derive(Debug)]
    pub(super) struct Failing {
        file: FileBackend,
        dir: PathBuf,
    }

    impl Failing {
        pub(super) fn new(file: FileBackend, path: &Path) -> Self {
            Self { file, dir: path.parent().unwrap_or(path).to_owned() }
        }

        fn check(&self, step: Fault) -> io::Result<()> {
            match FAILING.lock().unwrap_or_else(PoisonError::into_inner).get(&self.dir) {
                Some(Fault::Write) if step == Fault::Write => Err(io::ErrorKind::StorageFull.into()),
                Some(Fault::Sync) if step == Fault::Sync => {
                    Err(io::Error::other("injected: input/output error"))
                }
                _ => Ok(()),
            }
        }
    }

    impl StorageBackend for Failing {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.check(Fault::Write)?;
            self.file.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.check(Fault::Sync)?;
            self.file.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.check(Fault::Write)?;
            self.file.write(offset, data)
        }

        fn close(&self) -> io::Result<()> {
            self.file.close()
        }

        fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.file.try_lock_range(start, end)
        }

        fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.file.try_lock_shared_range(start, end)
        }

        fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.file.lock_range(start, end)
        }

        fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.file.lock_shared_range(start, end)
        }

        fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.file.unlock_range(start, end)
        }

        fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.file.query_lock_range(start, end)
        }
    }
}
