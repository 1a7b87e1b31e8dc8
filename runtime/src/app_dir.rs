//! The directory `.rhizo/` that the command line keeps for one application, below the working directory.
//!
//! It holds the operator's key, the last known members, the tables of all providers that may have hosts, node 0's files
//! and the state of providers that run on this machine. It is not the authority on the application: the replicated
//! ledger is, and every node has a copy of it. Losing this directory loses the operator's key. Hosts of the process
//! provider have directories of their own, which belong to `rhizo-actuators`. Read next: [`records`], for the form of
//! the files.

mod records;

pub(crate) use records::{
    Deployment, FounderProcess, KnownMember, KnownProvider, KnownProviders, PendingRecovery, from_hex, to_hex,
};

use crate::error::{AppDirError, Step};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The directory's name, below the directory in which the command is run.
pub(crate) const DIRECTORY: &str = ".rhizo";

/// How long a command waits for the directory's lock, in milliseconds. Holders write a few small files, or remove the
/// directory.
const CLAIM_MS_MAX: u64 = 30_000;

/// Time between two attempts at the lock, in milliseconds.
const CLAIM_LOOK_MS: u64 = 10;

/// How often the removal of the directory is tried while other commands still write files.
const REMOVALS_MAX: usize = 100;

/// The lock of an application's directory; dropping it, or the end of the process, releases it.
#[derive(Debug)]
pub(crate) struct Claim {
    _directory: fs::File,
}

/// The path of one application's directory. The directory itself is made by [`AppDir::make`].
#[derive(Clone, Debug)]
pub(crate) struct AppDir {
    path: PathBuf,
}

impl AppDir {
    /// The application directory below `directory`. Neither needs to exist yet; the path is made absolute.
    ///
    /// # Errors
    /// When the working directory cannot be determined.
    pub(crate) fn below(directory: &Path) -> Result<Self, AppDirError> {
        let path = directory.join(DIRECTORY);
        let path =
            std::path::absolute(&path).map_err(|source| AppDirError::new(Step::Find, &path, source))?;
        Ok(Self { path })
    }

    /// The directory's absolute path.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of node 0's log, journal and instances.
    #[must_use]
    pub(crate) fn founder_dir(&self) -> PathBuf {
        self.path.join("founder")
    }

    /// The application that this directory belongs to; `None` when there is no record.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub(crate) fn deployment(&self) -> Result<Option<Deployment>, AppDirError> {
        self.read("deployment.json")
    }

    /// Makes the directory if there is none, and locks it as [`AppDir::claim`] does.
    ///
    /// # Errors
    /// When the directory cannot be made, and those of [`AppDir::claim`].
    pub(crate) fn make(&self) -> Result<Claim, AppDirError> {
        loop {
            rhizo_private_files::create_dirs(&self.path)
                .map_err(|source| AppDirError::new(Step::Write, &self.path, source))?;
            // Without a claim, another process has removed the directory meanwhile.
            if let Some(claim) = self.claim()? {
                return Ok(claim);
            }
        }
    }

    /// Locks the directory for a step that reads its records and then writes them. Returns `None` when there is no
    /// directory.
    ///
    /// The lock is advisory: the steps that start an application and that remove the directory take it. The kernel
    /// releases it when the process ends.
    ///
    /// # Errors
    /// When the directory cannot be opened, or another process holds the lock for longer than [`CLAIM_MS_MAX`].
    pub(crate) fn claim(&self) -> Result<Option<Claim>, AppDirError> {
        let failed = |source| AppDirError::new(Step::Lock, &self.path, source);
        let deadline = Instant::now() + Duration::from_millis(CLAIM_MS_MAX);
        loop {
            match self.try_claim() {
                Ok(Some(claim)) => return Ok(Some(claim)),
                Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(source) => return Err(failed(source)),
                Ok(None) => {}
            }
            if Instant::now() >= deadline {
                let reason = "another command works in it and does not end";
                return Err(failed(std::io::Error::new(std::io::ErrorKind::TimedOut, reason)));
            }
            std::thread::sleep(Duration::from_millis(CLAIM_LOOK_MS));
        }
    }

    /// One attempt at the lock; `None` when another process holds it, or removed the directory meanwhile.
    fn try_claim(&self) -> std::io::Result<Option<Claim>> {
        self.lock(fs::File::open(&self.path)?)
    }

    /// Locks an opened directory; `None` when it is locked already, or when another directory has its name by now.
    fn lock(&self, directory: fs::File) -> std::io::Result<Option<Claim>> {
        match directory.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        let (locked, named) = (directory.metadata()?, fs::metadata(&self.path)?);
        let is_current = (locked.dev(), locked.ino()) == (named.dev(), named.ino());
        Ok(is_current.then_some(Claim { _directory: directory }))
    }

    /// Records the application that this directory belongs to. Returns false, and writes nothing, when it belongs to an
    /// application already.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(crate) fn found(&self, _claim: &Claim, deployment: &Deployment) -> Result<bool, AppDirError> {
        const NAME: &str = "deployment.json";
        let draft = self.draft(NAME, deployment)?;
        // Unlike a rename, a link fails when there is such a file.
        let linked = fs::hard_link(&draft, self.path.join(NAME));
        let removed = fs::remove_file(&draft);
        match linked {
            Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            linked => {
                let made = linked.and(removed);
                made.map_err(|source| AppDirError::new(Step::Write, &self.path.join(NAME), source))?;
                self.sync()?;
                Ok(true)
            }
        }
    }

    /// The members recorded last; empty when there is no record.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub(crate) fn members(&self) -> Result<Vec<KnownMember>, AppDirError> {
        Ok(self.read("members.json")?.unwrap_or_default())
    }

    /// Records the members, replacing the earlier list.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(crate) fn set_members(&self, members: &[KnownMember]) -> Result<(), AppDirError> {
        self.write("members.json", &members)
    }

    /// The operator's secret key. When there is none yet, the result of `fresh` is stored and returned.
    ///
    /// # Errors
    /// When the key cannot be read or stored.
    pub(crate) fn operator_secret(&self, fresh: impl FnOnce() -> [u8; 32]) -> Result<[u8; 32], AppDirError> {
        if let Some(text) = self.read::<String>("operator.key")? {
            return from_hex(&text).ok_or_else(|| {
                let source =
                    std::io::Error::new(std::io::ErrorKind::InvalidData, "not 64 hexadecimal digits");
                AppDirError::new(Step::Read, &self.path.join("operator.key"), source)
            });
        }
        let secret = fresh();
        self.write("operator.key", &to_hex(&secret))?;
        Ok(secret)
    }

    /// The tables of all providers that may have hosts of this application; empty when there is no record.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub(crate) fn providers(&self) -> Result<Vec<KnownProvider>, AppDirError> {
        Ok(self.read("providers.json")?.map_or_else(Vec::new, |KnownProviders::V1 { providers }| providers))
    }

    /// Records the tables of all providers that may have hosts. The record is on the disk when this returns.
    ///
    /// The claim is required, because two commands that add a provider each must not lose one of them.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(crate) fn set_providers(
        &self,
        _claim: &Claim,
        providers: Vec<KnownProvider>,
    ) -> Result<(), AppDirError> {
        self.write("providers.json", &KnownProviders::V1 { providers })?;
        self.sync()
    }

    /// Waits until the names of the records are on the disk.
    fn sync(&self) -> Result<(), AppDirError> {
        let synced = fs::File::open(&self.path).and_then(|directory| directory.sync_all());
        synced.map_err(|source| AppDirError::new(Step::Write, &self.path, source))
    }

    /// The input that node 0 of this application is started with; `None` before the first `up`.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub(crate) fn beginning<T: for<'de> Deserialize<'de>>(&self) -> Result<Option<T>, AppDirError> {
        self.read("beginning.json")
    }

    /// Records the input that node 0 is started with (mode 0600).
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(crate) fn set_beginning(&self, record: &impl Serialize) -> Result<(), AppDirError> {
        self.write("beginning.json", record)
    }

    /// Replaces the record of the application.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(crate) fn set_deployment(&self, _claim: &Claim, deployment: &Deployment) -> Result<(), AppDirError> {
        self.write("deployment.json", deployment)
    }

    /// The order to begin a new lineage that may not be carried out yet; `None` when there is no record.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub(crate) fn recovery(&self) -> Result<Option<PendingRecovery>, AppDirError> {
        self.read("recovery.json")
    }

    /// Records an order to begin a new lineage.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(crate) fn set_recovery(&self, _claim: &Claim, pending: &PendingRecovery) -> Result<(), AppDirError> {
        self.write("recovery.json", pending)
    }

    /// Removes the record of an order to begin a new lineage. Succeeds when there is none.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub(crate) fn forget_recovery(&self, _claim: &Claim) -> Result<(), AppDirError> {
        self.forget("recovery.json")
    }

    /// The recorded process of node 0; `None` when there is no record.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub(crate) fn founder(&self) -> Result<Option<FounderProcess>, AppDirError> {
        self.read("founder.json")
    }

    /// Records the process of node 0.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(crate) fn set_founder(&self, founder: &FounderProcess) -> Result<(), AppDirError> {
        self.write("founder.json", founder)
    }

    /// Removes the record of node 0's process. Succeeds when there is none.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub(crate) fn forget_founder(&self) -> Result<(), AppDirError> {
        self.forget("founder.json")
    }

    fn forget(&self, name: &str) -> Result<(), AppDirError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(AppDirError::new(Step::Remove, &path, source))
            }
            _ => Ok(()),
        }
    }

    /// Removes the directory and everything in it. Succeeds when it does not exist.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub(crate) fn remove(&self, _claim: &Claim) -> Result<(), AppDirError> {
        // A command that only asks stores the members of the answer. It may write a file between two steps of this.
        for _ in 1..REMOVALS_MAX {
            match self.remove_content() {
                Err(source) if source.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
                removed => return self.removed(removed),
            }
        }
        self.removed(self.remove_content())
    }

    fn removed(&self, removed: std::io::Result<()>) -> Result<(), AppDirError> {
        match removed {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(AppDirError::new(Step::Remove, &self.path, source))
            }
            _ => Ok(()),
        }
    }

    /// A link to a directory is removed after the directory, in which the keys are.
    fn remove_content(&self) -> std::io::Result<()> {
        if !fs::symlink_metadata(&self.path)?.is_symlink() {
            return fs::remove_dir_all(&self.path);
        }
        fs::remove_dir_all(fs::canonicalize(&self.path)?)?;
        fs::remove_file(&self.path)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, AppDirError> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| AppDirError::new(Step::Read, &path, source.into())),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(AppDirError::new(Step::Read, &path, source)),
        }
    }

    /// Replaces a record in one step, so that a reader never sees a partial record.
    ///
    /// It does not make the directory: only [`AppDir::make`] does, so that no late answer of a node brings back the
    /// directory of an application that was taken down.
    fn write(&self, name: &str, record: &impl Serialize) -> Result<(), AppDirError> {
        let draft = self.draft(name, record)?;
        let path = self.path.join(name);
        fs::rename(&draft, &path).map_err(|source| AppDirError::new(Step::Write, &path, source))
    }

    /// Writes a record to a file of this process beside its place, and syncs it. Returns the file's path.
    ///
    /// The config in a record may hold passwords, so only the operator may read the file.
    fn draft(&self, name: &str, record: &impl Serialize) -> Result<PathBuf, AppDirError> {
        let draft = self.path.join(format!("{name}.{}.new", std::process::id()));
        let written = || -> std::io::Result<()> {
            let mut file = rhizo_private_files::create(&draft)?;
            serde_json::to_writer_pretty(&mut file, record)?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        written().map_err(|source| AppDirError::new(Step::Write, &self.path.join(name), source))?;
        Ok(draft)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::Lineage;

    #[test]
    fn the_content_behind_a_link_is_removed_with_the_link() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, link) = (dir.path().join("kept"), dir.path().join(DIRECTORY));
        fs::create_dir(&kept).unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        let home = AppDir::below(dir.path()).unwrap();
        let claim = home.make().unwrap();
        home.operator_secret(|| [7; 32]).unwrap();
        assert!(kept.join("operator.key").exists());
        home.remove(&claim).unwrap();
        assert!(!kept.exists() && fs::symlink_metadata(&link).is_err());
        home.remove(&claim).unwrap();
    }

    fn deployment(app: &str) -> Deployment {
        Deployment { version: 1, app: app.into(), lineage: Lineage(1), others: Vec::new() }
    }

    #[test]
    fn one_directory_has_one_application() {
        let dir = tempfile::tempdir().unwrap();
        let home = AppDir::below(dir.path()).unwrap();
        let claim = home.make().unwrap();
        assert!(home.found(&claim, &deployment("shop")).unwrap());
        assert!(!home.found(&claim, &deployment("news")).unwrap());
        assert_eq!(home.deployment().unwrap(), Some(deployment("shop")));
        let files: Vec<_> =
            fs::read_dir(home.path()).unwrap().flatten().map(|file| file.file_name()).collect();
        assert_eq!(files, ["deployment.json"], "drafts are removed");
    }

    #[test]
    fn a_lock_belongs_to_the_directory_that_has_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let home = AppDir::below(dir.path()).unwrap();
        let claim = home.make().unwrap();
        assert!(home.try_claim().unwrap().is_none(), "it is held");
        let opened = fs::File::open(home.path()).unwrap();
        home.remove(&claim).unwrap();
        drop(claim);
        let next = home.make().unwrap();
        assert!(home.found(&next, &deployment("news")).unwrap(), "a new directory is a new home");
        assert!(home.lock(opened).unwrap().is_none(), "the lock of the removed directory does not count");
    }

    #[test]
    fn no_late_record_brings_a_removed_directory_back() {
        let dir = tempfile::tempdir().unwrap();
        let home = AppDir::below(dir.path()).unwrap();
        let claim = home.make().unwrap();
        home.remove(&claim).unwrap();
        assert!(home.set_members(&[]).is_err());
        assert!(!home.path().exists());
    }

    #[test]
    fn only_the_operator_may_read_the_records() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let home = AppDir::below(dir.path()).unwrap();
        let _claim = home.make().unwrap();
        home.set_members(&[]).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(home.path()), mode(&home.path().join("members.json"))), (0o700, 0o600));
    }
}
