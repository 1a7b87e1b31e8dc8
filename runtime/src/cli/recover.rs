//! `recover --new-lineage`: begins a new lineage with one surviving member, after the quorum was lost for good.
//!
//! The command asks all members and all providers, decides by [`rule`], and shows what will be lost. After consent it
//! records the order in the home and sends it to the survivor. Members that answer follow by themselves: a peer of the
//! new lineage refuses their links with the operator's signed statement. The record makes the command repeatable: when
//! it was ended at any moment, the next one sends the same order again. A survivor that has carried it out answers so.

mod rule;
mod survey;

use super::args::Recover;
use super::beginning::Beginning;
use super::client::{Client, ClientError};
use super::exit::{Exit, Failure};
use super::{Session, refused};
use crate::admin::{Answer, Ask, Status};
use crate::app_dir::{Deployment, PendingRecovery};
use rhizo_overlay::{LinkTarget, NodeSecret, Succession};
use rhizo_protocol::ledger::{FormerLineage, Recovery};
use rhizo_types::NodeId;
use rule::{Choice, list};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use survey::Survey;

/// Time between two attempts to reach the survivor.
const LOOK_MS: u64 = 200;

/// The JSON document of `recover`.
#[derive(Serialize)]
struct Done {
    /// The lineage that ended.
    former: rhizo_types::Lineage,
    /// The lineage that follows it.
    lineage: rhizo_types::Lineage,
    /// The member whose log became that of the new lineage.
    survivor: NodeId,
    /// The members that were given up. Their hosts are released.
    lost: BTreeSet<NodeId>,
    /// The application under the new lineage.
    status: Box<Status>,
}

pub(crate) async fn recover(session: &Session, arguments: &Recover) -> Result<Exit, Failure> {
    let deployment = session.deployment()?;
    let pending = match session.home.recovery()? {
        Some(pending) => {
            session.console.note("Continuing the recovery that was begun before.\n");
            pending
        }
        None => agree(session, &deployment, arguments).await?,
    };
    let deadline = Instant::now() + Duration::from_secs(arguments.timeout_s);
    let status = carry_out(session, &deployment, &pending, deadline).await?;
    finish(session, deployment, &pending)?;
    let Recovery { former, lineage, survivor, lost, .. } = pending.order;
    let done = Done { former: former.lineage, lineage, survivor, lost, status: Box::new(status) };
    session.print(&done, || text(&done));
    Ok(Exit::Done)
}

fn text(done: &Done) -> String {
    format!(
        "Lineage {} follows {}; {} survived. `status` shows how the application repairs itself.\n",
        done.lineage, done.former, done.survivor
    )
}

/// Finds out what is lost, asks for consent and records the order.
async fn agree(
    session: &Session,
    deployment: &Deployment,
    arguments: &Recover,
) -> Result<PendingRecovery, Failure> {
    let mut client = session.client().await?;
    let mut shown = None;
    loop {
        let survey =
            survey::of(session, &mut client, deployment, arguments.lost.iter().copied().collect()).await?;
        let choice = rule::decide(&survey.known).map_err(|refused| {
            let mut hint = refused.hint();
            for failed in &survey.failed {
                hint.push_str(&format!("\n  provider {failed}"));
            }
            Failure::new(exit(&refused), format!("begin a new lineage: {refused}")).hint(hint)
        })?;
        // A member may have come back while the question waited.
        if arguments.yes || shown.as_ref() == Some(&choice) {
            client.close().await;
            return record(session, deployment, &survey, &choice);
        }
        if shown.is_some() {
            session.console.note("\nWhat was shown is out of date: the members that answer changed.\n");
        }
        session.console.note(&losses(deployment, &survey, &choice));
        session.console.confirm("Begin a new lineage?")?;
        shown = Some(choice);
    }
}

fn exit(refused: &rule::Refused) -> Exit {
    match refused {
        rule::Refused::NobodyAnswers => Exit::NoAnswer,
        rule::Refused::NoMember(_) | rule::Refused::NotLost(_) => Exit::BadConfig,
        rule::Refused::Quorum(_) | rule::Refused::Majority(_) | rule::Refused::Unaccounted { .. } => {
            Exit::Failed
        }
    }
}

/// The losses that the operator is asked to consent to.
fn losses(deployment: &Deployment, survey: &Survey, choice: &Choice) -> String {
    let mut text = format!(
        "`{}` lost its quorum. {} has the longest log and begins a new lineage alone.\n",
        deployment.app, choice.survivor
    );
    let others: BTreeSet<NodeId> =
        choice.kept.iter().copied().filter(|node| *node != choice.survivor).collect();
    if !others.is_empty() {
        text.push_str(&format!("{} stay members, and their instances run on.\n", list(&others)));
    }
    for node in &choice.lost {
        let instances =
            survey.members.get(node).map(|member| member.instances.join(", ")).unwrap_or_default();
        let instances = if instances.is_empty() { String::new() } else { format!(" (with {instances})") };
        text.push_str(&format!("{node}{instances} is given up for good, and its host is released.\n"));
    }
    text.push_str("Changes that only the lost members had committed are lost.\n");
    if choice.uncommitted > 0 {
        text.push_str(&format!(
            "The last {} entries of its log may not have been committed; they come into force.\n",
            choice.uncommitted
        ));
    }
    text
}

/// Signs the order and records it in the home. Every command looks for hosts of the new lineage from here on.
fn record(
    session: &Session,
    deployment: &Deployment,
    survey: &Survey,
    choice: &Choice,
) -> Result<PendingRecovery, Failure> {
    let claim = session.home.claim()?.ok_or_else(changed)?;
    if session.home.deployment()?.as_ref() != Some(deployment) || session.home.recovery()?.is_some() {
        return Err(changed());
    }
    let operator = NodeSecret::from_bytes(session.home.operator_secret(rand::random)?);
    let (former, lineage) = (deployment.lineage, super::founding::new_lineage());
    let signed = Succession::sign(&deployment.app, former, lineage, &operator);
    let former =
        FormerLineage { lineage: former, operator: signed.operator, signature: signed.signature.to_vec() };
    let lost = choice.lost.clone();
    let target = survey.target(choice.survivor).ok_or_else(changed)?;
    let pending = PendingRecovery {
        version: 1,
        order: Recovery { former, lineage, survivor: choice.survivor, lost, term: choice.term },
        survivor_key: crate::app_dir::to_hex(&target.key.0),
        survivor_addresses: target.addresses,
    };
    session.home.set_deployment(&claim, &deployment.with_other(lineage))?;
    session.home.set_recovery(&claim, &pending)?;
    Ok(pending)
}

fn changed() -> Failure {
    Failure::new(Exit::Failed, "begin a new lineage: another command changed the application meanwhile")
}

/// Sends the order until the survivor is of the new lineage and coordinates. An order that the survivor cannot take
/// now, or is carrying out for an earlier command, is sent again.
async fn carry_out(
    session: &Session,
    deployment: &Deployment,
    pending: &PendingRecovery,
    deadline: Instant,
) -> Result<Status, Failure> {
    let survivor = pending.survivor_target().ok_or_else(|| {
        Failure::new(Exit::Failed, "read the recorded recovery: the key of the survivor is damaged")
    })?;
    let secret = session.home.operator_secret(rand::random)?;
    // The home may name either lineage: an earlier command may have been ended while it made the new one the home's.
    let of = |lineage| Deployment { lineage, ..deployment.clone() };
    let (former, next) = (of(pending.order.former.lineage), of(pending.order.lineage));
    let mut former_client = Client::new(&session.home, &former, secret).await?;
    let mut next_client = Client::new(&session.home, &next, secret).await?;
    let order = Ask::Recover(Box::new(pending.order.clone()));
    let outcome = loop {
        // Another command that continues the same order may have been refused. An order that this home has forgotten
        // must not begin a lineage.
        if session.home.recovery()?.is_none()
            && session.home.deployment()?.is_none_or(|home| home.lineage != pending.order.lineage)
        {
            break Err(changed());
        }
        // After any other answer, or none, the status in the next lineage shows whether the survivor has carried it
        // out.
        if let Ok(Answer::Refused { reason, hint }) = ask(&mut former_client, &survivor, &order).await {
            // A restart of the survivor comes back in the former lineage, so the next command may decide anew.
            forget(session, &former.without_other(pending.order.lineage))?;
            break Err(refused(Answer::Refused { reason, hint }));
        }
        if let Ok(Answer::Status(status)) = ask(&mut next_client, &survivor, &Ask::Status).await
            && status.coordinator.is_some()
            && status.state != "no-quorum"
        {
            break Ok(*status);
        }
        if Instant::now() >= deadline {
            let silent = pending.order.survivor;
            let message = format!("see the new lineage begin in time: {silent} does not answer");
            break Err(Failure::new(Exit::NoAnswer, message).hint(format!(
                "the order is recorded: `recover --new-lineage` again continues it; if {silent} is lost for good as \
                 well, only `down` is left"
            )));
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    };
    former_client.close().await;
    next_client.close().await;
    outcome
}

async fn ask(client: &mut Client, survivor: &LinkTarget, ask: &Ask) -> Result<Answer, ClientError> {
    let answers = client.ask_each(vec![survivor.clone()], ask).await;
    answers.into_iter().next().map_or(Err(ClientError::NobodyAnswers), |(_, answer)| answer)
}

/// Drops the record of an order that was not carried out.
fn forget(session: &Session, deployment: &Deployment) -> Result<(), Failure> {
    let claim = session.home.claim()?.ok_or_else(changed)?;
    session.home.forget_recovery(&claim)?;
    Ok(session.home.set_deployment(&claim, deployment)?)
}

/// Makes the new lineage that of the home.
fn finish(session: &Session, deployment: Deployment, pending: &PendingRecovery) -> Result<(), Failure> {
    let claim = session.home.claim()?.ok_or_else(changed)?;
    let (former, lineage) = (pending.order.former.lineage, pending.order.lineage);
    let deployment = Deployment { lineage, ..deployment.with_other(former) }.without_other(lineage);
    if let Some(mut beginning) = session.home.beginning::<Beginning>()? {
        beginning.deployment = deployment.clone();
        session.home.set_beginning(&beginning)?;
    }
    // A node 0 that was given up is not started again. One that hangs ends when it comes back.
    let founder_is_lost = pending.order.lost.contains(&rhizo_types::ledger::FOUNDER);
    if founder_is_lost && session.home.founder()?.is_none_or(|founder| !founder.is_alive()) {
        session.home.forget_founder()?;
    }
    session.home.set_deployment(&claim, &deployment)?;
    Ok(session.home.forget_recovery(&claim)?)
}
