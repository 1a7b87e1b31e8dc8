//! One instance that is a program: ports, command line, start gate, health, output, stop.
//!
//! The program gets a process group of its own, so that a stop reaches what it started. What must die with
//! the node itself is the supervisor's concern (`rhizo-actuators`). Embedded closures are in [`super::embedded`].

use super::instance_log::InstanceLog;
use super::probe::{self, Prober};
use super::{ExportTable, RunOutcome, START_MS_MAX, Task, raised};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rhizo_protocol::{Bound, BoundImports};
use rhizo_types::spec::{Health, Probe, Run};
use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// Time between two looks at an instance that is starting: short, because users of it wait.
const START_LOOK_MS: u64 = 20;

/// Output chunks that wait for the log file; a program that writes faster waits for the disk.
const OUTPUT_QUEUE_LEN: usize = 16;

/// Runs the instance to its end and reports what became of it.
pub(super) async fn run(mut task: Task) {
    let outcome = match Program::launch(&task).await {
        Err(reason) => RunOutcome::StartFailed(reason),
        Ok(mut program) => {
            let outcome = program.live(&mut task).await;
            program.end(&task).await;
            outcome
        }
    };
    task.report(outcome).await;
}

struct Program {
    child: Child,
    group: Pid,
    exports: ExportTable,
    health: Option<Health>,
}

impl Program {
    async fn launch(task: &Task) -> Result<Self, String> {
        let dir = &task.scope.dir;
        tokio::fs::create_dir_all(dir)
            .await
            .map_err(|error| format!("its directory could not be made: {error}"))?;
        write_imports(task, &task.scope.imports).await?;
        let mut command = command(task)?;
        let exports = task.scope.exports.clone();
        let health = task.scope.fill_health(task.component.health.as_ref(), &exports)?;
        command.env("RHIZO_IMPORTS", dir.join("imports.json")).current_dir(dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("its program could not be run: {error}"))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or("its program ended at once")?;
        keep_output(task.log.clone(), child.stdout.take(), child.stderr.take());
        Ok(Self { child, group: Pid::from_raw(pid), exports, health })
    }

    /// From the start gate to the end of the program, or to the order to stop.
    async fn live(&mut self, task: &mut Task) -> RunOutcome {
        let mut stop = task.stop.clone();
        tokio::select! {
            biased;
            () = raised(&mut stop) => return RunOutcome::Stopped,
            gate = self.gate() => if let Err(reason) = gate {
                return RunOutcome::StartFailed(reason);
            },
        }
        task.report(RunOutcome::Started(self.exports.clone())).await;
        let exports = self.exports.clone();
        let mut imports = task.imports.clone();
        let follow_imports = async {
            while imports.changed().await.is_ok() {
                let table = imports.borrow_and_update().clone();
                if let Err(reason) = write_imports(task, &table).await {
                    tracing::warn!(instance = %task.run.instance, reason, "imports could not be told");
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = raised(&mut stop) => RunOutcome::Stopped,
            ended = self.child.wait() => RunOutcome::Failed(ended_in_words(ended)),
            reason = probe::unhealthy(self.health.as_ref(), &exports) => RunOutcome::Failed(reason),
            () = follow_imports => RunOutcome::Stopped,
        }
    }

    /// Waits until the instance works: its health check passes, or else its exports accept connections.
    async fn gate(&mut self) -> Result<(), String> {
        let probes = match &self.health {
            Some(health) => vec![health.probe.clone()],
            None => self.exports.keys().map(|export| Probe::Tcp { export: export.clone() }).collect(),
        };
        let deadline = Instant::now() + Duration::from_millis(START_MS_MAX);
        for each in &probes {
            let prober = Prober::new(each, &self.exports);
            while let Err(reason) = prober.look().await {
                if let Ok(Some(status)) = self.child.try_wait() {
                    return Err(ended_in_words(Ok(status)));
                }
                if Instant::now() >= deadline {
                    return Err(format!("it did not start within {START_MS_MAX} ms: {reason}"));
                }
                sleep(Duration::from_millis(START_LOOK_MS)).await;
            }
        }
        match self.child.try_wait() {
            Ok(Some(status)) => Err(ended_in_words(Ok(status))),
            _ => Ok(()),
        }
    }

    /// Leaves nothing of the program's process group behind.
    async fn end(&mut self, task: &Task) {
        let stop = &task.component.stop;
        let signal = format!("SIG{}", stop.signal).parse().unwrap_or(Signal::SIGTERM);
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.signal(signal);
            let grace = Duration::from_millis(stop.grace_ms);
            let _killed_below = timeout(grace, self.child.wait()).await;
        }
        self.signal(Signal::SIGKILL);
        let _already_reaped = self.child.wait().await;
    }

    fn signal(&self, signal: Signal) {
        // A group that is gone already is what the caller wants.
        let _gone = killpg(self.group, signal);
    }
}

fn command(task: &Task) -> Result<Command, String> {
    let Run::Exec { argv } = &task.component.run else {
        return Err("it runs no program of its own".to_owned());
    };
    let filled = task.scope.fill_all(argv)?;
    let [program, arguments @ ..] = filled.as_slice() else {
        return Err("its command is empty".to_owned());
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(task.scope.environment());
    for (name, template) in &task.component.env {
        command.env(name, task.scope.fill(template)?);
    }
    Ok(command)
}

/// The program re-reads this file when it likes; it is replaced as a whole, never half written.
async fn write_imports(task: &Task, imports: &BoundImports) -> Result<(), String> {
    let addresses = |told: &Bound| super::embedded::addresses(told);
    let by_name: BTreeMap<_, _> =
        imports.iter().map(|(name, told)| (name.as_str(), addresses(told))).collect();
    let text =
        serde_json::to_vec(&by_name).map_err(|error| format!("its imports could not be written: {error}"))?;
    let path = task.scope.dir.join("imports.json");
    let draft = task.scope.dir.join("imports.json.new");
    let written = async {
        tokio::fs::write(&draft, text).await?;
        tokio::fs::rename(&draft, &path).await
    };
    written.await.map_err(|error| format!("its imports could not be written: {error}"))
}

fn ended_in_words(ended: io::Result<std::process::ExitStatus>) -> String {
    match ended {
        Ok(status) => format!("its program ended by itself with {status}"),
        Err(error) => format!("its program could not be waited for: {error}"),
    }
}

fn keep_output(
    log: Arc<InstanceLog>,
    stdout: Option<impl AsyncRead + Unpin + Send + 'static>,
    stderr: Option<impl AsyncRead + Unpin + Send + 'static>,
) {
    let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(OUTPUT_QUEUE_LEN);
    if let Some(stream) = stdout {
        tokio::spawn(pump(stream, sender.clone()));
    }
    if let Some(stream) = stderr {
        tokio::spawn(pump(stream, sender));
    }
    tokio::spawn(async move {
        while let Some(chunk) = chunks.recv().await {
            log.write(&chunk);
        }
    });
}

async fn pump(mut stream: impl AsyncRead + Unpin, chunks: mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; 4096];
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 || chunks.send(buffer[..read].to_vec()).await.is_err() {
            return;
        }
    }
}
