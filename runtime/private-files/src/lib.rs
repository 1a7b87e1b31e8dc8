//! Files and directories that only their owner can open.
//!
//! Everything that rhizo keeps on a disk is made with these functions: keys, journals, stores, locks, and its own logs.
//! The mode is part of the call that creates the file, so there is no moment at which another user can open it. The
//! umask of the process stays as it is, because the programs of components inherit it.
//!
//! It does not change files that exist, and it is not used for the files that programs make. The end-to-end test
//! `secrets` checks the mode of every file below the directory of a running application.

#![forbid(unsafe_code)]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Mode of files: the owner reads and writes.
pub const FILE_MODE: u32 = 0o600;

/// Mode of directories: the owner lists, changes and enters.
pub const DIRECTORY_MODE: u32 = 0o700;

/// Returns options that create a missing file with [`FILE_MODE`].
///
/// The caller adds `append`, or `write` with or without `truncate`. Without one of them opening fails.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = File::options();
    options.create(true).mode(FILE_MODE);
    options
}

/// Opens a file to append to, and makes it if there is none. It can be read as well.
///
/// # Errors
/// When the file cannot be opened or made.
pub fn append(path: &Path) -> io::Result<File> {
    options().read(true).append(true).open(path)
}

/// Opens an empty file to write to, which takes the place of the content of an earlier one.
///
/// # Errors
/// When the file cannot be opened or made.
pub fn create(path: &Path) -> io::Result<File> {
    options().write(true).truncate(true).open(path)
}

/// Writes a whole file, and returns when the disk has its content. A reader may see a part of it meanwhile.
///
/// The name of the file is durable after a sync of its directory.
///
/// # Errors
/// When the file cannot be made, written or synced.
pub fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory.
///
/// # Errors
/// When it exists, or cannot be made.
pub fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(path)
}

/// Makes a directory and those above it that are missing. A directory that exists keeps its mode.
///
/// # Errors
/// When one of them cannot be made, or is no directory.
pub fn create_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_can_open_what_is_made() {
        let base = tempfile::tempdir().unwrap();
        let (outer, inner) = (base.path().join("outer"), base.path().join("outer/inner"));
        create_dirs(&inner).unwrap();
        create_dirs(&inner).unwrap();
        create_dir(&inner.join("one")).unwrap();
        assert_eq!(create_dir(&inner).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        for directory in [&outer, &inner, &inner.join("one")] {
            assert_eq!(mode(directory), 0o700, "{}", directory.display());
        }
        let [log, record, lock] = ["log", "record", "lock"].map(|name| inner.join(name));
        append(&log).unwrap().write_all(b"one\n").unwrap();
        append(&log).unwrap().write_all(b"two\n").unwrap();
        write_synced(&record, b"a long record").unwrap();
        write_synced(&record, b"short").unwrap();
        options().write(true).open(&lock).unwrap();
        assert_eq!(std::fs::read(&log).unwrap(), b"one\ntwo\n");
        assert_eq!(std::fs::read(&record).unwrap(), b"short");
        for file in [&log, &record, &lock] {
            assert_eq!(mode(file), 0o600, "{}", file.display());
        }
    }
}
