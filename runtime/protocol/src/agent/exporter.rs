//! The exporter's side of bindings: who uses an export, who waits for it, who was asked to let go.
//!
//! ```text
//! Waiting ──Bound──► Using ──AskUnbind──► Asked ──Unbound──► (gone)
//! ```
//! An exporter that failed or had to stop at once tells its users *Lost* and waits for nobody.

use super::Agent;
use super::instance::Local;
use crate::sabotage::{self, Sabotage};
use rhizo_types::Generation;
use rhizo_types::id::{InstanceId, NodeId, PortName};
use rhizo_types::lifecycle::Values;
use rhizo_types::message::{AgentMessage, InstancePhase, Served, UseId};

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
    /// To be told when the exporter is started.
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

impl Agent {
    pub(super) fn users_add(&mut self, key: (NodeId, UseId), user: User) {
        // The exporter may not be here yet: the importer's agent may know a newer target than this one.
        self.dirty.insert(user.exporter.clone());
        self.users_of.entry(user.exporter.clone()).or_default().insert(key);
        self.users.insert(key, user);
    }

    pub(super) fn drop_user(&mut self, key: (NodeId, UseId)) {
        let Some(user) = self.users.remove(&key) else { return };
        if let Some(keys) = self.users_of.get_mut(&user.exporter) {
            keys.remove(&key);
            if keys.is_empty() {
                self.users_of.remove(&user.exporter);
            }
        }
        self.dirty.insert(user.exporter);
    }

    fn users_in(&self, exporter: &InstanceId, states: &[UserState]) -> Vec<(NodeId, UseId)> {
        let keys = self.users_of.get(exporter).into_iter().flatten();
        let found = keys.filter(|key| self.users.get(key).is_some_and(|user| states.contains(&user.state)));
        found.copied().collect()
    }

    /// Whether anybody still uses an export of the instance.
    pub(super) fn is_used(&self, exporter: &InstanceId) -> bool {
        !self.users_in(exporter, &[UserState::Using, UserState::Asked]).is_empty()
    }

    /// Tells those who wait that the instance is started.
    pub(super) fn serve(&mut self, exporter: &InstanceId, local: &Local) {
        if local.phase != InstancePhase::Started || !local.wanted {
            return;
        }
        for key in self.users_in(exporter, &[UserState::Waiting]) {
            let Some(user) = self.users.get_mut(&key) else { continue };
            let Some(address) = local.exports.get(&user.export) else { continue };
            if user.generation == local.placed.generation {
                user.state = UserState::Using;
                self.send(
                    key.0,
                    AgentMessage::Bound {
                        id: key.1,
                        served: Served { address: Some(*address), values: Values::new() },
                    },
                );
            }
        }
    }

    /// Asks those who use the instance to let go.
    pub(super) fn ask_users(&mut self, exporter: &InstanceId) {
        for key in self.users_in(exporter, &[UserState::Using]) {
            if let Some(user) = self.users.get_mut(&key) {
                user.state = UserState::Asked;
            }
            self.send(key.0, AgentMessage::AskUnbind { id: key.1 });
        }
    }

    /// Tells those who use the instance that it is not started any more.
    pub(super) fn lose_users(&mut self, exporter: &InstanceId) {
        for key in self.users_in(exporter, &[UserState::Using, UserState::Asked]) {
            self.drop_user(key);
            if !sabotage::is(Sabotage::ForgetsUsers) {
                self.send(key.0, AgentMessage::Lost { id: key.1, restart: false });
            }
        }
    }

    /// Every user this agent knows: for checks in tests and the simulator.
    pub fn users(&self) -> impl Iterator<Item = (NodeId, UseId, &User)> {
        self.users.iter().map(|((node, id), user)| (*node, *id, user))
    }
}
