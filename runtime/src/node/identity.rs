//! The files that let a node be the same member after a restart: its key, its id, and a copy of the ledger.
//!
//! A ticket is valid for one key, so the key is on the disk before the node asks to join. The copy of the ledger tells
//! a restarted node who the members are and where it can dial them. The copy may be old: the node catches up from its
//! own log or from the other members, and its journal keeps it from following an old target. A node without these files
//! is a new node. Read next: [`super::journal`] for the records that must never be older than the node's last action.

use rhizo_overlay::NodeSecret;
use rhizo_protocol::codec;
use rhizo_protocol::ledger::Ledger;
use rhizo_types::NodeId;
use rhizo_types::ledger::FOUNDER;
use rhizo_types::secret::SealingKey;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const KEY: &str = "node.key";
const SEALING_KEY: &str = "sealing.key";
const MEMBER: &str = "member.json";
const LEDGER: &str = "ledger";

/// Time between two writes of the ledger's copy. Members come and go one after the other when an application grows, and
/// a copy with most of them is good enough: one reachable member has the others.
const COPY_EVERY: Duration = Duration::from_secs(5);

/// Why the files could not be used. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// A file could not be read or written.
    #[error("{step} `{}`", path.display())]
    File {
        /// The failed step as a verb phrase.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is not what this version writes.
    #[error("read `{}`: it is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The content of `member.json`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "v")]
enum MemberFile {
    /// First form.
    #[serde(rename = "1")]
    V1 {
        /// The id that the node got when it joined.
        node: NodeId,
    },
}

/// A member as its files describe it.
pub(super) struct Resumed {
    pub(super) node: NodeId,
    pub(super) ledger: Ledger,
}

/// The identity files in one node's directory.
#[derive(Clone)]
pub(super) struct Identity {
    dir: PathBuf,
}

impl Identity {
    /// The files in `dir`, none of which needs to exist.
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Returns the node's key. Makes the key durable first, if there is none.
    ///
    /// # Errors
    /// When the file cannot be read, written, or is no key.
    pub(super) fn secret(&self) -> Result<NodeSecret, IdentityError> {
        let path = self.dir.join(KEY);
        if let Some(bytes) = read(&path)? {
            let bytes: [u8; 32] = bytes.try_into().map_err(|_| IdentityError::Damaged { path })?;
            return Ok(NodeSecret::from_bytes(bytes));
        }
        let secret = NodeSecret::generate();
        write(&path, secret.expose())?;
        Ok(secret)
    }

    /// Returns the member that this node was before a restart; `None` if it has never joined.
    ///
    /// # Errors
    /// When a file cannot be read, is damaged, or one of the two files is missing.
    pub(super) fn resumed(&self) -> Result<Option<Resumed>, IdentityError> {
        let path = self.dir.join(MEMBER);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let MemberFile::V1 { node } =
            serde_json::from_slice(&bytes).map_err(|_| IdentityError::Damaged { path })?;
        let path = self.dir.join(LEDGER);
        let ledger = read(&path)?.and_then(|bytes| codec::decode_ledger(&bytes).ok());
        let ledger = ledger.ok_or(IdentityError::Damaged { path })?;
        Ok(Some(Resumed { node, ledger }))
    }

    /// Makes durable that this node is the member `node` of the overlay that the ledger describes.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn keep(&self, node: NodeId, ledger: &Ledger) -> Result<(), IdentityError> {
        self.keep_ledger(ledger)?;
        let path = self.dir.join(MEMBER);
        // A record of two plain fields can always be encoded.
        let bytes = serde_json::to_vec(&MemberFile::V1 { node }).unwrap_or_default();
        write(&path, &bytes)
    }

    /// Returns the key that opens the application's secrets; `None` if this node has never got one.
    ///
    /// # Errors
    /// When the file cannot be read or is no key.
    pub(super) fn sealing_key(&self) -> Result<Option<SealingKey>, IdentityError> {
        let path = self.dir.join(SEALING_KEY);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| IdentityError::Damaged { path })?;
        Ok(Some(SealingKey(bytes)))
    }

    /// Makes the key that opens the application's secrets durable.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn keep_sealing_key(&self, key: &SealingKey) -> Result<(), IdentityError> {
        write(&self.dir.join(SEALING_KEY), &key.0)
    }

    /// Makes the copy of the ledger durable. The id of the member stays as it is.
    ///
    /// # Errors
    /// When the file cannot be written. The copy on the disk may be the new one nevertheless: the rename precedes the
    /// sync of the directory.
    pub(super) fn keep_ledger(&self, ledger: &Ledger) -> Result<(), IdentityError> {
        write(&self.dir.join(LEDGER), &codec::encode_ledger(ledger))
    }
}

/// Refreshes the ledger's copy on the disk after the members have changed, at most every [`COPY_EVERY`].
pub(super) struct LedgerCopy {
    identity: Identity,
    node: NodeId,
    /// Whether the members have changed since the copy was written.
    is_old: bool,
    written: Option<Instant>,
    writing: Arc<AtomicBool>,
    /// Whether a recovery writes the copy.
    held: bool,
}

impl LedgerCopy {
    pub(super) fn new(identity: Identity, node: NodeId) -> Self {
        Self { identity, node, is_old: false, written: None, writing: Arc::default(), held: false }
    }

    /// Notes that the members have changed. The founder's first copy is on the disk when this returns: it tells at
    /// which port the founder listens, and the first hosts are ordered with that port in their boot documents.
    pub(super) fn members_changed(&mut self, ledger: &Ledger) {
        self.is_old = true;
        let is_first = self.node == FOUNDER && self.written.is_none() && ledger.genesis.is_some();
        if is_first {
            self.written = Some(Instant::now());
            match self.identity.keep(self.node, ledger) {
                Ok(()) => self.is_old = false,
                Err(error) => {
                    tracing::warn!(error = %crate::error::chain(&error), "copy of the ledger not written");
                }
            }
        }
    }

    /// Notes that the ledger is of another lineage now. The next refresh writes the copy without a wait.
    pub(super) fn lineage_changed(&mut self) {
        (self.is_old, self.written, self.held) = (true, None, false);
    }

    /// Writes nothing from here on, so that a recovery can write the next lineage's ledger. Returns a flag that is set
    /// while a write from before is under way. Ended by [`Self::lineage_changed`] or [`Self::release`].
    pub(super) fn hold(&mut self) -> Arc<AtomicBool> {
        self.held = true;
        self.writing.clone()
    }

    /// Writes copies again.
    pub(super) fn release(&mut self) {
        self.held = false;
    }

    /// Writes the copy in a blocking task, if it is old and the last write is long enough ago.
    pub(super) fn refresh(&mut self, ledger: &Ledger) {
        let rests = self.written.is_some_and(|at| at.elapsed() < COPY_EVERY);
        if self.held
            || !self.is_old
            || ledger.genesis.is_none()
            || rests
            || self.writing.swap(true, Ordering::AcqRel)
        {
            return;
        }
        self.is_old = false;
        self.written = Some(Instant::now());
        let (identity, node, ledger) = (self.identity.clone(), self.node, ledger.clone());
        let writing = self.writing.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = identity.keep(node, &ledger) {
                tracing::warn!(error = %crate::error::chain(&error), "copy of the ledger not written");
            }
            writing.store(false, Ordering::Release);
        });
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, IdentityError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(IdentityError::File { step: "read", path: path.to_owned(), source }),
    }
}

/// Replaces a file durably: after a power cut it has its old or its new content. Only its owner may read it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let draft = path.with_extension("new");
    let written = || -> io::Result<()> {
        rhizo_private_files::write_synced(&draft, bytes)?;
        fs::rename(&draft, path)?;
        match path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    };
    written().map_err(|source| IdentityError::File { step: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_restarted_node_has_its_key_and_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let key = Identity::new(dir.path()).secret().unwrap().peer_key();
        assert!(Identity::new(dir.path()).resumed().unwrap().is_none(), "it has not joined");
        let ledger = Ledger { index: 7, ..Ledger::default() };
        Identity::new(dir.path()).keep(NodeId(5), &ledger).unwrap();
        let again = Identity::new(dir.path());
        assert_eq!(again.secret().unwrap().peer_key(), key);
        let resumed = again.resumed().unwrap().unwrap();
        assert_eq!((resumed.node, resumed.ledger), (NodeId(5), ledger));
        for name in [KEY, MEMBER, LEDGER] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_damaged_identity_is_an_error_and_not_a_new_node() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::new(dir.path());
        identity.keep(NodeId(5), &Ledger::default()).unwrap();
        for name in [MEMBER, LEDGER] {
            let whole = fs::read(dir.path().join(name)).unwrap();
            for bytes in [&b""[..], b"{", &[0xff; 40]] {
                fs::write(dir.path().join(name), bytes).unwrap();
                assert!(
                    matches!(identity.resumed(), Err(IdentityError::Damaged { .. })),
                    "{name}: {bytes:?}"
                );
            }
            fs::write(dir.path().join(name), whole).unwrap();
        }
        fs::remove_file(dir.path().join(LEDGER)).unwrap();
        assert!(identity.resumed().is_err(), "a member without its ledger");
        fs::write(dir.path().join(KEY), b"short").unwrap();
        assert!(identity.secret().is_err());
    }
}
