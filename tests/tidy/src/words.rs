//! Text that no file of the project may contain: leftovers, silenced lints, catch-all names, paths of one machine.
//!
//! Also that each Rust file opens with what it is for, that each `unsafe` says why it is sound and that every crate
//! but a reviewed few forbids it. The words are
//! put together from halves below, so that this file does not find itself.

use crate::Finding;
use crate::source::Source;
use crate::tree::File;

/// Leftovers in Rust code or comments, and what to do instead.
const LEFTOVERS: [(&str, &str); 8] = [
    (concat!("TO", "DO"), "finish it or open an issue"),
    (concat!("FIX", "ME"), "finish it or open an issue"),
    (concat!("todo", "!("), "finish it"),
    (concat!("unimpl", "emented!("), "finish it"),
    (concat!("dbg", "!("), "remove it"),
    (concat!("#[ign", "ore"), "a test runs or goes; slow ones hide behind an environment variable"),
    (concat!("[all", "ow("), "use #[expect] with a reason, so that it goes when it is not needed any more"),
    (concat!("Under constr", "uction"), "say what the file does and what it does not"),
];

/// Parts of paths that exist on one machine only, and names of hosts that the project must not depend on.
const PLACES: [&str; 8] = [
    concat!("/ho", "me/"),
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/tmp/br", "ief"),
    concat!(".lib", "rary/"),
    concat!("py", "pi.org"),
    concat!("static.cra", "tes.io"),
];

/// Names that say nothing; the glossary has better ones.
const CATCH_ALLS: [&str; 5] = ["Manager", "Helper", "Helpers", "Util", "Utils"];

/// The crate roots that may hold `unsafe`. There is none: a new one is reviewed here, with its reason.
const UNSAFE_ROOTS: &[&str] = &[];

/// Runs the rules about words over all files.
pub(crate) fn check(files: &[File], sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path != "Cargo.lock") {
        findings.extend(places(file));
    }
    for source in sources {
        findings.extend(leftovers(source));
        findings.extend(catch_alls(source));
        findings.extend(unsound(source));
        findings.extend(unforbidden(source, UNSAFE_ROOTS));
        if !source.text.starts_with("//!") {
            let message = "open with `//!`: what it does, what it does not, where to read next";
            findings.push(Finding::new(&source.path, 1, message));
        }
    }
    findings
}

fn places(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for place in PLACES.iter().filter(|place| line.contains(**place)) {
            let message = format!("`{place}` exists on one machine or is nobody's business here");
            findings.push(Finding::new(&file.path, number + 1, message));
        }
    }
    findings
}

fn leftovers(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        for (word, remedy) in LEFTOVERS.iter().filter(|(word, _)| line.contains(word)) {
            findings.push(Finding::new(&source.path, number + 1, format!("`{word}`: {remedy}")));
        }
    }
    findings
}

fn catch_alls(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in source.code.lines().enumerate() {
        let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let declared = words.windows(2).find(|pair| matches!(pair[0], "struct" | "enum" | "trait" | "type"));
        if let Some(name) = declared.map(|pair| pair[1])
            && CATCH_ALLS.iter().any(|catch_all| name.ends_with(catch_all))
        {
            let message = format!("`{name}` says nothing: take a word of docs/glossary.md");
            findings.push(Finding::new(&source.path, number + 1, message));
        }
    }
    findings
}

/// How far above an `unsafe` its reason may stand, in lines: a short paragraph and an attribute.
const SAFETY_LINES_MAX: usize = 8;

fn unsound(source: &Source) -> Vec<Finding> {
    let lines: Vec<&str> = source.text.lines().collect();
    let explained = |line: usize| {
        let above = &lines[line.saturating_sub(SAFETY_LINES_MAX)..line];
        above.iter().any(|text| text.contains("SAFETY:") || text.contains("# Safety"))
    };
    let places = source.lines_with("unsafe").filter(|line| !explained(*line));
    places.map(|line| Finding::new(&source.path, line, "say `// SAFETY: …` why this is sound")).collect()
}

/// A library or program of the workspace that does not forbid `unsafe`, and one that forbids it and is listed.
fn unforbidden(source: &Source, unsafe_roots: &[&str]) -> Option<Finding> {
    let (folder, file) = source.path.rsplit_once('/')?;
    let root = matches!(file, "lib.rs" | "main.rs") && folder.ends_with("src") || folder.ends_with("src/bin");
    let forbids = source.code.contains("#![forbid(unsafe_code)]");
    let listed = unsafe_roots.contains(&source.path.as_str());
    let message = match (root, forbids, listed) {
        (true, false, false) => "add `#![forbid(unsafe_code)]`",
        (true, true, true) => "it forbids `unsafe` now: take it off the list of tests/tidy/src/words.rs",
        _ => return None,
    };
    Some(Finding::new(&source.path, 1, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        let sources = if path.ends_with(".rs") { vec![Source::scan(&file)] } else { Vec::new() };
        check(&[file], &sources).into_iter().map(|finding| (finding.line, finding.message)).collect()
    }

    #[test]
    fn each_leftover_is_found_in_code_and_in_comments() {
        for (word, _) in LEFTOVERS {
            let found = found("a.rs", &format!("//! A.\n// {word}\n"));
            assert_eq!(found.first().map(|(line, _)| *line), Some(2), "{word}");
        }
    }

    #[test]
    fn a_path_of_a_machine_is_found_in_any_file() {
        for place in PLACES {
            assert_eq!(found("docs/a.md", &format!("# A\n{place}x\n")).len(), 1, "{place}");
        }
        assert_eq!(found("Cargo.lock", PLACES[0]).len(), 0);
    }

    #[test]
    fn a_file_without_its_opening_words_is_a_finding() {
        assert_eq!(found("a.rs", "fn a() {}\n").len(), 1);
        assert_eq!(found("a.rs", "//! What it does.\nfn a() {}\n"), []);
    }

    #[test]
    fn a_catch_all_name_is_a_finding() {
        assert_eq!(found("a.rs", "//! A.\npub struct NodeManager {\n").len(), 1);
        assert_eq!(found("a.rs", "//! A.\n// struct NodeManager\npub struct Utility;\n"), []);
    }

    #[test]
    fn unsafe_without_a_reason_is_a_finding() {
        assert_eq!(found("a.rs", "//! A.\nlet a = unsafe { f() };\n").len(), 1);
        assert_eq!(found("a.rs", "//! A.\n// SAFETY: f has no precondition.\nlet a = unsafe { f() };\n"), []);
        assert_eq!(found("a.rs", "//! A.\n#![forbid(unsafe_code)]\n"), []);
    }

    #[test]
    fn a_crate_root_forbids_unsafe_unless_it_is_listed() {
        assert_eq!(found("a/src/lib.rs", "//! A.\n").len(), 1);
        assert_eq!(found("a/src/bin/b.rs", "//! A.\n").len(), 1);
        assert_eq!(found("a/src/lib.rs", "//! A.\n#![forbid(unsafe_code)]\n"), []);
        assert_eq!(found("a/src/b.rs", "//! A.\n"), []);
        let listed = |text: &str| {
            let file = File { path: "a/src/lib.rs".to_owned(), text: text.to_owned() };
            unforbidden(&Source::scan(&file), &["a/src/lib.rs"]).map(|finding| finding.message)
        };
        assert_eq!(listed("//! A.\n"), None);
        assert!(listed("//! A.\n#![forbid(unsafe_code)]\n").is_some());
    }
}
