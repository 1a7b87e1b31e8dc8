//! Configs that read well and cannot be carried out, against one reviewed file; and one that looks wrong and is not.
//!
//! `wrong_files.txt` holds each case: files, and below them everything that `rhizo check` says. `UPDATE_EXPECT=1`
//! writes the answers anew. Each answer has one cause, with its place or its numbers, and a remedy. Configs that are
//! wrong as a text are in the tests of `rhizo-config`.

use crate::deployment::Deployment;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The beginning of a config; a case that has no `[providers.p]` gets one as well.
const HEAD: &str = "rhizo = 1\napp.name = \"x\"\n";
const PROVIDER: &str = "\n[providers.p]\nkind = \"process\"\noffers = \"offers.csv\"\n";

/// The offers of a case that brings none.
const OFFERS: &str =
    "name,region,price_per_hour,available,cap.cpu,cap.memory\ns1,eu,0.1,2,2,4GiB\ns2,us,0.1,2,2,4GiB\n";

/// The beginning of each line of an answer.
const ANSWER: &str = "> ";

/// The line before the text of a further file: `--- offers.csv`.
const FILE: &str = "--- ";

struct Case<'t> {
    title: &'t str,
    /// Everything but the answer.
    files: String,
    answer: String,
}

fn cases(text: &str) -> (&str, Vec<Case<'_>>) {
    let mut parts = text.split("\n## ");
    let head = parts.next().unwrap_or_default();
    let cases = parts.map(|part| {
        let (title, body) = part.split_once('\n').expect("a title");
        let (answer, files): (Vec<&str>, Vec<&str>) =
            body.lines().partition(|line| line.starts_with(ANSWER.trim_end()));
        Case { title, files: files.join("\n").trim().to_owned(), answer: answer.join("\n") }
    });
    (head, cases.collect())
}

/// Writes the files of a case, and returns everything that `check` says, with its exit code.
fn checked(case: &Case<'_>, number: usize) -> String {
    let deployment = Deployment::new(&format!("wrong-{number}"), "rhizo");
    let mut files = case.files.split(FILE);
    let config = files.next().unwrap_or_default();
    let provider = if config.contains("[providers.p]") { "" } else { PROVIDER };
    deployment.write("rhizo.toml", &format!("{HEAD}{config}{provider}"));
    deployment.write("offers.csv", OFFERS);
    for file in files {
        let (name, text) = file.split_once('\n').expect("a name");
        deployment.write(name, text);
    }
    let said = deployment.run(&["check", "rhizo.toml"]);
    let text =
        format!("{}{}", said.stderr, said.stdout).replace(&deployment.file("").display().to_string(), "DIR/");
    let code = said.status.code().expect("it ended by itself");
    let lines = text.trim_end().lines().map(|line| format!("{ANSWER}{line}").trim_end().to_owned());
    let exit = format!("{ANSWER}exit code {code}");
    lines.chain([exit]).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_config_that_cannot_be_carried_out_is_refused_with_one_cause_and_a_remedy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/wrong_files.txt");
    let text = std::fs::read_to_string(&path).expect("the cases");
    let (head, cases) = cases(&text);
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    let (mut wrong, mut rewritten) = (Vec::new(), head.to_owned());
    for (number, case) in cases.iter().enumerate() {
        let now = checked(case, number);
        let causes = now.matches("error: ").count() + now.matches("warning: ").count();
        // The last line of an answer with findings only counts them.
        let causes = causes - now.matches("error: failed to use `rhizo.toml`: 1 finding").count();
        if causes != 1 {
            wrong.push(format!("`{}` has {causes} causes:\n{now}", case.title));
        }
        if !["= help: ", "Remedy: ", "; ", "expected one of "].iter().any(|remedy| now.contains(remedy)) {
            wrong.push(format!("`{}` has no remedy:\n{now}", case.title));
        }
        if now != case.answer && std::env::var_os("UPDATE_EXPECT").is_none() {
            wrong.push(format!("`{}` differs.\n--- reviewed\n{}\n--- now\n{now}", case.title, case.answer));
        }
        rewritten.push_str(&format!("\n## {}\n{}\n{now}\n", case.title, case.files));
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, rewritten).expect("the reviewed file is written");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_folder_whose_name_is_a_placeholder_is_a_folder() {
    let deployment = Deployment::new("folder", "rhizo");
    deployment.write("{dir}/serve", "#!/bin/sh\nexec sleep 100000\n");
    let program = deployment.file("{dir}/serve");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let config = "rhizo = 1\n[app]\nname = \"x\"\n[components.w]\nexec = \"./serve\"\n";
    deployment.write("{dir}/rhizo.toml", config);
    let said = deployment.ok(&["check", "{dir}/rhizo.toml"]);
    assert!(!said.stderr.contains("warning"), "{said:#?}");
    deployment.ok(&["up", "{dir}/rhizo.toml", "--yes", "--wait"]);
    deployment.down();
}
