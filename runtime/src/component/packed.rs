//! The files of a closure in place on this host, and how programs run from them.
//!
//! Paths below the folder of the config stand for files of the checkout. If this host has the same system files as the
//! closure (the same loader and libraries, byte for byte), programs run as they are, with the files of the system.
//! Otherwise a program of the closure runs with the loader and the libraries of the closure, and a script with its
//! packed interpreter: `ld.so --library-path … --argv0 PROGRAM PROGRAM …`. Nothing is fetched here. Read next:
//! [`super::artifacts`].

use rhizo_artifacts::closure::read_elf;
use rhizo_artifacts::manifest::{Entry, Manifest};
use rhizo_artifacts::store::{Lease, Store};
use rhizo_types::Digest;
use rhizo_types::spec::Closure;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest first line of a script, as in Linux.
const FIRST_LINE_BYTES: usize = 256;

/// A closure in place. Clones share its lease.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// The checkout of its tree.
    dir: PathBuf,
    /// The folder of the config on the operator's machine.
    folder: PathBuf,
    /// Whether the system files of this host are those of the closure.
    is_like_host: bool,
    /// The folders of its shared libraries.
    libraries: Vec<PathBuf>,
    _lease: Arc<Lease>,
}

/// The start of a command: the program to execute, and arguments before its own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Start {
    pub(crate) program: PathBuf,
    pub(crate) before: Vec<PathBuf>,
}

impl Packed {
    /// Puts the files of a closure in place. Blocks on the disk.
    ///
    /// # Errors
    /// The reason in words.
    pub(crate) fn place(store: &Store, closure: &Closure, lease: Arc<Lease>) -> Result<Self, String> {
        let failed = |error: rhizo_artifacts::store::StoreError| {
            format!("its files could not be put in place: failed to {}", crate::error::chain(&error))
        };
        let dir = store.check_out(&closure.tree).map_err(failed)?;
        let manifest = store.manifest(&closure.tree).map_err(failed)?.unwrap_or_default();
        let libraries: BTreeSet<PathBuf> = manifest
            .entries()
            .filter(|(path, _)| path.starts_with("root/") && path.contains(".so"))
            .filter_map(|(path, _)| Some(dir.join(path).parent()?.to_owned()))
            .collect();
        Ok(Self {
            is_like_host: is_like_host(&manifest),
            folder: PathBuf::from(&closure.folder),
            libraries: libraries.into_iter().collect(),
            dir,
            _lease: lease,
        })
    }

    /// The directory with the files of the config's folder.
    pub(crate) fn files(&self) -> PathBuf {
        self.dir.join("files")
    }

    /// The file that a path of the config stands for: that of the closure if there is one.
    pub(crate) fn located(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix(&self.folder).map(|below| self.files().join(below));
        below.ok().filter(|file| file.exists()).unwrap_or_else(|| path.to_owned())
    }

    /// How a program is executed.
    pub(crate) fn start(&self, program: &str) -> Start {
        let located = self.located(Path::new(program));
        if self.is_like_host {
            return Start { program: located, before: Vec::new() };
        }
        let packed = self.in_closure(&located).unwrap_or(located);
        self.start_packed(packed, 0)
    }

    /// The file of the closure for a path of the system, or for a name in `PATH`.
    fn in_closure(&self, program: &Path) -> Option<PathBuf> {
        if program.starts_with(&self.dir) {
            return Some(program.to_owned());
        }
        let root = self.dir.join("root");
        let folders = ["", "usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"];
        let below = program.strip_prefix("/").unwrap_or(program);
        folders.iter().map(|folder| root.join(folder).join(below)).find(|path| path.is_file())
    }

    fn start_packed(&self, program: PathBuf, depth: usize) -> Start {
        let bytes = std::fs::read(&program).unwrap_or_default();
        if let Some(elf) = read_elf(bytes.as_slice()) {
            let loader = elf.interpreter.and_then(|loader| self.loader(&loader));
            let Some(loader) = loader else { return Start { program, before: Vec::new() } };
            let libraries = std::env::join_paths(&self.libraries).unwrap_or_default();
            let before = vec![
                "--inhibit-cache".into(),
                "--library-path".into(),
                libraries.into(),
                "--argv0".into(),
                program.clone(),
                program,
            ];
            return Start { program: loader, before };
        }
        // Linux follows at most five scripts whose interpreters are scripts.
        let interpreter = first_line(&bytes).filter(|_| depth < 5);
        let Some((interpreter, argument)) = interpreter else { return Start { program, before: Vec::new() } };
        let (interpreter, argument) = match (interpreter.ends_with("/env"), argument) {
            // `env` would search the `PATH` of the host.
            (true, Some(line)) => match line.split_once(char::is_whitespace) {
                Some((name, argument)) => (name.to_owned(), Some(argument.trim().to_owned())),
                None => (line, None),
            },
            (_, argument) => (interpreter, argument),
        };
        let packed = self.in_closure(Path::new(&interpreter)).unwrap_or_else(|| interpreter.into());
        let mut start = self.start_packed(packed, depth + 1);
        start.before.extend(argument.map(PathBuf::from));
        start.before.push(program);
        start
    }

    fn loader(&self, loader: &str) -> Option<PathBuf> {
        self.in_closure(Path::new(loader))
    }
}

/// The interpreter of a script and its argument, as Linux reads them.
fn first_line(bytes: &[u8]) -> Option<(String, Option<String>)> {
    let line = bytes.get(..bytes.len().min(FIRST_LINE_BYTES))?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line.strip_prefix(b"#!")?).ok()?.trim();
    let (interpreter, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim().trim_start_matches("-S ").trim();
    Some((interpreter.to_owned(), (!argument.is_empty()).then(|| argument.to_owned())))
}

/// Returns true if this host has every system file of the closure, with the same content.
fn is_like_host(manifest: &Manifest) -> bool {
    manifest.entries().all(|(path, entry)| match (path.strip_prefix("root"), entry) {
        (Some(path), Entry::File { bytes, hash, .. }) => is_same(Path::new(path), *bytes, hash),
        _ => true,
    })
}

fn is_same(path: &Path, bytes: u64, hash: &Digest) -> bool {
    let same_length = std::fs::metadata(path).is_ok_and(|found| found.len() == bytes);
    same_length && std::fs::read(path).is_ok_and(|content| blake3::hash(&content).as_bytes() == &hash.0)
}
