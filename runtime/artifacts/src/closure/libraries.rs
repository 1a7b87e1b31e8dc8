//! The search for shared libraries, in the order of glibc's loader.
//!
//! For a library that a file needs: the folders of `DT_RPATH` of the file and of the files that loaded it, if the file
//! has no `DT_RUNPATH`; those of its `DT_RUNPATH`; the cache of the system's loader; its default folders. A file of
//! another machine or class is passed over. `LD_LIBRARY_PATH` is not used: it is not in the environment of components.

use super::cache::read_cache;
use super::elf::{Elf, read_elf};
use object::read::ReadCache;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

const CACHE: &str = "/etc/ld.so.cache";
/// The default folders of glibc on Debian, Fedora and Arch, and of musl.
const DEFAULTS: &[&str] = &["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"];

/// The libraries of this machine.
#[derive(Debug)]
pub(super) struct Libraries {
    cached: BTreeMap<String, Vec<PathBuf>>,
}

/// An ELF file and the search path that it inherits.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) path: PathBuf,
    pub(super) elf: Elf,
    /// The `DT_RPATH` folders of the files that loaded it, nearest first.
    pub(super) inherited: Vec<PathBuf>,
}

impl Libraries {
    pub(super) fn of_this_machine() -> Self {
        let mut cached: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for entry in read_cache(&std::fs::read(CACHE).unwrap_or_default()) {
            cached.entry(entry.name).or_default().push(PathBuf::from(entry.path));
        }
        Self { cached }
    }

    /// Finds a library that a file needs.
    pub(super) fn find(&self, name: &str, by: &Loaded) -> Option<Loaded> {
        let own = |text: &Option<String>| folders(text.as_deref().unwrap_or_default(), &by.path);
        let mut rpath = own(&by.elf.rpath);
        rpath.extend(by.inherited.iter().cloned());
        if name.contains('/') {
            return loaded(Path::new(name), &by.elf, rpath);
        }
        let mut candidates = Vec::new();
        if by.elf.runpath.is_none() {
            candidates.extend(rpath.iter().map(|folder| folder.join(name)));
        }
        candidates.extend(own(&by.elf.runpath).iter().map(|folder| folder.join(name)));
        candidates.extend(self.cached.get(name).into_iter().flatten().cloned());
        // Debian keeps the libraries of each machine in a folder of its own, which the loader knows: it is its own.
        let beside = by.elf.interpreter.as_deref().and_then(|loader| Path::new(loader).canonicalize().ok());
        candidates.extend(beside.and_then(|loader| Some(loader.parent()?.join(name))));
        candidates.extend(DEFAULTS.iter().map(|folder| Path::new(folder).join(name)));
        candidates.iter().find_map(|path| loaded(path, &by.elf, rpath.clone()))
    }
}

/// Reads an ELF file; none if it is no ELF file.
pub(super) fn read(path: &Path) -> Option<Elf> {
    let file = File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    read_elf(&ReadCache::new(file))
}

fn loaded(path: &Path, like: &Elf, inherited: Vec<PathBuf>) -> Option<Loaded> {
    let elf = read(path)?;
    let fits = elf.is_64 == like.is_64 && elf.machine == like.machine;
    fits.then(|| Loaded { path: path.to_owned(), elf, inherited })
}

/// The folders of a search path, with `$ORIGIN` as the folder of the file that has it.
fn folders(path: &str, of: &Path) -> Vec<PathBuf> {
    // `$ORIGIN` is the folder of the file itself, not that of a link to it.
    let real = of.canonicalize().unwrap_or_else(|_| of.to_owned());
    let origin = real.parent().unwrap_or(Path::new("/")).display().to_string();
    let parts = path.split(':').filter(|part| !part.is_empty());
    parts.map(|part| part.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin).into()).collect()
}
