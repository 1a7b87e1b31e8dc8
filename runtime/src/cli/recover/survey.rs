//! The survey of the members: which of them answer, and whose hosts are gone.
//!
//! Members are asked side by side. The roster of each answer may name further members, which are asked next. Providers
//! are asked for the hosts of members that do not answer. Nothing is decided here. Read next: [`super::rule`].

use super::rule::{Known, MemberState};
use crate::admin::{Answer, Ask, MemberStanding, Standing};
use crate::app_dir::{Deployment, KnownMember};
use crate::cli::Session;
use crate::cli::client::Client;
use crate::cli::exit::Failure;
use crate::cli::sources::Sources;
use crate::node::list_of_all;
use rhizo_actuators::HostState;
use rhizo_overlay::LinkTarget;
use rhizo_types::ledger::FOUNDER;
use rhizo_types::{HostId, NodeId, PeerKey, ProviderName};
use std::collections::{BTreeMap, BTreeSet};

/// The findings of the command about all members.
pub(super) struct Survey {
    pub(super) known: Known,
    /// The members with their hosts and instances, as the members that answer know them.
    pub(super) members: BTreeMap<NodeId, MemberStanding>,
    /// Providers that did not answer, each with the reason. Nothing is known about hosts of theirs.
    pub(super) failed: Vec<String>,
}

impl Survey {
    /// The address of a member.
    pub(super) fn target(&self, node: NodeId) -> Option<LinkTarget> {
        target(self.members.get(&node)?)
    }
}

fn target(member: &MemberStanding) -> Option<LinkTarget> {
    let key = crate::app_dir::from_hex(&member.key).map(PeerKey)?;
    Some(LinkTarget { key, addresses: member.addresses.clone() })
}

/// Asks all members that this home or another member knows, and all providers.
pub(super) async fn of(
    session: &Session,
    client: &mut Client,
    deployment: &Deployment,
    named_lost: BTreeSet<NodeId>,
) -> Result<Survey, Failure> {
    let (standings, mut members) = ask_members(client, session.home.members()?).await;
    // The roster of the member with the longest log is the newest one.
    if let Some(newest) = standings.values().max_by_key(|standing| standing.last) {
        members.retain(|node, _| newest.members.iter().any(|member| member.node == *node));
    }
    let missing = members.keys().any(|node| !standings.contains_key(node));
    let (gone, failed) =
        if missing { hosts_gone(session, deployment, &members).await? } else { Default::default() };
    let mut states = BTreeMap::new();
    for node in members.keys() {
        let state = match standings.get(node) {
            Some(standing) => MemberState::Answers(standing.clone()),
            None if gone.contains(node) => MemberState::Gone,
            None if *node == FOUNDER => founder(session)?,
            None => MemberState::Silent,
        };
        states.insert(*node, state);
    }
    Ok(Survey { known: Known { members: states, named_lost }, members, failed })
}

/// Node 0 has no host at a provider. Its process and its files belong to this home.
fn founder(session: &Session) -> Result<MemberState, Failure> {
    let runs = session.home.founder()?.is_some_and(|founder| founder.is_alive());
    Ok(match (runs, session.home.founder_dir().exists()) {
        (true, _) => MemberState::Silent,
        (false, true) => MemberState::NotStarted,
        (false, false) => MemberState::Gone,
    })
}

/// Asks the members for their standings, and those that they name.
async fn ask_members(
    client: &mut Client,
    noted: Vec<KnownMember>,
) -> (BTreeMap<NodeId, Standing>, BTreeMap<NodeId, MemberStanding>) {
    let (mut standings, mut members) = (BTreeMap::new(), BTreeMap::new());
    let mut asked: BTreeSet<NodeId> = BTreeSet::new();
    let mut next: Vec<(NodeId, LinkTarget)> = Vec::new();
    for member in noted {
        let Some(key) = member.peer_key() else { continue };
        next.push((member.node, LinkTarget { key, addresses: member.addresses }));
    }
    while !next.is_empty() {
        asked.extend(next.iter().map(|(node, _)| *node));
        let targets = next.drain(..).map(|(_, target)| target).collect();
        for (_, answer) in client.ask_each(targets, &Ask::Standing).await {
            let Ok(Answer::Standing(standing)) = answer else { continue };
            for member in &standing.members {
                members.insert(member.node, member.clone());
                if !asked.contains(&member.node)
                    && let Some(target) = target(member)
                    && !next.iter().any(|(node, _)| *node == member.node)
                {
                    next.push((member.node, target));
                }
            }
            standings.insert(standing.node, *standing);
        }
    }
    (standings, members)
}

/// The members whose hosts are gone by the lists of their providers, and the providers that gave no list.
async fn hosts_gone(
    session: &Session,
    deployment: &Deployment,
    members: &BTreeMap<NodeId, MemberStanding>,
) -> Result<(BTreeSet<NodeId>, Vec<String>), Failure> {
    let (mut live, mut failed): (BTreeMap<ProviderName, BTreeSet<HostId>>, _) = (BTreeMap::new(), Vec::new());
    let mut silent = BTreeSet::new();
    for source in Sources::of(session, Some(deployment))?.sources {
        let listed = match &source.provider {
            Ok(provider) => list_of_all(&**provider, &deployment.owners()).await,
            Err(reason) => {
                failed.push(format!("{}: {reason}", source.name));
                silent.insert(source.name);
                continue;
            }
        };
        match listed {
            Ok(hosts) => {
                let hosts = hosts.into_iter().filter(|host| host.state != HostState::Terminated);
                live.entry(source.name).or_default().extend(hosts.map(|host| host.id));
            }
            Err(error) => {
                failed.push(format!("{}: {}", source.name, crate::error::chain(&error)));
                silent.insert(source.name);
            }
        }
    }
    // A provider with several tables shows nothing unless each of them gives a list.
    live.retain(|name, _| !silent.contains(name));
    let is_gone = |member: &MemberStanding| {
        let live = live.get(&member.provider);
        live.zip(member.host.as_ref()).is_some_and(|(live, host)| !live.contains(host))
    };
    let gone = members.values().filter(|member| is_gone(member)).map(|member| member.node).collect();
    Ok((gone, failed))
}
