//! Bundles: one executable with a runtime, a config and the closures of its components.
//!
//! ```text
//! start program      or the runtime itself, if it is static: the system executes the first bytes
//! runtime files      loader, runtime, libraries; none for a static runtime
//! contents           of all files, one after the other
//! record             the config's name, the trees, and the place of each content
//! table              where the start program finds the runtime files
//! digest             BLAKE3 of all bytes before it
//! trailer            64 bytes that say where record and table are
//! ```
//!
//! Read next: `start/start.c`, which reads table and trailer; [`Bundle::open`].

mod layout;

pub use layout::{BundleRecord, Contents, Trailer, decode_record};

use crate::closure::{self, ClosureError, Wanted};
use crate::manifest::{Entry, Manifest, ManifestError};
use crate::store::{Lease, Store, StoreError};
use layout::{DIGEST_BYTES, TRAILER_BYTES};
use rhizo_types::Digest;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The program that unpacks the runtime; empty if it could not be compiled for this machine.
const START: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/start"));

/// A bundle cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file could not be used.
    #[error("{step} `{}`", path.display())]
    File {
        /// The step: a verb.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The bundle is damaged or cut off.
    #[error("use the bundle `{}`: it is damaged", path.display())]
    Damaged {
        /// The bundle.
        path: PathBuf,
    },
    /// The runtime needs a loader, and this machine has no start program for it.
    #[error(
        "bundle `{}`: it needs shared libraries, and there is no start program for this machine; build it with \
         `-C target-feature=+crt-static`", path.display()
    )]
    DynamicRuntime {
        /// The runtime.
        path: PathBuf,
    },
    /// The libraries of the runtime were not found.
    #[error("find the libraries of the runtime")]
    Libraries(#[source] ClosureError),
    /// The store could not be used.
    #[error("use the store of the bundle's files")]
    Store(#[from] StoreError),
    /// A manifest of the bundle breaks a rule.
    #[error("use the list of files of the bundle")]
    Manifest(#[from] ManifestError),
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BundleError {
    let path = path.to_owned();
    move |source| BundleError::File { step, path, source }
}

/// Counts and hashes the bytes that are written.
struct Counted {
    file: File,
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a bundle of a runtime and of trees that a store has. The file appears when it is whole.
///
/// # Errors
/// The runtime is dynamic and cannot be started on an empty Linux, a tree is missing, or a file cannot be used.
pub fn write(to: &Path, runtime: &Path, contents: &Contents, store: &Store) -> Result<(), BundleError> {
    let mut name = to.as_os_str().to_owned();
    name.push(".new");
    let draft = PathBuf::from(name);
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(true).mode(0o700);
    let file = options.open(&draft).map_err(failed("make", &draft))?;
    let mut out = Counted { file, bytes: 0, hasher: blake3::Hasher::new() };
    let written = write_to(&mut out, runtime, contents, store, &draft)
        .and_then(|()| out.file.sync_all().map_err(failed("sync", &draft)))
        .and_then(|()| std::fs::rename(&draft, to).map_err(failed("name", to)));
    if written.is_err() {
        let _already_gone = std::fs::remove_file(&draft);
    }
    written
}

fn write_to(
    out: &mut Counted,
    runtime: &Path,
    contents: &Contents,
    store: &Store,
    draft: &Path,
) -> Result<(), BundleError> {
    let table = write_runtime(out, runtime, draft)?;
    let mut blobs = BTreeMap::new();
    let mut manifests = Vec::new();
    for tree in contents.trees() {
        let manifest = store.manifest(&tree)?.ok_or(StoreError::Incomplete { tree })?;
        for (hash, bytes) in manifest.blobs() {
            if blobs.contains_key(&hash) {
                continue;
            }
            blobs.insert(hash, (out.bytes, bytes));
            let mut content = store.open_blob(&hash)?;
            io::copy(&mut content, out).map_err(failed("write", draft))?;
        }
        manifests.push(manifest.encode());
    }
    let blobs = blobs.into_iter().map(|(hash, (offset, bytes))| (hash, offset, bytes)).collect();
    let record = BundleRecord { contents: contents.clone(), manifests, blobs };
    let encoded = layout::encode_record(&record);
    let record_at = out.bytes;
    let table_at = record_at + encoded.len() as u64;
    let whole = [encoded.as_slice(), &layout::encode_table(&table)].concat();
    out.write_all(&whole).map_err(failed("write", draft))?;
    let digest = Digest(*out.hasher.finalize().as_bytes());
    let trailer = Trailer {
        table_at,
        entries: u32::try_from(table.len()).unwrap_or(u32::MAX),
        digest,
        record_at,
        record_bytes: encoded.len() as u64,
    };
    out.file.write_all(&trailer.encode()).map_err(failed("write", draft))
}

/// Writes the runtime: as it is if it is static, else the start program and the files that the runtime needs.
fn write_runtime(
    out: &mut Counted,
    runtime: &Path,
    draft: &Path,
) -> Result<Vec<(String, u64, u64)>, BundleError> {
    let copy = |path: &Path, out: &mut Counted| -> Result<(u64, u64), BundleError> {
        let begin = out.bytes;
        let mut file = File::open(path).map_err(failed("read", path))?;
        io::copy(&mut file, out).map_err(failed("write", draft))?;
        Ok((begin, out.bytes - begin))
    };
    let files = closure::of_program(runtime).map_err(BundleError::Libraries)?;
    let Some(closure::Linked { loader, libraries }) = files else {
        copy(runtime, out)?;
        return Ok(Vec::new());
    };
    if START.is_empty() {
        return Err(BundleError::DynamicRuntime { path: runtime.to_owned() });
    }
    out.write_all(START).map_err(failed("write", draft))?;
    let mut table = Vec::new();
    for (name, path) in
        [("loader".to_owned(), loader), ("rhizo".to_owned(), runtime.to_owned())].into_iter().chain(libraries)
    {
        let (begin, bytes) = copy(&path, out)?;
        table.push((name, begin, bytes));
    }
    Ok(table)
}

/// A bundle that was opened.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    file: File,
    record: BundleRecord,
    trailer: Trailer,
    bytes: u64,
}

impl Bundle {
    /// Opens a bundle; none if the file is not one.
    ///
    /// # Errors
    /// The file is a bundle and is damaged, or cannot be read.
    pub fn open(path: &Path) -> Result<Option<Self>, BundleError> {
        let mut file = File::open(path).map_err(failed("read", path))?;
        let bytes = file.seek(SeekFrom::End(0)).map_err(failed("read", path))?;
        let mut end = [0; TRAILER_BYTES];
        let Some(at) = bytes.checked_sub((TRAILER_BYTES + DIGEST_BYTES) as u64) else { return Ok(None) };
        file.read_exact_at(&mut end, at + DIGEST_BYTES as u64).map_err(failed("read", path))?;
        let mut digest = [0; DIGEST_BYTES];
        file.read_exact_at(&mut digest, at).map_err(failed("read", path))?;
        let damaged = || BundleError::Damaged { path: path.to_owned() };
        let Some(trailer) = Trailer::decode(&digest, &end, bytes) else { return Ok(None) };
        let length = usize::try_from(trailer.record_bytes).map_err(|_| damaged())?;
        let mut encoded = vec![0; length];
        file.read_exact_at(&mut encoded, trailer.record_at).map_err(failed("read", path))?;
        let record = decode_record(&encoded).ok_or_else(damaged)?;
        if record
            .blobs
            .iter()
            .any(|(_, offset, length)| offset.checked_add(*length).is_none_or(|end| end > bytes))
        {
            return Err(damaged());
        }
        Ok(Some(Self { path: path.to_owned(), file, record, trailer, bytes }))
    }

    /// The trees of the bundle.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.record.contents
    }

    /// The first 16 digits of the digest, which name the folder of the unpacked runtime.
    #[must_use]
    pub fn digits(&self) -> String {
        self.trailer.digits()
    }

    /// The bytes of the files of a tree; zero if the bundle does not have it.
    #[must_use]
    pub fn tree_bytes(&self, tree: &Digest) -> u64 {
        let manifests = self.record.manifests.iter().filter_map(|encoded| Manifest::decode(encoded).ok());
        manifests.filter(|manifest| manifest.digest() == *tree).map(|manifest| manifest.bytes()).sum()
    }

    /// Reads the whole bundle and compares it with its digest.
    ///
    /// # Errors
    /// It is damaged or cannot be read.
    pub fn verify(&self) -> Result<(), BundleError> {
        let mut file = File::open(&self.path).map_err(failed("read", &self.path))?;
        let mut hasher = blake3::Hasher::new();
        let mut rest = self.bytes - (TRAILER_BYTES + DIGEST_BYTES) as u64;
        let mut buffer = vec![0; 1 << 20];
        while rest > 0 {
            let step = usize::try_from(rest.min(buffer.len() as u64)).unwrap_or(buffer.len());
            file.read_exact(&mut buffer[..step]).map_err(failed("read", &self.path))?;
            hasher.update(&buffer[..step]);
            rest -= step as u64;
        }
        if hasher.finalize().as_bytes() == &self.trailer.digest.0 {
            return Ok(());
        }
        Err(BundleError::Damaged { path: self.path.clone() })
    }

    /// Puts trees of the bundle into a store, and leases them. Each content is compared with its hash.
    ///
    /// # Errors
    /// A content is damaged, or the store cannot be written.
    pub fn import(&self, store: &Store, lease: &Lease, wanted: &[Digest]) -> Result<(), BundleError> {
        let damaged = || BundleError::Damaged { path: self.path.clone() };
        let places: BTreeMap<&Digest, (u64, u64)> =
            self.record.blobs.iter().map(|(hash, offset, bytes)| (hash, (*offset, *bytes))).collect();
        for encoded in &self.record.manifests {
            let manifest = Manifest::decode(encoded)?;
            if !wanted.contains(&manifest.digest()) {
                continue;
            }
            for (_, entry) in manifest.entries() {
                let Entry::File { hash, .. } = entry else { continue };
                lease.add_blob(*hash);
                if store.has_blob(hash) {
                    continue;
                }
                let (offset, bytes) = *places.get(hash).ok_or_else(damaged)?;
                let mut file = &self.file;
                file.seek(SeekFrom::Start(offset)).map_err(failed("read", &self.path))?;
                let (stored, _) = store.put(lease, file.take(bytes))?;
                if stored != *hash {
                    return Err(damaged());
                }
            }
            store.put_manifest(lease, &manifest)?;
        }
        if wanted.iter().all(|tree| store.has_tree(tree).unwrap_or(false)) { Ok(()) } else { Err(damaged()) }
    }
}

/// Stores the files that the command line reads when it deploys a config: the config, by its name and text, and the
/// files that it names.
///
/// # Errors
/// A file cannot be read or is not below the folder.
pub fn config_tree(
    folder: &Path,
    (name, text): (&str, &str),
    files: &[PathBuf],
    store: &Store,
    lease: &Lease,
) -> Result<Digest, ClosureError> {
    let wanted = Wanted {
        folder: folder.to_owned(),
        files: files.to_vec(),
        programs: Vec::new(),
        patterns: Vec::new(),
        complete: false,
    };
    let found = closure::find(&wanted, Some((store, lease)))?;
    let (hash, bytes) = store.put(lease, text.as_bytes())?;
    let config = (format!("files/{name}"), Entry::File { executable: false, bytes, hash });
    let others = found.iter().flat_map(|found| found.manifest.entries());
    let others = others.map(|(path, entry)| (path.to_owned(), entry.clone()));
    let manifest = Manifest::new(others.chain([config]))?;
    Ok(store.put_manifest(lease, &manifest)?)
}

#[cfg(test)]
mod tests;
