//! One home, one application: two commands at once, and answers to questions that are out of date.
//!
//! Questions are asked on a terminal only, so these tests run commands below `script`, which makes one.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::deployment::{Deployment, WATCHDOG, instances};

fn config(app: &str, components: &[&str]) -> String {
    let components = components.iter().map(|name| format!("[components.{name}]\nexec = \"sleep 100000\"\n"));
    format!("rhizo = 1\n[app]\nname = \"{app}\"\n{}", components.collect::<String>())
}

/// A command whose standard streams are a terminal.
struct OnTerminal {
    child: Child,
    shown: PathBuf,
}

impl OnTerminal {
    fn start(deployment: &Deployment, arguments: &str) -> Self {
        let shown = deployment.file("said/terminal");
        let program = env!("CARGO_BIN_EXE_rhizo");
        let child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &format!("'{program}' {arguments}")])
            .arg(&shown)
            .current_dir(deployment.file(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`script` is a part of every Debian system");
        Self { child, shown }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.shown).unwrap_or_default()).into_owned()
    }

    /// Waits until so many questions were asked.
    fn until_asked(&self, times: usize) {
        let start = Instant::now();
        while self.shown().matches("[y/N]").count() < times {
            assert!(start.elapsed() < WATCHDOG, "{times} questions were never asked: {}", self.shown());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answer(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).expect("the terminal takes a line");
    }

    /// Waits for the end; returns the exit code.
    fn end(mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status.code();
            }
            assert!(start.elapsed() < WATCHDOG, "the command did not end: {}", self.shown());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn of_two_ups_at_once_one_founds_and_the_other_joins() {
    let deployment = Deployment::new("two-ups", "rhizo");
    deployment.write("rhizo.toml", &config("x", &["w"]));
    for round in 0..3 {
        let arguments = ["up", "rhizo.toml", "--yes", "--wait"];
        let both = [deployment.start(&arguments), deployment.start(&arguments)];
        let said = both.map(|running| running.wait());
        assert!(said.iter().all(|said| said.status.success()), "round {round}: {said:#?}");
        let status = deployment.status();
        assert_eq!((status["state"].as_str(), instances(&status).len()), (Some("stable"), 1), "{status:#}");
        deployment.down();
    }
}

#[test]
fn the_config_of_another_application_is_refused() {
    let deployment = Deployment::new("another-app", "rhizo");
    deployment.write("rhizo.toml", &config("shop", &["w"]));
    let before = deployment.up();
    deployment.write("news.toml", &config("news", &["w"]));
    for arguments in [&["up", "news.toml", "--yes"][..], &["plan", "news.toml"]] {
        let said = deployment.run(arguments);
        assert_eq!(said.status.code(), Some(2), "{said:#?}");
        assert!(said.stderr.contains("`news`") && said.stderr.contains("`shop`"), "{said:#?}");
    }
    assert_eq!(deployment.status()["spec"], before["spec"]);
    deployment.down();
}

#[test]
fn an_answer_to_a_plan_that_is_out_of_date_is_asked_for_again() {
    let deployment = Deployment::new("stale-consent", "rhizo");
    deployment.write("one.toml", &config("x", &["a"]));
    deployment.write("two.toml", &config("x", &["a", "b"]));
    // Nothing lives here while the question waits; then another command founds an application.
    let mut founding = OnTerminal::start(&deployment, "up one.toml --wait");
    founding.until_asked(1);
    deployment.ok(&["up", "two.toml", "--yes", "--wait"]);
    founding.answer("y\n");
    founding.until_asked(2);
    assert!(founding.shown().contains("another command founded"), "{}", founding.shown());
    founding.answer("n\n");
    assert_eq!(founding.end(), Some(6));
    assert_eq!(instances(&deployment.status()).len(), 2, "nothing was stopped");

    // The plan says that `b` ends. Before the answer, another command changes the application.
    let mut change = OnTerminal::start(&deployment, "up one.toml --wait");
    change.until_asked(1);
    deployment.write("three.toml", &config("x", &["a", "b", "c"]));
    deployment.ok(&["up", "three.toml", "--yes", "--wait"]);
    change.answer("y\n");
    change.until_asked(2);
    assert!(change.shown().contains("out of date"), "{}", change.shown());
    change.answer("y\n");
    assert_eq!(change.end(), Some(0));
    assert_eq!(instances(&deployment.status()).len(), 1);
    deployment.down();
}

#[test]
fn down_takes_only_the_application_down_that_it_asked_about() {
    let deployment = Deployment::new("stale-down", "rhizo");
    deployment.write("rhizo.toml", &config("x", &["a"]));
    deployment.up();
    let mut down = OnTerminal::start(&deployment, "down");
    down.until_asked(1);
    deployment.ok(&["down", "--yes"]);
    let lives = deployment.up();
    down.answer("y\n");
    assert_eq!(down.end(), Some(6));
    assert_eq!(deployment.status()["lineage"], lives["lineage"]);
    deployment.down();
}
