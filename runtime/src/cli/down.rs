//! `down`: everything stops, every host is given back, nothing is left in the home.
//!
//! The application is asked to take itself down. What is left then, or when no node answers any more, is
//! released here: the operator has the providers' credentials, and the ownership tags tell what is whose.

use super::exit::{Exit, Failure};
use super::founding::Beginning;
use super::{Session, confirm, offline, refused};
use crate::admin::{Answer, Ask};
use crate::app_dir::Deployment;
use rhizo_actuators::{HostState, Owner, Provider};
use rhizo_types::ProviderName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two looks.
const LOOK_MS: u64 = 200;

/// The application has this long to take itself down before the rest is done here: components may use their
/// whole grace one after the other.
const OWN_MS_MAX: u64 = 120_000;

/// Providers have this long to confirm that hosts are gone.
const RELEASE_MS_MAX: u64 = 120_000;

pub(crate) async fn down(session: &Session, yes: bool) -> Result<Exit, Failure> {
    let Some(deployment) = session.home.deployment()? else {
        session.print(&serde_json::json!({ "released": 0 }), || "Nothing is deployed here.\n".to_owned());
        return Ok(Exit::Done);
    };
    if !yes && !confirm(&format!("Stop `{}` and give all its hosts back?", deployment.app)) {
        return Err(Failure::new(Exit::Declined, "go on without consent").hint("`--yes` consents beforehand"));
    }
    let asked = ask_to_end(session).await;
    if let Err(failure) = &asked
        && failure.exit != Exit::NoAnswer
    {
        return Err(failure.clone());
    }
    let released = clean(session, &deployment).await?;
    session.home.remove()?;
    session
        .print(&serde_json::json!({ "released": released }), || format!("`{}` is down.\n", deployment.app));
    Ok(Exit::Done)
}

/// Asks the application to take itself down and waits until nobody answers any more.
async fn ask_to_end(session: &Session) -> Result<(), Failure> {
    /// A node that ends closes its links before the others are told; so often in a row nobody answers.
    const SILENCE: u32 = 3;
    let mut client = session.client().await?;
    let deadline = Instant::now() + Duration::from_millis(OWN_MS_MAX);
    let mut accepted = false;
    let mut silent = 0;
    while Instant::now() < deadline && silent < SILENCE {
        let ask = if accepted { Ask::Status } else { Ask::TakeDown };
        match client.ask(&ask).await {
            Ok(Answer::Done { .. }) => accepted = true,
            Ok(Answer::Status(status)) if status.state == "no-quorum" => break,
            // Without a quorum nothing can be committed: the rest is done by the operator.
            Ok(Answer::Refused { .. }) if !accepted && no_quorum(&mut client).await => break,
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

async fn no_quorum(client: &mut super::client::Client) -> bool {
    client.status().await.is_ok_and(|status| status.state == "no-quorum")
}

/// Takes an application down that was only just begun, whatever state it is in.
pub(crate) async fn abandon(session: &Session, deployment: &Deployment) -> Result<(), Failure> {
    // Whether it could still be asked does not matter: what is left is released below.
    let _asked = ask_to_end(session).await;
    clean(session, deployment).await?;
    session.home.remove()?;
    Ok(())
}

/// Releases what is left at the providers and forgets it. Returns how many hosts there still were.
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
            return Err(Failure::new(Exit::Failed, message).hint("run `down` again"));
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

/// Ends node 0 in the background, if it is still there although nobody needs it.
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
