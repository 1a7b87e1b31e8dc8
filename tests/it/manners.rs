//! The command line as a program of a terminal: closed pipes, full disks, questions without an operator, one JSON
//! document a command, exit codes.
//!
//! The content of documents is tested in `contract`.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::deployment::{Deployment, instances, signal};
use crate::repair::crew;

/// Time limit for a command that ends by itself, on the slowest machine.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Runs a command to its end.
fn output(command: &mut Command) -> Output {
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The only JSON document of an output.
fn document(output: &Output) -> Value {
    let text = text(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("not one document ({error}): {text}"))
}

#[test]
fn a_first_config_is_written_and_used_without_an_argument() {
    let deployment = Deployment::new("init", "rhizo");
    let missing = deployment.run(&["check"]);
    assert_eq!(missing.status.code(), Some(2), "{missing:#?}");
    assert!(missing.stderr.contains("`init`"), "the remedy: {missing:#?}");
    deployment.ok(&["init"]);
    deployment.ok(&["check"]);
    // A file of the user is never overwritten.
    deployment.write("rhizo.toml", "rhizo = 1\n");
    assert!(!deployment.run(&["init"]).status.success());
    let refused = deployment.run(&["check"]);
    assert!(refused.stderr.contains("rhizo.toml:1:"), "the user's file is read: {refused:#?}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure_and_lost_output_is_one() {
    let deployment = Deployment::new("closed-pipe", "rhizo");
    let mut child = deployment
        .command(&["schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    // The reader closes its end before or while the program writes. The program must survive both.
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("our own child");
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), String::new()));

    let full = || File::options().write(true).open("/dev/full").expect("a device that is always full");
    let lost = output(deployment.command(&["schema"]).stdout(full()).stderr(Stdio::piped()));
    assert_eq!(lost.status.code(), Some(1), "{}", text(&lost.stderr));
    assert!(text(&lost.stderr).starts_with("error: failed to write the output: "), "{}", text(&lost.stderr));

    let deaf = output(deployment.command(&["status"]).stdout(full()).stderr(full()));
    assert_eq!(deaf.status.code(), Some(3), "a failure that cannot be printed keeps its exit code");
}

#[test]
fn a_failure_is_one_document_too() {
    let deployment = Deployment::new("one-document", "rhizo");
    deployment.write(
        "bad.toml",
        "rhizo = 1\n[app]\nname = \"x\"\n[components.a]\nreplcas = 2\nexce = \"sleep 1\"\n",
    );
    deployment.write("bad.rhs", "add\n");
    for (arguments, exit) in [
        (&["--json", "bogus"][..], 2),
        (&["up", "--json", "--no-such-option"], 2),
        (&["--json", "check", "bad.toml"], 2),
        (&["--json", "plan", "bad.toml"], 2),
        (&["--json", "up", "bad.toml", "--yes", "--wait"], 2),
        (&["--json", "check", "missing.toml"], 2),
        (&["--json", "status"], 3),
        (&["--json", "why", "a.0"], 3),
    ] {
        let ended = output(&mut deployment.command(arguments));
        assert_eq!(ended.status.code(), Some(exit), "{arguments:?}: {}", text(&ended.stderr));
        let document = document(&ended);
        assert_eq!(document["exit"], exit, "{arguments:?}: {document:#}");
        assert!(
            document["error"].as_str().is_some_and(|error| !error.is_empty()),
            "{arguments:?}: {document:#}"
        );
        assert_eq!(text(&ended.stderr), "", "{arguments:?}");
    }
    let checked = document(&output(&mut deployment.command(&["--json", "check", "bad.toml"])));
    assert_eq!(checked["findings"].as_array().map(Vec::len), Some(2), "{checked:#}");
}

#[test]
fn a_question_that_nobody_can_answer_ends() {
    let deployment = Deployment::new("no-answerer", "rhizo");
    crew(&deployment, 1);
    let mut child = deployment
        .command(&["up", "rhizo.toml"])
        // A pipe that stays open without input, as under a service manager or in a pipeline.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let open = child.stdin.take();
    let ended = child.wait_with_output().expect("our own child");
    drop(open);
    assert_eq!(ended.status.code(), Some(6), "{}", text(&ended.stderr));
    assert!(text(&ended.stderr).contains("`--yes`"), "{}", text(&ended.stderr));
    assert!(deployment.processes().is_empty() && deployment.host_dirs().is_empty());
}

#[test]
fn up_prints_one_document_and_an_unknown_subject_is_an_error() {
    let deployment = Deployment::new("up-document", "rhizo");
    crew(&deployment, 1);
    let arguments = ["--json", "up", "rhizo.toml", "--yes", "--wait"];
    let said = deployment.ok(&arguments).json();
    assert!(said["plan"]["actions"].is_array() && said["spec"] == 1, "{said:#}");
    assert_eq!(said["status"]["state"], "stable", "{said:#}");
    // The same config again is in force already.
    let again = deployment.ok(&arguments).json();
    assert_eq!((&again["spec"], &again["status"]["spec"]), (&said["spec"], &said["spec"]), "{again:#}");

    let nosuch = deployment.run(&["why", "nosuch.0"]);
    assert_eq!(nosuch.status.code(), Some(1), "{nosuch:#?}");
    assert!(nosuch.stderr.contains("there is no such instance"), "{nosuch:#?}");
    let known = instances(&said["status"])[0]["instance"].as_str().expect("a name").to_owned();
    deployment.ok(&["why", &known]);
    deployment.down();
}

#[test]
fn a_version_that_is_rolled_back_has_an_exit_code_of_its_own() {
    let deployment = Deployment::new("unwound", "rhizo");
    let config = |exec: &str| {
        format!(
            "rhizo = 1\n[app]\nname = \"x\"\n[components.w]\nexec = \"{exec}\"\n\
             upgrade = {{ on_failure = \"unwind\" }}\n"
        )
    };
    deployment.write("rhizo.toml", &config("sleep 100000"));
    deployment.up();
    deployment.write("rhizo.toml", &config("sh -c 'exit 3'"));
    let said = deployment.run(&["--json", "up", "rhizo.toml", "--yes", "--wait"]);
    assert_eq!(said.status.code(), Some(7), "{said:#?}");
    assert!(said.json()["error"].as_str().is_some_and(|error| error.contains("version of w")), "{said:#?}");
    deployment.down();
}

#[test]
fn node_0_in_the_foreground_ends_in_order_when_its_terminal_is_gone() {
    let deployment = Deployment::new("hang-up", "rhizo");
    crew(&deployment, 1);
    let mut child = deployment
        .command_of_terminal(&["up", "rhizo.toml", "--yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let (mut stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take());
    let mut first = [0; 1];
    stdout.read_exact(&mut first).expect("node 0 shows what happens");
    // The terminal is closed: first its end of the pipes, then the hang-up signal follows.
    drop((stdout, stderr));
    deployment.until("stable", |status| status["state"] == "stable");
    signal(child.id(), "HUP");
    let watchdog = Instant::now() + WATCHDOG;
    let ended = loop {
        if let Some(status) = child.try_wait().expect("our own child") {
            break status;
        }
        assert!(Instant::now() < watchdog, "it did not end after the hang-up");
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(ended.code(), Some(130));
    deployment.until_no_process("after the hang-up");
    assert!(deployment.host_dirs().is_empty());
}
