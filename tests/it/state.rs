//! Data of components with state: kept over restarts, and waited for when its host is lost.

use serde_json::Value;
use std::fs;
use std::path::Path;

use crate::deployment::{Deployment, id, instances, kill, nodes, pid};

/// A program that adds a line to its data at each start.
fn config(version: u32, state: &str) -> String {
    format!(
        "rhizo = 1\n[app]\nname = \"kept\"\n[components.db]\n{state}\nenv = {{ VERSION = \"{version}\" }}\n\
         exec = [\"sh\", \"-c\", \"echo $VERSION >> {{data}}/starts; exec sleep 100000\"]\n"
    )
}

/// The lines in the data of every directory below this one, by the name of the directory of the data.
fn starts(below: &Path) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        match fs::read_to_string(path.join("starts")) {
            Ok(text) => {
                let name = entry.file_name().to_string_lossy().into_owned();
                found.push((name, text.lines().map(str::to_owned).collect()));
            }
            Err(_) => found.extend(starts(&path)),
        }
    }
    found
}

fn kept(directory: &str, lines: &[&str]) -> (String, Vec<String>) {
    (directory.to_owned(), lines.iter().map(|line| (*line).to_owned()).collect())
}

/// Kills the node of `db.0` and returns the node's id.
fn kill_node(status: &Value) -> String {
    let at = &instances(status)[0]["node"];
    let node = nodes(status).into_iter().find(|node| node["id"] == *at).expect("an instance is on a member");
    kill(pid(&node));
    id(&node)
}

#[test]
fn pinned_data_is_kept_and_an_operator_gives_it_up() {
    let deployment = Deployment::new("pinned", "rhizo");
    deployment.write("rhizo.toml", &config(1, "state = \"pinned\""));
    deployment.up();
    deployment.write("rhizo.toml", &config(2, "state = \"pinned\""));
    let before = deployment.up();
    let hosts = deployment.file(".rhizo/providers");
    assert_eq!(starts(&hosts), [kept("db.0-data-g1", &["1", "2"])], "a new version continues with the data");

    let lost = kill_node(&before);
    let waits = deployment.until("waiting", |status| {
        let waiting = instances(status);
        status["state"] == "degraded" && waiting.iter().any(|db| db["state"] == "waiting for its data")
    });
    assert_eq!(instances(&waits)[0]["node"], lost.as_str(), "{waits:#}");
    assert!(waits["problems"].to_string().contains("snapshot restore db.0 --empty"), "{waits:#}");
    let why = deployment.ok(&["why", "db.0"]).stdout;
    assert!(why.contains("its data is on"), "{why}");
    assert_eq!(starts(&hosts), [kept("db.0-data-g1", &["1", "2"])], "the host is not released");

    deployment.ok(&["snapshot", "restore", "db.0", "--empty", "--yes"]);
    deployment.until("started", |status| {
        status["state"] == "stable" && instances(status).iter().any(|db| db["state"] == "started")
    });
    // The directory of the released host may be kept for a look.
    assert!(starts(&hosts).contains(&kept("db.0-data-g3", &["2"])), "it begins without the data");
    deployment.down();
}
