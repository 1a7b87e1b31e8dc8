//! The directory `.rhizo/` in which a command line keeps what it knows of one application.
//!
//! It holds the operator's key, the last known members, node 0's own files and the state of providers that
//! run on this machine. It is not the overlay's memory: that is the ledger, which every node has.

use crate::error::{HomeError, Step};
use rhizo_types::{AppName, Lineage, NodeId, PeerKey};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The directory's name, below the directory in which the command is run.
pub const DIRECTORY: &str = ".rhizo";

/// One application's directory.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

/// Which application lives in a home.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Version of this record's form.
    pub version: u32,
    /// The application.
    pub app: AppName,
    /// Its lineage.
    pub lineage: Lineage,
}

/// A member as the command line remembers it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownMember {
    /// Its id.
    pub node: NodeId,
    /// Its key in hexadecimal digits.
    pub key: String,
    /// Where it accepts links.
    pub addresses: Vec<SocketAddr>,
}

/// A process that is node 0: its id, and when it started, so that a recycled id is not taken for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FounderProcess {
    /// The process id.
    pub pid: i32,
    /// Clock ticks since boot at which it started, as the kernel tells.
    pub start_ticks: Option<u64>,
}

impl FounderProcess {
    /// This process.
    #[must_use]
    pub fn current() -> Self {
        Self::of(std::process::id())
    }

    /// The process with this id.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self { pid: i32::try_from(pid).unwrap_or(0), start_ticks: start_ticks(pid) }
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let now = u32::try_from(self.pid).ok().and_then(start_ticks);
        now.is_some() && now == self.start_ticks
    }
}

/// The start time of a process that is not a zombie, from the kernel's table.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may contain anything; the state follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

impl Home {
    /// The home below `directory`, which need not exist yet. The path is made absolute.
    ///
    /// # Errors
    /// When the current directory cannot be found out.
    pub fn below(directory: &Path) -> Result<Self, HomeError> {
        let path = directory.join(DIRECTORY);
        let path = std::path::absolute(&path).map_err(|source| HomeError::new(Step::Find, &path, source))?;
        Ok(Self { path })
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Node 0's own directory.
    #[must_use]
    pub fn founder_dir(&self) -> PathBuf {
        self.path.join("founder")
    }

    /// Where providers that run on this machine keep their state.
    #[must_use]
    pub fn provider_dir(&self, provider: &str) -> PathBuf {
        self.path.join("providers").join(provider)
    }

    /// Which application lives here, if one does.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub fn deployment(&self) -> Result<Option<Deployment>, HomeError> {
        self.read("deployment.json")
    }

    /// Notes which application lives here.
    ///
    /// # Errors
    /// When the directory or the record cannot be written.
    pub fn set_deployment(&self, deployment: &Deployment) -> Result<(), HomeError> {
        self.write("deployment.json", deployment, 0o644)
    }

    /// The members known last; empty when none were noted.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub fn members(&self) -> Result<Vec<KnownMember>, HomeError> {
        Ok(self.read("members.json")?.unwrap_or_default())
    }

    /// Notes the members.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn set_members(&self, members: &[KnownMember]) -> Result<(), HomeError> {
        self.write("members.json", &members, 0o644)
    }

    /// The operator's secret; a new one from `fresh` is stored when there is none.
    ///
    /// # Errors
    /// When it cannot be read or stored.
    pub fn operator_secret(&self, fresh: impl FnOnce() -> [u8; 32]) -> Result<[u8; 32], HomeError> {
        if let Some(text) = self.read::<String>("operator.key")? {
            return from_hex(&text).ok_or_else(|| {
                let source =
                    std::io::Error::new(std::io::ErrorKind::InvalidData, "not 64 hexadecimal digits");
                HomeError::new(Step::Read, &self.path.join("operator.key"), source)
            });
        }
        let secret = fresh();
        self.write("operator.key", &to_hex(&secret), 0o600)?;
        Ok(secret)
    }

    /// What node 0 began with; none when nothing was begun.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub(crate) fn record<T: for<'de> Deserialize<'de>>(&self) -> Result<Option<T>, HomeError> {
        self.read("beginning.json")
    }

    /// Notes what node 0 begins with.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(crate) fn set_record(&self, record: &impl Serialize) -> Result<(), HomeError> {
        self.write("beginning.json", record, 0o600)
    }

    /// The process that is node 0, if one was noted.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub fn founder(&self) -> Result<Option<FounderProcess>, HomeError> {
        self.read("founder.json")
    }

    /// Notes the process that is node 0.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn set_founder(&self, founder: &FounderProcess) -> Result<(), HomeError> {
        self.write("founder.json", founder, 0o644)
    }

    /// Forgets node 0's process.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn forget_founder(&self) -> Result<(), HomeError> {
        let path = self.path.join("founder.json");
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(HomeError::new(Step::Remove, &path, source))
            }
            _ => Ok(()),
        }
    }

    /// Forgets the application: removes the directory with all that is in it.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn remove(&self) -> Result<(), HomeError> {
        match fs::remove_dir_all(&self.path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(HomeError::new(Step::Remove, &self.path, source))
            }
            _ => Ok(()),
        }
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, HomeError> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| HomeError::new(Step::Read, &path, source.into())),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::new(Step::Read, &path, source)),
        }
    }

    /// Replaces a record as a whole, so that a reader never sees half of it.
    fn write(&self, name: &str, record: &impl Serialize, mode: u32) -> Result<(), HomeError> {
        let path = self.path.join(name);
        let draft = self.path.join(format!("{name}.{}.new", std::process::id()));
        let written = || -> std::io::Result<()> {
            fs::create_dir_all(&self.path)?;
            let mut options = fs::OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(mode).open(&draft)?;
            serde_json::to_writer_pretty(&mut file, record)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        written().map_err(|source| HomeError::new(Step::Write, &path, source))
    }
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 bytes from 64 hexadecimal digits.
#[must_use]
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
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
    /// The key, when it is well formed.
    #[must_use]
    pub fn peer_key(&self) -> Option<PeerKey> {
        from_hex(&self.key).map(PeerKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_way_through_text() {
        let bytes: [u8; 32] = std::array::from_fn(|position| u8::try_from(position * 7 % 256).unwrap_or(0));
        assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        assert_eq!(from_hex("zz"), None);
        assert_eq!(from_hex(&"é".repeat(32)), None);
    }
}
