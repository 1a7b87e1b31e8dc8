//! The purchases so far: the hosts of all zones, and the cost of one more instance of each class in each zone.
//!
//! Groups are removed and added again elsewhere. A host is always the cheapest offer that holds its load.

use super::layout::Layout;
use super::model::{Group, Model};
use super::packing::{Host, may_join};
use super::zones::fits;
use crate::problem::ComponentIndex;

/// The hosts of all zones with their instances.
pub(super) struct Purchases<'a> {
    model: &'a Model<'a>,
    pub(super) hosts: Vec<Vec<Host>>,
    /// By zone, then by class: the cost of one more instance; kept up to date.
    pub(super) marginal: Vec<Vec<f64>>,
}

impl<'a> Purchases<'a> {
    pub(super) fn new(model: &'a Model<'a>, hosts: Vec<Vec<Host>>) -> Self {
        let marginal = vec![Vec::new(); hosts.len()];
        let mut purchases = Self { model, hosts, marginal };
        (0..purchases.hosts.len()).for_each(|zone| purchases.refresh(zone));
        purchases
    }

    pub(super) fn zone_cost(&self, zone: usize) -> f64 {
        self.hosts[zone].iter().map(|host| self.model.zones[zone].offers[host.offer].cost).sum()
    }

    pub(super) fn cost(&self) -> f64 {
        (0..self.hosts.len()).map(|zone| self.zone_cost(zone)).sum()
    }

    /// The need of each resource on a host.
    fn load(&self, host: &Host) -> Vec<f64> {
        let mut load = vec![0.0; self.model.problem.resources.len()];
        for component in &host.components {
            let needs = &self.model.classes[self.model.class_of[*component]];
            load.iter_mut().zip(needs).for_each(|(sum, need)| *sum += need);
        }
        load
    }

    /// The cheapest offer of a zone that holds a load.
    fn cheapest(&self, zone: usize, load: &[f64]) -> Option<usize> {
        self.model.zones[zone].offers.iter().position(|offer| fits(load, &offer.capacity))
    }

    /// Recomputes the cost of one more instance in a zone.
    pub(super) fn refresh(&mut self, zone: usize) {
        let offers = &self.model.zones[zone].offers;
        let loads: Vec<Vec<f64>> = self.hosts[zone].iter().map(|host| self.load(host)).collect();
        let cost_of = |needs: &Vec<f64>| {
            let alone = self.cheapest(zone, needs).map_or(f64::INFINITY, |offer| offers[offer].cost);
            let mut least = alone;
            for (host, load) in self.hosts[zone].iter().zip(&loads) {
                let both: Vec<f64> = load.iter().zip(needs).map(|(a, b)| a + b).collect();
                if let Some(offer) = self.cheapest(zone, &both) {
                    least = least.min(offers[offer].cost - offers[host.offer].cost);
                }
            }
            least
        };
        self.marginal[zone] = self.model.classes.iter().map(cost_of).collect();
    }

    /// Removes every instance of a group. Returns the changed zones with their previous hosts.
    pub(super) fn take_out(&mut self, group: &Group, layout: &Layout) -> Vec<(usize, Vec<Host>)> {
        let mut zones: Vec<usize> = layout.iter().flatten().copied().collect();
        zones.sort_unstable();
        zones.dedup();
        let mut before = Vec::new();
        for zone in zones {
            before.push((zone, self.hosts[zone].clone()));
            self.hosts[zone]
                .iter_mut()
                .for_each(|host| host.components.retain(|c| !group.components.contains(c)));
            self.hosts[zone].retain(|host| !host.components.is_empty());
            for at in 0..self.hosts[zone].len() {
                let load = self.load(&self.hosts[zone][at]);
                if let Some(offer) = self.cheapest(zone, &load) {
                    self.hosts[zone][at].offer = offer;
                }
            }
            self.refresh(zone);
        }
        before
    }

    /// Adds one instance where it costs least in a zone. Returns false when no host of the zone holds it.
    pub(super) fn put_in(&mut self, component: ComponentIndex, zone: usize) -> bool {
        let needs = &self.model.classes[self.model.class_of[component]];
        let offers = &self.model.zones[zone].offers;
        let Some(alone) = self.cheapest(zone, needs) else { return false };
        let mut best = (offers[alone].cost, f64::INFINITY, None, alone);
        for (at, host) in self.hosts[zone].iter().enumerate() {
            if !may_join(self.model, host, component) {
                continue;
            }
            let load: Vec<f64> = self.load(host).iter().zip(needs).map(|(a, b)| a + b).collect();
            let Some(offer) = self.cheapest(zone, &load) else { continue };
            let more = offers[offer].cost - offers[host.offer].cost;
            // Of two hosts that cost the same, the one that is left with less room.
            let room: f64 = offers[offer].capacity.iter().zip(&load).map(|(c, l)| c - l).sum();
            if (more, room) < (best.0, best.1) {
                best = (more, room, Some(at), offer);
            }
        }
        match best.2 {
            Some(at) => {
                self.hosts[zone][at].offer = best.3;
                self.hosts[zone][at].components.push(component);
            }
            None => self.hosts[zone].push(Host { offer: best.3, components: vec![component] }),
        }
        true
    }

    /// Restores the previous hosts of zones.
    pub(super) fn restore(&mut self, before: Vec<(usize, Vec<Host>)>) {
        for (zone, hosts) in before {
            self.hosts[zone] = hosts;
            self.refresh(zone);
        }
    }
}
