//! `up`: a new application, or a changed config of one that runs; in the foreground, waiting, or detached.

use super::args::Up;
use super::client::{Client, ClientError};
use super::events::Seen;
use super::exit::{Exit, Failure};
use super::founding::{self, Beginning};
use super::interruption::Interruptions;
use super::offline::{self, Offline};
use super::{Session, down, refused, render};
use crate::admin::{Answer, Ask, Status};
use crate::app_dir::FounderProcess;
use crate::config::Config;
use crate::node::NodeHandle;
use indicatif::ProgressBar;
use std::io::IsTerminal as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Time between two looks at how far things are.
const LOOK_MS: u64 = 150;

/// Node 0 in the background answers within this time, or something is wrong with it.
const FOUNDER_MS_MAX: u64 = 30_000;

pub(crate) async fn up(session: &Session, up: Up) -> Result<Exit, Failure> {
    let config = session.config(up.file.config.as_deref())?;
    session.print_warnings(&config);
    if session.home.deployment()?.is_some() {
        return apply(session, &up, &config).await;
    }
    let spec = &config.parsed.spec;
    let known = Offline::of(session, spec).await?;
    if !session.json {
        let unknown = config.parsed.unknown_attributes(&known.attributes(spec));
        eprint!("{}", rhizo_config::render(&unknown, &config.text.text, std::io::stderr().is_terminal()));
    }
    offline::consent(session, &known.report(spec)?, up.yes)?;
    let beginning = founding::begin(session, &offline::text(&config), spec, &known)?;
    if up.wait || up.detach {
        in_background(session, &up, &beginning).await
    } else {
        in_foreground(session, beginning).await
    }
}

/// Puts a changed config in force.
async fn apply(session: &Session, up: &Up, config: &Config) -> Result<Exit, Failure> {
    let hint = "`down` gives back what is left of it; then `up` starts it anew";
    let mut client = session.client().await?;
    let text = offline::text(config);
    let planned = client.ask(&Ask::Plan { config: Some(text.clone()) }).await;
    match planned.map_err(|error| Failure::from(error).hint(hint))? {
        Answer::Plan(report) => offline::consent(session, &report, up.yes)?,
        other => return Err(refused(other)),
    }
    match client.ask(&Ask::Apply { config: text.clone() }).await? {
        Answer::Done { .. } => {}
        other => return Err(refused(other)),
    }
    if let Some(mut beginning) = session.home.beginning::<Beginning>()? {
        beginning.config = text;
        session.home.set_beginning(&beginning)?;
    }
    if !up.wait && !up.detach {
        return Ok(Exit::Done);
    }
    // The new spec is committed, but the plan for it is not yet: give the coordinator the time to see it.
    tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    let status = wait_until_stable(session, &mut client, up.timeout_s, &mut None).await?;
    session.print(&status, || render::status(&status));
    Ok(Exit::Done)
}

/// This process is node 0 until Ctrl-C, which takes the application down.
async fn in_foreground(session: &Session, beginning: Beginning) -> Result<Exit, Failure> {
    let mut interruptions = Interruptions::listen()?;
    super::log_to_stderr("warn,openraft=error");
    let deployment = beginning.deployment.clone();
    let mut handle = founding::start(&session.home, &session.embedding, beginning)?;
    session.home.set_founder(&FounderProcess::current())?;
    let mut seen = Seen::default();
    let mut ending = false;
    let ended = loop {
        tokio::select! {
            ended = handle.ended() => break ended,
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => show_events(session, &handle, &mut seen).await,
            interrupted = interruptions.next() => match (interrupted, ending) {
                ((), false) => {
                    ending = true;
                    eprintln!("taking the application down; once more ends this process at once");
                    if let Answer::Refused { reason, .. } = handle.ask(Ask::TakeDown).await {
                        eprintln!("error: failed to {reason}");
                        handle.stop();
                    }
                }
                ((), true) => {
                    eprintln!("node 0 ends now; hosts that are left end by their own deadlines, or by `down`");
                    return Ok(Exit::Interrupted);
                }
            },
        }
    };
    ended.map_err(|error| Failure::new(Exit::Failed, crate::error::chain(&error)))?;
    session.home.forget_founder()?;
    down::clean(session, &deployment).await?;
    session.home.remove()?;
    Ok(if ending { Exit::Interrupted } else { Exit::Done })
}

async fn show_events(session: &Session, handle: &NodeHandle, seen: &mut Seen) {
    if let Answer::Events(events) = handle.ask(seen.ask()).await {
        seen.show(session, &events);
    }
}

/// Node 0 goes on in a process of its own; returns when the application is stable.
async fn in_background(session: &Session, up: &Up, beginning: &Beginning) -> Result<Exit, Failure> {
    let mut interruptions = Interruptions::listen()?;
    let mut founder = Some(spawn_founder(session)?);
    let deadline = Instant::now() + Duration::from_secs(up.timeout_s);
    let waited = async {
        let mut client = session.client().await?;
        let status = wait_until_stable(session, &mut client, up.timeout_s, &mut founder).await?;
        if up.detach { detach(session, &mut client, &mut founder, deadline).await } else { Ok(status) }
    };
    let outcome = tokio::select! {
        outcome = waited => outcome,
        () = interruptions.next() => {
            eprintln!("taking the application down");
            down::abandon(session, &beginning.deployment).await?;
            return Ok(Exit::Interrupted);
        }
    };
    match outcome {
        Ok(status) => {
            session.print(&status, || render::status(&status));
            Ok(Exit::Done)
        }
        Err(failure) => Err(failure),
    }
}

fn spawn_founder(session: &Session) -> Result<Child, Failure> {
    use std::os::unix::process::CommandExt as _;
    let failed = |step: &str, error: std::io::Error| Failure::new(Exit::Failed, format!("{step}: {error}"));
    let dir = session.home.founder_dir();
    std::fs::create_dir_all(&dir).map_err(|error| failed("make node 0's directory", error))?;
    let log =
        std::fs::File::create(dir.join("node.log")).map_err(|error| failed("make node 0's log", error))?;
    let executable = std::env::current_exe().map_err(|error| failed("find the executable", error))?;
    let above = session.home.path().parent().map(ToOwned::to_owned).unwrap_or_default();
    let mut command = std::process::Command::new(executable);
    command.arg("__founder").arg(above).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // A group of its own: Ctrl-C is for this command, which then takes the application down in order.
    command.process_group(0);
    let child = command.spawn().map_err(|error| failed("start node 0", error))?;
    session.home.set_founder(&FounderProcess::of(child.id()))?;
    Ok(child)
}

/// Waits until the application is stable, showing how far it is.
async fn wait_until_stable(
    session: &Session,
    client: &mut Client,
    timeout_s: u64,
    founder: &mut Option<Child>,
) -> Result<Status, Failure> {
    let begun = Instant::now();
    let bar = (!session.json && std::io::stderr().is_terminal()).then(ProgressBar::new_spinner);
    let mut said = String::new();
    let mut last_error = None;
    while begun.elapsed() < Duration::from_secs(timeout_s) {
        if let Some(child) = founder
            && let Ok(Some(ended)) = child.try_wait()
        {
            return Err(founder_ended(session, ended));
        }
        match client.status().await {
            Ok(status) if status.state == "stable" => {
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                }
                return Ok(status);
            }
            Ok(status) => {
                last_error = None;
                progress(session, bar.as_ref(), &status, &mut said);
            }
            Err(error) => {
                if begun.elapsed() > Duration::from_millis(FOUNDER_MS_MAX)
                    && matches!(error, ClientError::NobodyAnswers)
                {
                    last_error = Some(error);
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    match last_error {
        Some(error) => Err(error.into()),
        None => {
            Err(Failure::new(Exit::NotStable, format!("see the application stable within {timeout_s} s"))
                .hint("`status`, `events` and `why` say what it is waiting for; it goes on by itself"))
        }
    }
}

fn progress(session: &Session, bar: Option<&ProgressBar>, status: &Status, said: &mut String) {
    let joined = status.nodes.iter().filter(|node| node.state != "joining").count();
    let voters = status.nodes.iter().filter(|node| node.voter).count();
    let started = status.components.iter().filter(|each| each.state == "started").count();
    let text = format!(
        "{}: {joined} of {} nodes joined, {voters} voters, {started} of {} instances started",
        status.state,
        status.nodes.len(),
        status.components.len()
    );
    match bar {
        Some(bar) => {
            bar.set_message(text);
            bar.tick();
        }
        None if !session.json && *said != text => {
            eprintln!("{text}");
            *said = text;
        }
        None => {}
    }
}

fn founder_ended(session: &Session, ended: std::process::ExitStatus) -> Failure {
    let log = session.home.founder_dir().join("node.log");
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    let tail: Vec<&str> = lines.into_iter().rev().collect();
    Failure::new(Exit::Failed, format!("keep node 0 running: it ended with {ended}")).hint(tail.join("\n  "))
}

/// Node 0 hands over and leaves; returns how the application is without it.
async fn detach(
    session: &Session,
    client: &mut Client,
    founder: &mut Option<Child>,
    deadline: Instant,
) -> Result<Status, Failure> {
    match client.ask(&Ask::Detach).await? {
        Answer::Done { .. } => {}
        other => return Err(refused(other)),
    }
    while Instant::now() < deadline {
        let is_gone = founder.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(Some(_))));
        match client.status().await {
            Ok(status) if is_gone && status.state == "stable" => {
                session.home.forget_founder()?;
                return Ok(status);
            }
            _ => tokio::time::sleep(Duration::from_millis(LOOK_MS)).await,
        }
    }
    Err(Failure::new(Exit::NotStable, "see node 0 leave in time")
        .hint("`status` and `events` say what it is waiting for"))
}
