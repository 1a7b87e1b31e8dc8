//! A candidate solution: which instance runs on which host.
//!
//! This module judges neither rules nor the objective. Read next: [`mod@crate::check`] and [`mod@crate::evaluate`].

use crate::constraint::Scope;
use crate::problem::{Component, ComponentIndex, MachineIndex, Problem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A host: an existing one, or one of the hosts bought from an offer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Index of the host or of the offer.
    pub machine: MachineIndex,
    /// Number of the host among those bought from the offer, from 0; 0 for an existing host.
    pub copy: u32,
}

impl Place {
    /// The existing host, or the first host bought from an offer.
    #[must_use]
    pub fn on(machine: MachineIndex) -> Self {
        Self { machine, copy: 0 }
    }
}

/// One instance: a component and its ordinal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Instance {
    /// Index of the component.
    pub component: ComponentIndex,
    /// Its number among the component's instances.
    pub ordinal: usize,
}

/// The host of each instance of each component; none where an ordinal is not in use.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Assignment {
    /// `places[component][ordinal]`.
    pub places: Vec<Vec<Option<Place>>>,
}

impl Assignment {
    /// The assignment in which no instance runs.
    #[must_use]
    pub fn empty(problem: &Problem) -> Self {
        Self { places: vec![Vec::new(); problem.components.len()] }
    }

    /// The running configuration.
    #[must_use]
    pub fn current(problem: &Problem) -> Self {
        let of = |c: &Component| c.current.iter().map(|m| m.map(Place::on)).collect();
        Self { places: problem.components.iter().map(of).collect() }
    }

    /// Chooses ordinals for a set of hosts per component, so that as few instances as possible move.
    ///
    /// An instance whose host is still among the chosen ones stays. The other running instances take the new hosts in
    /// ascending order, which moves them. Instances with the lowest free ordinals start on the remaining new hosts.
    #[must_use]
    pub fn from_hosts(problem: &Problem, hosts: &[Vec<Place>]) -> Self {
        let places = problem.components.iter().zip(hosts).map(|(c, wanted)| align(c, wanted)).collect();
        Self { places }
    }

    /// Every running instance with its host, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (Instance, Place)> + '_ {
        self.places.iter().enumerate().flat_map(|(component, places)| {
            places
                .iter()
                .enumerate()
                .filter_map(move |(ordinal, place)| place.map(|p| (Instance { component, ordinal }, p)))
        })
    }

    /// The host of an instance; none when it does not run.
    #[must_use]
    pub fn place(&self, instance: Instance) -> Option<Place> {
        self.places.get(instance.component)?.get(instance.ordinal).copied().flatten()
    }

    /// The instances of a scope that run, with their hosts.
    #[must_use]
    pub fn in_scope(&self, scope: &Scope) -> Vec<(Instance, Place)> {
        let of_component = |component: ComponentIndex| {
            let places = self.places.get(component).map_or(&[][..], Vec::as_slice);
            places
                .iter()
                .enumerate()
                .filter_map(move |(ordinal, place)| place.map(|p| (Instance { component, ordinal }, p)))
        };
        match scope {
            Scope::All => self.iter().collect(),
            Scope::Component(component) => of_component(*component).collect(),
            Scope::Components(components) => components.iter().flat_map(|c| of_component(*c)).collect(),
            Scope::Instances(instances) => instances
                .iter()
                .map(|&(component, ordinal)| Instance { component, ordinal })
                .filter_map(|instance| self.place(instance).map(|p| (instance, p)))
                .collect(),
        }
    }

    /// The number of instances of a component that run.
    #[must_use]
    pub fn count(&self, component: ComponentIndex) -> usize {
        self.places.get(component).map_or(0, |places| places.iter().flatten().count())
    }

    /// The instances on each used host.
    #[must_use]
    pub fn by_host(&self) -> BTreeMap<Place, Vec<Instance>> {
        let mut hosts: BTreeMap<Place, Vec<Instance>> = BTreeMap::new();
        for (instance, place) in self.iter() {
            hosts.entry(place).or_default().push(instance);
        }
        hosts
    }
}

/// Gives hosts to the ordinals of one component: see [`Assignment::from_hosts`].
pub(crate) fn align(component: &Component, wanted: &[Place]) -> Vec<Option<Place>> {
    let mut left: Vec<Place> = wanted.to_vec();
    left.sort_unstable();
    let mut places: Vec<Option<Place>> = vec![None; component.current.len()];
    for (ordinal, machine) in component.current.iter().enumerate() {
        if let Some(machine) = machine
            && let Some(at) = left.iter().position(|p| *p == Place::on(*machine))
        {
            places[ordinal] = Some(left.remove(at));
        }
    }
    let mut left = left.into_iter();
    for (ordinal, machine) in component.current.iter().enumerate() {
        if machine.is_some() && places[ordinal].is_none() {
            places[ordinal] = left.next();
        }
    }
    for place in &mut places {
        if place.is_none() {
            *place = left.next();
        }
    }
    places.extend(left.map(Some));
    while places.last() == Some(&None) {
        places.pop();
    }
    places
}
