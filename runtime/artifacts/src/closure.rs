//! Closures: the files that a component runs with, found from the programs, templates and patterns of its config.
//!
//! ```text
//! files/…    the files below the folder of the config, by their relative paths
//! root/…     all other files, by their absolute paths
//! ```
//!
//! For each ELF file among them, the loader and the shared libraries are found as the loader of the system finds them
//! ([`libraries`]). Programs that the system owns (below `/usr`, `/bin` and the like) are left out, unless the closure
//! is to be complete: then they are packed, with the interpreters of scripts. Libraries that a program loads by itself
//! (`dlopen`) are not found; a pattern names them. Read next: [`gather`].

mod cache;
mod elf;
mod gather;
mod libraries;
mod patterns;

pub use cache::{CacheEntry, read_cache};
pub use elf::{Elf, read_elf};

use crate::manifest::{Entry, Manifest, ManifestError};
use crate::pieces::{PIECE_BYTES, PieceHasher};
use crate::store::{Lease, Store, StoreError};
use gather::Gathered;
use rhizo_types::Digest;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Most files that the patterns of one component may match. A large Python installation has 20,000.
pub const FILES_MAX: usize = 50_000;
/// Most bytes of one closure: what a host with a 100 Mbit/s link fetches in a quarter of an hour.
pub const BYTES_MAX: u64 = 10 * 1024 * 1024 * 1024;
/// Folders whose files the system owns.
const SYSTEM: &[&str] =
    &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix", "/snap"];

/// The parts of a component that name files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// The folder of the config, absolute and without links.
    pub folder: PathBuf,
    /// Programs: absolute paths, or names to be found in `PATH`.
    pub programs: Vec<String>,
    /// Other files that the component reads: absolute paths.
    pub files: Vec<PathBuf>,
    /// Patterns of files: relative to the folder, or absolute.
    pub patterns: Vec<String>,
    /// Whether programs of the system are packed too.
    pub complete: bool,
}

/// A closure that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closure {
    /// The tree of its files.
    pub tree: Digest,
    /// The list of its files.
    pub manifest: Manifest,
}

/// A closure cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// A file that the config names cannot be read.
    #[error("read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A program is not in `PATH`.
    #[error("find the program `{name}` in PATH")]
    Program {
        /// The name.
        name: String,
    },
    /// A shared library is not on this machine.
    #[error("find the library `{library}`, which `{}` needs", needed_by.display())]
    Library {
        /// The name of the library.
        library: String,
        /// The file that needs it.
        needed_by: PathBuf,
    },
    /// A pattern is malformed, or matches no file.
    #[error("find files for the pattern `{pattern}`: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The reason.
        reason: String,
    },
    /// The closure has more files or bytes than the limits.
    #[error("pack `{}`: the closure would have more than {FILES_MAX} files or {BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The first file beyond a limit.
        path: PathBuf,
    },
    /// A path is not UTF-8 text.
    #[error("pack `{}`: its path is not UTF-8 text", path.display())]
    Text {
        /// The path.
        path: PathBuf,
    },
    /// The files make no tree.
    #[error("list the files of the closure")]
    Manifest(#[from] ManifestError),
    /// The files cannot be stored.
    #[error("store the files of the closure")]
    Store(#[from] StoreError),
}

/// Finds and hashes the files of a component. With a store, stores them too, and leases them. Returns none if the
/// component has no file of its own.
///
/// Blocks on the disk.
///
/// # Errors
/// A file is missing or cannot be read, or there are too many.
pub fn find(wanted: &Wanted, into: Option<(&Store, &Lease)>) -> Result<Option<Closure>, ClosureError> {
    let gathered = Gathered::of(wanted)?;
    if gathered.files.is_empty() {
        return Ok(None);
    }
    let mut entries = Vec::new();
    for (name, target) in gathered.links {
        entries.push((name, Entry::Link { target }));
    }
    for (name, path) in gathered.files {
        let failed = |source| ClosureError::File { path: path.clone(), source };
        let file = File::open(&path).map_err(failed)?;
        let executable = file.metadata().map_err(failed)?.permissions().mode() & 0o111 != 0;
        let (hash, bytes) = match into {
            Some((store, lease)) => store.put(lease, file)?,
            None => hash(file).map_err(failed)?,
        };
        entries.push((name, Entry::File { executable, bytes, hash }));
    }
    let manifest = Manifest::new(entries)?;
    let tree = match into {
        Some((store, lease)) => store.put_manifest(lease, &manifest)?,
        None => manifest.digest(),
    };
    Ok(Some(Closure { tree, manifest }))
}

/// The loader of a program and the libraries that it needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Linked {
    /// The loader.
    pub loader: PathBuf,
    /// The libraries, by the names under which the loader looks for them.
    pub libraries: BTreeMap<String, PathBuf>,
}

/// Returns the loader and the libraries of a program; none for a static program.
///
/// # Errors
/// A library is not on this machine.
pub fn of_program(program: &Path) -> Result<Option<Linked>, ClosureError> {
    gather::loader_and_libraries(program)
}

fn hash(mut file: File) -> io::Result<(Digest, u64)> {
    let (mut hasher, mut piece) = (PieceHasher::default(), Vec::new());
    loop {
        piece.clear();
        (&mut file).take(PIECE_BYTES).read_to_end(&mut piece)?;
        if piece.is_empty() {
            let hashes = hasher.finish();
            return Ok((hashes.blob(), hashes.blob_bytes()));
        }
        hasher.add(&piece);
    }
}

/// Returns true if the system owns the file.
fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests;
