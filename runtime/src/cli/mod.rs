//! The command line: parses the arguments and does one command. The same in every binary that embeds rhizo.
//!
//! Commands for an application are questions and orders to any of its nodes; only `up` and the hidden
//! commands start something. Read next: [`args`] for the words, [`up`] for the way an application begins.

mod args;
mod client;
mod down;
mod events;
mod exit;
mod founding;
mod interruption;
mod offline;
mod render;
mod script;
mod solve;
mod up;
mod verify;

use crate::admin::{Answer, Ask, Status};
use crate::app::AppSensor;
use crate::app_dir::{AppDir, Deployment, KnownMember};
use crate::component::registry::Registry;
use crate::config::{self, Config, ConfigError};
use args::{Arguments, Command};
use clap::{CommandFactory as _, FromArgMatches as _};
use client::Client;
use exit::{Exit, Failure};
use rhizo_actuators::process::{HostDirectory, Program};
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};

/// Log lines shown unless `RHIZO_LOG` says otherwise: the Raft engine reports every vote and every failed
/// heartbeat to a dead peer, which this crate reports better.
const LOG_FILTER: &str = "info,openraft=error,libp2p=warn,libp2p_gossipsub=error";

/// Worker threads of a node's application: two let one component block without stopping the others.
const WORKERS: usize = 2;

/// What the embedding binary brings.
pub(crate) struct Embedding {
    pub(crate) config: Option<PathBuf>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) sensors: Vec<Arc<dyn Fn(Handle) -> AppSensor + Send + Sync>>,
}

/// What every command works with.
pub(crate) struct Session {
    embedding: Embedding,
    home: AppDir,
    json: bool,
}

pub(crate) fn run(embedding: Embedding, arguments: Vec<OsString>) -> ExitCode {
    let name = arguments.first().map(PathBuf::from);
    let name = name.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let command = Arguments::command()
        .name("rhizo")
        .display_name(name.clone().unwrap_or_else(|| "rhizo".to_owned()))
        .bin_name(name.unwrap_or_else(|| "rhizo".to_owned()));
    let parsed =
        match command.try_get_matches_from(arguments).and_then(|found| Arguments::from_arg_matches(&found)) {
            Ok(parsed) => parsed,
            Err(error) => {
                let _stream_closed = error.print();
                return if error.use_stderr() { Exit::BadConfig } else { Exit::Done }.into();
            }
        };
    let json = parsed.json;
    let done = match parsed.command {
        Command::Supervise { host } => return rhizo_actuators::process::supervise(&host),
        Command::Node { host } => node(&embedding, &host),
        Command::Founder { directory } => with_runtime(WORKERS, founding::background(embedding, directory)),
        command => AppDir::below(Path::new("."))
            .map_err(Failure::from)
            .and_then(|home| with_runtime(1, interact(Session { embedding, home, json }, command))),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(json);
            failure.exit.into()
        }
    }
}

fn with_runtime(workers: usize, body: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = runtime(workers)?;
    let done = runtime.block_on(body);
    // A provider call that hangs is not waited for: its outcome is found out by whoever coordinates.
    runtime.shutdown_background();
    done
}

fn runtime(workers: usize) -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Failed, format!("make the runtime: {error}")))
}

/// Sends log lines to the standard error stream, which the supervisor keeps in the host's bounded log.
pub(crate) fn log_to_stderr(default: &str) {
    let filter = std::env::var("RHIZO_LOG").unwrap_or_else(|_| default.to_owned());
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // The embedding program may have set a subscriber of its own before; it keeps it.
    let _set_before = subscriber.try_init();
}

/// The node of a host, to its end.
fn node(embedding: &Embedding, host: &Path) -> Result<Exit, Failure> {
    log_to_stderr(LOG_FILTER);
    let failed = |step: &str, error: &dyn std::error::Error| {
        Failure::new(Exit::Failed, format!("{step}: {}", crate::error::chain(error)))
    };
    let home = HostDirectory::open(host).map_err(|error| failed("open the host directory", &error))?;
    let program = Program::current().map_err(|error| failed("find the executable", &error))?;
    let runtime = runtime(WORKERS)?;
    let sensors = embedding.sensors.iter().map(|make| make(runtime.handle().clone())).collect();
    let started =
        crate::node::start_host(home, program, embedding.registry.clone(), sensors, runtime.handle().clone());
    let mut handle = started.map_err(|error| failed("start the node", &error))?;
    let ended = runtime.block_on(async {
        let told = terminated();
        tokio::pin!(told);
        tokio::select! {
            ended = handle.ended() => return ended,
            () = &mut told => handle.stop(),
        }
        handle.ended().await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(reason) => {
            tracing::info!(?reason, "node ended");
            Ok(Exit::Done)
        }
        Err(error) => Err(failed("run the node", &error)),
    }
}

/// Resolves when this process is asked to end.
pub(crate) async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = signal(SignalKind::terminate());
    let hang_up = signal(SignalKind::hangup());
    match (terminate, hang_up) {
        (Ok(mut terminate), Ok(mut hang_up)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
        }
        // Without handlers the signals end the process themselves.
        _ => std::future::pending().await,
    }
}

async fn interact(session: Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Up(up) => up::up(&session, up).await,
        Command::Plan(file) => offline::plan(&session, file.config.as_deref()).await,
        Command::Check(file) => {
            let config = session.config(file.config.as_deref())?;
            session.print_warnings(&config);
            let text =
                format!("{} is good: {} components", config.text.file, config.parsed.spec.components.len());
            session.print(&serde_json::json!({ "findings": config.parsed.warnings }), || text + "\n");
            Ok(Exit::Done)
        }
        Command::Solve(arguments) => solve::solve(&session, &arguments),
        Command::Export(arguments) => solve::export(&session, &arguments).await,
        Command::Verify(options) => verify::verify(&session, &options),
        Command::Schema => {
            println!("{:#}", rhizo_config::schema());
            Ok(Exit::Done)
        }
        Command::Run(run) => script::run(&session, run).await,
        Command::Down { yes } => down::down(&session, yes).await,
        Command::Status => {
            let mut client = session.client().await?;
            let status = client.status().await?;
            session.print(&status, || render::status(&status));
            client.close().await;
            Ok(if status.state == "no-quorum" { Exit::NoQuorum } else { Exit::Done })
        }
        Command::Why { subject } => why(&session, subject).await,
        Command::Logs { instance, bytes } => {
            match session.ask(Ask::Logs { instance, bytes_max: bytes }).await? {
                Answer::Logs(text) => {
                    session.print(&serde_json::json!({ "text": text }), || text.clone());
                    Ok(Exit::Done)
                }
                other => Err(refused(other)),
            }
        }
        Command::Events { follow } => events::print(&session, follow).await,
        Command::Supervise { .. } | Command::Node { .. } | Command::Founder { .. } => {
            Err(Failure::new(Exit::BadConfig, "do that here: the command is for rhizo itself"))
        }
    }
}

/// A problem that makes no sense, as a failure of whoever wrote it.
pub(crate) fn refused_problem(error: &rhizo_solver::SolveError) -> Failure {
    Failure::new(Exit::BadConfig, crate::error::chain(error))
}

/// A refusal, or an answer to some other question, as a failure.
pub(crate) fn refused(answer: Answer) -> Failure {
    match answer {
        Answer::Refused { reason, hint } => Failure { exit: Exit::Failed, message: reason, hint },
        other => Failure::new(Exit::Failed, format!("understand the answer: {other:?}")),
    }
}

/// Why something is as it is, and what happened to it.
async fn why(session: &Session, subject: Option<String>) -> Result<Exit, Failure> {
    let mut client = session.client().await?;
    let mut why = match client.ask(&Ask::Why { subject: subject.clone() }).await? {
        Answer::Why(why) => why,
        other => return Err(refused(other)),
    };
    if let Some(subject) = subject {
        why.events = events::about(&mut client, &subject).await?;
    }
    client.close().await;
    session.print(&why, || render::why(&why));
    Ok(Exit::Done)
}

/// The members that a status names, as the home remembers them.
pub(crate) fn members_of(status: &Status) -> Vec<KnownMember> {
    let member = |node: &crate::admin::NodeStatus| {
        Some(KnownMember {
            node: rhizo_types::NodeId(node.id.strip_prefix('n')?.parse().ok()?),
            key: node.key.clone()?,
            addresses: vec![node.address.as_ref()?.parse().ok()?],
        })
    };
    status.nodes.iter().filter_map(member).collect()
}

impl Session {
    /// Reads the config that the command names, or the binary's own.
    fn config(&self, named: Option<&Path>) -> Result<Config, Failure> {
        let path = named.or(self.embedding.config.as_deref());
        let path = path.ok_or_else(|| {
            Failure::new(Exit::BadConfig, "find a config: none was named")
                .hint("give its path as an argument")
        })?;
        let config = config::load(path).map_err(|error| match error {
            ConfigError::Unreadable(message) => Failure::new(Exit::BadConfig, message),
            ConfigError::Findings(flawed) => {
                let findings: Vec<_> = flawed.iter().flat_map(|file| &file.findings).collect();
                let message = format!("use `{}`: {} findings", path.display(), findings.len());
                if self.json {
                    println!("{}", serde_json::json!({ "findings": findings }));
                } else {
                    let color = std::io::stderr().is_terminal();
                    for file in &flawed {
                        eprint!("{}", rhizo_config::render(&file.findings, &file.text, color));
                    }
                }
                Failure::new(Exit::BadConfig, message)
            }
        })?;
        let missing = config::missing_code(&config.parsed.spec, &self.embedding.registry);
        if missing.is_empty() {
            return Ok(config);
        }
        let message = format!("find the code of the application: {}", missing.join("; "));
        Err(Failure::new(Exit::BadConfig, message).hint("use the binary that embeds the application"))
    }

    fn print_warnings(&self, config: &Config) {
        if !self.json && !config.parsed.warnings.is_empty() {
            let color = std::io::stderr().is_terminal();
            eprint!("{}", rhizo_config::render(&config.parsed.warnings, &config.text.text, color));
        }
    }

    fn print(&self, record: &impl serde::Serialize, text: impl FnOnce() -> String) {
        if self.json {
            println!("{}", serde_json::to_string(record).unwrap_or_default());
        } else {
            print!("{}", text());
        }
    }

    /// The application that lives in this home.
    fn deployment(&self) -> Result<Deployment, Failure> {
        self.home.deployment()?.ok_or_else(|| {
            Failure::new(Exit::NoAnswer, format!("find an application in `{}`", self.home.path().display()))
                .hint("`up` starts one; commands look for it in the directory they are run in")
        })
    }

    async fn client(&self) -> Result<Client, Failure> {
        let deployment = self.deployment()?;
        let secret = self.home.operator_secret(rand::random)?;
        Client::new(&self.home, &deployment, secret).await
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, Failure> {
        let mut client = self.client().await?;
        let answer = client.ask(&ask).await?;
        client.close().await;
        Ok(answer)
    }
}

/// Asks the operator; anything but a yes is a no.
pub(crate) fn confirm(question: &str) -> bool {
    use std::io::Write as _;
    eprint!("{question} [y/N] ");
    let _shown_late = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}
