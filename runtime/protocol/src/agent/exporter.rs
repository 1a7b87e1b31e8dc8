//! The exporter's side of bindings: who uses an export, who waits for it, who was asked to let go.
//!
//! ```text
//! Waiting ──Bound──► Using ──AskUnbind──► Asked ──Unbound──► (gone)
//! ```
//! An exporter that failed or had to stop at once tells its users *Lost* and waits for nobody. One that wants to leave
//! the places of an export refuses new users of it, so that it is not kept for ever (Concerto-D's *refusing*).

use super::Agent;
use super::local::{Local, Mode};
use crate::sabotage::{self, Sabotage};
use rhizo_types::Generation;
use rhizo_types::id::{InstanceId, NodeId, PortName};
use rhizo_types::lifecycle::Values;
use rhizo_types::message::{AgentMessage, Served, UseId};
use std::collections::BTreeSet;

/// After so many failures in a row the users of an exporter are restarted with it: what they do may be the cause.
const RESTART_USERS_AT: u32 = 2;

/// A use as its exporter's agent knows it: the importer's node, and that node's number.
pub(super) type UserKey = (NodeId, UseId);

/// The users of one exporter, ordered so that a state or an export of it is found at once.
pub(super) type Users = BTreeSet<(UserState, PortName, UserKey)>;

/// One use of an export of this node, by an instance here or elsewhere.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct User {
    /// Who imports.
    pub importer: InstanceId,
    /// Through which of its imports.
    pub import: PortName,
    /// What it imports.
    pub exporter: InstanceId,
    /// Which generation of it.
    pub generation: Generation,
    /// Which export.
    pub export: PortName,
    /// How far it is.
    pub state: UserState,
}

/// How far one use of an export is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum UserState {
    /// To be told when the export is active.
    Waiting,
    /// Was told, and may use the export at any time.
    Using,
    /// Was asked to let go.
    Asked,
}

impl User {
    pub(super) fn new(
        importer: InstanceId,
        import: PortName,
        exporter: InstanceId,
        generation: Generation,
        export: PortName,
    ) -> Self {
        Self { importer, import, exporter, generation, export, state: UserState::Waiting }
    }
}

/// The least and the greatest key there can be.
const ALL: (UserKey, UserKey) = ((NodeId(0), UseId(0)), (NodeId(u64::MAX), UseId(u64::MAX)));

/// The users of an export in a state.
fn of_export(users: &Users, state: UserState, export: &PortName) -> Vec<UserKey> {
    let range = (state, export.clone(), ALL.0)..=(state, export.clone(), ALL.1);
    users.range(range).map(|(.., key)| *key).collect()
}

impl Agent {
    pub(super) fn users_add(&mut self, key: UserKey, user: User) {
        // The exporter may not be here yet: the importer's agent may know a newer target than this one.
        self.dirty.insert(user.exporter.clone());
        let entry = (user.state, user.export.clone(), key);
        self.users_of.entry(user.exporter.clone()).or_default().insert(entry);
        self.users.insert(key, user);
    }

    pub(super) fn drop_user(&mut self, key: UserKey) {
        let Some(user) = self.users.remove(&key) else {
            if sabotage::is(Sabotage::EchoesUnknown) {
                self.send(key.0, AgentMessage::Lost { id: key.1, restart: false });
            }
            return;
        };
        if let Some(users) = self.users_of.get_mut(&user.exporter) {
            users.remove(&(user.state, user.export, key));
            if users.is_empty() {
                self.users_of.remove(&user.exporter);
            }
        }
        self.dirty.insert(user.exporter);
    }

    fn set_state(&mut self, key: UserKey, state: UserState) {
        let Some(user) = self.users.get_mut(&key) else { return };
        let before = std::mem::replace(&mut user.state, state);
        if let Some(users) = self.users_of.get_mut(&user.exporter) {
            users.remove(&(before, user.export.clone(), key));
            users.insert((state, user.export.clone(), key));
        }
    }

    /// Whether anybody still uses an export of the instance.
    pub(super) fn is_used(&self, exporter: &InstanceId) -> bool {
        let last = self.users_of.get(exporter).and_then(|users| users.last());
        last.is_some_and(|(state, ..)| *state != UserState::Waiting)
    }

    /// Whether anybody still uses this export.
    pub(super) fn is_export_used(&self, exporter: &InstanceId, export: &PortName) -> bool {
        let Some(users) = self.users_of.get(exporter) else { return false };
        [UserState::Using, UserState::Asked].into_iter().any(|state| {
            users.range((state, export.clone(), ALL.0)..=(state, export.clone(), ALL.1)).next().is_some()
        })
    }

    /// Tells those who wait for an active export, and those who use one whose values changed.
    pub(super) fn serve(&mut self, exporter: &InstanceId, local: &mut Local) {
        let changed = std::mem::take(&mut local.values_changed);
        let silent = local.mode != Mode::Up || local.suspended || !local.wanted;
        if silent || !self.users_of.contains_key(exporter) || sabotage::is(Sabotage::ForgetsToServe) {
            return;
        }
        for export in local.kind.component.exports.keys() {
            let active = local.is_active(export) || sabotage::is(Sabotage::ServesInactive);
            if !active || local.refusing.contains(export) {
                continue;
            }
            let Some(served) = served(local, export) else { continue };
            let Some(users) = self.users_of.get(exporter) else { return };
            let mut keys = of_export(users, UserState::Waiting, export);
            if changed {
                keys.extend(of_export(users, UserState::Using, export));
            }
            for key in keys {
                let right =
                    self.users.get(&key).is_some_and(|user| user.generation == local.placed.generation);
                if right {
                    self.set_state(key, UserState::Using);
                    self.send(key.0, AgentMessage::Bound { id: key.1, served: served.clone() });
                }
            }
        }
    }

    /// Asks those who use an export to let go of it.
    pub(super) fn ask_users(&mut self, exporter: &InstanceId, export: &PortName) {
        let Some(users) = self.users_of.get(exporter) else { return };
        let mut keys = of_export(users, UserState::Using, export);
        if sabotage::is(Sabotage::AsksAgain) {
            keys.extend(of_export(users, UserState::Asked, export));
        }
        for key in keys {
            self.set_state(key, UserState::Asked);
            self.send(key.0, AgentMessage::AskUnbind { id: key.1, target: self.target });
        }
    }

    /// Tells those who use the instance that its exports are not active any more.
    pub(super) fn lose_users(&mut self, exporter: &InstanceId, local: &Local) {
        let restart = local.failures >= RESTART_USERS_AT;
        let Some(users) = self.users_of.get(exporter) else { return };
        let keys: Vec<UserKey> =
            users.iter().filter(|(state, ..)| *state != UserState::Waiting).map(|(.., key)| *key).collect();
        for key in keys {
            self.drop_user(key);
            if !sabotage::is(Sabotage::ForgetsUsers) {
                self.send(key.0, AgentMessage::Lost { id: key.1, restart });
            }
        }
    }

    /// Every user this agent knows: for checks in tests and the simulator.
    pub fn users(&self) -> impl Iterator<Item = (NodeId, UseId, &User)> {
        self.users.iter().map(|((node, id), user)| (*node, *id, user))
    }
}

/// What an export gives to its users; none as long as its address is not known.
fn served(local: &Local, export: &PortName) -> Option<Served> {
    let declared = local.kind.component.exports.get(export)?;
    let address = local.addresses.get(export).copied();
    if address.is_none() && !declared.data {
        return None;
    }
    let values: Values = declared
        .values
        .iter()
        .filter_map(|name| {
            let value = local.values.get(name).or_else(|| local.kind.component.attributes.get(name))?;
            Some((name.clone(), value.clone()))
        })
        .collect();
    Some(Served { address, values })
}
