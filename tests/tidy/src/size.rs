//! Long files and long functions: existing ones may shrink but not grow, and no new ones are accepted.
//!
//! A function over [`FUNCTION_LINES_MAX`] or a file over [`FILE_LINES_MAX`] may contain a second idea. Those that
//! already exceed a limit are listed in `ratchet.txt` with their length and may shrink, not grow. Any other one over a
//! limit is a finding. Functions of tests are not measured; files are measured whole.

use std::collections::BTreeMap;

use crate::source::Source;
use crate::{Finding, RATCHET};

/// About one screen. A longer function often contains a second idea.
const FUNCTION_LINES_MAX: usize = 60;
/// Length with its tests. Well-kept projects have nine of ten files below this.
const FILE_LINES_MAX: usize = 500;

/// The reviewed lengths, by `path` or `path::function`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ratchet {
    longest: BTreeMap<String, usize>,
}

impl Ratchet {
    /// Reads lines of `<lines> <path>` or `<lines> <path>::<function>`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut longest = BTreeMap::new();
        for (number, line) in
            text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        {
            let parsed =
                line.split_once(' ').and_then(|(lines, what)| Some((what.to_owned(), lines.parse().ok()?)));
            let (what, lines) =
                parsed.ok_or_else(|| format!("{RATCHET}:{}: not a length and a name", number + 1))?;
            longest.insert(what, lines);
        }
        Ok(Self { longest })
    }

    /// The files and functions of the current tree that are too long.
    pub(crate) fn of(sources: &[Source]) -> Self {
        Self { longest: sources.iter().flat_map(long).map(|(what, _, lines)| (what, lines)).collect() }
    }

    /// The list as text, which [`Ratchet::parse`] reads back.
    pub(crate) fn render(&self) -> String {
        let mut out = format!(
            "# What is longer than {FUNCTION_LINES_MAX} lines (functions) or {FILE_LINES_MAX} (files) today: may shrink, not grow.\n\
             # `cargo run -p rhizo-tidy -- --update` rewrites it; a reviewer reads the difference.\n"
        );
        for (what, lines) in &self.longest {
            out.push_str(&format!("{lines} {what}\n"));
        }
        out
    }
}

/// The too long functions of one file, and the file itself: (name in the ratchet, line, length).
fn long(source: &Source) -> Vec<(String, usize, usize)> {
    let mut found = BTreeMap::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        found.insert(source.path.clone(), (1, lines));
    }
    let functions = source.functions().into_iter();
    for function in functions.filter(|f| f.lines > FUNCTION_LINES_MAX && !source.is_test(f.line)) {
        // Functions of one name in one file share a line of the ratchet: the longest counts.
        let known = found.entry(format!("{}::{}", source.path, function.name)).or_insert((function.line, 0));
        if function.lines > known.1 {
            *known = (function.line, function.lines);
        }
    }
    found.into_iter().map(|(what, (line, lines))| (what, line, lines)).collect()
}

/// Compares the tree with the ratchet.
pub(crate) fn check(sources: &[Source], ratchet: &Ratchet) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeMap::new();
    for source in sources {
        for (what, line, lines) in long(source) {
            let before = ratchet.longest.get(&what);
            if before.is_none_or(|before| lines > *before) {
                let was = before.map_or("not listed".to_owned(), |before| format!("was {before}"));
                let message = format!("{what} has {lines} lines ({was}): is there a second idea in it?");
                findings.push(Finding::new(&source.path, line, message));
            }
            seen.insert(what, lines);
        }
    }
    for what in ratchet.longest.keys().filter(|what| !seen.contains_key(*what)) {
        findings.push(Finding::new(RATCHET, 0, format!("{what} is short enough now: remove the line")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::File;

    fn source(lines: usize) -> Source {
        let text = format!("//! A.\nfn long() {{\n{}}}\n", "    x();\n".repeat(lines - 2));
        Source::scan(&File { path: "a/src/lib.rs".to_owned(), text })
    }

    #[test]
    fn a_new_long_function_and_a_new_long_file_are_findings() {
        assert_eq!(check(&[source(60)], &Ratchet::default()), []);
        assert_eq!(check(&[source(61)], &Ratchet::default()).len(), 1);
        assert_eq!(check(&[source(500)], &Ratchet::default()).len(), 2);
    }

    #[test]
    fn what_is_listed_may_shrink_and_not_grow() {
        let ratchet = Ratchet::of(&[source(80)]);
        assert_eq!(check(&[source(80)], &ratchet), []);
        assert_eq!(check(&[source(70)], &ratchet), []);
        assert_eq!(check(&[source(81)], &ratchet).len(), 1);
        let gone = check(&[source(60)], &ratchet);
        assert!(gone.len() == 1 && gone[0].message.contains("remove the line"));
    }

    #[test]
    fn a_long_test_is_not_measured() {
        let text =
            format!("//! A.\n#[cfg(test)]\nmod tests {{\nfn long() {{\n{}}}\n}}\n", "    x();\n".repeat(70));
        let source = Source::scan(&File { path: "a/src/lib.rs".to_owned(), text });
        assert_eq!(check(&[source], &Ratchet::default()), []);
    }

    #[test]
    fn the_ratchet_survives_a_rewrite() {
        let ratchet = Ratchet::of(&[source(600)]);
        assert_eq!(Ratchet::parse(&ratchet.render()).unwrap(), ratchet);
        assert!(Ratchet::parse("x y").is_err());
    }
}
