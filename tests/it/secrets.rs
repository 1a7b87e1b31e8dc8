//! Secrets: a program gets the value, and no file and no answer of rhizo has it. No other user can open a file of
//! rhizo.

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

/// Three nodes with voters, one of them with `web`, whose program makes a file of its own and has a file of imports.
const PRIVATE: &str = r#"
rhizo = 1
[app]
name = "private"
[components.db]
exec = "sleep 100000"
[components.db.exports.sql]
port = 7801
[components.db.health]
exec = "true"
[components.web]
replicas = 2
exec = ["sh", "-c", "umask > own; exec sleep 100000"]
imports.db = { from = "db.sql" }
"#;

/// The directory and every file and directory below it. A symbolic link has no mode of its own and is left out.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let entries = entries.filter(|path| !path.is_symlink());
    let below = entries.flat_map(|path| if path.is_dir() { tree(&path) } else { vec![path] });
    [dir.to_owned()].into_iter().chain(below).collect()
}

/// The permissions of a file; `None` when it was removed meanwhile.
fn mode(path: &Path) -> Option<u32> {
    Some(fs::symlink_metadata(path).ok()?.permissions().mode() & 0o777)
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
    let all: Vec<PathBuf> = tree(&home).into_iter().filter(|path| path.is_file()).collect();
    // What a program prints itself is its own.
    let printed =
        |path: &Path| path.parent().is_some_and(|dir| dir.to_string_lossy().contains("instances/bad"));
    for file in all.iter().filter(|path| !printed(path)) {
        let bytes = fs::read(file).unwrap_or_default();
        assert!(!has_value(&bytes), "{} has the secret", file.display());
    }
    assert!(all.iter().any(|path| path.ends_with("sealing.key")), "{all:#?}");
    deployment.down();
}

#[test]
fn no_other_user_can_open_a_file_of_rhizo() {
    let deployment = Deployment::new("private", "rhizo");
    deployment.write("rhizo.toml", PRIVATE);
    deployment.up();
    let all = tree(&deployment.file(".rhizo"));
    let is_own = |path: &Path| path.ends_with("own");
    // Files of components are read-only, and programs among them executable; others cannot open them either.
    let is_packed = |path: &Path| path.components().any(|part| part.as_os_str() == "artifacts");
    let packed = all.iter().filter(|path| is_packed(path));
    let wrong: Vec<_> = packed.filter(|path| mode(path).is_some_and(|mode| mode & 0o077 != 0)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let wrong: Vec<String> = all
        .iter()
        .filter(|path| !is_own(path) && !is_packed(path))
        .filter_map(|path| Some((path, mode(path)?, if path.is_dir() { 0o700 } else { 0o600 })))
        .filter(|(_, mode, right)| mode != right)
        .map(|(path, mode, _)| format!("{mode:o} {}", path.display()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for name in
        ["log.redb", "node.log", "supervisor.log", "journal", "lock", "imports.json", "deployment.json"]
    {
        assert!(all.iter().any(|path| path.ends_with(name)), "no {name} was looked at: {all:#?}");
    }
    // The programs have the umask of the shell that ran `up`, which is the one of this test.
    let umask = std::process::Command::new("sh").args(["-c", "umask"]).output().expect("a shell").stdout;
    let own: Vec<&PathBuf> = all.iter().filter(|path| is_own(path)).collect();
    assert_eq!(own.len(), 2, "{all:#?}");
    for path in own {
        assert_eq!(fs::read(path).ok(), Some(umask.clone()), "{}", path.display());
    }
    deployment.down();
}

#[test]
fn the_shell_of_up_reaches_no_program_and_its_proxy_no_own_address() {
    let deployment = Deployment::new("shell", "hello");
    deployment.write(
        "rhizo.toml",
        "rhizo = 1\napp.name = \"hello\"\n[components.greeter]\nexports.greeting = {}\n[components.web]\n\
         exports.http = {}\nimports.greeter = { from = \"greeter.greeting\" }\nhealth = { http = \"http:/\" }\n\
         [components.printer]\nexec = [\"sh\", \"-c\", \"env > own; exec sleep 100000\"]\n",
    );
    // Nothing listens at the proxy, so a request through it fails, and `web` never becomes healthy.
    let up = deployment
        .command(&["up", "rhizo.toml", "--yes", "--wait"])
        .envs([("http_proxy", "http://127.0.0.1:1"), ("ALL_PROXY", "http://127.0.0.1:1")])
        .env("OF_THE_SHELL", VALUE)
        .output()
        .expect("the program runs");
    assert!(up.status.success(), "{up:?}");
    let all = tree(&deployment.file(".rhizo"));
    let own = all.iter().find(|path| path.ends_with("own")).expect("the file of the program");
    let variables = fs::read_to_string(own).expect("text");
    assert!(variables.contains("RHIZO_INSTANCE=printer.0\n") && variables.contains("PATH="), "{variables}");
    for name in ["OF_THE_SHELL", "http_proxy", "ALL_PROXY"] {
        assert!(!variables.contains(name), "{name} is in {variables}");
    }
    deployment.down();
}
