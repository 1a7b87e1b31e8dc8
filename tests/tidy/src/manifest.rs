//! Manifests: values come from the workspace, a published crate has the fields that crates.io requires, and the
//! oldest supported Rust is the same number everywhere.
//!
//! Checked on the text of the manifests, because `cargo metadata` does not report the origin of a value. `cargo
//! package` in `tests/run` shows whether the crates can really be packed.

use crate::Finding;
use crate::tree::File;

/// The lines that each package's manifest must contain.
const INHERITED: [&str; 4] = [
    "version.workspace = true",
    "edition.workspace = true",
    "rust-version.workspace = true",
    "license.workspace = true",
];

/// The lines that the manifest of a published crate must contain, beside a description.
const PUBLISHED: [&str; 4] = [
    "repository.workspace = true",
    "readme.workspace = true",
    "keywords.workspace = true",
    "categories.workspace = true",
];

/// The sentence of README.md and the line of the workflow that name the oldest supported Rust.
const OLDEST_RUST: [(&str, &str); 2] =
    [("README.md", "Rust {}"), (".github/workflows/ci.yml", "toolchain: \"{}\"")];

/// Checks each `Cargo.toml` that describes a package of the workspace.
pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_manifest(&file.path)) {
        let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
        if !lines.contains(&"[package]") {
            continue;
        }
        for wanted in INHERITED.iter().filter(|wanted| !lines.contains(wanted)) {
            findings.push(Finding::new(&file.path, 0, format!("add `{wanted}` to [package]")));
        }
        let lints = lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"]);
        if !lints {
            findings.push(Finding::new(&file.path, 0, "add `[lints]` with `workspace = true`"));
        }
        if !lines.contains(&"publish = false") {
            findings.extend(published(&file.path, &lines));
        }
    }
    if let Some(file) = files.iter().find(|file| file.path == "Cargo.toml") {
        findings.extend(oldest_rust(file, files));
    }
    findings
}

/// A crate that is published has a description, the shared metadata, and a version for each path it depends on.
/// A path without a version is left out of the published manifest, which is right for tests only.
fn published(path: &str, lines: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for wanted in PUBLISHED.iter().filter(|wanted| !lines.contains(wanted)) {
        findings.push(Finding::new(path, 0, format!("add `{wanted}` to [package], or `publish = false`")));
    }
    if !lines.iter().any(|line| line.starts_with("description = \"")) {
        findings.push(Finding::new(path, 0, "add a `description` of one sentence to [package]"));
    }
    let mut table = "";
    for (index, line) in lines.iter().enumerate() {
        if line.starts_with('[') {
            table = line;
        }
        let shipped = table.ends_with("dependencies]") && !table.contains("dev-dependencies");
        if shipped && line.contains("path = \"") && !line.contains("version = \"") {
            findings.push(Finding::new(
                path,
                index + 1,
                "add `version` beside `path`: crates.io knows no paths",
            ));
        }
    }
    findings
}

/// `rust-version` of the workspace is what the workflow tests and what README.md asks for.
fn oldest_rust(root: &File, files: &[File]) -> Vec<Finding> {
    let line = root.text.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let Some(version) = line.map(|line| line.trim_matches('"')) else { return Vec::new() };
    let mut findings = Vec::new();
    for (path, sentence) in OLDEST_RUST {
        let wanted = sentence.replace("{}", version);
        let file = files.iter().find(|file| file.path == path);
        if let Some(file) = file.filter(|file| !file.text.contains(&wanted)) {
            let message = format!("say `{wanted}`: `rust-version` in Cargo.toml is {version}");
            findings.push(Finding::new(&file.path, 0, message));
        }
    }
    findings
}

/// Fuzz targets are workspaces of their own, with their own nightly toolchain.
fn is_manifest(path: &str) -> bool {
    (path == "Cargo.toml" || path.ends_with("/Cargo.toml")) && !path.contains("fuzz/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        let files: Vec<File> = files.iter().map(file).collect();
        check(&files).into_iter().map(|finding| finding.message).collect()
    }

    const WHOLE: &str = "[package]\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                         license.workspace = true\nrepository.workspace = true\nreadme.workspace = true\n\
                         keywords.workspace = true\ncategories.workspace = true\ndescription = \"A.\"\n\
                         [dependencies]\nb = { path = \"../b\", version = \"0.1.0\" }\n[lints]\nworkspace = true\n\
                         [dev-dependencies]\nc = { path = \"../c\" }\n";

    #[test]
    fn a_published_crate_says_what_the_registry_asks_for() {
        assert_eq!(messages(&[("a/Cargo.toml", WHOLE)]), [""; 0]);
        for line in ["readme.workspace = true\n", "description = \"A.\"\n", ", version = \"0.1.0\""] {
            let less = WHOLE.replace(line, "");
            assert_eq!(messages(&[("a/Cargo.toml", &less)]).len(), 1, "{line}");
        }
        let unpublished = WHOLE.replace("description = \"A.\"", "publish = false").replace("readme", "x");
        assert_eq!(messages(&[("a/Cargo.toml", &unpublished)]), [""; 0]);
    }

    #[test]
    fn the_oldest_rust_is_one_number() {
        let root = "[workspace.package]\nrust-version = \"1.95\"\n";
        let page = |text| [("Cargo.toml", root), ("README.md", text)];
        assert_eq!(messages(&page("Rust 1.95 or newer")), [""; 0]);
        assert_eq!(messages(&page("Rust 1.94 or newer")).len(), 1);
    }

    #[test]
    fn a_manifest_that_stands_alone_is_a_finding_per_missing_line() {
        let text = "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition.workspace = true\nrust-version.workspace = true\n\
                    license.workspace = true\npublish = false\n[lints]\nworkspace = false\n";
        assert_eq!(
            messages(&[("a/Cargo.toml", text)]),
            ["add `version.workspace = true` to [package]", "add `[lints]` with `workspace = true`"]
        );
    }
}
