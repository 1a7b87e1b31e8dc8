//! The service of an instance whose component is a program: launch, start gate, health, output, end.
//!
//! The program may start processes of any kind; [`super::processes`] finds and ends them with it. The supervisor
//! (`rhizo-actuators`) ends the processes that must end with the node. Embedded closures are in [`super::embedded`].

use super::imports::SeenImports;
use super::instance_log::InstanceLog;
use super::last_line::LastLine;
use super::launch::{self, Launch};
use super::probe::{self, Prober};
use super::processes::Processes;
use super::start_check::StartCheck;
use super::start_check::start_ms_max;
use super::{ExportTable, RunOutcome, Task, raised};
use crate::secrets::Opened;
use rhizo_types::spec::{Component, Health, Probe, Run};
use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Time between two probes of an instance that is starting. Short, because the instances that import it wait.
const START_LOOK_MS: u64 = 20;

/// Time for which another process may hold a port of an instance that is starting, before the start has failed. The
/// next start gets another port, unless the port is fixed. A process that was launched a moment ago and changes its
/// program or its parent is recognised within it.
const STRANGER_MS_MAX: u64 = 1_000;

/// Output chunks that wait for the log file; a program that writes faster waits for the disk.
const OUTPUT_QUEUE_LEN: usize = 16;

/// The longest wait for the output of a program that has ended. A pipe that a foreign process holds open must not delay
/// the report of the end.
const DRAIN_MS_MAX: u64 = 50;

/// Runs the service until it and all its processes have ended, and reports the outcome.
pub(super) async fn run(mut task: Task) {
    let outcome = match Program::launch(&task).await {
        Err(reason) => RunOutcome::StartFailed(reason),
        Ok(mut program) => {
            let outcome = program.live(&mut task).await;
            let grace = task.spent_grace.rest_of(task.component.stop.grace_ms);
            let output = program.end(&task.component, grace).await;
            match outcome {
                RunOutcome::StartFailed(reason) => {
                    RunOutcome::StartFailed(output.explain(&reason, &task.scope.secrets).await)
                }
                RunOutcome::Failed(reason) => {
                    RunOutcome::Failed(output.explain(&reason, &task.scope.secrets).await)
                }
                other => other,
            }
        }
    };
    task.report(outcome).await;
}

struct Program {
    child: Child,
    processes: Processes,
    launch: Launch,
    exports: ExportTable,
    health: Option<Health>,
    /// The time after which the start has failed; none while `rhizo-protocol` keeps the time-out of the spec.
    start_ms_max: Option<u64>,
    /// The last answer of a probe that did not succeed, while the program is starting.
    last_answer: Option<String>,
    output: Output,
}

impl Program {
    async fn launch(task: &Task) -> Result<Self, String> {
        let Run::Exec { argv } = &task.component.run else {
            return Err("it runs no program of its own".to_owned());
        };
        let exports = task.scope.exports.clone();
        let health = task.scope.fill_health(task.component.health.as_ref(), &exports)?;
        let mut launch = Launch::new(&task.component, &task.scope, "service")?;
        launch.make_dir().await?;
        write_imports(task, &task.scope.imports).await?;
        launch.set("RHIZO_IMPORTS", launch.dir().join("imports.json"));
        let mut command = launch.command(&task.scope.fill_all(argv)?)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("its program could not be run: {error}"))?;
        let leader = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or("its program ended at once")?;
        let output = Output::keep(task.log.clone(), child.stdout.take(), child.stderr.take());
        let processes = Processes::of_leader(launch.mark().clone(), leader);
        launch.set_leader(leader);
        task.leader.store(leader, Ordering::Relaxed);
        let start_ms_max = start_ms_max(&task.component);
        Ok(Self { child, processes, launch, exports, health, start_ms_max, last_answer: None, output })
    }

    /// Follows the program through its start gate until it ends, fails its health check or is ordered to stop.
    async fn live(&mut self, task: &mut Task) -> RunOutcome {
        let mut stop = task.stop.clone();
        tokio::select! {
            biased;
            () = raised(&mut stop) => return self.stopped_while_starting(),
            gate = self.gate(&task.start_check) => if let Err(reason) = gate {
                return RunOutcome::StartFailed(reason);
            },
        }
        task.report(RunOutcome::Started(self.exports.clone())).await;
        let mut imports = task.imports.clone();
        let follow_imports = async {
            while imports.changed().await.is_ok() {
                let table = imports.borrow_and_update().clone();
                if let Err(reason) = write_imports(task, &table).await {
                    tracing::warn!(instance = %task.run.instance, reason, "imports not written");
                }
            }
            std::future::pending::<()>().await;
        };
        let unhealthy = probe::unhealthy(self.health.as_ref(), &self.exports, &self.launch);
        tokio::select! {
            biased;
            () = raised(&mut stop) => RunOutcome::Stopped,
            ended = self.child.wait() => RunOutcome::Failed(ended_in_words(ended)),
            reason = unhealthy => RunOutcome::Failed(reason),
            () = follow_imports => RunOutcome::Stopped,
        }
    }

    /// A start that is stopped because its time-out is over has failed; the last answer of the probe says why.
    fn stopped_while_starting(&mut self) -> RunOutcome {
        match self.last_answer.take() {
            Some(answer) => RunOutcome::StartFailed(format!("it was not ready: {answer}")),
            None => RunOutcome::Stopped,
        }
    }

    /// Waits until the health check passes or, without one, until all exports accept connections.
    async fn gate(&mut self, start_check: &StartCheck) -> Result<(), String> {
        let probes = match &self.health {
            Some(health) => vec![health.probe.clone()],
            None => self.exports.keys().map(|export| Probe::Tcp { export: export.clone() }).collect(),
        };
        let begun = Instant::now();
        for each in &probes {
            let mut prober = Prober::new(each, &self.exports, &self.launch);
            let mut heard = Instant::now();
            while let Err(reason) = prober.look().await {
                if let Ok(Some(status)) = self.child.try_wait() {
                    return Err(ended_before_ready(status));
                }
                if let Some(ms) = self.start_ms_max.filter(|ms| begun.elapsed() >= Duration::from_millis(*ms))
                {
                    return Err(format!("it did not start within {ms} ms: {reason}"));
                }
                if !prober.is_stranger() {
                    heard = Instant::now();
                } else if heard.elapsed() >= Duration::from_millis(STRANGER_MS_MAX) {
                    return Err(reason);
                }
                start_check.failed(&reason);
                self.last_answer = Some(reason);
                sleep(Duration::from_millis(START_LOOK_MS)).await;
            }
        }
        match self.child.try_wait() {
            Ok(Some(status)) => Err(ended_before_ready(status)),
            _ => Ok(()),
        }
    }

    /// Ends all processes of the service; each has the whole grace, whichever ends first.
    async fn end(self, component: &Component, grace: Duration) -> Output {
        let Self { mut child, processes, output, .. } = self;
        let leader = async { drop(child.wait().await) };
        processes.end(launch::stop_signal(&component.stop), grace, leader).await;
        let _reaped = child.wait().await;
        output
    }
}

/// Replaces the whole file from which the program reads its imports, so that no reader sees a partial file.
async fn write_imports(task: &Task, imports: &SeenImports) -> Result<(), String> {
    let by_name: BTreeMap<_, _> =
        imports.iter().map(|(name, seen)| (name.as_str(), seen.addresses())).collect();
    let text =
        serde_json::to_vec(&by_name).map_err(|error| format!("its imports could not be written: {error}"))?;
    let path = task.scope.dir.join("imports.json");
    let draft = task.scope.dir.join("imports.json.new");
    let written = async {
        let mut options = tokio::fs::OpenOptions::from(rhizo_private_files::options());
        let mut file = options.write(true).truncate(true).open(&draft).await?;
        file.write_all(&text).await?;
        file.flush().await?;
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

fn ended_before_ready(status: std::process::ExitStatus) -> String {
    format!("its program ended with {status} before it was ready")
}

/// The output of a program, which is copied to the instance's log for as long as a process has the streams open.
struct Output {
    last: Arc<Mutex<LastLine>>,
    /// Ends when all output is in the log.
    copying: JoinHandle<()>,
}

impl Output {
    /// Begins to copy.
    fn keep(
        log: Arc<InstanceLog>,
        stdout: Option<impl AsyncRead + Unpin + Send + 'static>,
        stderr: Option<impl AsyncRead + Unpin + Send + 'static>,
    ) -> Self {
        let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(OUTPUT_QUEUE_LEN);
        if let Some(stream) = stdout {
            tokio::spawn(pump(stream, sender.clone()));
        }
        if let Some(stream) = stderr {
            tokio::spawn(pump(stream, sender));
        }
        let last = Arc::new(Mutex::new(LastLine::default()));
        let seen = last.clone();
        let copying = tokio::spawn(async move {
            while let Some(chunk) = chunks.recv().await {
                log.write(&chunk);
                seen.lock().unwrap_or_else(PoisonError::into_inner).take(&chunk);
            }
        });
        Self { last, copying }
    }

    /// Returns the reason of a failure with the last line of the output.
    async fn explain(self, reason: &str, secrets: &Opened) -> String {
        // All processes have ended, so everything that they wrote is in the pipes.
        let _drained = timeout(Duration::from_millis(DRAIN_MS_MAX), self.copying).await;
        self.last.lock().unwrap_or_else(PoisonError::into_inner).explain(reason, secrets)
    }
}

async fn pump(mut stream: impl AsyncRead + Unpin, chunks: mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; 4096];
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 || chunks.send(buffer[..read].to_vec()).await.is_err() {
            return;
        }
    }
}
