//! The pure crates hold no clock, random source, socket, file, thread, async code or unordered map.
//!
//! The `pure` lines of `dependencies.txt` name the pure crates. Tests inside them are not restricted. Neither is a
//! `main.rs` or `src/bin/`, because a program at the edge of a pure library is a shell.

use crate::Finding;
use crate::dependencies::{Package, Rules};
use crate::source::Source;

/// The names that a pure crate must not use, each with its remedy.
const BANNED: [(&str, &str); 25] = [
    ("Instant", "time is an argument (rhizo_types::Time)"),
    ("SystemTime", "time is an argument (rhizo_types::Time)"),
    ("HashMap", "iteration order must not depend on a seed: BTreeMap"),
    ("HashSet", "iteration order must not depend on a seed: BTreeSet"),
    ("RandomState", "no hidden seed"),
    ("std::fs", "files belong to the shell"),
    ("std::thread", "threads belong to the shell"),
    ("std::process", "processes belong to the shell"),
    ("std::env", "the environment belongs to the shell"),
    ("TcpStream", "sockets belong to the overlay"),
    ("TcpListener", "sockets belong to the overlay"),
    ("UdpSocket", "sockets belong to the overlay"),
    ("ToSocketAddrs", "name look-ups belong to the shell"),
    ("thread_rng", "randomness is a seeded generator owned by the caller"),
    ("ThreadRng", "randomness is a seeded generator owned by the caller"),
    ("rand::rng", "randomness is a seeded generator owned by the caller"),
    ("rand::random", "randomness is a seeded generator owned by the caller"),
    ("OsRng", "randomness is a seeded generator owned by the caller"),
    ("SysRng", "randomness is a seeded generator owned by the caller"),
    ("from_os_rng", "randomness is a seeded generator owned by the caller"),
    ("async fn", "async code belongs to the shell"),
    (".await", "async code belongs to the shell"),
    ("tokio", "async code belongs to the shell"),
    ("tracing", "the core holds no logger: return a notice"),
    ("println!", "the core prints nothing: return a notice"),
];

/// Members of `std` that a grouped import must not take.
const BANNED_IN_STD: [&str; 4] = ["fs", "thread", "process", "env"];

/// Searches for banned names in the pure crates, outside tests.
pub(crate) fn check(sources: &[Source], packages: &[Package], rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages.iter().filter(|package| rules.pure.contains_key(&package.name)) {
        let folder = format!("{}/src/", package.folder);
        for source in sources.iter().filter(|source| source.path.starts_with(&folder)) {
            if source.path.ends_with("/main.rs") || source.path.contains("/src/bin/") {
                continue;
            }
            for (word, reason) in BANNED {
                let lines = source.lines_with(word).filter(|line| !source.is_test(*line));
                findings.extend(lines.map(|line| {
                    Finding::new(&source.path, line, format!("`{word}` in a pure crate: {reason}"))
                }));
            }
            findings.extend(grouped_imports(source));
        }
    }
    findings
}

/// `use std::{fs, …}` names the same modules without the path in front.
fn grouped_imports(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, _) in source.code.match_indices("use std::{") {
        let line = 1 + source.code[..at].matches('\n').count();
        let group = source.code[at..].split(';').next().unwrap_or_default();
        let mut words = group.split(|c: char| !c.is_alphanumeric() && c != '_');
        let banned = words.find(|word| BANNED_IN_STD.contains(word));
        if let Some(word) = banned.filter(|_| !source.is_test(line)) {
            findings.push(Finding::new(&source.path, line, format!("`std::{word}` in a pure crate")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::File;
    use std::collections::BTreeSet;

    fn found(path: &str, text: &str) -> Vec<usize> {
        let packages =
            [Package { name: "p".to_owned(), folder: "runtime/p".to_owned(), dependencies: BTreeSet::new() }];
        let source = Source::scan(&File { path: path.to_owned(), text: text.to_owned() });
        let rules = Rules::parse("pure p serde").unwrap();
        check(&[source], &packages, &rules).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn each_banned_name_is_found_in_a_pure_crate() {
        for (word, _) in BANNED {
            assert_eq!(
                found("runtime/p/src/a.rs", &format!("// fine\nlet x = {word} (1);\n")),
                [2],
                "{word}"
            );
        }
        assert_eq!(found("runtime/p/src/a.rs", "use std::{collections::BTreeMap, fs};\n"), [1]);
    }

    #[test]
    fn tests_programs_and_other_crates_may_name_them() {
        assert_eq!(found("runtime/p/src/a.rs", "#[cfg(test)]\nmod tests {\n use std::fs;\n}\n"), [0usize; 0]);
        assert_eq!(found("runtime/p/src/main.rs", "use std::fs;\n"), [0usize; 0]);
        assert_eq!(found("runtime/q/src/a.rs", "use std::fs;\n"), [0usize; 0]);
        assert_eq!(
            found("runtime/p/src/a.rs", "// async fn tokio HashMap\nuse std::net::IpAddr;\n"),
            [0usize; 0]
        );
    }
}
