//! Decision pages have one form: status, date and superseded pages at the top, then the four sections.
//!
//! The form is described in `docs/decisions/README.md`. Whether a page is in the index is checked with the links.

use std::collections::BTreeSet;

use crate::Finding;
use crate::tree::File;

/// The folder of the pages.
const FOLDER: &str = "docs/decisions/";

/// The sections of a page, in their order.
const SECTIONS: [&str; 4] = ["## Problem", "## Choice", "## Measured", "## Rejected"];

/// Checks every decision page.
pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let page = |file: &File| {
        let name = file.path.strip_prefix(FOLDER).filter(|name| *name != "README.md")?;
        Some(name.split('-').next().unwrap_or(name).to_owned())
    };
    let numbers: BTreeSet<String> = files.iter().filter_map(page).collect();
    let mut findings = Vec::new();
    for file in files {
        let Some(number) = page(file) else { continue };
        let wrong = [head(file, &number, &numbers), sections(file)].concat();
        findings.extend(wrong.into_iter().map(|(line, message)| Finding::new(&file.path, line, message)));
    }
    findings
}

/// The title and the three lines below it.
fn head(file: &File, number: &str, numbers: &BTreeSet<String>) -> Vec<(usize, String)> {
    let lines: Vec<&str> = file.text.lines().take(5).collect();
    let line = |index: usize| lines.get(index).copied().unwrap_or_default();
    let mut wrong = Vec::new();
    if !line(0).starts_with(&format!("# {number} ")) {
        wrong.push((1, format!("open with `# {number} ` and a title that says what was decided")));
    }
    match line(2).strip_prefix("- Status: ").and_then(|status| superseding(status, numbers)) {
        Some(true) => {}
        Some(false) => wrong.push((3, "the status names a page that does not exist".to_owned())),
        None => wrong.push((3, "write `- Status: accepted` or `[partly ]superseded by NNNN`".to_owned())),
    }
    if !line(3).strip_prefix("- Date: ").is_some_and(is_date) {
        wrong.push((4, "write `- Date: YYYY-MM-DD`".to_owned()));
    }
    if !line(4).starts_with("- Supersedes: ") {
        wrong.push((5, "write `- Supersedes: nothing` or links to the older pages".to_owned()));
    }
    wrong
}

/// Whether the page that a status names exists; none when it is no status.
fn superseding(status: &str, numbers: &BTreeSet<String>) -> Option<bool> {
    if status == "accepted" {
        return Some(true);
    }
    let pages = status.strip_prefix("partly ").unwrap_or(status).strip_prefix("superseded by ")?;
    // A plain number or a link to the page: `0207` or `[0207](0207-….md)`.
    let named = pages.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() == 4)?;
    Some(numbers.contains(named))
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.trim().split('-').collect();
    let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    matches!(parts.as_slice(), [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
}

/// Exactly the four sections, none empty.
fn sections(file: &File) -> Vec<(usize, String)> {
    let found: Vec<(usize, &str)> = file
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("## "))
        .map(|(index, line)| (index + 1, line.trim_end()))
        .collect();
    let mut wrong = Vec::new();
    if !found.iter().map(|(_, line)| *line).eq(SECTIONS) {
        let line = found.iter().zip(SECTIONS).find(|((_, is), wanted)| is != wanted);
        let place = line.map_or(0, |((number, _), _)| *number);
        wrong.push((place, format!("the sections of a decision are {}", SECTIONS.join(", "))));
    }
    let lines: Vec<&str> = file.text.lines().collect();
    for (number, title) in &found {
        let body = lines[*number..].iter().take_while(|line| !line.starts_with("## "));
        if body.into_iter().all(|line| line.trim().is_empty()) {
            wrong.push((*number, format!("`{title}` is empty; say so in a sentence where there is nothing")));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# 0001 The house\n\n- Status: accepted\n- Date: 2026-11-26\n- Supersedes: nothing\n\n\
                        ## Problem\n\nA.\n\n## Choice\n\nB.\n\n## Measured\n\nC.\n\n## Rejected\n\nD.\n";

    fn found(text: &str) -> Vec<usize> {
        let file = File { path: format!("{FOLDER}0001-the-house.md"), text: text.to_owned() };
        check(&[file]).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_page_in_the_form_is_accepted() {
        assert_eq!(found(GOOD), [0usize; 0]);
        assert_eq!(found(&GOOD.replace("accepted", "superseded by 0001")), [0usize; 0]);
        let link = "partly superseded by [0001](0001-the-house.md)";
        assert_eq!(found(&GOOD.replace("accepted", link)), [0usize; 0]);
    }

    #[test]
    fn each_line_of_the_head_is_wanted() {
        assert_eq!(found(&GOOD.replace("# 0001 ", "# ")), [1]);
        assert_eq!(found(&GOOD.replace("accepted", "old")), [3]);
        assert_eq!(found(&GOOD.replace("accepted", "superseded by 0002")), [3]);
        assert_eq!(found(&GOOD.replace("2026-11-26", "November")), [4]);
        assert_eq!(found(&GOOD.replace("- Supersedes: nothing", "")), [5]);
    }

    #[test]
    fn each_section_is_wanted_in_its_order_and_with_a_text() {
        assert_eq!(found(&GOOD.replace("## Measured\n\nC.\n\n", "")), [15]);
        assert_eq!(found(&GOOD.replace("## Choice", "## Cost")), [11]);
        assert_eq!(found(&GOOD.replace("C.\n", "")), [15]);
    }
}
