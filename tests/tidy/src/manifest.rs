//! Every manifest takes lints, edition and licence from the workspace.
//!
//! Checked on the text of the manifests: `cargo metadata` does not tell where a value came from.

use crate::Finding;
use crate::tree::File;

/// What each package's manifest must contain, line by line.
const INHERITED: [&str; 4] = [
    "version.workspace = true",
    "edition.workspace = true",
    "rust-version.workspace = true",
    "license.workspace = true",
];

/// Looks at each `Cargo.toml` that describes a package of the workspace.
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

    #[test]
    fn a_manifest_that_stands_alone_is_a_finding_per_missing_line() {
        let text = "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition.workspace = true\nrust-version.workspace = true\n\
                    license.workspace = true\n[lints]\nworkspace = false\n";
        let file = File { path: "a/Cargo.toml".to_owned(), text: text.to_owned() };
        let messages: Vec<String> = check(&[file]).into_iter().map(|finding| finding.message).collect();
        assert_eq!(
            messages,
            ["add `version.workspace = true` to [package]", "add `[lints]` with `workspace = true`"]
        );
    }
}
