//! The command line: parses the arguments and executes one command. It is the same in every binary that embeds rhizo.
//!
//! Commands for an application are questions and orders to any of its nodes. Only `up` and the hidden commands start
//! processes. Read next: [`args`] for the syntax, [`up`] for the start of an application, [`console`] for the output.

mod alike;
mod args;
mod beginning;
mod bundle;
mod check;
pub(crate) mod client;
mod consent;
mod console;
mod down;
pub(crate) mod events;
pub(crate) mod exit;
mod facts;
mod forward;
mod founding;
mod home_of;
pub(crate) mod in_program;
mod init;
mod interruption;
mod known_providers;
mod logs;
mod members_file;
mod node_0;
mod offline;
mod packing;
mod progress;
mod reasons;
mod recover;
mod render;
mod resume;
mod script;
mod snapshot;
mod solve;
mod sources;
mod table;
mod teardown;
mod up;
mod verify;
mod verify_report;
mod waiting;

use crate::admin::{Answer, Ask, Status};
use crate::app_dir::{AppDir, Deployment, KnownMember};
use crate::component::closure_output::Tee;
use crate::component::registry::Registry;
use crate::config::{self, Config, ConfigError};
use crate::node::NodeHandle;
use crate::secrets::Plain;
use crate::spec::Spec;
use args::{Arguments, Command, ConfigCommand};
use clap::{CommandFactory as _, FromArgMatches as _};
use client::Client;
use console::Console;
use exit::{Exit, Failure, Flaws};
use rhizo_actuators::process::{HostDirectory, Program};
use rhizo_sensors::AppSensor;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};

/// The log filter unless `RHIZO_LOG` sets one. The Raft engine logs every vote and every failed heartbeat to a dead
/// peer; this crate logs the changes that follow from them.
const LOG_FILTER: &str = "info,openraft=error,libp2p=warn,libp2p_gossipsub=error";

/// The config that a command uses when none is named and the binary has none of its own.
const USUAL_CONFIG: &str = "rhizo.toml";

/// Worker threads of a node's application. With two, one component that blocks its thread does not stop the others.
const WORKERS: usize = 2;

/// The config, code and sensors of the embedding binary.
pub(crate) struct Embedding {
    pub(crate) config: Option<Spec>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) sensors: Vec<Arc<dyn Fn(Handle) -> AppSensor + Send + Sync>>,
}

/// The context of every command.
pub(crate) struct Session {
    embedding: Embedding,
    home: AppDir,
    console: Console,
}

pub(crate) fn run(embedding: Embedding, arguments: Vec<OsString>) -> ExitCode {
    let name = arguments.first().map(PathBuf::from);
    let name = name.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let command = Arguments::command()
        .name("rhizo")
        .display_name(name.clone().unwrap_or_else(|| "rhizo".to_owned()))
        .bin_name(name.unwrap_or_else(|| "rhizo".to_owned()));
    // The arguments may be wrong, so only this check can tell the form in which their error is printed.
    let json = arguments.iter().any(|argument| argument == "--json");
    let console = Console::new(json);
    let parsed =
        match command.try_get_matches_from(arguments).and_then(|found| Arguments::from_arg_matches(&found)) {
            Ok(parsed) => parsed,
            Err(error) if json && error.use_stderr() => {
                let usage = error.render().to_string();
                let usage = usage.trim().trim_start_matches("error: ");
                console.failure(&Failure::new(Exit::BadConfig, format!("understand the arguments: {usage}")));
                return console.ended(Exit::BadConfig).into();
            }
            Err(error) => {
                let _no_reader = error.print();
                return if error.use_stderr() { Exit::BadConfig } else { Exit::Done }.into();
            }
        };
    let done = match parsed.command {
        Command::Supervise { host } => return rhizo_actuators::process::supervise(&host),
        Command::Node { host } => node(&embedding, &host),
        Command::Founder { directory } => with_runtime(WORKERS, founding::background(embedding, directory)),
        command => return command_line(embedding, console, command).into(),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            console.failure(&failure);
            failure.exit.into()
        }
    }
}

/// Says that rhizo cannot run inside a tokio runtime.
pub(crate) fn inside_a_runtime() -> ExitCode {
    let failure = Failure::new(
        Exit::BadConfig,
        "run inside a tokio runtime: rhizo makes the one that components run on",
    )
    .hint("write `fn main() -> ExitCode { … .run() }`, without `#[tokio::main]` and `async`");
    Console::new(false).failure(&failure);
    failure.exit.into()
}

/// Checks the binary's own spec, and that it matches the registered code.
pub(crate) fn check_code(embedding: &Embedding) -> Result<(), Failure> {
    let spec = named_spec(None, embedding)?;
    checked(spec, &embedding.registry).map(drop)
}

/// The spec that a command names, or the binary's own.
fn named_spec<'a>(named: Option<&'a Spec>, embedding: &'a Embedding) -> Result<&'a Spec, Failure> {
    named.or(embedding.config.as_ref()).ok_or_else(|| {
        Failure::new(Exit::BadConfig, "find a config: none was named, and there is no `rhizo.toml` here")
            .hint("give its path as an argument, or let `init` write one")
    })
}

/// Reads a spec and compares it with the code of this binary.
fn checked(spec: &Spec, registry: &Registry) -> Result<Config, Failure> {
    let config = spec.load(registry.kinds()).map_err(|error| match error {
        ConfigError::Unreadable(message) => Failure::new(Exit::BadConfig, message),
        ConfigError::Findings(flawed) => {
            let flaws =
                flawed.into_iter().map(|file| Flaws { findings: file.findings, sources: file.sources });
            Failure::flawed(spec.name(), flaws.collect())
        }
    })?;
    let spec = &config.parsed.spec;
    let unused = config::unused_code(spec, registry);
    if !unused.is_empty() {
        let names: Vec<String> = spec.components.keys().map(|name| format!("`{name}`")).collect();
        let message = format!("match the code with `{}`: {}", config.text.file, unused.join("; "));
        return Err(Failure::new(Exit::BadConfig, message)
            .hint(format!("the config has {}; correct the name in one of the two", names.join(", "))));
    }
    let missing = config::missing_code(spec, registry);
    if missing.is_empty() {
        return Ok(config);
    }
    let message = format!("find the code of the application: {}", missing.join("; "));
    Err(Failure::new(Exit::BadConfig, message).hint("use the binary that embeds the application"))
}

/// Executes a command of the operator and prints its failure.
fn command_line(embedding: Embedding, console: Console, command: Command) -> Exit {
    let home = match AppDir::below(Path::new(".")) {
        Ok(home) => home,
        Err(error) => {
            let failure = Failure::from(error);
            console.failure(&failure);
            return failure.exit;
        }
    };
    let session = Session { embedding, home, console };
    let exit = match with_runtime(1, interact(&session, command)) {
        Ok(exit) => exit,
        Err(failure) => {
            session.console.failure(&failure);
            failure.exit
        }
    };
    session.console.ended(exit)
}

fn with_runtime(workers: usize, body: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = runtime(workers)?;
    let done = runtime.block_on(body);
    // The runtime does not wait for a provider call that hangs: the coordinator finds out its outcome by listing.
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
        // A log line that cannot be written is dropped: reporting that on the same stream would panic.
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Tee).with_ansi(false)
        .log_internal_errors(false);
    // The embedding program may have set a subscriber of its own before; it keeps it.
    let _set_before = subscriber.try_init();
}

/// Starts the node of a host. The application's code runs on this runtime.
pub(crate) fn start_node(
    embedding: &Embedding,
    host: &Path,
    runtime: &Handle,
) -> Result<NodeHandle, Failure> {
    let failed = |step: &str, error: &dyn std::error::Error| {
        Failure::new(Exit::Failed, format!("{step}: {}", crate::error::chain(error)))
    };
    let home = HostDirectory::open(host).map_err(|error| failed("open the host directory", &error))?;
    let program = Program::current().map_err(|error| failed("find the executable", &error))?;
    let sensors = embedding.sensors.iter().map(|make| make(runtime.clone())).collect();
    crate::node::start_host(home, program, embedding.registry.clone(), sensors, runtime.clone())
        .map_err(|error| failed("start the node", &error))
}

/// Runs the node of a host until it ends.
fn node(embedding: &Embedding, host: &Path) -> Result<Exit, Failure> {
    log_to_stderr(LOG_FILTER);
    let failed = |step: &str, error: &dyn std::error::Error| {
        Failure::new(Exit::Failed, format!("{step}: {}", crate::error::chain(error)))
    };
    raise_file_limit();
    let runtime = runtime(WORKERS)?;
    let mut handle = start_node(embedding, host, runtime.handle())?;
    let ended = runtime.block_on(async {
        let terminated = terminated();
        tokio::pin!(terminated);
        tokio::select! {
            ended = handle.ended() => return ended,
            () = &mut terminated => handle.stop(),
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

/// Raises the number of files that this process may open to the most that the system allows it: each relayed connection
/// takes two. Programs inherit the limit.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let files = Resource::RLIMIT_NOFILE;
    if let Err(error) = getrlimit(files).and_then(|(_, hard)| setrlimit(files, hard, hard)) {
        tracing::warn!(%error, "limit of open files not raised");
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

async fn interact(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Up(up) => up::up(session, up).await,
        Command::Plan(file) => offline::plan(session, file.config.as_deref()).await,
        Command::Check(file) => check::check(session, file.config.as_deref()).await,
        Command::Bundle { file, output, runtime } => {
            bundle::bundle(session, file.config.as_deref(), &output, runtime.as_deref())
        }
        Command::Solve(arguments) => solve::solve(session, &arguments),
        Command::Export(arguments) => solve::export(session, &arguments).await,
        Command::Verify(options) => verify::verify(session, &options),
        Command::Init { config } => init::init(session, &config),
        Command::Config(ConfigCommand::Show(file)) => check::show(session, file.config.as_deref()),
        Command::Schema => {
            session.console.out(&format!("{:#}\n", rhizo_config::schema()));
            Ok(Exit::Done)
        }
        Command::Run(run) => script::run(session, run).await,
        Command::Forward { export, port } => forward::forward(session, &export, port).await,
        Command::Snapshot(command) => snapshot::run(session, command).await,
        Command::Down { yes, timeout_s } => down::down(session, yes, timeout_s).await,
        Command::Recover(arguments) => recover::recover(session, &arguments).await,
        Command::Status => {
            let mut client = session.client().await?;
            let status = client.status().await?;
            session.print(&status, || render::status(&status));
            client.close().await;
            Ok(if status.state == "no-quorum" { Exit::NoQuorum } else { Exit::Done })
        }
        Command::Why { subject } => why(session, subject).await,
        Command::Facts { subject } => facts::print(session, subject).await,
        Command::Logs(wanted) => logs::print(session, wanted).await,
        Command::Events { follow } => events::print(session, follow).await,
        Command::Supervise { .. } | Command::Node { .. } | Command::Founder { .. } => {
            Err(Failure::new(Exit::BadConfig, "do that here: the command is for rhizo itself"))
        }
    }
}

/// A contradictory problem, as a failure of its author.
pub(crate) fn refused_problem(error: &rhizo_solver::SolveError) -> Failure {
    Failure::new(Exit::BadConfig, crate::error::chain(error))
}

/// A refusal, or an answer to some other question, as a failure.
pub(crate) fn refused(answer: Answer) -> Failure {
    match answer {
        Answer::Refused { reason, hint } => Failure { hint, ..Failure::new(Exit::Failed, reason) },
        Answer::Later => Failure::new(
            Exit::NoQuorum,
            "have it committed: the outcome is not known, or no node coordinates",
        )
        .hint("`status` shows whether it was carried out; it may be asked for again"),
        other => Failure::new(Exit::Failed, format!("understand the answer: {other:?}")),
    }
}

/// Explains the last decisions, or one instance or node with its events.
async fn why(session: &Session, subject: Option<String>) -> Result<Exit, Failure> {
    let mut client = session.client().await?;
    let mut why = match client.ask(&Ask::Why { subject: subject.clone() }).await? {
        Answer::Why(why) => why,
        other => return Err(refused(other)),
    };
    if let Some(subject) = subject {
        why.events = events::about(&mut client, &subject).await?;
        let is_named = why.sentences.iter().any(|sentence| events::names(sentence, &subject));
        if why.events.is_empty() && !is_named && !is_known(&client.status().await?, &subject) {
            let message = format!("explain `{subject}`: there is no such instance, component or node");
            return Err(Failure::new(Exit::Failed, message).hint("`status` lists them"));
        }
    }
    client.close().await;
    session.print(&why, || reasons::text(&why));
    Ok(Exit::Done)
}

/// Whether a status has an instance, component or node of this name. The answer to `why` itself names an instance that
/// is gone, if its component fails.
fn is_known(status: &Status, subject: &str) -> bool {
    status.failing.iter().any(|failing| failing.name == subject)
        || status.nodes.iter().any(|node| node.id == subject)
        || status.components.iter().any(|each| each.instance == subject || each.name == subject)
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
        checked(&self.spec(named)?, &self.embedding.registry)
    }

    /// The spec that the command names, that of the bundle, the binary's own, or that of the working directory.
    fn spec(&self, named: Option<&Path>) -> Result<Spec, Failure> {
        let carried = if named.is_none() { bundle::Carried::open()? } else { None };
        let carried = carried.map(|carried| carried.config());
        let usual =
            Some(Path::new(USUAL_CONFIG)).filter(|path| self.embedding.config.is_none() && path.exists());
        let named = named.or(carried.as_deref()).or(usual).map(Spec::from_file);
        named_spec(named.as_ref(), &self.embedding).cloned()
    }

    /// Reads the config, and the sources of its secrets on this machine.
    fn config_to_deploy(&self, named: Option<&Path>) -> Result<Config, Failure> {
        self.spec_to_deploy(&self.spec(named)?)
    }

    /// Reads a spec, and the sources of its secrets on this machine.
    fn spec_to_deploy(&self, spec: &Spec) -> Result<Config, Failure> {
        let mut config = checked(spec, &self.embedding.registry)?;
        let read = Plain::read(&config.parsed.spec, Path::new(&config.text.base));
        config.secrets = read.map_err(|error| {
            Failure::new(Exit::BadConfig, crate::error::chain(&error))
                .hint("`plan` and `up` read the sources of secrets on this machine")
        })?;
        config.text.closures = packing::find(&config)?;
        crate::closures::fill(&mut config.parsed.spec, &config.text.closures);
        Ok(config)
    }

    fn print_warnings(&self, config: &Config) {
        self.note_findings(&config.parsed.warnings, &config.parsed.sources);
    }

    /// Shows findings that do not keep the command from going on.
    fn note_findings(&self, findings: &[rhizo_config::Finding], sources: &rhizo_config::Sources) {
        if !self.console.json() && !findings.is_empty() {
            self.console.note(&rhizo_config::render_sources(findings, sources, self.console.is_fancy()));
        }
    }

    fn print(&self, record: &impl serde::Serialize, text: impl FnOnce() -> String) {
        self.console.print(record, text);
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
