//! Whole configs, good and broken, against reviewed output.
//!
//! `tests/broken/NN-name.toml` has its messages in `NN-name.err`; `UPDATE_EXPECT=1` writes them anew. Good
//! ones must parse without an error; their warnings, if any, are in `.err` too.

use rhizo_config::{Finding, Severity, parse, render};
use std::path::{Path, PathBuf};

fn configs(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    found.sort();
    found
}

fn findings(path: &Path) -> (Vec<Finding>, String, bool) {
    let source = std::fs::read_to_string(path).expect("the config");
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    match parse(&source, &name, Path::new("/base")) {
        Ok(parsed) => (parsed.warnings, source, true),
        Err(findings) => (findings, source, false),
    }
}

/// Compares with the reviewed text beside the config, or writes it.
fn compare(path: &Path, text: &str) -> Result<(), String> {
    let expected = path.with_extension("err");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        if text.is_empty() {
            // Nothing to review: a file that is left over from before would say otherwise.
            let _ = std::fs::remove_file(&expected);
        } else {
            std::fs::write(&expected, text).expect("the reviewed text is written");
        }
        return Ok(());
    }
    let reviewed = std::fs::read_to_string(&expected).unwrap_or_default();
    if reviewed == text {
        return Ok(());
    }
    Err(format!("{} differs.\n--- reviewed\n{reviewed}\n--- now\n{text}", expected.display()))
}

fn places_are_real(findings: &[Finding], source: &str) -> bool {
    let lines: Vec<&str> = source.split('\n').collect();
    findings.iter().all(|finding| {
        let line = lines.get(finding.line - 1);
        line.is_some_and(|line| finding.column >= 1 && finding.column <= line.chars().count() + 1)
            && finding.length >= 1
            && !finding.message.is_empty()
    })
}

#[test]
fn every_broken_config_is_refused_with_the_reviewed_messages() {
    let configs = configs("broken");
    assert!(configs.len() >= 30, "only {} broken configs", configs.len());
    let mut wrong = Vec::new();
    for path in configs {
        let (found, source, accepted) = findings(&path);
        assert!(!accepted, "{} is accepted", path.display());
        assert!(found.iter().any(|finding| finding.severity == Severity::Error));
        assert!(places_are_real(&found, &source), "{} has a finding without a place", path.display());
        wrong.extend(compare(&path, &render(&found, &source, false)).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_good_config_is_accepted() {
    let mut wrong = Vec::new();
    for path in configs("good") {
        let (found, source, accepted) = findings(&path);
        let text = render(&found, &source, false);
        assert!(accepted, "{} is refused:\n{text}", path.display());
        wrong.extend(compare(&path, &text).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_configs_of_the_examples_are_accepted_without_a_warning() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    for example in std::fs::read_dir(examples).expect("the examples") {
        let path = example.expect("an entry").path().join("rhizo.toml");
        if path.exists() {
            let (found, source, accepted) = findings(&path);
            assert!(accepted && found.is_empty(), "{}:\n{}", path.display(), render(&found, &source, false));
            seen += 1;
        }
    }
    assert!(seen >= 2, "only {seen} examples have a config");
}

#[test]
fn the_schema_names_every_field_of_the_good_configs() {
    let schema = rhizo_config::schema();
    let text = schema.to_string();
    for field in
        ["rhizo", "app", "components", "require", "utility", "migration", "optimise", "budget", "anchors"]
    {
        assert!(schema["properties"].get(field).is_some(), "{field} is missing in {text}");
    }
    let component = &schema["$defs"]["Component"]["properties"];
    for field in ["exec", "replicas", "needs", "exports", "imports", "health", "stop", "env"] {
        assert!(component.get(field).is_some(), "{field} is missing in {component}");
    }
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("rhizo.schema.json");
    let pretty = serde_json::to_string_pretty(&schema).expect("the schema is JSON") + "\n";
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&committed, &pretty).expect("the schema is written");
    }
    let on_disk = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(on_disk == pretty, "rhizo.schema.json differs: write it with UPDATE_EXPECT=1");
}
