//! Secrets: a program gets the value, and no file and no answer of rhizo has it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::deployment::{Deployment, instances};

/// A value that occurs nowhere else.
const VALUE: &str = "correct-horse-battery-staple";

/// `web` compares its secret with its own copy, which is written backwards, and serves only when they agree.
fn config() -> String {
    let backwards: String = VALUE.chars().rev().collect();
    format!(
        "rhizo = 1\n[app]\nname = \"sealed\"\n[components.web]\n\
         exec = [\"sh\", \"-c\", 'test \"$(echo $PASSWORD | rev)\" = {backwards} && exec sleep 100000']\n\
         env.PASSWORD = {{ file = \"password\" }}\n\
         [components.bad]\nexec = [\"sh\", \"-c\", 'echo refused $PASSWORD; exit 3']\n\
         env.PASSWORD = {{ command = \"cat password\" }}\n"
    )
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn has_value(bytes: &[u8]) -> bool {
    bytes.windows(VALUE.len()).any(|window| window == VALUE.as_bytes())
}

#[test]
fn a_secret_reaches_its_program_and_nothing_else() {
    let deployment = Deployment::new("secrets", "rhizo");
    deployment.write("rhizo.toml", &config());
    let missing = deployment.run(&["up", "rhizo.toml", "--yes", "--wait"]);
    assert_eq!(missing.status.code(), Some(2), "{missing:#?}");
    assert!(missing.stderr.contains("secret `PASSWORD` of component `bad`"), "{missing:#?}");

    deployment.write("password", &format!("{VALUE}\n"));
    let up = deployment.run(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "1"]);
    let status = deployment.until("started, and told of the failure", |status| {
        let web = instances(status).iter().any(|each| each["name"] == "web" && each["state"] == "started");
        web && status.to_string().contains("refused [secret PASSWORD]")
    });
    // Nothing has changed, so nothing restarts.
    let plan = deployment.ok(&["plan", "rhizo.toml"]).stdout;
    assert!(!plan.contains("restart"), "{plan}");
    deployment.write("password", "another");
    let plan_of_change = deployment.ok(&["plan", "rhizo.toml"]).stdout;
    assert!(plan_of_change.contains("restart"), "{plan_of_change}");

    let mut said = vec![up.stdout, up.stderr, status.to_string(), plan, plan_of_change];
    for command in [&["status"][..], &["events", "--json"], &["why", "--json"], &["why", "bad.0"]] {
        said.push(deployment.run(command).stdout);
    }
    assert!(said.iter().all(|text| !has_value(text.as_bytes())), "{said:#?}");
    let home = deployment.file(".rhizo");
    let all = files(&home);
    // What a program prints itself is its own.
    let printed =
        |path: &Path| path.parent().is_some_and(|dir| dir.to_string_lossy().contains("instances/bad"));
    for file in all.iter().filter(|path| !printed(path)) {
        let bytes = fs::read(file).unwrap_or_default();
        assert!(!has_value(&bytes), "{} has the secret", file.display());
    }
    assert!(all.iter().any(|path| path.ends_with("sealing.key")), "{all:#?}");
    // No other user can enter the directory above all of these files, or read a key.
    let keys = all.iter().filter(|path| path.extension().is_some_and(|extension| extension == "key"));
    for path in keys.chain([&home]) {
        let mode = fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
    deployment.down();
}
