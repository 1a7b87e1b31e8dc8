//! The exporter's side of bindings: the users that wait for an export, use it, or were asked to release it.
//!
//! ```text
//! Waiting ──Bound──► Using ──AskUnbind──► Asked ──Unbound──► (gone)
//! ```
//! An exporter that fails or has to stop at once sends its users *Lost* and waits for none of them. One that wants to
//! leave the places of an export accepts no new users of it, so that the present ones can end (Concerto-D's
//! *refusing*).

use super::Agent;
use super::local::{Exports, Local, Mode};
use super::step::Step;
use crate::sabotage::{self, Sabotage};
use rhizo_types::Generation;
use rhizo_types::id::{InstanceId, NodeId, PortName};
use rhizo_types::lifecycle::Values;
use rhizo_types::message::{AgentMessage, Served, UseId};
use std::collections::{BTreeMap, BTreeSet};

/// After this many failures in a row the users of an exporter are restarted with it: their requests may be the cause.
const RESTART_USERS_AT: u32 = 2;

/// A use as its exporter's agent knows it: the importer's node, and that node's number.
pub(super) type UserKey = (NodeId, UseId);

/// The least and the greatest key there can be.
const ALL: (UserKey, UserKey) = ((NodeId(0), UseId(0)), (NodeId(u64::MAX), UseId(u64::MAX)));

/// One use of an export of this node, by an instance here or elsewhere.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct User {
    /// The instance that imports.
    pub importer: InstanceId,
    /// The import of it that the use belongs to.
    pub import: PortName,
    /// The instance of this node that exports.
    pub exporter: InstanceId,
    /// The generation of the exporter that was asked for.
    pub generation: Generation,
    /// The export.
    pub export: PortName,
    /// How far the use has come.
    pub state: UserState,
}

/// How far one use of an export has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum UserState {
    /// The importer waits for *Bound*, which is sent when the export becomes active.
    Waiting,
    /// The importer has *Bound*, and may use the export at any time.
    Using,
    /// The importer has *AskUnbind*, and may use the export until it sends *Unbound*.
    Asked,
}

/// The users of the instances of one node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Users {
    by_key: BTreeMap<UserKey, User>,
    /// The keys of the users by exporter, ordered so that those in one state, or of one export in one state, are a
    /// range.
    by_exporter: BTreeMap<InstanceId, BTreeSet<(UserState, PortName, UserKey)>>,
}

impl Users {
    /// Adds a user.
    pub(super) fn add(&mut self, key: UserKey, user: User) {
        let entry = (user.state, user.export.clone(), key);
        self.by_exporter.entry(user.exporter.clone()).or_default().insert(entry);
        self.by_key.insert(key, user);
    }

    /// Removes a user and returns it; none if there is none by that key.
    fn remove(&mut self, key: UserKey) -> Option<User> {
        let user = self.by_key.remove(&key)?;
        if let Some(users) = self.by_exporter.get_mut(&user.exporter) {
            users.remove(&(user.state, user.export.clone(), key));
            if users.is_empty() {
                self.by_exporter.remove(&user.exporter);
            }
        }
        Some(user)
    }

    fn set_state(&mut self, key: UserKey, state: UserState) {
        let Some(user) = self.by_key.get_mut(&key) else { return };
        let before = std::mem::replace(&mut user.state, state);
        if let Some(users) = self.by_exporter.get_mut(&user.exporter) {
            users.remove(&(before, user.export.clone(), key));
            users.insert((state, user.export.clone(), key));
        }
    }

    /// The users of one export in one state.
    fn of_export(&self, exporter: &InstanceId, state: UserState, export: &PortName) -> Vec<UserKey> {
        let Some(users) = self.by_exporter.get(exporter) else { return Vec::new() };
        let range = (state, export.clone(), ALL.0)..=(state, export.clone(), ALL.1);
        users.range(range).map(|(.., key)| *key).collect()
    }

    /// The users of an instance that are in the state Using or Asked.
    fn using(&self, exporter: &InstanceId) -> Vec<UserKey> {
        let users = self.by_exporter.get(exporter).into_iter().flatten();
        users.filter(|(state, ..)| *state != UserState::Waiting).map(|(.., key)| *key).collect()
    }

    /// Whether any export of the instance is in use.
    pub(super) fn is_used(&self, exporter: &InstanceId) -> bool {
        let last = self.by_exporter.get(exporter).and_then(|users| users.last());
        last.is_some_and(|(state, ..)| *state != UserState::Waiting)
    }

    /// Whether this export is in use.
    pub(super) fn is_export_used(&self, exporter: &InstanceId, export: &PortName) -> bool {
        let Some(users) = self.by_exporter.get(exporter) else { return false };
        [UserState::Using, UserState::Asked].into_iter().any(|state| {
            users.range((state, export.clone(), ALL.0)..=(state, export.clone(), ALL.1)).next().is_some()
        })
    }

    /// The users on one node.
    pub(super) fn of_node(&self, node: NodeId) -> Vec<UserKey> {
        self.by_key.range((node, UseId(0))..=(node, UseId(u64::MAX))).map(|(key, _)| *key).collect()
    }

    /// Every user.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, UseId, &User)> {
        self.by_key.iter().map(|((node, id), user)| (*node, *id, user))
    }
}

impl Step<'_> {
    /// Sends *Bound* to users that wait for an active export, and to all users if its address or values changed.
    pub(super) fn serve(&mut self) {
        let changed = std::mem::take(&mut self.local.outputs.changed);
        let is_up = self.local.mode == Mode::Up(Exports::Offered);
        let has_users = self.agent.users.by_exporter.contains_key(self.instance);
        if !is_up || !self.local.wanted || !has_users || sabotage::is(Sabotage::ForgetsToServe) {
            return;
        }
        let component = self.local.kind.component.clone();
        for export in component.exports.keys() {
            let active = self.local.is_active(export) || sabotage::is(Sabotage::ServesInactive);
            if !active || self.local.refusing.contains(export) {
                continue;
            }
            let Some(served) = served(self.local, export) else { continue };
            let mut keys = self.agent.users.of_export(self.instance, UserState::Waiting, export);
            if changed {
                keys.extend(self.agent.users.of_export(self.instance, UserState::Using, export));
            }
            for key in keys {
                let user = self.agent.users.by_key.get(&key);
                if user.is_some_and(|user| user.generation == self.local.placed.generation) {
                    self.agent.users.set_state(key, UserState::Using);
                    self.agent.send(key.0, AgentMessage::Bound { id: key.1, served: served.clone() });
                }
            }
        }
    }

    /// Asks the users of an export to release it.
    pub(super) fn ask_users(&mut self, export: &PortName) {
        let mut keys = self.agent.users.of_export(self.instance, UserState::Using, export);
        if sabotage::is(Sabotage::AsksAgain) {
            keys.extend(self.agent.users.of_export(self.instance, UserState::Asked, export));
        }
        for key in keys {
            self.agent.users.set_state(key, UserState::Asked);
            let target = self.agent.target;
            self.agent.send(key.0, AgentMessage::AskUnbind { id: key.1, target });
        }
    }

    /// Sends *Lost* to every user of the instance: its exports are no longer active.
    pub(super) fn lose_users(&mut self) {
        let restart = self.local.failures.in_a_row >= RESTART_USERS_AT;
        for key in self.agent.users.using(self.instance) {
            self.agent.drop_user(key);
            if !sabotage::is(Sabotage::ForgetsUsers) {
                self.agent.send(key.0, AgentMessage::Lost { id: key.1, restart });
            }
        }
    }
}

impl Agent {
    /// Removes a user, because it has released the export or its node is gone.
    pub(super) fn drop_user(&mut self, key: UserKey) {
        if let Some(user) = self.users.remove(key) {
            self.dirty.insert(user.exporter);
        } else if sabotage::is(Sabotage::EchoesUnknown) {
            self.send(key.0, AgentMessage::Lost { id: key.1, restart: false });
        }
    }

    /// Every user that this agent knows, for checks in tests and the simulator.
    pub fn users(&self) -> impl Iterator<Item = (NodeId, UseId, &User)> {
        self.users.iter()
    }
}

/// The address and values that a user of an export is given; none while the address is not known.
fn served(local: &Local, export: &PortName) -> Option<Served> {
    let declared = local.kind.component.exports.get(export)?;
    let address = local.outputs.addresses.get(export).copied();
    if address.is_none() && !declared.data {
        return None;
    }
    let values: Values = declared
        .values
        .iter()
        .filter_map(|name| {
            let value =
                local.outputs.values.get(name).or_else(|| local.kind.component.attributes.get(name))?;
            Some((name.clone(), value.clone()))
        })
        .collect();
    Some(Served { address, values })
}
