//! Waits for a running application on behalf of `up`: until it is stable, until it was taken down, until node 0 ends.
//!
//! Nothing is changed here. Read next: [`super::up`].

use super::client::{Client, ClientError};
use super::exit::{Exit, Failure};
use super::progress::Progress;
use super::{Session, founding};
use crate::admin::Status;
use rhizo_types::{Lineage, Revision};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Time between two requests for the status.
pub(super) const LOOK_MS: u64 = 150;

/// Time within which node 0 in the background must answer.
pub(super) const FOUNDER_MS_MAX: u64 = 30_000;

/// Fails when another command in the same home took the application down meanwhile.
///
/// With `lineage`, another application that lives there now does not count.
pub(super) fn still_deployed(session: &Session, lineage: Option<Lineage>) -> Result<(), Failure> {
    let deployment = session.home.deployment()?;
    if deployment.is_some_and(|lives| lineage.is_none_or(|lineage| lives.lineage == lineage)) {
        return Ok(());
    }
    Err(taken_down())
}

pub(super) fn taken_down() -> Failure {
    Failure::new(Exit::NoAnswer, "follow the application: it was taken down meanwhile")
}

/// Waits until the application is stable with this spec or a later one, and shows the progress.
pub(super) async fn until_stable(
    session: &Session,
    client: &mut Client,
    timeout_s: u64,
    founder: &mut Option<Child>,
    spec: Revision,
) -> Result<Status, Failure> {
    let begun = Instant::now();
    let mut progress = Progress::new(session);
    let mut problem = None;
    let mut last_error = None;
    while begun.elapsed() < Duration::from_secs(timeout_s) {
        still_deployed(session, Some(client.lineage()))?;
        if let Some(child) = founder
            && let Ok(Some(ended)) = child.try_wait()
        {
            if ended.code() != Some(founding::DECLARED_DEAD as i32) {
                return Err(founder_ended(session, ended));
            }
            session.console.note("node 0 has ended: the others declared it dead, and go on without it\n");
            *founder = None;
        }
        match client.status().await {
            // A member that has not applied the new spec yet may still report the former one as stable.
            Ok(status) if status.state == "stable" && status.spec >= spec => {
                progress.finish();
                return Ok(status);
            }
            Ok(status) => {
                last_error = None;
                progress.show(session, &status, Instant::now());
                problem = status.problems.into_iter().next();
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
            let reason = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
            let message = format!("see the application stable within {timeout_s} s{reason}");
            Err(Failure::new(Exit::NotStable, message)
                .hint("`status`, `events` and `why` say what it is waiting for; it goes on by itself"))
        }
    }
}

fn founder_ended(session: &Session, ended: ExitStatus) -> Failure {
    if ended.success() {
        return taken_down();
    }
    let log = session.home.founder_dir().join("node.log");
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    let tail: Vec<&str> = lines.into_iter().rev().collect();
    Failure::new(Exit::Failed, format!("keep node 0 running: it ended with {ended}")).hint(tail.join("\n  "))
}
