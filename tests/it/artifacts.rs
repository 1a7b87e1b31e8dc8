//! The files of components: packed, moved to the hosts, changed as an upgrade, and bundled for an empty Linux.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::deployment::{Deployment, id, instances, kill, nodes, pid};

/// Writes an executable file of the application.
fn program(deployment: &Deployment, name: &str, text: &str) {
    deployment.write(name, text);
    fs::set_permissions(deployment.file(name), fs::Permissions::from_mode(0o755)).expect("our own file");
}

/// One copy that prints a page of its closure.
fn pages(deployment: &Deployment, page: &str) {
    program(
        deployment,
        "serve.sh",
        "#!/bin/sh\ncat \"$RHIZO_FILES/pages/first\" \"$1\"\nexec sleep 100000\n",
    );
    deployment.write("pages/first", page);
    deployment.write("second", "second page\n");
    deployment.write(
        "rhizo.toml",
        "rhizo = 1\n[app]\nname = \"pages\"\n[components.web]\nexec = \"./serve.sh {files}/second\"\n\
         files = [\"pages/**\", \"second\"]\n",
    );
}

fn said(deployment: &Deployment) -> String {
    deployment.ok(&["logs", "web"]).stdout
}

#[test]
fn a_changed_file_is_an_upgrade_and_a_lost_host_needs_no_file_of_the_operator() {
    let deployment = Deployment::new("pages", "rhizo");
    pages(&deployment, "one\n");
    deployment.up();
    let text = said(&deployment);
    assert!(text.contains("one") && text.contains("second page"), "{text}");

    pages(&deployment, "two\n");
    let plan = deployment.ok(&["plan", "rhizo.toml"]).stdout;
    assert!(plan.contains("files"), "the plan does not name the files: {plan}");
    deployment.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
    let text = said(&deployment);
    assert!(text.contains("two"), "{text}");

    // The files come from a member from now on.
    fs::remove_dir_all(deployment.file("pages")).expect("our own folder");
    fs::remove_file(deployment.file("serve.sh")).expect("our own file");
    let before = deployment.status();
    let copy = &instances(&before)[0];
    let host = nodes(&before).into_iter().find(|node| node["id"] == copy["node"]).expect("its node");
    kill(pid(&host));
    deployment.until_stable_without(&[id(&host)]);
    let text = said(&deployment);
    assert!(text.contains("two") && text.contains("second page"), "{text}");
    deployment.down();
}

#[test]
fn a_pattern_without_a_file_is_refused_before_anything_starts() {
    let deployment = Deployment::new("nothing-packed", "rhizo");
    deployment.write(
        "rhizo.toml",
        "rhizo = 1\n[app]\nname = \"x\"\n[components.web]\nexec = \"sleep 1\"\nfiles = [\"static/**\"]\n",
    );
    for command in [&["check", "rhizo.toml"][..], &["up", "rhizo.toml", "--yes", "--wait"]] {
        let said = deployment.run(command);
        assert_eq!(said.status.code(), Some(2), "{said:?}");
        assert!(said.stderr.contains("`static/**`: no file matches"), "{said:?}");
    }
    assert!(!deployment.file(".rhizo").exists());
}

/// Runs the bundle in a root directory that has it alone, beside `/proc` and `/dev`.
fn in_empty_root(root: &Path, arguments: &[&str]) -> std::process::Output {
    let script =
        "cd \"$1\"; shift; mount --rbind /proc proc; mount --rbind /dev dev; exec chroot . /app/shop \"$@\"";
    let user = if nix_root() { "-m" } else { "-rm" };
    let mut command = Command::new("unshare");
    command.args([user, "sh", "-ec", script, "sh"]).arg(root).args(arguments);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.output().expect("unshare is a program of util-linux")
}

fn nix_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|file| std::os::unix::fs::MetadataExt::uid(&file) == 0)
}

#[test]
fn a_bundle_runs_on_a_root_directory_without_any_program() {
    let deployment = Deployment::new("bundled", "rhizo");
    // Dynamic programs of this machine, as if they were the user's own.
    fs::copy("/bin/sleep", deployment.file("rest")).expect("a program");
    program(&deployment, "init.sh", "#!/bin/sh\nread line < \"$RHIZO_FILES/page\"\necho \"PAGE=$line\"\n");
    deployment.write("page", "on an empty Linux\n");
    deployment.write(
        "rhizo.toml",
        "rhizo = 1\n[app]\nname = \"shop\"\n[components.web]\nexec = \"./rest 100000\"\nfiles = [\"page\"]\n\
         replicas = 2\n\
         [components.web.lifecycle]\nplaces = [\"absent\", \"ready\", \"serving\"]\nstarted = [\"serving\"]\n\
         deploy = [\"install\", \"start\"]\npause = [\"halt\"]\nretire = [\"halt\", \"remove\"]\n\
         behaviours = { install = [\"init\"], start = [\"start\"], halt = [\"stop\"], remove = [\"remove\"] }\n\
         [components.web.lifecycle.transitions]\n\
         init = { from = \"absent\", to = \"ready\", command = \"./init.sh\" }\n\
         start = { from = \"ready\", to = \"serving\", start = true }\n\
         stop = { from = \"serving\", to = \"ready\", stop = true }\n\
         remove = { from = \"ready\", to = \"absent\" }\n",
    );
    let root = deployment.file("root");
    for folder in ["app", "proc", "dev"] {
        fs::create_dir_all(root.join(folder)).expect("our own folder");
    }
    deployment.ok(&["bundle", "rhizo.toml", "-o", "root/app/shop"]);
    let up = in_empty_root(&root, &["up", "--yes", "--wait"]);
    let status = in_empty_root(&root, &["status", "--json"]);
    let logs = in_empty_root(&root, &["logs", "web"]);
    let down = in_empty_root(&root, &["down", "--yes"]);
    assert!(up.status.success(), "{up:?} {logs:?}");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("a status");
    assert_eq!(status["state"], "stable", "{status:#}");
    let log = String::from_utf8_lossy(&logs.stdout);
    assert!(log.contains("PAGE=on an empty Linux"), "{log}");
    assert!(down.status.success(), "{down:?}");
}
