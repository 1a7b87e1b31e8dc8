//! A world in which a test chooses the application and the faults, one step after the other.
//!
//! For tests that generate and shrink whole histories. The nodes that a fault strikes, and every delay, still come
//! from one seed, so that the same steps give the same history. Read next: `run`, where a seed chooses the steps as
//! well.

use crate::check;
use crate::fault::Fault;
use crate::phase::{HEAL_MS, run_until, wait};
use crate::scenario::{Scenario, set_components};
use crate::violation::Violation;
use crate::world::{Happening, World};
use rhizo_protocol::Request;
use rhizo_types::id::{ComponentName, InstanceId, PortName, ProviderName};
use rhizo_types::spec::{Component, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An application on simulated providers.
pub struct Cluster {
    world: World,
}

impl Cluster {
    /// Returns an application of these components, about to be deployed on hosts of this number of providers.
    #[must_use]
    pub fn new(seed: u64, components: BTreeMap<ComponentName, Component>, providers: u32) -> Self {
        let providers: Vec<ProviderName> = (0..providers).map(|i| ProviderName(format!("p{i}"))).collect();
        let mut scenario = Scenario::of(seed);
        let source = scenario.spec.providers.values().next().cloned();
        let sources = providers.iter().filter_map(|name| Some((name.clone(), source.clone()?))).collect();
        scenario.spec = Spec { providers: sources, budget: None, ..scenario.spec };
        set_components(&mut scenario.spec, components);
        scenario.providers = providers;
        Self { world: World::of(scenario, seed, false) }
    }

    /// Advances the time. Faults that are switched on can strike meanwhile.
    ///
    /// # Errors
    /// A safety check failed.
    pub fn pass(&mut self, ms: u64) -> Result<(), Violation> {
        let end = self.world.now.after_ms(ms);
        run_until(&mut self.world, end);
        self.verdict()
    }

    /// Switches random failures of messages, orders and actions on, and makes this fault strike if it can.
    pub fn strike(&mut self, fault: Fault) {
        self.world.faulty = true;
        self.world.later(0, Happening::Strike(fault));
    }

    /// Puts other components in force. Returns false if there is no coordinator that could receive the request.
    pub fn change(&mut self, components: BTreeMap<ComponentName, Component>) -> bool {
        let Some(leader) = self.world.log.leader.filter(|leader| self.world.has_quorum(*leader)) else {
            return false;
        };
        let mut spec = self.world.scenario.spec.clone();
        set_components(&mut spec, components);
        self.world.request(
            leader,
            Request::SetSpec { spec: Box::new(spec), source: "changed".to_owned(), after: None },
        );
        true
    }

    /// Ends all faults, and waits until the world is in the state that the application in force requires. Returns
    /// false when the majority was lost for good, so that no decision is possible any more.
    ///
    /// # Errors
    /// A check failed; `converges` is one.
    pub fn heal(&mut self) -> Result<bool, Violation> {
        self.world.heal();
        if !self.world.can_decide() {
            return Ok(false);
        }
        wait(&mut self.world, HEAL_MS, "converges", check::converged);
        self.verdict().map(|()| true)
    }

    fn verdict(&self) -> Result<(), Violation> {
        self.world.violation.clone().map_or(Ok(()), Err)
    }

    /// The components in force.
    #[must_use]
    pub fn components(&self) -> BTreeMap<ComponentName, Arc<Component>> {
        self.world.log.truth.spec().map(|spec| spec.components.clone()).unwrap_or_default()
    }

    /// Returns for every running instance the exporters of its imports, by the last notice to it.
    #[must_use]
    pub fn bindings(&self) -> BTreeMap<InstanceId, BTreeMap<PortName, BTreeSet<InstanceId>>> {
        let cores = self.world.processes.values().filter(|process| process.is_up());
        let agents = cores.filter_map(|process| process.core.as_ref()).map(|core| core.agent());
        let running = self.world.running();
        let mut bindings = BTreeMap::new();
        for agent in agents {
            for view in agent.instances().filter(|view| running.contains_key(view.instance)) {
                let told = view
                    .bound_imports
                    .iter()
                    .map(|(port, told)| (port.clone(), told.keys().cloned().collect()));
                bindings.insert(view.instance.clone(), told.collect());
            }
        }
        bindings
    }
}
