//! The resources of a host that a copy of a component takes: amounts of the host's capacity, and fixed TCP ports.
//!
//! The problem of the solver, the coordinator during a change and the statements of scripts all use these, so that they
//! judge the room on a host alike. Nothing is decided here. Read next: [`crate::spec`], which declares needs and ports.

use crate::number::Number;
use crate::spec::{Component, Export};
use std::collections::BTreeMap;
use std::fmt;

/// The TCP port that the node of every host listens on when it is free: each host has an address of its own, and a
/// firewall can name a fixed port. No component can have it as a fixed port.
pub const NODE_PORT: u16 = 4747;

/// A resource of a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HostResource<'a> {
    /// An amount of the capacity that the offer states, such as `cpu` or `memory`.
    Amount(&'a str),
    /// A fixed TCP port of the host's address. Each host has each port once.
    Port(u16),
}

impl HostResource<'_> {
    /// Returns how much of the resource a host has, whose offer states this capacity.
    #[must_use]
    pub fn capacity(&self, capacity: &BTreeMap<String, Number>) -> f64 {
        match self {
            Self::Amount(name) => capacity.get(*name).map_or(0.0, |have| have.get()),
            Self::Port(_) => 1.0,
        }
    }
}

impl fmt::Display for HostResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(name) => f.write_str(name),
            Self::Port(port) => write!(f, "port {port}"),
        }
    }
}

impl Component {
    /// Returns the resources that one copy takes of its host, with the amount of each: its needs and its fixed ports.
    pub fn takes(&self) -> impl Iterator<Item = (HostResource<'_>, Number)> {
        let needs = self.needs.iter().map(|(name, need)| (HostResource::Amount(name.as_str()), *need));
        needs.chain(self.fixed_ports().map(|port| (HostResource::Port(port), Number::ONE)))
    }

    /// Returns the fixed ports of its exports. The config refuses two exports of one component with the same port.
    pub fn fixed_ports(&self) -> impl Iterator<Item = u16> {
        self.exports.values().filter_map(Export::fixed_port)
    }
}
