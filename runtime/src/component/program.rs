//! The program of an action: launched, followed until it ends, and ended when the action is cancelled.
//!
//! Processes that a program leaves behind when it succeeds (the `run` of a script starts a service) keep running until
//! their run ends. Those that it leaves behind when it fails or is cancelled are ended with it. Programs that run as
//! long as their instance are in [`super::exec`].

use super::action_output::ActionOutput;
use super::launch::{self, Launch};
use super::processes::Processes;
use super::raised;
use rhizo_types::lifecycle::Values;
use rhizo_types::spec::Stop;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// When a program has ended, everything that it wrote is in its pipes already. A service that it started keeps the
/// pipes open, so their end is waited for no longer than this.
const DRAIN_MS_MAX: u64 = 50;

/// The program of one action.
pub(super) struct Job<'a> {
    pub(super) argv: &'a [String],
    pub(super) launch: &'a Launch,
    /// The signal and the grace with which it is ended.
    pub(super) stop: &'a Stop,
}

/// The result of an action.
pub(super) enum Ended {
    /// It succeeded with these values.
    Done(Values),
    /// It failed, for this reason.
    Failed(String),
    /// It was cancelled.
    Cancelled,
}

/// Runs a program until it ends or is cancelled.
pub(super) async fn run(job: Job<'_>, mut output: ActionOutput, cancel: &mut watch::Receiver<bool>) -> Ended {
    let mut program = match Program::launch(&job).await {
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
            program.end(job.stop, &mut output).await;
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
    processes: Option<Processes>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Program {
    async fn launch(job: &Job<'_>) -> Result<Self, String> {
        job.launch.make_dir().await?;
        let mut command = job.launch.command(job.argv)?;
        let program = &job.argv[0];
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("`{program}` could not be run: {error}"))?;
        let leader = child.id().and_then(|pid| i32::try_from(pid).ok());
        let leader = leader.ok_or_else(|| format!("`{program}` has no process id"))?;
        let processes = Some(Processes::of_leader(job.launch.mark().clone(), leader));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Self { child, processes, stdout, stderr })
    }

    /// Takes its output until its first process has ended.
    async fn follow(&mut self, output: &mut ActionOutput) -> std::io::Result<ExitStatus> {
        loop {
            tokio::select! {
                biased;
                status = self.child.wait() => return status,
                () = take_next(&mut self.stdout, &mut self.stderr, output) => {}
            }
        }
    }

    /// Takes the output that it wrote before it ended.
    async fn drain(&mut self, output: &mut ActionOutput) {
        let deadline = Instant::now() + Duration::from_millis(DRAIN_MS_MAX);
        while self.stdout.is_some() || self.stderr.is_some() {
            let next = take_next(&mut self.stdout, &mut self.stderr, output);
            if timeout_at(deadline, next).await.is_err() {
                return;
            }
        }
    }

    /// Ends it and all processes that it started. Its output is taken meanwhile, since a process that waits for room in
    /// a pipe cannot end in order.
    async fn end(&mut self, stop: &Stop, output: &mut ActionOutput) {
        let Some(processes) = self.processes.take() else { return };
        let grace = Duration::from_millis(stop.grace_ms);
        let (child, stdout, stderr) = (&mut self.child, &mut self.stdout, &mut self.stderr);
        {
            let ended = async {
                let leader = async { drop(child.wait().await) };
                processes.end(launch::stop_signal(stop), grace, leader).await;
                let _reaped = child.wait().await;
            };
            tokio::pin!(ended);
            loop {
                tokio::select! {
                    biased;
                    () = &mut ended => break,
                    () = take_next(stdout, stderr, output) => {}
                }
            }
        }
        self.drain(output).await;
    }

    /// Copies the output of a service that it started, and that still has its pipes open, to the log.
    fn leave(self, mut output: ActionOutput) {
        let Self { mut stdout, mut stderr, .. } = self;
        tokio::spawn(async move {
            let (mut from_out, mut from_err) = ([0; 4096], [0; 4096]);
            while stdout.is_some() || stderr.is_some() {
                // The action has ended, so the output of the service is never a value.
                tokio::select! {
                    read = read(&mut stdout, &mut from_out) => output.take_stderr(&from_out[..read]),
                    read = read(&mut stderr, &mut from_err) => output.take_stderr(&from_err[..read]),
                }
            }
        });
    }
}

/// Takes the next piece of output from either stream. Never resolves when both are closed.
async fn take_next(
    stdout: &mut Option<ChildStdout>,
    stderr: &mut Option<ChildStderr>,
    output: &mut ActionOutput,
) {
    let (mut from_out, mut from_err) = ([0; 4096], [0; 4096]);
    tokio::select! {
        biased;
        read = read(stdout, &mut from_out) => output.take_stdout(&from_out[..read]),
        read = read(stderr, &mut from_err) => output.take_stderr(&from_err[..read]),
    }
}

/// Reads from a stream. The end of the stream closes it. A read from a closed stream never resolves.
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
    use super::super::template::tests::scope;
    use super::*;
    use crate::secrets::Opened;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use rhizo_types::spec::{Component, Run};
    use std::path::Path;
    use std::sync::Arc;

    fn launch(dir: &Path) -> Launch {
        let launch = Launch::new(&Component::new(Run::Nothing), &scope(dir.to_owned()), "action-1");
        launch.expect("nothing to fill in")
    }

    /// Runs a shell script in a directory of its own; `true` cancels it when it has made the file `ready`.
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
        let job = Job { argv: &argv, launch: &launch(&dir), stop: &stop };
        let output = ActionOutput::new(Arc::new(InstanceLog::new(dir.clone())), Opened::default());
        (run(job, output, &mut seen).await, dir)
    }

    fn is_alive(dir: &Path, file: &str) -> bool {
        let pid = std::fs::read_to_string(dir.join(file)).expect("a process id");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        // A zombie that has not been reaped yet runs no more.
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn a_program_that_succeeds_puts_out_values_and_its_service_runs_on() {
        let script = "echo ADDRESS=here; sleep 60 & echo $! > service; echo done";
        let (ended, dir) = shell("service", script, false).await;
        let alive = is_alive(&dir, "service");
        let pid = std::fs::read_to_string(dir.join("service")).expect("a process id");
        let pid = Pid::from_raw(pid.trim().parse().expect("a number"));
        kill(pid, Signal::SIGKILL).expect("it runs");
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
        assert!(!is_alive(&dir, "service"));
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
        assert!(!is_alive(&dir, "service"));
        std::fs::remove_dir_all(dir).expect("the directory");
    }

    #[tokio::test]
    async fn children_with_sessions_of_their_own_end_with_a_cancelled_program() {
        let script = "setsid sleep 60 & echo $! > session; (setsid sh -c 'echo $$ > daemon; exec sleep 60' &); \
                      while [ ! -s daemon ]; do sleep 0.01; done; touch ready; exec sleep 60";
        let (ended, dir) = shell("sessions", script, true).await;
        assert!(matches!(ended, Ended::Cancelled));
        assert!(!is_alive(&dir, "session") && !is_alive(&dir, "daemon"));
        std::fs::remove_dir_all(dir).expect("the directory");
    }

    #[tokio::test]
    async fn a_child_has_its_grace_although_the_program_ends_at_once() {
        let script = "sh -c 'trap \"sleep 0.3; touch cleaned; exit 0\" TERM; touch ready; while :; do sleep 0.01; done' & \
                      trap 'exit 0' TERM; wait";
        let (ended, dir) = shell("grace", script, true).await;
        assert!(matches!(ended, Ended::Cancelled));
        assert!(dir.join("cleaned").exists(), "the child was killed before it could clean up");
        std::fs::remove_dir_all(dir).expect("the directory");
    }

    #[tokio::test]
    async fn a_program_inherits_a_small_environment() {
        let (ended, dir) = shell("environment", "/usr/bin/env > environment", false).await;
        assert!(matches!(ended, Ended::Done(_)));
        let text = std::fs::read_to_string(dir.join("environment")).expect("the environment");
        let names = text.lines().filter_map(|line| Some(line.split_once('=')?.0));
        let own = ["PATH", "HOME", "LANG", "TZ"];
        // The shell adds the last three itself.
        let shell = ["PWD", "OLDPWD", "SHLVL", "_"];
        for name in names {
            let known = own.contains(&name) || shell.contains(&name) || name.starts_with("RHIZO_");
            assert!(known, "`{name}` was inherited");
        }
        assert!(text.contains("RHIZO_INSTANCE=web.2\n"), "{text}");
        std::fs::remove_dir_all(dir).expect("the directory");
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named() {
        let stop = Stop { signal: "TERM".to_owned(), grace_ms: 0 };
        let argv = ["/no/such/program".to_owned()];
        let dir = tempfile::tempdir().expect("a directory");
        let job = Job { argv: &argv, launch: &launch(dir.path()), stop: &stop };
        let (_cancel, mut seen) = watch::channel(false);
        let output = ActionOutput::new(Arc::new(InstanceLog::nowhere()), Opened::default());
        let ended = run(job, output, &mut seen).await;
        let Ended::Failed(reason) = ended else { panic!("it did not fail") };
        assert!(reason.contains("`/no/such/program` could not be run"), "{reason}");
    }
}
