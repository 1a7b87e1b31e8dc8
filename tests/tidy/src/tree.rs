//! The files of the project as a clone contains them, each read once.
//!
//! Folders that cargo or a running application made are left out (a `CACHEDIR.TAG` or a `.rhizo` marks them), so that
//! the answer is the same with a target folder inside the checkout and without one. No rule is checked here.

use std::path::Path;

/// One file with its text; binary files are not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Path from the root of the project, with `/` between folders.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
}

/// Largest file that is read, in bytes. Larger ones are data and are not checked.
const TEXT_BYTES_MAX: u64 = 512 * 1024;

/// Every text file below `root`, sorted by path.
pub(crate) fn read(root: &Path) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    walk(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) -> Result<(), String> {
    let entries =
        std::fs::read_dir(folder).map_err(|error| format!("failed to list {}: {error}", folder.display()))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("failed to list {}: {error}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().map_err(|error| format!("failed to inspect {path}: {error}"))?;
        if kind.is_dir() {
            let generated = entry.path().join("CACHEDIR.TAG").exists();
            if !generated && !matches!(name.as_str(), ".git" | ".rhizo" | "target" | "node_modules") {
                walk(&entry.path(), &path, files)?;
            }
        } else if kind.is_file() && name != ".git" {
            // In a second worktree `.git` is a file that names a folder of this machine.
            let small = entry.metadata().is_ok_and(|metadata| metadata.len() <= TEXT_BYTES_MAX);
            // A file that vanishes meanwhile or is not UTF-8 is not text of the project.
            if small && let Ok(text) = std::fs::read_to_string(entry.path()) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_read_without_what_cargo_made() {
        let files = read(&crate::project_root()).unwrap();
        assert!(files.iter().any(|file| file.path == "tests/tidy/src/tree.rs"));
        assert!(files.iter().all(|file| !file.path.contains("/target/") && !file.path.starts_with(".git/")));
    }
}
