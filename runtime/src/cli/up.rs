//! `up`: starts a new application, or applies a changed config to a running one; in the foreground, waiting or
//! detached.
//!
//! The coordinator makes the plan, or [`super::offline`] before there is a coordinator.

use super::args::Up;
use super::beginning::Beginning;
use super::client::Client;
use super::consent::{self, Shown};
use super::events::Seen;
use super::exit::{Exit, Failure};
use super::founding;
use super::home_of::HomeOf;
use super::interruption::Interruptions;
use super::offline::{self, Offline};
use super::waiting::{FOUNDER_MS_MAX, LOOK_MS, still_deployed, taken_down, until_stable};
use super::{Session, down, known_providers, packing, refused, render, resume};
use crate::admin::{Answer, Ask, Status};
use crate::app_dir::{Claim, Deployment, FounderProcess};
use crate::config::Config;
use crate::node::NodeHandle;
use rhizo_actuators::process::own_program;
use rhizo_planning::Record;
use rhizo_protocol::HaltReason;
use rhizo_types::Revision;
use rhizo_types::spec::Spec;
use serde::Serialize;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How often a config that needs no consent is put in force again after another command was faster. Each time, that
/// command has succeeded, so more than a few mean that a program changes the application without end.
const OVERTAKEN_MAX: u32 = 9;

/// The revision of the first spec of an application.
const FIRST: Revision = Revision(1);

/// The JSON document of `up`.
#[derive(Serialize)]
struct Done<'a> {
    /// The plan that the operator consented to.
    plan: &'a Record,
    /// The revision of the spec that was committed.
    spec: Revision,
    /// The application when it was stable; none without `--wait` and `--detach`.
    status: Option<&'a Status>,
}

impl Done<'_> {
    fn print(&self, session: &Session) {
        session.print(self, || self.status.map(render::status).unwrap_or_default());
    }

    /// Prints the document. The exit code tells whether the new version stayed.
    fn end(&self, session: &Session) -> Result<Exit, Failure> {
        let unwound = self.status.map(|status| status.unwound.as_slice()).unwrap_or_default();
        if unwound.is_empty() {
            self.print(session);
            return Ok(Exit::Done);
        }
        let message =
            format!("keep the new version of {}: it kept failing, and was rolled back", unwound.join(", "));
        Err(Failure::new(Exit::Unwound, message)
            .hint("`why` and `logs` have the reasons; `up` with a corrected config tries again"))
    }
}

pub(crate) async fn up(session: &Session, up: Up) -> Result<Exit, Failure> {
    let config = session.config_to_deploy(up.file.config.as_deref())?;
    session.print_warnings(&config);
    loop {
        if let Some(deployment) = session.home.deployment()? {
            consent::must_be_its_config(&deployment, &config)?;
            return join(session, &up, &config, &deployment).await;
        }
        if let Some((founded, plan)) = found(session, &up, &config).await? {
            return run_founded(session, &up, founded, &plan).await;
        }
        session.console.note("\nMeanwhile another command founded an application here.\n");
    }
}

/// Applies the config to the application of this home, which is started again first when it does not run.
async fn join(session: &Session, up: &Up, config: &Config, deployment: &Deployment) -> Result<Exit, Failure> {
    // Another `up` holds the lock until the process of its node 0 is recorded. Of two that find the application ended,
    // one starts it again.
    let claim = session.home.claim()?;
    still_deployed(session, Some(deployment.lineage))?;
    until_founded(session).await?;
    if resume::is_needed(session).await? {
        let booted = resume::boot(session, deployment).await?;
        return resume_from(session, up, config, booted, claim).await;
    }
    drop(claim);
    apply(session, up, config).await
}

/// Waits until the node 0 that another `up` has just started answers, if there is one.
async fn until_founded(session: &Session) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_millis(FOUNDER_MS_MAX);
    while session.home.members().unwrap_or_default().is_empty() {
        still_deployed(session, None)?;
        match session.home.founder()?.filter(FounderProcess::is_alive) {
            None => return Ok(()),
            Some(founder) if Instant::now() >= deadline => {
                let message = format!(
                    "join the application: an `up` is under way here, and node 0 (process {}) does not answer yet",
                    founder.pid
                );
                return Err(Failure::new(Exit::NoAnswer, message).hint("try again in a moment"));
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(LOOK_MS)).await,
        }
    }
    Ok(())
}

/// An application that this command has founded.
struct Founded {
    beginning: Beginning,
    /// The process of node 0; none when it is to be this one.
    child: Option<Child>,
    /// Requests to end since the record of the application was written: they take it down.
    interruptions: Interruptions,
}

/// Shows the first plan and founds the application when the operator consents. Returns `None` when another command has
/// founded one here meanwhile.
async fn found(session: &Session, up: &Up, config: &Config) -> Result<Option<(Founded, Record)>, Failure> {
    let spec = &config.parsed.spec;
    let known = Offline::of(session, spec).await?;
    session.note_findings(&offline::unsupplied(session, config, &known), &config.parsed.sources);
    let (known, plan) = agree_to_found(session, known, spec, up.yes).await?;
    let claim = session.home.make()?;
    let interruptions = Interruptions::listen()?;
    let text = offline::sealed(session, config)?;
    if session.home.deployment()?.is_none() {
        packing::store_at_founder(session, config)?;
    }
    let Some(beginning) = founding::begin(session, &claim, &text, spec, &known)? else {
        return Ok(None);
    };
    // Until the lock is released, no other command looks for node 0.
    let child = if up.wait || up.detach {
        Some(spawn_founder(session)?)
    } else {
        session.home.set_founder(&FounderProcess::current())?;
        None
    };
    Ok(Some((Founded { beginning, child, interruptions }, plan)))
}

/// Asks until the operator consents to the plan as it is then.
async fn agree_to_found(
    session: &Session,
    mut known: Offline,
    spec: &Spec,
    yes: bool,
) -> Result<(Offline, Record), Failure> {
    let mut plan = known.record(spec)?;
    loop {
        let shown = Shown::before_founding(&plan);
        consent::ask(session, &plan, yes)?;
        if yes {
            return Ok((known, plan));
        }
        known = Offline::of(session, spec).await?;
        plan = known.record(spec)?;
        // When there is an application now, its plan is asked about next.
        if Shown::before_founding(&plan) == shown || session.home.deployment()?.is_some() {
            return Ok((known, plan));
        }
        consent::note_changed(session);
    }
}

async fn run_founded(session: &Session, up: &Up, founded: Founded, plan: &Record) -> Result<Exit, Failure> {
    if founded.child.is_some() {
        return in_background(session, up, founded, plan).await;
    }
    if session.console.json() {
        session.print(&serde_json::json!({ "plan": plan }), String::new);
    }
    in_foreground(session, founded.beginning, founded.interruptions).await
}

/// Starts node 0 again, waits for a coordinator and puts the config in force, as `up` always does.
async fn resume_from(
    session: &Session,
    up: &Up,
    config: &Config,
    booted: resume::Booted,
    claim: Option<Claim>,
) -> Result<Exit, Failure> {
    let began = &booted.beginning.config;
    let is_changed = began.text != config.text.text
        || began.closures != config.text.closures
        || began.secrets != offline::sealed(session, config)?.secrets;
    let applied = async {
        resume::await_quorum(session, up.timeout_s).await?;
        apply(session, up, config).await
    };
    if !booted.has_founder || up.wait || up.detach {
        if booted.has_founder {
            spawn_founder(session)?;
        }
        drop(claim);
        return applied.await;
    }
    let interruptions = Interruptions::listen()?;
    session.home.set_founder(&FounderProcess::current())?;
    drop(claim);
    let running = in_foreground(session, booted.beginning, interruptions);
    tokio::pin!(running);
    if is_changed {
        tokio::select! {
            ended = &mut running => return ended,
            Err(failure) = applied => session.console.failure(&failure),
            else => {}
        }
    }
    running.await
}

/// Applies a changed config to the running application.
async fn apply(session: &Session, up: &Up, config: &Config) -> Result<Exit, Failure> {
    let hint = "`down` gives back what is left of it; then `up` starts it anew";
    let mut client = session.client().await?;
    let text = offline::sealed(session, config)?;
    let deployment = session.deployment()?;
    let mut overtaken = 0;
    let (plan, spec) = loop {
        let agreed = consent::agree(session, &mut client, &text, up.yes).await;
        let agreed = agreed.map_err(|failure| match failure.exit {
            Exit::NoAnswer => failure.hint(hint),
            _ => failure,
        })?;
        let claim = HomeOf::new(&session.home, Some(&deployment)).claim()?.ok_or_else(taken_down)?;
        known_providers::add(&session.home, &claim, &config.parsed.spec)?;
        drop(claim);
        packing::send(session, &mut client, config).await?;
        match consent::apply(&mut client, &text, agreed.after).await? {
            Some(spec) => break (agreed.plan, spec),
            None if overtaken == OVERTAKEN_MAX => return Err(always_overtaken()),
            None => {
                overtaken += u32::from(up.yes);
                consent::note_changed(session);
            }
        }
    };
    if let Some(_claim) = HomeOf::new(&session.home, Some(&deployment)).claim()?
        && let Some(mut beginning) = session.home.beginning::<Beginning>()?
    {
        beginning.config = text;
        session.home.set_beginning(&beginning)?;
    }
    known_providers::settle(session, &deployment, &config.parsed.spec).await?;
    if !up.wait && !up.detach {
        return Done { plan: &plan, spec, status: None }.end(session);
    }
    let status = until_stable(session, &mut client, up.timeout_s, &mut None, spec).await?;
    Done { plan: &plan, spec, status: Some(&status) }.end(session)
}

/// This process is node 0 until Ctrl-C, which takes the application down.
async fn in_foreground(
    session: &Session,
    beginning: Beginning,
    mut interruptions: Interruptions,
) -> Result<Exit, Failure> {
    super::log_to_stderr("warn,openraft=error");
    let deployment = beginning.deployment.clone();
    let mut handle = founding::start(&session.home, &session.embedding, beginning)?;
    let mut seen = Seen::default();
    let (mut ending, mut accepted) = (false, false);
    let ended = loop {
        tokio::select! {
            ended = handle.ended() => break ended,
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {
                show_events(session, &handle, &mut seen).await;
                if ending && !accepted {
                    accepted = take_down(session, &handle).await;
                }
            }
            interrupted = interruptions.next() => match (interrupted, ending) {
                ((), false) => {
                    ending = true;
                    session.console.note("taking the application down; once more ends this process at once\n");
                    accepted = take_down(session, &handle).await;
                }
                ((), true) => {
                    session.console.note("node 0 ends now; hosts that are left end by their own deadlines, or by `down`\n");
                    return Ok(Exit::Interrupted);
                }
            },
        }
    };
    let reason = ended.map_err(|error| Failure::new(Exit::Failed, crate::error::chain(&error)))?;
    // Another application may live here by now, with a node 0 of its own.
    if session.home.founder()? == Some(FounderProcess::current()) {
        session.home.forget_founder()?;
    }
    if reason != HaltReason::Left {
        return Err(Failure::new(Exit::Failed, "keep node 0 a member: the others went on without it")
            .hint("the application runs; `status` shows it, and `down` takes it down"));
    }
    down::clear(session, &deployment).await?;
    Ok(if ending { Exit::Interrupted } else { Exit::Done })
}

/// Orders the take-down; false when it has to be ordered again, as before the first node has become the coordinator.
async fn take_down(session: &Session, handle: &NodeHandle) -> bool {
    match handle.ask(Ask::TakeDown).await {
        Answer::Later => false,
        Answer::Refused { reason, .. } => {
            session.console.note(&format!("error: failed to {reason}\n"));
            handle.stop();
            true
        }
        _ => true,
    }
}

async fn show_events(session: &Session, handle: &NodeHandle, seen: &mut Seen) {
    if let Answer::Events(events) = handle.ask(seen.ask()).await {
        seen.show(session, &events);
    }
}

/// Runs node 0 in a process of its own and returns when the application is stable.
async fn in_background(session: &Session, up: &Up, founded: Founded, plan: &Record) -> Result<Exit, Failure> {
    let Founded { beginning, child: mut founder, mut interruptions } = founded;
    let deadline = Instant::now() + Duration::from_secs(up.timeout_s);
    let waited = async {
        let mut client = session.client().await?;
        let status = until_stable(session, &mut client, up.timeout_s, &mut founder, FIRST).await?;
        if up.detach { detach(session, &mut client, &mut founder, deadline).await } else { Ok(status) }
    };
    let outcome = tokio::select! {
        outcome = waited => outcome,
        () = interruptions.next() => {
            session.console.note("taking the application down\n");
            down::abandon(session, &beginning.deployment).await?;
            return Ok(Exit::Interrupted);
        }
    };
    match outcome {
        Ok(status) => Done { plan, spec: FIRST, status: Some(&status) }.end(session),
        Err(failure) => Err(failure),
    }
}

fn spawn_founder(session: &Session) -> Result<Child, Failure> {
    use std::os::unix::process::CommandExt as _;
    let failed = |step: &str, error: std::io::Error| Failure::new(Exit::Failed, format!("{step}: {error}"));
    let dir = session.home.founder_dir();
    rhizo_private_files::create_dirs(&dir).map_err(|error| failed("make node 0's directory", error))?;
    let log = rhizo_private_files::create(&dir.join("node.log"))
        .map_err(|error| failed("make node 0's log", error))?;
    let executable = own_program().map_err(|error| failed("find the executable", error))?;
    let above = session.home.path().parent().map(ToOwned::to_owned).unwrap_or_default();
    let mut command = std::process::Command::new(executable);
    command.arg("__founder").arg(above).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // A group of its own: Ctrl-C is for this command, which then takes the application down in order.
    command.process_group(0);
    let child = command.spawn().map_err(|error| failed("start node 0", error))?;
    session.home.set_founder(&FounderProcess::of(child.id()))?;
    Ok(child)
}

fn always_overtaken() -> Failure {
    let times = OVERTAKEN_MAX + 1;
    let message =
        format!("put the config in force: another command put one in force first, {times} times in a row");
    Failure::new(Exit::Failed, message)
        .hint("another `up` or script changes this application all the time; end it first")
}

/// Makes node 0 transfer its leadership and leave. Returns the status of the application without it.
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
        still_deployed(session, Some(client.lineage()))?;
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
