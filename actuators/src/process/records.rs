//! The files of a host directory. Each is written completely or not at all.
//!
//! ```text
//! <state>/                      shared by every node of the machine
//!   lock  genesis.json  faults.json
//!   addresses/127.x.y.z         link to the host directory that owns the address
//!   providers/<provider>/hosts/<host>/
//!     order.json                written with the directory itself: who ordered what, and how to launch it
//!     boot                      the boot document (0600)
//!     start.lock                held while a process starts the supervisor
//!     supervisor.lock           held by the supervisor for its whole life
//!     supervisor.json           its identity and the cgroup it made
//!     node.json                 the node's identity, once started
//!     joined                    written by the node when its ticket has been used
//!     release.json              the end of the host was requested
//!     terminated.json           the end: nothing of the host runs any more
//!     node.log supervisor.log   output, bounded
//!     node/                     the node's own files
//! ```

use super::identity::ProcessIdentity;
use crate::provider::{Tags, Token};
use rhizo_types::{HostId, OfferName, ProviderName, RegionName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Largest record in bytes: an order with a long environment stays far below.
const RECORD_BYTES_MAX: u64 = 1024 * 1024;

/// The form of [`OrderRecord`] that this version writes and reads.
pub(crate) const ORDER_FORMAT: u32 = 1;

/// Milliseconds since the Unix epoch, by the machine's clock.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The data files that emulate a provider, absolute.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataPaths {
    pub(crate) offers: Option<PathBuf>,
    pub(crate) attributes: Option<PathBuf>,
    pub(crate) rtt: Option<PathBuf>,
    pub(crate) catalogue_rtt: Option<PathBuf>,
}

/// How the processes of a host are found when the host ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confinement {
    /// A cgroup of its own when the machine allows it, else as [`Confinement::ProcessTree`].
    #[default]
    Auto,
    /// Descendants of the supervisor, and processes with the host's mark in their environment.
    ProcessTree,
}

/// How the node of a host is started and stopped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaunchRecord {
    pub(crate) program: PathBuf,
    /// Arguments before the host directory.
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// Milliseconds between SIGTERM and SIGKILL when the host is released.
    pub(crate) grace_ms: u64,
    /// Milliseconds from the supervisor's start within which the node must have joined, margin included.
    pub(crate) join_within_ms: u64,
    pub(crate) confinement: Confinement,
}

/// The order. Written before the directory gets its name, never changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderRecord {
    pub(crate) format: u32,
    pub(crate) provider: ProviderName,
    pub(crate) host: HostId,
    pub(crate) token: Token,
    pub(crate) tags: Tags,
    pub(crate) offer: OfferName,
    pub(crate) region: RegionName,
    pub(crate) address: Ipv4Addr,
    pub(crate) created_unix_ms: u64,
    /// Emulated slow boot: the node is not started before this moment.
    pub(crate) start_at_unix_ms: u64,
    /// Emulated late success: no answer shows the host before this moment.
    pub(crate) visible_at_unix_ms: u64,
    pub(crate) data: DataPaths,
    pub(crate) launch: LaunchRecord,
}

/// The supervisor, and the cgroup of its host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SupervisorRecord {
    pub(crate) identity: ProcessIdentity,
    pub(crate) cgroup: Option<PathBuf>,
}

/// The node process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeRecord {
    pub(crate) identity: ProcessIdentity,
}

/// A request to end the host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseRecord {
    pub(crate) at_unix_ms: u64,
}

/// The reason why a host has ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// It was released.
    Released,
    /// The node ended by itself, with this exit code.
    NodeExited(i32),
    /// A signal ended the node.
    NodeKilled(i32),
    /// The node could not be started.
    StartFailed(String),
    /// The node's ticket ran out before it had joined.
    NeverJoined,
    /// The supervisor was ended by a signal meant for it, a shutdown of the machine for example.
    SupervisorStopped,
    /// The supervisor died; a process that listed the hosts ended the host.
    SupervisorLost,
    /// No supervisor was ever started.
    NeverStarted,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Released => f.write_str("released"),
            Self::NodeExited(code) => write!(f, "its node exited with code {code}"),
            Self::NodeKilled(signal) => write!(f, "its node was killed by signal {signal}"),
            Self::StartFailed(problem) => write!(f, "its node could not be started: {problem}"),
            Self::NeverJoined => f.write_str("its node did not join before its ticket expired"),
            Self::SupervisorStopped => f.write_str("its supervisor was stopped from outside"),
            Self::SupervisorLost => f.write_str("its supervisor vanished"),
            Self::NeverStarted => f.write_str("it was claimed but never started"),
        }
    }
}

/// The end of a host. Written once all of its processes are dead.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TerminatedRecord {
    pub(crate) cause: Cause,
    pub(crate) at_unix_ms: u64,
}

/// Reads a record; `None` when the file does not exist.
///
/// # Errors
/// When it cannot be read, is too large or is not such a record.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > RECORD_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the record is too large"));
    }
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error says that the file, or a directory on its path, does not exist.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Writes a record under a name that does not exist yet. Returns false when it exists: the first writer wins.
///
/// A reader sees the whole record or none: it is written aside and linked to its name.
///
/// # Errors
/// When the directory cannot be written.
pub(crate) fn write_first<T: Serialize>(path: &Path, record: &T) -> io::Result<bool> {
    let aside = write_aside(path, record)?;
    let linked = fs::hard_link(&aside, path);
    fs::remove_file(&aside)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_aside<T: Serialize>(path: &Path, record: &T) -> io::Result<PathBuf> {
    // The pid and the thread make the name private to this writer.
    let thread = nix::unistd::gettid();
    let aside = path.with_extension(format!("{}-{thread}.new", std::process::id()));
    let bytes = serde_json::to_vec(record).map_err(io::Error::from)?;
    // Written to disk at once: a record that a power failure left incomplete would make every list fail. There are few
    // records, so waiting for the disk costs little.
    rhizo_private_files::write_synced(&aside, &bytes)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_writer_of_a_record_wins_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("terminated.json");
        let first = TerminatedRecord { cause: Cause::NodeKilled(9), at_unix_ms: 1 };
        let second = TerminatedRecord { cause: Cause::SupervisorLost, at_unix_ms: 2 };
        assert_eq!(read::<TerminatedRecord>(&path).unwrap(), None);
        assert!(write_first(&path, &first).unwrap());
        assert!(!write_first(&path, &second).unwrap());
        assert_eq!(read(&path).unwrap(), Some(first));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_torn_or_foreign_record_is_an_error_and_not_a_panic() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("terminated.json");
        for bytes in [&b""[..], b"{", b"{\"cause\":\"released\"}", b"\xff\xfe", b"[]"] {
            fs::write(&path, bytes).unwrap();
            assert!(read::<TerminatedRecord>(&path).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_order_record_keeps_its_form_on_disk() {
        let record = OrderRecord {
            format: ORDER_FORMAT,
            provider: "lab".into(),
            host: "h1".into(),
            token: Token("t".into()),
            tags: Tags {
                app: "a".into(),
                lineage: rhizo_types::Lineage(1),
                intent: rhizo_types::IntentId(2),
            },
            offer: "small".into(),
            region: "eu".into(),
            address: Ipv4Addr::new(127, 1, 2, 3),
            created_unix_ms: 4,
            start_at_unix_ms: 4,
            visible_at_unix_ms: 4,
            data: DataPaths::default(),
            launch: LaunchRecord {
                program: "/p".into(),
                arguments: vec!["__node".into()],
                environment: BTreeMap::new(),
                grace_ms: 5,
                join_within_ms: 6,
                confinement: Confinement::Auto,
            },
        };
        let golden = concat!(
            r#"{"format":1,"provider":"lab","host":"h1","token":"t","tags":{"app":"a","lineage":1,"intent":2},"#,
            r#""offer":"small","region":"eu","address":"127.1.2.3","created_unix_ms":4,"start_at_unix_ms":4,"#,
            r#""visible_at_unix_ms":4,"data":{"offers":null,"attributes":null,"rtt":null,"catalogue_rtt":null},"launch":{"program":"/p","#,
            r#""arguments":["__node"],"environment":{},"grace_ms":5,"join_within_ms":6,"confinement":"auto"}}"#
        );
        assert_eq!(serde_json::to_string(&record).unwrap(), golden);
        assert_eq!(serde_json::from_str::<OrderRecord>(golden).unwrap(), record);
    }
}
