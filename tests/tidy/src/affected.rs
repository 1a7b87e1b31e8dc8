//! The packages that a change touches: those whose files changed, and all packages that depend on one of them.
//!
//! `tests/run --quick` calls it, so that it tests only the packages that a change can break. A file outside every
//! package (a manifest of the workspace, the lock file, `tests/run` itself) touches all of them, except Markdown and
//! licences, which no test reads.

use std::collections::BTreeSet;

use crate::dependencies::Package;

/// The names of the touched packages. `changed` holds paths from the root of the project.
pub(crate) fn packages<'a>(packages: &'a [Package], changed: &[&str]) -> BTreeSet<&'a str> {
    let mut touched = BTreeSet::new();
    for path in changed.iter().filter(|path| !is_text(path)) {
        match owner(packages, path) {
            Some(package) => drop(touched.insert(package.name.as_str())),
            None => return packages.iter().map(|package| package.name.as_str()).collect(),
        }
    }
    loop {
        let before = touched.len();
        let depends = |package: &&Package| {
            package.dependencies.iter().any(|edge| edge.ours && touched.contains(edge.name.as_str()))
        };
        let more: Vec<&str> = packages.iter().filter(depends).map(|package| package.name.as_str()).collect();
        touched.extend(more);
        if touched.len() == before {
            return touched;
        }
    }
}

/// Files of a package's folder that are compiled into none of its tests.
fn is_text(path: &str) -> bool {
    path.ends_with(".md") || path.starts_with("LICENSE") || path.starts_with(".github/")
}

/// The package with the longest folder above the path. The root package owns its sources only.
fn owner<'a>(packages: &'a [Package], path: &str) -> Option<&'a Package> {
    let inside = |package: &&Package| match package.folder.as_str() {
        "" => path.starts_with("runtime/src/") || path.starts_with("tests/it/"),
        folder => path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
    };
    packages.iter().filter(inside).max_by_key(|package| package.folder.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dependencies::Dependency;

    fn package(name: &str, folder: &str, ours: &[&str]) -> Package {
        let edge = |name: &&str| Dependency { name: (*name).to_owned(), dev: false, ours: true };
        Package {
            name: name.to_owned(),
            folder: folder.to_owned(),
            dependencies: ours.iter().map(edge).collect(),
        }
    }

    fn touched(changed: &[&str]) -> Vec<String> {
        let all = [
            package("rhizo", "", &["solver", "types"]),
            package("types", "runtime/types", &[]),
            package("solver", "solver", &["types"]),
            package("threads", "solver/threads", &["solver"]),
            package("tidy", "tests/tidy", &[]),
        ];
        packages(&all, changed).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_change_touches_its_package_and_all_that_depend_on_it() {
        assert_eq!(touched(&["solver/src/lib.rs"]), ["rhizo", "solver", "threads"]);
        assert_eq!(touched(&["solver/threads/src/lib.rs"]), ["threads"]);
        assert_eq!(touched(&["runtime/types/src/id.rs"]), ["rhizo", "solver", "threads", "types"]);
        assert_eq!(touched(&["runtime/src/lib.rs", "tests/tidy/words.txt"]), ["rhizo", "tidy"]);
    }

    #[test]
    fn a_file_of_no_package_touches_all_and_text_touches_none() {
        assert_eq!(touched(&["Cargo.lock"]).len(), 5);
        assert_eq!(touched(&["docs/glossary.md", "solver/README.md", "LICENSE-MIT"]), [""; 0]);
        assert_eq!(touched(&[]), [""; 0]);
    }
}
