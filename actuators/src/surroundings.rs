//! The surroundings that a provider may use: directories of the machine, and the program that hosts run.
//!
//! Nothing here is read or created; the caller fills it in once. Read next: [`crate::registry`], which takes it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The parts of its surroundings that a provider may use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Surroundings {
    /// The directory of the configuration file: where relative paths start. Absolute.
    pub base_dir: PathBuf,
    /// The application's state directory on this machine, shared by all its nodes there. Absolute.
    pub state_dir: PathBuf,
    /// The program that hosts run when the provider starts processes itself.
    pub program: Program,
}

/// The program that a host of the process provider runs, as supervisor and as node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// The file to run.
    pub executable: Executable,
    /// Arguments that make it call [`supervise`](crate::process::supervise); the host directory follows them.
    pub supervise_arguments: Vec<String>,
    /// Arguments that make it a node; the host directory follows them.
    pub node_arguments: Vec<String>,
}

/// The file that a host runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Executable {
    /// The program of this process, even when its file has been replaced or removed since it was started.
    Running(PathBuf),
    /// The file at this absolute path when a host is started. It may be replaced between two starts.
    File(PathBuf),
}

impl Executable {
    /// The path under which the program is shown to people.
    #[must_use]
    pub fn name(&self) -> &Path {
        match self {
            Self::Running(path) | Self::File(path) => path,
        }
    }

    /// The path to run now.
    #[must_use]
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Running(path) => path_of_running(path),
            Self::File(path) => path.clone(),
        }
    }
}

/// The kernel's link to the program of a process; it outlives the program's file.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// `path` when it still is the file of the program that runs, else the kernel's link to that program.
///
/// The path is preferred, since the name of a process is the last part of the path that it was started by.
pub(crate) fn path_of_running(path: &Path) -> PathBuf {
    // The program that runs is the loader then.
    if let Some(bundle) = bundle() {
        return bundle;
    }
    let file = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let own = Path::new(OWN_PROGRAM);
    if file(path).is_some_and(|named| Some(named) == file(own)) { path.to_owned() } else { own.to_owned() }
}

/// Variable that names the bundle which this process was started from. The start program of the bundle sets it, since
/// the running executable is the loader then.
const BUNDLE: &str = "RHIZO_BUNDLE";

/// The file that starts this program again: the bundle that it was started from, else its executable.
///
/// # Errors
/// When the system does not tell which executable runs.
pub fn own_program() -> io::Result<PathBuf> {
    bundle().map_or_else(std::env::current_exe, Ok)
}

/// The bundle that this process was started from.
pub(crate) fn bundle() -> Option<PathBuf> {
    std::env::var_os(BUNDLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

impl Program {
    /// The running program with the hidden subcommands `__supervise` and `__node`.
    ///
    /// # Errors
    /// When the system does not tell which executable runs.
    pub fn current() -> io::Result<Self> {
        let executable = match bundle() {
            Some(bundle) => Executable::File(bundle),
            None => Executable::Running(std::env::current_exe()?),
        };
        Ok(Self {
            executable,
            supervise_arguments: vec!["__supervise".to_owned()],
            node_arguments: vec!["__node".to_owned()],
        })
    }
}
