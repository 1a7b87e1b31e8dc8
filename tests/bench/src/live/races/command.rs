//! A command of a race: started with output files of its own, on a terminal if it asks a question, and awaited.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::super::application::Application;
use super::super::processes;

/// Time after which a command that has not ended is a failure. The longest one waits 60 s for a stable application.
const WATCHDOG: Duration = Duration::from_secs(150);

/// Time between two checks.
const LOOK: Duration = Duration::from_millis(5);

/// The text that each question ends with.
const QUESTION: &str = "[y/N]";

/// A command that may still run.
pub(super) struct Running {
    arguments: String,
    child: Child,
    output: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) arguments: String,
    /// The exit code; none when a signal ended it.
    pub(super) code: Option<i32>,
    /// Everything that it wrote.
    pub(super) said: String,
    /// The number of questions that it asked.
    pub(super) questions: usize,
}

/// Starts a command without standard input.
pub(super) fn start(application: &Application, name: &str, arguments: &[&str]) -> Result<Running, String> {
    let failed = |error: std::io::Error| format!("start {arguments:?}: {error}");
    let output = application.dir().join(format!("said-{name}"));
    let file = fs::File::create(&output).map_err(failed)?;
    let mut command = application.command(arguments);
    command.stdin(Stdio::null()).stdout(file.try_clone().map_err(failed)?).stderr(file);
    let child = command.spawn().map_err(failed)?;
    Ok(Running { arguments: arguments.join(" "), child, output })
}

/// Starts a command on a terminal, which `script` makes: only there it asks.
pub(super) fn start_on_terminal(
    application: &Application,
    name: &str,
    arguments: &[&str],
) -> Result<Running, String> {
    let output = application.dir().join(format!("said-{name}"));
    let own = application.command(arguments);
    let words = std::iter::once(own.get_program()).chain(own.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let child = std::process::Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &line.join(" ")])
        .arg(&output)
        .current_dir(application.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("start {arguments:?} below `script`: {error}"))?;
    Ok(Running { arguments: arguments.join(" "), child, output })
}

impl Running {
    /// Waits for the end.
    pub(super) fn end(mut self) -> Result<Outcome, String> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(self.outcome(status));
            }
            if begun.elapsed() > WATCHDOG {
                // The bench fails either way; the command must not outlive it.
                drop(self.child.kill());
                return Err(format!("see the end of `{}`: it said {}", self.arguments, self.said()));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Answers every question from the second one on, and waits for the end. The caller has answered the first.
    pub(super) fn answer_to_the_end(mut self, answer: &str) -> Result<Outcome, String> {
        let begun = Instant::now();
        let mut answered = 1;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(self.outcome(status));
            }
            if self.questions() > answered {
                answered += 1;
                self.answer(answer)?;
            }
            if begun.elapsed() > WATCHDOG {
                drop(self.child.kill());
                return Err(format!("see the end of `{}`: it said {}", self.arguments, self.said()));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for the first question; false when the command ends without one.
    pub(super) fn until_asked(&mut self) -> Result<bool, String> {
        let begun = Instant::now();
        while begun.elapsed() < WATCHDOG {
            if self.questions() > 0 {
                return Ok(true);
            }
            if self.ended()?.is_some() {
                return Ok(false);
            }
            std::thread::sleep(LOOK);
        }
        Err(format!("be asked by `{}`: it said {}", self.arguments, self.said()))
    }

    /// Types a line. A command that has ended meanwhile takes none, which is no failure.
    pub(super) fn answer(&mut self, line: &str) -> Result<(), String> {
        let stdin = self.child.stdin.as_mut().ok_or("answer a command without a terminal")?;
        let _ended = stdin.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdin.flush());
        Ok(())
    }

    /// Sends Ctrl-C's signal.
    pub(super) fn interrupt(&self) -> Result<(), String> {
        processes::signal(&[self.child.id()], "INT")
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        self.child.try_wait().map_err(|error| format!("await `{}`: {error}", self.arguments))
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    fn questions(&self) -> usize {
        self.said().matches(QUESTION).count()
    }

    fn outcome(&self, status: ExitStatus) -> Outcome {
        Outcome {
            arguments: self.arguments.clone(),
            code: status.code(),
            said: self.said(),
            questions: self.questions(),
        }
    }
}
