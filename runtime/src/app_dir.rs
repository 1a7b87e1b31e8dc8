//! The directory `.rhizo/` that the command line keeps for one application, below the working directory.
//!
//! It holds the operator's key, the last known members, node 0's files and the state of providers that run on this
//! machine. It is not the authority on the application: the replicated ledger is, and every node has a copy of it.
//! Losing this directory loses the operator's key. Hosts of the process provider have directories of their own, which
//! belong to `rhizo-actuators`. Read next: `cli`, which reads and writes these records.

use crate::error::{AppDirError, Step};
use rhizo_types::{AppName, Lineage, NodeId, PeerKey};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The directory's name, below the directory in which the command is run.
pub(crate) const DIRECTORY: &str = ".rhizo";

/// The path of one application's directory. The directory itself is made by the first write.
#[derive(Clone, Debug)]
pub(crate) struct AppDir {
    path: PathBuf,
}

/// The application that a directory belongs to; `deployment.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deployment {
    /// Version of this record's form.
    pub(crate) version: u32,
    /// The application.
    pub(crate) app: AppName,
    /// Its lineage.
    pub(crate) lineage: Lineage,
}

/// A member that the command line can dial; one entry of `members.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownMember {
    /// The member's id.
    pub(crate) node: NodeId,
    /// The member's public key in hexadecimal digits.
    pub(crate) key: String,
    /// The addresses at which the member accepts links.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// The process of node 0; `founder.json`.
///
/// The start time is part of its identity, because the kernel reuses process ids.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FounderProcess {
    /// The process id.
    pub(crate) pid: i32,
    /// When the process started, in clock ticks since boot, from `/proc/PID/stat`; absent when that was not readable.
    pub(crate) start_ticks: Option<u64>,
}

impl FounderProcess {
    /// The calling process.
    #[must_use]
    pub(crate) fn current() -> Self {
        Self::of(std::process::id())
    }

    /// The process with this id.
    #[must_use]
    pub(crate) fn of(pid: u32) -> Self {
        Self { pid: i32::try_from(pid).unwrap_or(0), start_ticks: start_ticks(pid) }
    }

    /// Whether the process still runs: a process with this id exists, is no zombie and started at the same tick.
    #[must_use]
    pub(crate) fn is_alive(&self) -> bool {
        let now = u32::try_from(self.pid).ok().and_then(start_ticks);
        now.is_some() && now == self.start_ticks
    }
}

/// The start time of a process in clock ticks since boot; `None` for a zombie or when there is no such process.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may contain anything; the state follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    fields.get(19)?.parse().ok()
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

    /// Records the application that this directory belongs to.
    ///
    /// # Errors
    /// When the directory or the record cannot be written.
    pub(crate) fn set_deployment(&self, deployment: &Deployment) -> Result<(), AppDirError> {
        self.write("deployment.json", deployment)
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
        let path = self.path.join("founder.json");
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
    pub(crate) fn remove(&self) -> Result<(), AppDirError> {
        match self.remove_content() {
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

    /// Writes a record to a draft file, syncs it and renames it into place, so that a reader never sees a partial record.
    ///
    /// The config in a record may hold passwords, so only the operator may read the files and enter the directory.
    fn write(&self, name: &str, record: &impl Serialize) -> Result<(), AppDirError> {
        let path = self.path.join(name);
        let draft = self.path.join(format!("{name}.{}.new", std::process::id()));
        let written = || -> std::io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
            let mut options = fs::OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
            serde_json::to_writer_pretty(&mut file, record)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        written().map_err(|source| AppDirError::new(Step::Write, &path, source))
    }
}

/// 32 bytes as 64 lower-case hexadecimal digits.
#[must_use]
pub(crate) fn to_hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 bytes from 64 hexadecimal digits with optional white space around; `None` for anything else.
#[must_use]
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (position, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * position..2 * position + 2], 16).ok()?;
    }
    Some(bytes)
}

impl KnownMember {
    /// The member's key as bytes; `None` when the recorded text is not a key.
    #[must_use]
    pub(crate) fn peer_key(&self) -> Option<PeerKey> {
        from_hex(&self.key).map(PeerKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_after_writing_and_parsing() {
        let bytes: [u8; 32] = std::array::from_fn(|position| u8::try_from(position * 7 % 256).unwrap_or(0));
        assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        assert_eq!(from_hex("zz"), None);
        assert_eq!(from_hex(&"é".repeat(32)), None);
    }

    #[test]
    fn the_content_behind_a_link_is_removed_with_the_link() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, link) = (dir.path().join("kept"), dir.path().join(DIRECTORY));
        fs::create_dir(&kept).unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        let home = AppDir::below(dir.path()).unwrap();
        home.operator_secret(|| [7; 32]).unwrap();
        assert!(kept.join("operator.key").exists());
        home.remove().unwrap();
        assert!(!kept.exists() && fs::symlink_metadata(&link).is_err());
        home.remove().unwrap();
    }

    #[test]
    fn only_the_operator_may_read_the_records() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let home = AppDir::below(dir.path()).unwrap();
        home.set_members(&[]).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(home.path()), mode(&home.path().join("members.json"))), (0o700, 0o600));
    }
}
