//! The question whether a shown plan may be carried out, and whether the answer still belongs to what was shown.
//!
//! A question may wait for hours, while other commands and the application itself go on. So the plan is made again when
//! the operator has consented. When the lineage, the spec, the target or an action differs, the operator is asked again
//! with the new plan. An operator who passed `--yes` has consented to any plan.

use super::client::{Client, ClientError};
use super::exit::{Exit, Failure};
use super::{Session, refused, render};
use crate::admin::{Answer, Ask, ConfigText, Status};
use crate::app_dir::Deployment;
use crate::config::Config;
use rhizo_planning::{Change, Record};
use rhizo_protocol::survival::NO_QUORUM_REMEDY;
use rhizo_types::{Lineage, Revision};
use std::time::{Duration, Instant};

/// How long an order is repeated while no node can decide it, in milliseconds: several elections of a coordinator.
const DECIDED_MS_MAX: u64 = 30_000;

/// How long a quorum may be missing while an order is repeated, in milliseconds: longer than an election of a
/// coordinator takes after the death of the former one. After that an operator has to act.
const WITHOUT_QUORUM_MS: u64 = 10_000;

/// Time between two attempts.
const LOOK_MS: u64 = 200;

/// The properties of a plan that an operator consents to.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Shown {
    /// The lineage of the application; none before it is founded.
    pub(super) lineage: Option<Lineage>,
    /// The spec in force.
    pub(super) spec: Revision,
    /// The target in force.
    pub(super) target: Revision,
    /// Everything that would be done, without the reasons, whose figures vary from one run of planning to the next.
    pub(super) changes: Vec<Change>,
}

impl Shown {
    /// Before an application is founded, when nothing but the actions is there to change.
    pub(super) fn before_founding(plan: &Record) -> Self {
        Self { lineage: None, spec: Revision::ZERO, target: Revision::ZERO, changes: changes(plan) }
    }
}

fn changes(plan: &Record) -> Vec<Change> {
    plan.actions.iter().map(|action| action.change.clone()).collect()
}

/// Fails when the config is for another application than the one of this home.
pub(super) fn must_be_its_config(deployment: &Deployment, config: &Config) -> Result<(), Failure> {
    let wanted = &config.parsed.spec.app;
    if *wanted == deployment.app {
        return Ok(());
    }
    let (file, lives) = (&config.text.file, &deployment.app);
    let message =
        format!("use `{file}` here: it is for application `{wanted}`, and `{lives}` lives in this directory");
    Err(Failure::new(Exit::BadConfig, message)
        .hint("run it in a directory of its own, or take the other one `down` first; a new `app.name` is a new application"))
}

/// A plan that the operator has consented to.
pub(super) struct Agreed {
    pub(super) plan: Box<Record>,
    /// The revision of the spec that the plan starts from.
    pub(super) after: Revision,
}

/// Shows a plan and asks for consent, unless it was given beforehand.
pub(super) fn ask(session: &Session, plan: &Record, yes: bool) -> Result<(), Failure> {
    // With `--json` the plan is a part of the one document at the end; an operator who is asked sees it as text.
    if !session.console.json() || !yes {
        session.console.note(&render::plan(plan));
    }
    if yes { Ok(()) } else { session.console.confirm("Go on?") }
}

/// Tells the operator why the question comes again.
pub(super) fn note_changed(session: &Session) {
    session
        .console
        .note("\nWhat was shown is out of date: the application, the offers or the plan changed.\n");
}

/// Plans a change of the running application and asks until the answer belongs to the plan as it is then.
pub(super) async fn agree(
    session: &Session,
    client: &mut Client,
    config: &ConfigText,
    yes: bool,
) -> Result<Agreed, Failure> {
    let (mut plan, mut shown) = planned(client, config).await?;
    loop {
        ask(session, &plan, yes)?;
        if yes {
            return Ok(Agreed { plan, after: shown.spec });
        }
        let (again, now) = planned(client, config).await?;
        if now == shown {
            return Ok(Agreed { plan: again, after: now.spec });
        }
        note_changed(session);
        (plan, shown) = (again, now);
    }
}

/// The plan for a config, with what it was made from.
async fn planned(client: &mut Client, config: &ConfigText) -> Result<(Box<Record>, Shown), Failure> {
    let (plan, status) = plan_of(client, Some(config)).await?;
    let changes = changes(&plan);
    let shown = Shown { lineage: Some(status.lineage), spec: status.spec, target: status.target, changes };
    Ok((plan, shown))
}

/// Asks the running application for the plan of a config, or of its own one. Returns it with a status from before.
///
/// The question is repeated while no node can answer it, until the status says that the quorum is lost.
pub(super) async fn plan_of(
    client: &mut Client,
    config: Option<&ConfigText>,
) -> Result<(Box<Record>, Box<Status>), Failure> {
    let deadline = Instant::now() + Duration::from_millis(DECIDED_MS_MAX);
    loop {
        // The status comes first: a change after it makes an order fail, and the plan is made again.
        let status = client.status().await?;
        if let Some(sentence) = &status.no_quorum {
            return Err(Failure::no_quorum(sentence));
        }
        match client.ask(&Ask::Plan { config: config.cloned() }).await {
            Ok(Answer::Plan(plan)) => return Ok((plan, Box::new(status))),
            // A leader that has just lost its quorum does not know it yet, and cannot answer. The status says so later.
            Ok(Answer::Later) | Err(ClientError::NotSent(_) | ClientError::Broken(_))
                if Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
            }
            Ok(other) => return Err(refused(other)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Puts a config in force that was planned to follow a spec. Returns the revision that was committed, or none when
/// another spec is in force meanwhile.
///
/// While no node coordinates, the order is repeated: it names the spec that it follows, so that it cannot be carried
/// out twice.
pub(super) async fn apply(
    client: &mut Client,
    config: &ConfigText,
    after: Revision,
) -> Result<Option<Revision>, Failure> {
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(DECIDED_MS_MAX);
    loop {
        let asked = client.ask(&Ask::Apply { config: config.clone(), after: Some(after) }).await;
        match asked {
            Ok(Answer::Done { spec }) => return Ok(Some(spec)),
            Ok(Answer::Overtaken) => return Ok(None),
            Ok(Answer::Later) | Err(ClientError::NotSent(_) | ClientError::Broken(_))
                if Instant::now() < deadline => {}
            Ok(Answer::Later) | Err(ClientError::NotSent(_) | ClientError::Broken(_)) => {
                return Err(undecided(client).await);
            }
            Ok(other) => return Err(refused(other)),
            Err(error) => return Err(error.into()),
        }
        if begun.elapsed() >= Duration::from_millis(WITHOUT_QUORUM_MS)
            && client.status().await.is_ok_and(|status| status.no_quorum.is_some())
        {
            return Err(undecided(client).await);
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// The failure of an order that no coordinator has confirmed in time.
async fn undecided(client: &mut Client) -> Failure {
    let message = "have the config committed in time";
    match client.status().await {
        Ok(Status { no_quorum: Some(sentence), .. }) => {
            let message = format!("{message}: {sentence}; the config may still be put in force");
            Failure::new(Exit::NoQuorum, message).hint(NO_QUORUM_REMEDY)
        }
        _ => Failure::new(Exit::NoQuorum, message).hint(
            "no coordinator has confirmed it, but it may still be put in force; `status` shows the spec",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_planning::HostName;

    #[test]
    fn a_change_of_any_part_is_another_question() {
        let host = |provider: &str| HostName {
            node: None,
            host: None,
            provider: provider.to_owned(),
            offer: "small".to_owned(),
            region: "eu".to_owned(),
        };
        let acquire = |price_per_hour| Change::Acquire { count: 1, from: host("lab"), price_per_hour };
        let shown = Shown {
            lineage: Some(Lineage(7)),
            spec: Revision(1),
            target: Revision(2),
            changes: vec![acquire(0.1)],
        };
        assert_eq!(shown.clone(), shown);
        assert_ne!(Shown { lineage: Some(Lineage(8)), ..shown.clone() }, shown);
        assert_ne!(Shown { spec: Revision(2), ..shown.clone() }, shown);
        assert_ne!(Shown { target: Revision(3), ..shown.clone() }, shown);
        assert_ne!(Shown { changes: vec![acquire(0.2)], ..shown.clone() }, shown);
    }
}
