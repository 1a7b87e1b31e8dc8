//! Actions of operators beyond changes of the spec: scripts, versions that do not work, and lost data that is given up.
//!
//! `run` plans the time of each.

use crate::world::World;
use rand::RngExt;
use rhizo_protocol::Request;
use rhizo_types::id::{BehaviourName, InstanceId, PortName};
use rhizo_types::script::{Order, Place, Script, Statement};
use std::collections::BTreeSet;
use std::sync::Arc;

impl World {
    /// Submits a script of a few statements about the present instances. Returns false if such a script cannot be
    /// executed now.
    pub(crate) fn run_script(&mut self) -> bool {
        let Some(leader) = self.log.leader else { return false };
        let names: Vec<InstanceId> =
            self.log.truth.plan.iter().flat_map(|plan| plan.placement.keys().cloned()).collect();
        let mut orders = Vec::new();
        for _ in 0..self.rng.random_range(1..=6) {
            if names.is_empty() {
                return false;
            }
            let instance = names[self.rng.random_range(0..names.len())].clone();
            let other = names[self.rng.random_range(0..names.len())].clone();
            let behaviour = BehaviourName::from(if self.rng.random_bool(0.5) { "work" } else { "rest" });
            let import = PortName(other.component.0.clone());
            let (importer, exporter) = (instance.clone(), other.clone());
            let order = match self.rng.random_range(0..6) {
                0 | 1 => Order::Push { instance, behaviour },
                2 => Order::Connect { importer, import, exporter },
                3 => Order::Wait { instances: BTreeSet::from([instance]) },
                // The removed instance is added again in the same change, perhaps on another host.
                4 => {
                    orders.push(Order::Del { instance: instance.clone() });
                    Order::Add { instance, place: Place::Any }
                }
                _ => Order::Wait { instances: BTreeSet::new() },
            };
            orders.push(order);
        }
        let statements = (1..).zip(orders).map(|(line, order)| Statement { line, order });
        let script = Script { statements: statements.collect() };
        if self.log.truth.script_runs() || self.log.truth.check_script(&script).is_err() {
            return false;
        }
        self.request(leader, Request::Script(Box::new(script)));
        true
    }

    /// Ships the same application in a version that does not start. Components with `on_failure = "unwind"` are
    /// rolled back.
    pub(crate) fn ship_bad_version(&mut self) -> bool {
        let Some(leader) = self.log.leader else { return false };
        let Some(mut spec) = self.log.truth.spec().cloned() else { return false };
        let position = self.rng.random_range(0..spec.components.len().max(1));
        if let Some(component) = spec.components.values_mut().nth(position) {
            Arc::make_mut(component).env.insert("BAD".to_owned(), String::new());
        }
        self.bad = Some("BAD".to_owned());
        self.request(
            leader,
            Request::SetSpec { spec: Box::new(spec), source: "bad".to_owned(), after: None },
        );
        false
    }

    /// The operator gives up the data of every copy that waits for it. A script is ended first: it may wait for users of
    /// such a copy, and while a script runs no other copies are placed than the script's.
    pub(crate) fn give_up_data(&mut self) {
        let Some(leader) = self.log.leader else { return };
        let waiting: Vec<InstanceId> =
            self.log.truth.waiting_for_data().map(|(instance, _)| instance.clone()).collect();
        if !waiting.is_empty() && self.log.truth.script_runs() {
            self.request(leader, Request::EndScript);
        }
        for instance in waiting {
            self.request(leader, Request::GiveUpData { instance });
        }
    }
}
