//! A program that ends: run in a process group of its own, followed, and ended when it is cancelled.
//!
//! What it leaves behind when it succeeds (a script's `run` starts a service) keeps running; what it leaves
//! behind when it fails or is cancelled is killed. Programs that run on are in [`super::exec`].

use super::action_output::ActionOutput;
use super::raised;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rhizo_types::lifecycle::Values;
use rhizo_types::spec::Stop;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// What a program wrote before it ended is in its pipes already; a service that it started keeps them open, so
/// their end is waited for no longer than this.
const DRAIN_MS_MAX: u64 = 50;

/// What is run.
pub(super) struct Job<'a> {
    pub(super) argv: &'a [String],
    pub(super) env: BTreeMap<String, String>,
    pub(super) dir: &'a Path,
    /// How it is cancelled.
    pub(super) stop: &'a Stop,
}

/// How it came out.
pub(super) enum Ended {
    /// It ended with 0 and put this out.
    Done(Values),
    /// It came to nothing, for this reason.
    Failed(String),
    /// It was cancelled.
    Cancelled,
}

/// Runs a program to its end.
pub(super) async fn run(job: Job<'_>, mut output: ActionOutput, cancel: &mut watch::Receiver<bool>) -> Ended {
    let mut program = match Program::launch(&job) {
        Ok(program) => program,
        Err(reason) => return Ended::Failed(reason),
    };
    let status = tokio::select! {
        biased;
        () = raised(cancel) => None,
        status = program.follow(&mut output) => Some(status),
    };
    let name = &job.argv[0];
    match status {
        None => {
            program.end(job.stop, &mut output).await;
            Ended::Cancelled
        }
        Some(Ok(status)) if status.success() => {
            program.drain(&mut output).await;
            let values = output.values();
            program.leave(output);
            match values {
                Ok(values) => Ended::Done(values),
                Err(reason) => Ended::Failed(reason),
            }
        }
        Some(ended) => {
            program.signal(Signal::SIGKILL);
            program.drain(&mut output).await;
            let reason = match ended {
                Ok(status) => format!("`{name}` ended with {status}"),
                Err(error) => format!("`{name}` could not be waited for: {error}"),
            };
            Ended::Failed(output.explain(&reason))
        }
    }
}

struct Program {
    child: Child,
    group: Pid,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Program {
    fn launch(job: &Job<'_>) -> Result<Self, String> {
        let [program, arguments @ ..] = job.argv else { return Err("its command is empty".to_owned()) };
        let mut command = Command::new(program);
        command.args(arguments).envs(&job.env).current_dir(job.dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("`{program}` could not be run: {error}"))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| format!("`{program}` has no process id"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Self { child, group: Pid::from_raw(pid), stdout, stderr })
    }

    /// Takes in its output until it has ended.
    async fn follow(&mut self, output: &mut ActionOutput) -> std::io::Result<ExitStatus> {
        let (mut from_out, mut from_err) = ([0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                biased;
                status = self.child.wait() => return status,
                read = read(&mut self.stdout, &mut from_out) => output.take_stdout(&from_out[..read]),
                read = read(&mut self.stderr, &mut from_err) => output.take_stderr(&from_err[..read]),
            }
        }
    }

    /// Takes in what is left of its output, now that it has ended.
    async fn drain(&mut self, output: &mut ActionOutput) {
        let deadline = Instant::now() + Duration::from_millis(DRAIN_MS_MAX);
        let (mut from_out, mut from_err) = ([0; 4096], [0; 4096]);
        while self.stdout.is_some() || self.stderr.is_some() {
            let next = async {
                tokio::select! {
                    biased;
                    read = read(&mut self.stdout, &mut from_out) => output.take_stdout(&from_out[..read]),
                    read = read(&mut self.stderr, &mut from_err) => output.take_stderr(&from_err[..read]),
                }
            };
            if timeout_at(deadline, next).await.is_err() {
                return;
            }
        }
    }

    /// Ends it and whatever it started.
    async fn end(&mut self, stop: &Stop, output: &mut ActionOutput) {
        self.signal(format!("SIG{}", stop.signal).parse().unwrap_or(Signal::SIGTERM));
        let grace = Duration::from_millis(stop.grace_ms);
        let _killed_below = timeout(grace, self.follow(output)).await;
        self.signal(Signal::SIGKILL);
        let _already_reaped = self.child.wait().await;
    }

    /// Keeps the log of a service that it started and that still has its pipes.
    fn leave(self, mut output: ActionOutput) {
        let Self { mut stdout, mut stderr, .. } = self;
        if stdout.is_none() && stderr.is_none() {
            return;
        }
        tokio::spawn(async move {
            let (mut from_out, mut from_err) = ([0; 4096], [0; 4096]);
            while stdout.is_some() || stderr.is_some() {
                tokio::select! {
                    read = read(&mut stdout, &mut from_out) => output.take_stderr(&from_out[..read]),
                    read = read(&mut stderr, &mut from_err) => output.take_stderr(&from_err[..read]),
                }
            }
        });
    }

    fn signal(&self, signal: Signal) {
        // A group that is gone already is what the caller wants.
        let _gone = killpg(self.group, signal);
    }
}

/// Reads from a stream that is open; its end closes it. A closed one never has anything.
async fn read(stream: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    let Some(open) = stream else { return std::future::pending().await };
    let read = open.read(buffer).await.unwrap_or(0);
    if read == 0 {
        *stream = None;
    }
    read
}

#[cfg(test)]
mod tests {
    use super::super::instance_log::InstanceLog;
    use super::*;
    use std::sync::Arc;

    /// Runs a shell script in a directory of its own; `true` cancels it when it says that it is ready.
    async fn shell(name: &str, script: &str, cancelled: bool) -> (Ended, std::path::PathBuf) {
        let dir = std::env::temp_dir().join(format!("rhizo-program-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        let (cancel, mut seen) = watch::channel(false);
        let ready = dir.join("ready");
        if cancelled {
            tokio::spawn(async move {
                while !ready.exists() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                cancel.send_replace(true);
                std::future::pending::<()>().await;
            });
        } else {
            std::mem::forget(cancel);
        }
        let stop = Stop { signal: "TERM".to_owned(), grace_ms: 5_000 };
        let job = Job { argv: &argv, env: BTreeMap::new(), dir: &dir, stop: &stop };
        (run(job, ActionOutput::new(Arc::new(InstanceLog::new(dir.clone()))), &mut seen).await, dir)
    }

    fn is_alive(dir: &Path, file: &str) -> bool {
        let pid = std::fs::read_to_string(dir.join(file)).expect("a process id");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        // A zombie that nobody reaped yet runs no more.
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// A process that was killed needs a moment to be gone.
    async fn is_gone(dir: &Path, file: &str) -> bool {
        let until = Instant::now() + Duration::from_secs(20);
        while is_alive(dir, file) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        !is_alive(dir, file)
    }

    #[tokio::test]
    async fn a_program_that_succeeds_puts_out_values_and_its_service_runs_on() {
        let script = "echo ADDRESS=here; sleep 60 & echo $! > service; echo done";
        let (ended, dir) = shell("service", script, false).await;
        let alive = is_alive(&dir, "service");
        let pid = std::fs::read_to_string(dir.join("service")).expect("a process id");
        let pid = Pid::from_raw(pid.trim().parse().expect("a number"));
        nix::sys::signal::kill(pid, Signal::SIGKILL).expect("it runs");
        assert!(alive);
        let Ended::Done(values) = ended else { panic!("it did not succeed") };
        assert_eq!(values, Values::from([("address".into(), "here".to_owned())]));
        std::fs::remove_dir_all(dir).expect("the directory");
    }

    #[tokio::test]
    async fn a_program_that_fails_says_what_it_said_last_and_leaves_nothing() {
        let script = "echo before; sleep 60 & echo $! > service; echo 'no such table' >&2; exit 3";
        let (ended, dir) = shell("fails", script, false).await;
        let Ended::Failed(reason) = ended else { panic!("it did not fail") };
        assert!(reason.starts_with("`/bin/sh` ended with exit status: 3: no such table"), "{reason}");
        assert!(is_gone(&dir, "service").await);
        let log = std::fs::read_to_string(dir.join("log")).expect("a log");
        assert!(log.contains("before\n") && log.contains("no such table\n"), "{log}");
        std::fs::remove_dir_all(dir).expect("the directory");
    }

    #[tokio::test]
    async fn a_cancelled_program_may_clean_up_and_its_group_is_gone() {
        let script = "trap 'touch cleaned; exit 0' TERM; sleep 60 & echo $! > service; touch ready; wait";
        let (ended, dir) = shell("cancelled", script, true).await;
        assert!(matches!(ended, Ended::Cancelled));
        assert!(dir.join("cleaned").exists());
        assert!(is_gone(&dir, "service").await);
        std::fs::remove_dir_all(dir).expect("the directory");
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named() {
        let stop = Stop { signal: "TERM".to_owned(), grace_ms: 0 };
        let argv = ["/no/such/program".to_owned()];
        let job = Job { argv: &argv, env: BTreeMap::new(), dir: Path::new("/"), stop: &stop };
        let (_cancel, mut seen) = watch::channel(false);
        let ended = run(job, ActionOutput::new(Arc::new(InstanceLog::nowhere())), &mut seen).await;
        let Ended::Failed(reason) = ended else { panic!("it did not fail") };
        assert!(reason.contains("`/no/such/program` could not be run"), "{reason}");
    }
}
