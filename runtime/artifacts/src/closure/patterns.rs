//! The files that patterns match: `static/**`, `/usr/share/zoneinfo/Europe/*`, or a file or folder by its name.
//!
//! A folder stands for all files below it. Files of version control and of rhizo itself (`.git`, `.rhizo`) are left
//! out. A pattern that matches nothing is an error, because it is most often a slip.

use super::{ClosureError, FILES_MAX};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that no pattern enters.
const LEFT_OUT: &[&str] = &[".git", ".rhizo"];
/// Deepest folder below a pattern. A link that leads back to a folder above it ends here.
const DEPTH_MAX: usize = 64;

/// Returns the files that a pattern matches, in the order of their paths.
pub(super) fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, ClosureError> {
    let wrong = |reason: String| ClosureError::Pattern { pattern: pattern.to_owned(), reason };
    let base = folder.to_str().ok_or_else(|| ClosureError::Text { path: folder.to_owned() })?;
    let full = if pattern.starts_with('/') {
        pattern.to_owned()
    } else {
        format!("{}/{pattern}", glob::Pattern::escape(base))
    };
    // In `glob`, `**` at the end stands for folders only. Everyone who writes it means the files below.
    let full = full.strip_suffix("/**").unwrap_or(&full);
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    let found = glob::glob_with(full, options).map_err(|error| wrong(error.to_string()))?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|error| wrong(error.to_string()))?;
        if !path.iter().any(|part| LEFT_OUT.iter().any(|name| part == *name)) {
            add(&path, &mut files, 0)?;
        }
    }
    files.sort();
    files.dedup();
    if files.is_empty() {
        return Err(wrong(format!("no file matches; it is searched below `{}`", folder.display())));
    }
    Ok(files)
}

fn add(path: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<(), ClosureError> {
    let failed = |source| ClosureError::File { path: path.to_owned(), source };
    let found = match fs::metadata(path) {
        Ok(found) => found,
        // A link that leads nowhere.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if found.is_file() {
        if files.len() == FILES_MAX {
            return Err(ClosureError::TooLarge { path: path.to_owned() });
        }
        files.push(path.to_owned());
    } else if found.is_dir() && depth < DEPTH_MAX {
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
                add(&entry.path(), files, depth + 1)?;
            }
        }
    }
    Ok(())
}
