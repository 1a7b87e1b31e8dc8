//! The usual slips of people who come from other tools, against one reviewed file.
//!
//! `slips.txt` holds each config with the whole answer below it; `UPDATE_EXPECT=1` writes the answers anew. Every error
//! has a place and a remedy, and one slip gives one error.

use rhizo_config::{Finding, Severity, parse, render};
use std::path::Path;

const HEAD: &str = "rhizo = 1\napp.name = \"x\"\n";

/// The first line of an answer, and what every line of it begins with.
const ANSWER: &str = "> ";

struct Case {
    title: String,
    config: String,
    answer: String,
}

fn cases(text: &str) -> (String, Vec<Case>) {
    let mut parts = text.split("\n## ");
    let head = parts.next().unwrap_or_default().to_owned();
    let cases = parts.map(|part| {
        let (title, body) = part.split_once('\n').expect("a title");
        let (answer, config): (Vec<&str>, Vec<&str>) =
            body.lines().partition(|line| line.starts_with(ANSWER.trim_end()));
        let config = config.join("\n").trim().to_owned() + "\n";
        Case { title: title.to_owned(), config, answer: answer.join("\n") }
    });
    (head, cases.collect())
}

fn findings(config: &str) -> (Vec<Finding>, bool) {
    match parse(config, "rhizo.toml", Path::new("/base")) {
        Ok(parsed) => (parsed.warnings, true),
        Err(findings) => (findings, false),
    }
}

fn answer(findings: &[Finding], source: &str) -> String {
    let text = render(findings, source, false);
    let lines = text.trim_end().lines().map(|line| format!("{ANSWER}{line}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_slip_gets_one_finding_with_place_cause_and_remedy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slips.txt");
    let text = std::fs::read_to_string(&path).expect("the cases");
    let (head, cases) = cases(&text);
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    let mut rewritten = head;
    for case in cases {
        let source = format!("{HEAD}{}", case.config);
        let (found, accepted) = findings(&source);
        let now = answer(&found, &source);
        if found.len() != 1 {
            wrong.push(format!("`{}` has {} findings:\n{now}", case.title, found.len()));
        }
        if accepted && found.iter().any(|finding| finding.severity == Severity::Error) {
            wrong.push(format!("`{}` is accepted with an error", case.title));
        }
        for finding in &found {
            if finding.hint.as_ref().is_none_or(String::is_empty) {
                wrong.push(format!("`{}` has a finding without a remedy:\n{now}", case.title));
            }
        }
        if now != case.answer && std::env::var_os("UPDATE_EXPECT").is_none() {
            wrong.push(format!("`{}` differs.\n--- reviewed\n{}\n--- now\n{now}", case.title, case.answer));
        }
        rewritten.push_str(&format!("\n## {}\n{}{now}\n", case.title, case.config));
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, rewritten).expect("the reviewed file is written");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
