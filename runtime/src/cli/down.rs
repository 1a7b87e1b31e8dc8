//! `down`: stops everything, releases every host and empties the home.
//!
//! The command requests that the application takes itself down. If hosts are left then, or if no node answers any
//! more, the command releases the hosts itself: the operator has the providers' credentials, and the ownership tags
//! identify the application's hosts. It needs no config, no catalogue and no quorum, and a damaged record of the home
//! costs only what that record said. When it cannot see everything gone, it says what is left and keeps the home.
//! Read next: [`super::teardown`].

use super::beginning::Beginning;
use super::client::Client;
use super::exit::{Exit, Failure};
use super::home_of::HomeOf;
use super::sources::Sources;
use super::teardown::Teardown;
use super::{Session, node_0, refused};
use crate::admin::{Answer, Ask};
use crate::app_dir::Deployment;
use rhizo_types::lifecycle::Action;
use rhizo_types::spec::{Component, Spec};
use rhizo_types::{AppName, ComponentName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Time between two looks.
const LOOK_MS: u64 = 200;

/// Time that the application has to take itself down beyond the times of its components, before this command releases
/// the hosts: for detections, plans and entries of the log. It is at most half of the command's time.
const OWN_MS_MAX: u64 = 120_000;

/// Time-out of a life-cycle's action that sets none. Such an action may take any time; an operator who takes the
/// application down does not wait longer for it.
const ACTION_MS_MAX: u64 = 60_000;

/// Default of `--timeout-s`: the application's own time, and as much for providers to confirm that hosts are gone.
pub(crate) const TIMEOUT_S: u64 = 240;

pub(crate) async fn down(session: &Session, yes: bool, timeout_s: u64) -> Result<Exit, Failure> {
    let Some(found) = Found::of(session)? else {
        session.print(&serde_json::json!({ "released": 0 }), || "Nothing is deployed here.\n".to_owned());
        return Ok(Exit::Done);
    };
    for reason in &found.damaged {
        session.console.note(&format!("warning: failed to {reason}; the other records are used\n"));
    }
    if !yes {
        session.console.confirm(&format!("Stop {} and give all its hosts back?", found.name))?;
        must_live(session, found.deployment.as_ref())?;
    }
    let deadline = Deadline::after(session, timeout_s);
    if let Some(deployment) = &found.deployment {
        ask_to_end(session, deployment, deadline.own).await?;
    }
    let released = release(session, found.deployment.as_ref(), deadline.whole).await?;
    forget(session, found.deployment.as_ref())?;
    session.print(&serde_json::json!({ "released": released }), || format!("{} is down.\n", found.name));
    Ok(Exit::Done)
}

/// The moments at which `down` stops waiting.
struct Deadline {
    /// For the application to take itself down.
    own: Instant,
    /// For everything.
    whole: Instant,
}

impl Deadline {
    /// The times that components may use to stop come on top of the command's time: the user has set them.
    fn after(session: &Session, timeout_s: u64) -> Self {
        let timeout_ms = timeout_s.saturating_mul(1_000);
        let stops_ms = stops_ms_max(session);
        let at =
            |ms: u64| Instant::now() + Duration::from_millis(ms.saturating_add(stops_ms).min(FOREVER_MS));
        Self { own: at(OWN_MS_MAX.min(timeout_ms / 2)), whole: at(timeout_ms) }
    }
}

/// A longer time counts as this one, so that no sum of times overflows: ten years.
const FOREVER_MS: u64 = 10 * 365 * 86_400_000;

/// The application that the records of a home tell of.
struct Found {
    /// None when its record is damaged or missing, while other records tell of an application.
    deployment: Option<Deployment>,
    /// Its name in messages.
    name: String,
    damaged: Vec<String>,
}

impl Found {
    /// Returns none when no record tells of an application.
    fn of(session: &Session) -> Result<Option<Self>, Failure> {
        let mut damaged = Vec::new();
        let deployment = match session.home.deployment() {
            Ok(None) => {
                // An `up` that founds an application holds the lock until all records are there.
                let Some(_claim) = session.home.claim()? else { return Ok(None) };
                session.home.deployment()
            }
            read => read,
        };
        let deployment = deployment.unwrap_or_else(|error| {
            damaged.push(crate::error::chain(&error));
            None
        });
        let sources = Sources::of(session, deployment.as_ref())?;
        if deployment.is_none() && damaged.is_empty() && !sources.has_traces() {
            return Ok(None);
        }
        let apps: BTreeSet<&AppName> = sources.owners.iter().map(|owner| &owner.app).collect();
        let name = match (&deployment, apps.first()) {
            (Some(deployment), _) => format!("`{}`", deployment.app),
            (None, Some(app)) => format!("`{app}`"),
            (None, None) => "the application".to_owned(),
        };
        damaged.extend(sources.unknown_providers);
        damaged.extend(sources.damaged);
        Ok(Some(Self { deployment, name, damaged }))
    }
}

/// Asks the application to take itself down, and waits until it has. An application that cannot be asked is no failure.
async fn ask_to_end(session: &Session, deployment: &Deployment, deadline: Instant) -> Result<(), Failure> {
    let unasked = |reason: &str| {
        session.console.note(&format!(
            "the application cannot be asked to end (failed to {reason}); its hosts are released without its help\n"
        ));
    };
    if let Err(error) = session.home.members() {
        unasked(&crate::error::chain(&error));
        return Ok(());
    }
    let client = match session.home.operator_secret(rand::random) {
        Ok(secret) => Client::new(&session.home, deployment, secret).await?,
        Err(error) => {
            unasked(&crate::error::chain(&error));
            return Ok(());
        }
    };
    match take_itself_down(client, deadline).await {
        Err(failure) if failure.exit != Exit::NoAnswer => Err(failure),
        _ => Ok(()),
    }
}

/// Asks the application to take itself down and waits until no node answers any more.
async fn take_itself_down(mut client: Client, deadline: Instant) -> Result<(), Failure> {
    /// Consecutive requests without an answer after which the application has ended: a node that ends closes its links
    /// before the others know.
    const SILENCE: u32 = 3;
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

async fn no_quorum(client: &mut Client) -> bool {
    client.status().await.is_ok_and(|status| status.state == "no-quorum")
}

/// Takes an application down whose `up` was interrupted, in any state.
pub(crate) async fn abandon(session: &Session, deployment: &Deployment) -> Result<(), Failure> {
    let deadline = Deadline::after(session, TIMEOUT_S);
    // The application may not be able to answer yet. Hosts that it leaves are released below.
    let _asked = ask_to_end(session, deployment, deadline.own).await;
    release(session, Some(deployment), deadline.whole).await?;
    forget(session, Some(deployment))
}

/// Releases the hosts that an application left which took itself down, and removes its home.
pub(crate) async fn clear(session: &Session, deployment: &Deployment) -> Result<(), Failure> {
    release(session, Some(deployment), Deadline::after(session, TIMEOUT_S).whole).await?;
    forget(session, Some(deployment))
}

/// Fails when another application lives in the home than the one that the operator was asked about.
fn must_live(session: &Session, asked: Option<&Deployment>) -> Result<(), Failure> {
    match session.home.deployment() {
        Ok(Some(lives)) if Some(&lives) != asked => {
            let app = asked.map_or("the application".to_owned(), |asked| format!("`{}`", asked.app));
            let message = format!(
                "take {app} down: it ended while the question waited, and another `{}` (lineage {}) lives here now",
                lives.app, lives.lineage
            );
            Err(Failure::new(Exit::Declined, message).hint("`down` asks about that one"))
        }
        _ => Ok(()),
    }
}

/// Removes the home of an application that is down, unless another application was founded in it meanwhile.
fn forget(session: &Session, deployment: Option<&Deployment>) -> Result<(), Failure> {
    let Some(claim) = session.home.claim()? else { return Ok(()) };
    match session.home.deployment() {
        Ok(Some(lives)) if Some(&lives) != deployment => Ok(()),
        _ => Ok(session.home.remove(&claim)?),
    }
}

/// Releases the hosts that are left at the providers and removes their records. Returns the number of hosts that this
/// command found: none, when another one has taken the application down meanwhile.
async fn release(
    session: &Session,
    deployment: Option<&Deployment>,
    deadline: Instant,
) -> Result<usize, Failure> {
    let home = HomeOf::new(&session.home, deployment);
    if !node_0::end(home).await? {
        return Ok(0);
    }
    let sources = {
        // The records must be those of this application: the hosts of all owners that they name are released.
        let Some(_claim) = home.claim()? else { return Ok(0) };
        Sources::of(session, deployment)?
    };
    Ok(Teardown::new(session, home, &sources).release(deadline).await?.unwrap_or(0))
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
