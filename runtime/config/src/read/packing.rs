//! The files of a component: `files` and `closure`.
//!
//! Patterns are only checked as texts; the command line finds the files when it plans or deploys.

use super::{ENTRIES_MAX, Session};
use crate::reader::Table;
use rhizo_types::ComponentName;

/// Longest pattern. Paths that people write are shorter.
const PATTERN_LENGTH_MAX: usize = 1_024;

/// The files that a component wants to have packed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Packing {
    /// Patterns of files, relative to the folder of the config or absolute.
    pub patterns: Vec<String>,
    /// Whether programs of the system are packed too.
    pub complete: bool,
}

impl Session<'_> {
    /// Takes the keys that say which files are packed out of the table of a component.
    pub(super) fn packing(&mut self, name: &ComponentName, table: &mut Table<'_>) {
        let mut packing = Packing::default();
        if let Some(node) = table.take("files")
            && let Some(patterns) = self.reader.texts(&node)
        {
            if patterns.len() > ENTRIES_MAX {
                let message = format!("more than {ENTRIES_MAX} patterns");
                self.reader
                    .findings
                    .error(node.span.clone(), message)
                    .hint("name a folder for all files below it");
            }
            for pattern in patterns {
                self.check_text(&pattern, PATTERN_LENGTH_MAX);
                if pattern.text.is_empty() {
                    self.reader
                        .findings
                        .error(pattern.span, "an empty pattern matches no file")
                        .hint("write a file, a folder or a pattern such as \"static/**\"");
                } else {
                    packing.patterns.push(pattern.text.to_owned());
                }
            }
        }
        if let Some(complete) =
            table.take("closure").and_then(|node| self.choice(&node, &[("files", false), ("complete", true)]))
        {
            packing.complete = complete;
        }
        self.packing.insert(name.clone(), packing);
    }
}
