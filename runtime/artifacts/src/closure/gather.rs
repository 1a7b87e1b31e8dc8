//! The list of the files of a closure, with the places that they get in its tree.

use super::Linked;
use super::libraries::{self, Libraries, Loaded};
use super::{BYTES_MAX, ClosureError, FILES_MAX, Wanted, is_system, patterns};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

/// Longest first line of a script; Linux reads 256 bytes.
const FIRST_LINE_BYTES: u64 = 256;
/// Scripts whose interpreters are scripts: Linux follows at most this many.
const SCRIPTS_MAX: usize = 5;

/// Files and links by their places in the tree.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) files: BTreeMap<String, PathBuf>,
    pub(super) links: BTreeMap<String, String>,
    bytes: u64,
}

/// The search for the files of one component.
struct Search<'a> {
    wanted: &'a Wanted,
    libraries: Libraries,
    gathered: Gathered,
    /// The ELF files whose libraries were found.
    done: BTreeSet<PathBuf>,
}

impl Gathered {
    pub(super) fn of(wanted: &Wanted) -> Result<Self, ClosureError> {
        let libraries = Libraries::of_this_machine();
        let mut search = Search { wanted, libraries, gathered: Self::default(), done: BTreeSet::new() };
        for program in &wanted.programs {
            search.program(program, 0)?;
        }
        for path in &wanted.files {
            search.add(path)?;
        }
        for pattern in &wanted.patterns {
            for path in patterns::matching(&wanted.folder, pattern)? {
                search.add(&path)?;
                search.needs_of(&path, 0)?;
            }
        }
        Ok(search.gathered)
    }
}

impl Search<'_> {
    /// Adds a program with everything that it needs to start.
    fn program(&mut self, program: &str, depth: usize) -> Result<(), ClosureError> {
        let path = if program.contains('/') {
            PathBuf::from(program)
        } else if self.wanted.complete {
            in_path(program).ok_or_else(|| ClosureError::Program { name: program.to_owned() })?
        } else {
            return Ok(());
        };
        if is_system(&path) && !self.wanted.complete {
            return Ok(());
        }
        self.add(&path)?;
        self.needs_of(&path, depth)
    }

    /// Adds the loader and libraries of an ELF file, or the interpreter of a script.
    fn needs_of(&mut self, path: &Path, depth: usize) -> Result<(), ClosureError> {
        if let Some(elf) = libraries::read(path) {
            return self.libraries_of(Loaded { path: path.to_owned(), elf, inherited: Vec::new() });
        }
        if !self.wanted.complete || depth == SCRIPTS_MAX {
            return Ok(());
        }
        match interpreter(path).as_deref() {
            Some([env, name, ..]) if env.ends_with("/env") => {
                self.program(env, depth + 1)?;
                self.program(name, depth + 1)
            }
            Some([interpreter, ..]) => self.program(interpreter, depth + 1),
            _ => Ok(()),
        }
    }

    fn libraries_of(&mut self, program: Loaded) -> Result<(), ClosureError> {
        let mut waiting = vec![program];
        while let Some(file) = waiting.pop() {
            if !self.done.insert(file.path.clone()) {
                continue;
            }
            if let Some(loader) = &file.elf.interpreter {
                self.add(Path::new(loader))?;
            }
            for name in &file.elf.needed {
                let missing =
                    || ClosureError::Library { library: name.clone(), needed_by: file.path.clone() };
                let mut library = self.libraries.find(name, &file).ok_or_else(missing)?;
                // Its own libraries are searched beside the same loader.
                library.elf.interpreter = library.elf.interpreter.or_else(|| file.elf.interpreter.clone());
                self.add(&library.path)?;
                waiting.push(library);
            }
        }
        Ok(())
    }

    /// Adds one file at its place: by its path below the folder of the config, or by its absolute path.
    fn add(&mut self, path: &Path) -> Result<(), ClosureError> {
        let failed = |source| ClosureError::File { path: path.to_owned(), source };
        let path = cleaned(path);
        let name = match path.strip_prefix(&self.wanted.folder) {
            Ok(below) => format!("files/{}", text(below)?),
            Err(_) => self.absolute(&path)?,
        };
        if self.gathered.files.contains_key(&name) {
            return Ok(());
        }
        self.gathered.bytes += fs::metadata(&path).map_err(failed)?.len();
        if self.gathered.files.len() >= FILES_MAX || self.gathered.bytes > BYTES_MAX {
            return Err(ClosureError::TooLarge { path });
        }
        self.gathered.files.insert(name, path);
        Ok(())
    }

    /// The place of a file outside the folder: below its real folder, with the links that its path leads through.
    fn absolute(&mut self, path: &Path) -> Result<String, ClosureError> {
        let failed = |source| ClosureError::File { path: path.to_owned(), source };
        let folder = path.parent().unwrap_or(Path::new("/"));
        let real = folder.canonicalize().map_err(failed)?;
        let mut above = PathBuf::new();
        for part in folder.components() {
            above.push(part);
            // `/lib64` and the like. A link behind another link is not kept; its files have their real paths.
            if let Ok(target) = fs::read_link(&above) {
                let name = format!("root/{}", text(above.strip_prefix("/").unwrap_or(&above))?);
                self.gathered.links.insert(name, text(&target)?.to_owned());
                break;
            }
        }
        let file = real.join(path.file_name().unwrap_or_default());
        Ok(format!("root/{}", text(file.strip_prefix("/").unwrap_or(&file))?))
    }
}

/// The loader and the libraries of a program, by the names under which the loader looks for them.
pub(super) fn loader_and_libraries(program: &Path) -> Result<Option<Linked>, ClosureError> {
    let Some(elf) = libraries::read(program) else { return Ok(None) };
    let Some(loader) = elf.interpreter.clone() else { return Ok(None) };
    let libraries = Libraries::of_this_machine();
    let (mut found, mut waiting) = (BTreeMap::new(), Vec::new());
    waiting.push(Loaded { path: program.to_owned(), elf, inherited: Vec::new() });
    while let Some(file) = waiting.pop() {
        for name in &file.elf.needed {
            if found.contains_key(name) {
                continue;
            }
            let missing = || ClosureError::Library { library: name.clone(), needed_by: file.path.clone() };
            let mut library = libraries.find(name, &file).ok_or_else(missing)?;
            library.elf.interpreter = library.elf.interpreter.or_else(|| Some(loader.clone()));
            found.insert(name.clone(), library.path.clone());
            waiting.push(library);
        }
    }
    // The loader is in the process already under its own name.
    found.retain(|_, path| path.canonicalize().ok() != Path::new(&loader).canonicalize().ok());
    Ok(Some(Linked { loader: PathBuf::from(loader), libraries: found }))
}

/// The path without `.` and `..`, as text: the config's reader has resolved links of the folder.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean
}

fn text(path: &Path) -> Result<&str, ClosureError> {
    path.to_str().ok_or_else(|| ClosureError::Text { path: path.to_owned() })
}

/// The words of the first line of a script, without `#!` and options of `env`; none if the file is no script.
fn interpreter(path: &Path) -> Option<Vec<String>> {
    let mut begin = Vec::new();
    fs::File::open(path).ok()?.take(FIRST_LINE_BYTES).read_to_end(&mut begin).ok()?;
    let line = begin.split(|byte| *byte == b'\n').next()?.strip_prefix(b"#!")?;
    let words = std::str::from_utf8(line).ok()?.split_whitespace().map(str::to_owned);
    let words: Vec<String> = words.filter(|word| word.starts_with('/') || !word.starts_with('-')).collect();
    (!words.is_empty()).then_some(words)
}

/// Finds a program in `PATH`.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}
