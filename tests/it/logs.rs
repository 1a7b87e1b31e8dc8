//! `logs`: of an instance and of a component, followed over a new version, with output that is no text or very long.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::deployment::{Deployment, WATCHDOG, signal};

/// Two copies of `talk` that print their version, and `odd`, which prints 4 KiB of noise and a line of 1 MiB.
fn config(version: &str) -> String {
    format!(
        "rhizo = 1\n[app]\nname = \"talk\"\n[components.talk]\nreplicas = 2\nenv.VERSION = \"{version}\"\n\
         exec = [\"sh\", \"-c\", 'echo $RHIZO_INSTANCE has $VERSION; exec sleep 100000']\n\
         [components.odd]\n\
         exec = [\"sh\", \"-c\", 'echo before; head -c 4096 /dev/urandom; echo; \
         head -c 1048576 /dev/zero | tr \"\\\\0\" x; echo; echo after; exec sleep 100000']\n"
    )
}

/// The lines that a follower prints. They are read by a thread, so that a wait for a line ends.
fn lines_of(follower: &mut Child) -> Receiver<String> {
    let lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    let (send, receive) = channel();
    std::thread::spawn(move || lines.map_while(Result::ok).all(|line| send.send(line).is_ok()));
    receive
}

/// Waits until a follower has printed a line with this text.
fn until_printed(lines: &Receiver<String>, text: &str) {
    let start = std::time::Instant::now();
    let mut seen = Vec::new();
    while let Ok(line) = lines.recv_timeout(WATCHDOG.saturating_sub(start.elapsed())) {
        if line.contains(text) {
            return;
        }
        seen.push(line);
    }
    panic!("never printed: {text}; but: {seen:#?}");
}

fn follow(deployment: &Deployment, arguments: &[&str]) -> Child {
    deployment.command(arguments).stdout(Stdio::piped()).spawn().expect("the program runs")
}

#[test]
fn logs_are_followed_over_versions_and_bounded() {
    let deployment = Deployment::new("logs", "rhizo");
    deployment.write("rhizo.toml", &config("one"));
    deployment.up();

    let mut all = follow(&deployment, &["logs", "talk", "-f", "--timestamps"]);
    let lines = lines_of(&mut all);
    until_printed(&lines, "talk.0 | talk.0 has one");
    let both = deployment.ok(&["logs", "talk"]).stdout;
    assert!(
        both.contains("talk.0 | talk.0 has one\n") && both.contains("talk.1 | talk.1 has one\n"),
        "{both}"
    );
    assert_eq!(deployment.ok(&["logs", "talk.1"]).stdout, "talk.1 has one\n");
    let json = deployment.ok(&["logs", "talk.1", "--json"]).json();
    assert_eq!(json["lines"].as_array().map(Vec::len), Some(1), "{json:#}");
    assert!(json["lines"][0]["at_unix_ms"].as_u64().is_some_and(|at| at > 0), "{json:#}");
    assert_eq!(deployment.run(&["logs", "nosuch"]).status.code(), Some(1));

    deployment.write("rhizo.toml", &config("two"));
    deployment.up();
    until_printed(&lines, "talk.0 has two");
    signal(all.id(), "INT");
    assert_eq!(all.wait().expect("our own child").code(), Some(130));
    // A reader that leaves ends the command at its next line, without a failure.
    let mut left = follow(&deployment, &["logs", "talk", "-f"]);
    drop(left.stdout.take());
    assert_eq!(left.wait().expect("our own child").code(), Some(0));

    let odd = deployment.ok(&["logs", "odd.0"]).stdout;
    assert!(
        odd.len() <= 65_536 && odd.starts_with("before\n") && odd.ends_with("after\n"),
        "{} bytes",
        odd.len()
    );
    assert!(odd.contains("x… (1048576 bytes in all)\n"), "the long line is not cut and marked");
    deployment.down();
}

/// The texts of all events that follow from committed entries, with their entry.
fn of_entries(events: &str) -> Vec<(u64, String)> {
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).expect("a document"));
    events.filter_map(|event| Some((event["entry"].as_u64()?, event["text"].to_string()))).collect()
}

#[test]
fn each_event_is_told_once() {
    let deployment = Deployment::new("events-once", "rhizo");
    deployment.write("rhizo.toml", &config("one").replace("replicas = 2", "replicas = 1"));
    deployment.up();
    deployment.write("rhizo.toml", &config("two").replace("replicas = 2", "replicas = 1"));
    deployment.up();
    let told = of_entries(&deployment.ok(&["events", "--json"]).stdout);
    let mut once = told.clone();
    once.sort();
    once.dedup();
    assert!(!told.is_empty() && once.len() == told.len(), "{} of {} are different", once.len(), told.len());
    let events = deployment.ok(&["events"]).stdout;
    let started = events.lines().filter(|line| line.ends_with("talk.0 started")).count();
    assert_eq!(started, 2, "one start for each version: {events}");
    deployment.down();
}
