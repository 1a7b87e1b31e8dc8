//! Documents: the target of every relative link exists, each source file that they name exists, each decision is in
//! the index, a page has one title, and lines are short enough to read beside code.
//!
//! Only links between files of the project are followed; the network is never used.

use std::collections::BTreeSet;

use crate::Finding;
use crate::tree::File;

/// The page that lists every decision.
const INDEX: &str = "docs/decisions/README.md";

/// Longest line of prose, in characters. Tables, fenced blocks and lines of one link alone cannot be wrapped.
const LINE_LENGTH_MAX: usize = 120;

/// Checks all Markdown files.
pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let index = files.iter().find(|file| file.path == INDEX).map_or("", |file| file.text.as_str());
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        findings.extend(dead_links(file, &paths));
        findings.extend(titles(file));
        findings.extend(wide_lines(file));
        // A decision describes the state at the time when it was made.
        if !file.path.starts_with("docs/decisions/") {
            findings.extend(dead_names(file, &paths));
        }
        let decision = file.path.strip_prefix("docs/decisions/").filter(|name| *name != "README.md");
        if let Some(name) = decision.filter(|name| !index.contains(*name)) {
            findings.push(Finding::new(&file.path, 0, format!("list {name} in {INDEX}")));
        }
    }
    findings
}

/// Lines outside fenced blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((number + 1, line))
    })
}

fn wide_lines(file: &File) -> Vec<Finding> {
    let wide = |(_, line): &(usize, &str)| {
        let table = line.trim_start().starts_with('|');
        // A word or a link alone on its line has no good place to break.
        let item = line.trim().trim_start_matches("- ");
        let word = item.split_whitespace().count() < 2 || (item.starts_with('[') && item.ends_with(')'));
        line.chars().count() > LINE_LENGTH_MAX && !table && !word
    };
    let message = format!("wrap the line at {LINE_LENGTH_MAX} characters");
    prose(&file.text)
        .filter(wide)
        .map(|(number, _)| Finding::new(&file.path, number, message.clone()))
        .collect()
}

fn dead_links(file: &File, paths: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in prose(&file.text) {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let resolved = resolve(&file.path, target);
            let folder = format!("{resolved}/");
            let exists =
                paths.contains(resolved.as_str()) || paths.iter().any(|path| path.starts_with(&folder));
            if !exists {
                findings.push(Finding::new(&file.path, number, format!("dead link to {target}")));
            }
        }
    }
    findings
}

/// Returns findings for code spans that look like a source file from the root and are not one.
fn dead_names(file: &File, paths: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in prose(&file.text) {
        for span in line.split('`').skip(1).step_by(2) {
            // A path into another project begins with a folder that this one does not have.
            let ours = |folder: &str| paths.iter().any(|path| path.starts_with(&format!("{folder}/")));
            let named = span.ends_with(".rs")
                && !span.contains(' ')
                && span.split_once('/').is_some_and(|(folder, _)| ours(folder));
            // A file below an example or a package may be named from there.
            let exists = || paths.contains(span) || paths.contains(resolve(&file.path, span).as_str());
            if named && !exists() {
                findings.push(Finding::new(&file.path, number, format!("`{span}` does not exist")));
            }
        }
    }
    findings
}

/// Returns the path from the root for `target` in the file at `path`.
fn resolve(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn titles(file: &File) -> Vec<Finding> {
    let titles: Vec<usize> =
        prose(&file.text).filter(|(_, line)| line.starts_with("# ")).map(|(number, _)| number).collect();
    match titles.as_slice() {
        [1] => Vec::new(),
        [] => vec![Finding::new(&file.path, 1, "open with one `# ` title")],
        [first, ..] if *first != 1 => vec![Finding::new(&file.path, 1, "open with the `# ` title")],
        [_, second, ..] => vec![Finding::new(&file.path, *second, "one `# ` title per page")],
        [_] => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_dead_link_is_a_finding_and_a_live_one_is_not() {
        let text = "# A\n[a](../README.md#x) [b](gone.md) [c](https://example.org) [d](decisions)\n```\n[e](no.md)\n```\n";
        let files = [file("README.md", "# R\n"), file("docs/a.md", text), file(INDEX, "# I\n")];
        let findings = check(&files);
        assert_eq!(findings, [Finding::new("docs/a.md", 2, "dead link to gone.md")]);
    }

    #[test]
    fn a_source_file_that_is_named_must_exist() {
        let text = "# A\n`src/a.rs` `solver/src/gone.rs` `a::b.rs` `gone.rs` `other/src/a.rs`\n";
        let files = [file("x/README.md", text), file("x/src/a.rs", ""), file("solver/src/lib.rs", "")];
        assert_eq!(check(&files), [Finding::new("x/README.md", 2, "`solver/src/gone.rs` does not exist")]);
    }

    #[test]
    fn a_decision_outside_the_index_is_a_finding() {
        let listed = [file(INDEX, "# I\n0001-a.md\n"), file("docs/decisions/0001-a.md", "# A\n")];
        assert_eq!(check(&listed), []);
        let hidden = [file(INDEX, "# I\n"), file("docs/decisions/0001-a.md", "# A\n")];
        assert_eq!(check(&hidden).len(), 1);
    }

    #[test]
    fn a_page_has_one_title_on_top() {
        assert_eq!(check(&[file("a.md", "# A\n```\n# shell\n```\n")]), []);
        assert_eq!(check(&[file("a.md", "text\n# A\n")]).len(), 1);
        assert_eq!(check(&[file("a.md", "# A\n# B\n")]).len(), 1);
        assert_eq!(check(&[file("a.md", "text\n")]).len(), 1);
    }

    #[test]
    fn a_line_of_prose_is_at_most_120_characters_wide() {
        let wide = "ä".repeat(118) + " b";
        assert_eq!(check(&[file("a.md", &format!("# A\n{wide}\n"))]), []);
        assert_eq!(check(&[file("a.md", &format!("# A\n{wide}b\n"))]).len(), 1);
        assert_eq!(check(&[file("a.md", &format!("# A\n| {wide}b |\n```\n{wide}b\n```\n"))]), []);
    }
}
