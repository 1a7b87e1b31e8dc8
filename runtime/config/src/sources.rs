//! The text of a config: one file, or a file with all files that it includes.
//!
//! The files are joined into one text, so that a range of bytes names a place in any of them. Findings are placed in
//! their own file at the end. No file is read here. Read next: `gathering`, which collects the files.

use crate::plain_text;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The texts of one config, in the order in which they were added.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    /// All texts, each followed by a line feed, so that the end of one is not the beginning of the next.
    joined: String,
    files: Vec<SourceFile>,
    /// The names and texts of other files with findings, such as templates.
    others: Vec<(String, String)>,
}

/// One file of a config.
#[derive(Clone, PartialEq, Eq, Debug)]
struct SourceFile {
    /// The file as messages name it.
    name: String,
    /// The folder in which its relative paths begin.
    base: PathBuf,
    /// Its bytes in the joined text.
    span: Range<usize>,
}

impl Sources {
    /// Returns the sources that consist of one text.
    #[must_use]
    pub fn one(name: &str, text: &str) -> Self {
        let mut sources = Self::default();
        sources.add(name, Path::new(""), text);
        sources
    }

    /// Adds a file, and returns the bytes of its text in the joined text.
    pub(crate) fn add(&mut self, name: &str, base: &Path, text: &str) -> Range<usize> {
        let start = self.joined.len();
        self.joined.push_str(&plain_text(text));
        let span = start..self.joined.len();
        self.joined.push('\n');
        self.files.push(SourceFile { name: name.to_owned(), base: base.to_owned(), span: span.clone() });
        span
    }

    /// Adds a file that the config names and that has findings of its own. It is no part of the config.
    pub fn add_other(&mut self, name: &str, text: &str) {
        self.others.push((name.to_owned(), plain_text(text).into_owned()));
    }

    /// Returns the text of the file of this name; none if there is no such file.
    #[must_use]
    pub fn text_of(&self, name: &str) -> Option<&str> {
        let file = self.files.iter().find(|file| file.name == name);
        let other = || self.others.iter().find(|(other, _)| other == name).map(|(_, text)| text.as_str());
        file.map_or_else(other, |file| self.joined.get(file.span.clone()))
    }

    /// Returns the name and the text of every file, in the order in which they were added.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|file| (file.name.as_str(), &self.joined[file.span.clone()]))
    }

    /// The joined text, in which spans are.
    pub(crate) fn joined(&self) -> &str {
        &self.joined
    }

    /// The bytes of each file in the joined text.
    pub(crate) fn spans(&self) -> impl Iterator<Item = Range<usize>> {
        self.files.iter().map(|file| file.span.clone())
    }

    /// The folder in which relative paths at this place begin.
    pub(crate) fn base_at(&self, at: usize) -> &Path {
        self.file_at(at).map_or(Path::new(""), |file| &file.base)
    }

    /// The name of the file that holds a place, and the bytes of the file.
    pub(crate) fn name_at(&self, at: usize) -> (&str, Range<usize>) {
        self.file_at(at).map_or(("", 0..0), |file| (file.name.as_str(), file.span.clone()))
    }

    /// Whether a place is in the first file.
    pub(crate) fn is_first(&self, at: usize) -> bool {
        self.files.first().is_none_or(|file| at <= file.span.end)
    }

    fn file_at(&self, at: usize) -> Option<&SourceFile> {
        let after = self.files.partition_point(|file| file.span.start <= at);
        self.files.get(after.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_belongs_to_one_file() {
        let mut sources = Sources::default();
        sources.add("a", Path::new("/a"), "\u{feff}one\r\n");
        sources.add("b", Path::new("/b"), "");
        sources.add("c", Path::new("/c"), "two");
        assert_eq!(sources.joined(), "one\n\n\ntwo\n");
        let names: Vec<&str> = (0..=99).map(|at| sources.name_at(at).0).collect();
        assert_eq!(names[..7], ["a", "a", "a", "a", "a", "b", "c"]);
        assert_eq!((sources.name_at(99), sources.base_at(7)), (("c", 6..9), Path::new("/c")));
        assert!(sources.is_first(4) && !sources.is_first(5));
        assert_eq!((sources.text_of("a"), sources.text_of("d")), (Some("one\n"), None));
        assert_eq!(Sources::default().name_at(3), ("", 0..0));
        sources.add_other("t", "three");
        assert_eq!((sources.text_of("t"), sources.files().count()), (Some("three"), 3));
    }
}
