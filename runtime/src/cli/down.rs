//! `down`: stops everything, releases every host and empties the home.
//!
//! The command requests that the application takes itself down. If hosts are left then, or if no node answers any
//! more, the command releases the hosts itself: the operator has the providers' credentials, and the ownership tags
//! identify the application's hosts.

use super::exit::{Exit, Failure};
use super::founding::Beginning;
use super::{Session, offline, refused};
use crate::admin::{Answer, Ask};
use crate::app_dir::Deployment;
use rhizo_actuators::{HostState, Owner, Provider};
use rhizo_types::lifecycle::Action;
use rhizo_types::spec::{Component, Spec};
use rhizo_types::{ComponentName, ProviderName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two looks.
const LOOK_MS: u64 = 200;

/// Time that the application has to take itself down beyond the times of its components, before this command releases
/// the hosts: for detections, plans and entries of the log.
const OWN_MS_MAX: u64 = 120_000;

/// Time-out of a life-cycle's action that sets none. Such an action may take any time; an operator who takes the
/// application down does not wait longer for it.
const ACTION_MS_MAX: u64 = 60_000;

/// Providers have this long to confirm that hosts are gone.
const RELEASE_MS_MAX: u64 = 120_000;

pub(crate) async fn down(session: &Session, yes: bool) -> Result<Exit, Failure> {
    let Some(deployment) = session.home.deployment()? else {
        session.print(&serde_json::json!({ "released": 0 }), || "Nothing is deployed here.\n".to_owned());
        return Ok(Exit::Done);
    };
    if !yes {
        session.console.confirm(&format!("Stop `{}` and give all its hosts back?", deployment.app))?;
        must_live(session, &deployment)?;
    }
    let asked = ask_to_end(session).await;
    if let Err(failure) = &asked
        && failure.exit != Exit::NoAnswer
    {
        return Err(failure.clone());
    }
    let released = clean(session, &deployment).await?;
    forget(session, &deployment)?;
    session
        .print(&serde_json::json!({ "released": released }), || format!("`{}` is down.\n", deployment.app));
    Ok(Exit::Done)
}

/// Asks the application to take itself down and waits until no node answers any more.
async fn ask_to_end(session: &Session) -> Result<(), Failure> {
    /// Consecutive requests without an answer after which the application has ended: a node that ends closes its links
    /// before the others know.
    const SILENCE: u32 = 3;
    let mut client = session.client().await?;
    let deadline = Instant::now() + Duration::from_millis(OWN_MS_MAX.saturating_add(stops_ms_max(session)));
    let mut accepted = false;
    let mut silent = 0;
    while Instant::now() < deadline && silent < SILENCE {
        let ask = if accepted { Ask::Status } else { Ask::TakeDown };
        match client.ask(&ask).await {
            Ok(Answer::Done { .. }) => accepted = true,
            Ok(Answer::Status(status)) if status.state == "no-quorum" => break,
            // Without a quorum no entry can be committed. The command then releases the hosts itself.
            Ok(Answer::Refused { .. } | Answer::Later) if !accepted && no_quorum(&mut client).await => break,
            Ok(Answer::Refused { hint: None, reason }) => {
                return Err(refused(Answer::Refused { hint: None, reason }));
            }
            Ok(_) => {}
            Err(error) if !accepted && silent + 1 >= SILENCE => return Err(error.into()),
            Err(_) => {
                silent += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    client.close().await;
    Ok(())
}

/// The time that the components may use to stop, in milliseconds, by the config that was applied last. Unknown is zero.
fn stops_ms_max(session: &Session) -> u64 {
    let beginning = session.home.beginning::<Beginning>().ok().flatten();
    let spec = beginning.and_then(|beginning| crate::config::parse(&beginning.config).ok());
    spec.map_or(0, |spec| longest_stop_ms(&spec))
}

/// The longest chain of stops: a component stops only after those that import it.
fn longest_stop_ms(spec: &Spec) -> u64 {
    /// Returns the longest chain that begins at a component. A component in `above` is part of a cycle and ends it.
    fn from<'s>(
        name: &'s ComponentName,
        spec: &'s Spec,
        above: &mut Vec<&'s ComponentName>,
        known: &mut BTreeMap<&'s ComponentName, u64>,
    ) -> u64 {
        let Some(component) = spec.components.get(name).filter(|_| !above.contains(&name)) else { return 0 };
        if let Some(ms) = known.get(name) {
            return *ms;
        }
        above.push(name);
        let exporters = component.imports.values().map(|import| &import.component);
        let below = exporters.map(|exporter| from(exporter, spec, above, known)).max().unwrap_or(0);
        above.pop();
        let ms = stop_ms_max(component).saturating_add(below);
        known.insert(name, ms);
        ms
    }
    let (mut above, mut known) = (Vec::new(), BTreeMap::new());
    spec.components.keys().map(|name| from(name, spec, &mut above, &mut known)).max().unwrap_or(0)
}

/// The grace of one component, and the time-outs of the actions that its life-cycle runs to stop it.
fn stop_ms_max(component: &Component) -> u64 {
    let lifecycle = component.lifecycle();
    // The behaviours of a removal usually begin with those of a pause, which run only once.
    let behaviours: BTreeSet<_> = lifecycle.pause.iter().chain(&lifecycle.retire).collect();
    let names = behaviours.into_iter().filter_map(|behaviour| lifecycle.behaviours.get(behaviour)).flatten();
    let steps = names.filter_map(|name| lifecycle.transitions.get(name)).map(|transition| &transition.step);
    let actions = steps.filter(|step| !matches!(step.action, Action::Nothing | Action::Stop));
    let total: u64 =
        actions.map(|step| step.timeout_ms.unwrap_or(ACTION_MS_MAX)).fold(0, u64::saturating_add);
    component.stop.grace_ms.saturating_add(total)
}

async fn no_quorum(client: &mut super::client::Client) -> bool {
    client.status().await.is_ok_and(|status| status.state == "no-quorum")
}

/// Takes an application down whose `up` was interrupted, in any state.
pub(crate) async fn abandon(session: &Session, deployment: &Deployment) -> Result<(), Failure> {
    // The application may not be able to answer yet. Hosts that it leaves are released below.
    let _asked = ask_to_end(session).await;
    clean(session, deployment).await?;
    forget(session, deployment)
}

/// Fails when another application lives in the home than the one that the operator was asked about.
fn must_live(session: &Session, asked: &Deployment) -> Result<(), Failure> {
    match session.home.deployment()? {
        Some(lives) if lives != *asked => {
            let message = format!(
                "take `{}` down: it ended while the question waited, and another `{}` (lineage {}) lives here now",
                asked.app, lives.app, lives.lineage
            );
            Err(Failure::new(Exit::Declined, message).hint("`down` asks about that one"))
        }
        _ => Ok(()),
    }
}

/// Removes the home of an application that is down, unless another application was founded in it meanwhile.
pub(crate) fn forget(session: &Session, deployment: &Deployment) -> Result<(), Failure> {
    let Some(claim) = session.home.claim()? else { return Ok(()) };
    match session.home.deployment()? {
        Some(lives) if lives != *deployment => Ok(()),
        _ => Ok(session.home.remove(&claim)?),
    }
}

/// Releases the hosts that are left at the providers and drops the records of them. Returns their number.
pub(crate) async fn clean(session: &Session, deployment: &Deployment) -> Result<usize, Failure> {
    let Some(beginning) = session.home.beginning::<Beginning>()? else { return Ok(0) };
    let spec =
        crate::config::parse(&beginning.config).map_err(|reason| Failure::new(Exit::Failed, reason))?;
    let providers = offline::providers(session, &spec)?;
    let owner = Owner { app: deployment.app.clone(), lineage: deployment.lineage };
    stop_founder(session).await;
    let deadline = Instant::now() + Duration::from_millis(RELEASE_MS_MAX);
    let mut found = 0;
    let mut first = true;
    loop {
        let left = release_all(&providers, &owner).await?;
        if first {
            found = left;
            first = false;
        }
        if left == 0 {
            break;
        }
        if Instant::now() >= deadline {
            let message = format!("see {left} hosts gone: the providers still list them");
            return Err(Failure::new(Exit::PartlyDone, message).hint("run `down` again"));
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    for (name, provider) in &providers {
        let purged = provider.purge(&owner).await;
        purged.map_err(|error| {
            Failure::new(Exit::Failed, format!("{name}: {}", crate::error::chain(&error)))
        })?;
    }
    Ok(found)
}

/// Releases every host that is not gone yet; returns how many those are.
async fn release_all(
    providers: &BTreeMap<ProviderName, Arc<dyn Provider>>,
    owner: &Owner,
) -> Result<usize, Failure> {
    let mut left = 0;
    for (name, provider) in providers {
        let failed = |error: rhizo_actuators::ProviderError| {
            Failure::new(Exit::Failed, format!("{name}: {}", crate::error::chain(&error)))
        };
        for host in provider.list(owner).await.map_err(failed)? {
            if host.state != HostState::Terminated {
                left += 1;
                provider.release(&host.id).await.map_err(failed)?;
            }
        }
    }
    Ok(left)
}

/// Ends node 0 in the background, if it still runs.
async fn stop_founder(session: &Session) {
    use nix::sys::signal::{Signal, kill};
    let Ok(Some(founder)) = session.home.founder() else { return };
    if !founder.is_alive() {
        return;
    }
    let pid = nix::unistd::Pid::from_raw(founder.pid);
    for (signal, patience_ms) in [(Signal::SIGTERM, 10_000), (Signal::SIGKILL, 1_000)] {
        let _gone = kill(pid, signal);
        let deadline = Instant::now() + Duration::from_millis(patience_ms);
        while founder.is_alive() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::PortName;
    use rhizo_types::spec::{Import, Ports, Run, Stop};

    fn component(grace_ms: u64, imports: &[&str]) -> Component {
        let import = |name: &&str| (PortName::from(*name), Import::of((*name).into(), "main".into()));
        Component {
            stop: Stop { signal: "TERM".to_owned(), grace_ms },
            imports: Ports::from_iter(imports.iter().map(import)),
            ..Component::new(Run::Exec { argv: vec!["x".to_owned()] })
        }
    }

    fn longest(components: &[(&str, Component)]) -> u64 {
        let all = components.iter().map(|(name, component)| (ComponentName::from(*name), component.clone()));
        longest_stop_ms(&Spec::new("app", all.collect()))
    }

    #[test]
    fn down_waits_for_the_longest_chain_of_stops_and_not_for_the_sum() {
        let (web, app, db) =
            (component(1_000, &["app"]), component(300_000, &["db"]), component(20_000, &[]));
        let side = component(310_000, &[]);
        assert_eq!(longest(&[("web", web), ("app", app), ("db", db), ("side", side)]), 321_000);
    }

    #[test]
    fn a_cycle_of_imports_ends() {
        assert_eq!(longest(&[("a", component(1, &["b"])), ("b", component(2, &["a", "b"]))]), 3);
        assert_eq!(longest(&[]), 0);
    }

    #[test]
    fn scripts_have_the_time_of_their_calls() {
        let script = Component { run: Run::Script { argv: vec!["x".to_owned()] }, ..component(5, &[]) };
        assert_eq!(longest(&[("db", script)]), 5 + 2 * ACTION_MS_MAX);
    }
}
