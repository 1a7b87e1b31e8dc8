//! Scenarios, the input of an exploration: components, hosts, a sequence of wishes, and the faults that may occur.
//!
//! A scenario is data. Two that differ only in the names of components and hosts have the same canonical fingerprint.

use crate::fingerprint::Fingerprint;
use rhizo_types::id::{ComponentName, InstanceId, PortName};
use rhizo_types::script::{Order, Place, Script};
use rhizo_types::spec::{Component, Export, Import, Pick, Ports, Replicas, Run, Spec};
use std::collections::{BTreeMap, BTreeSet};

/// The resource that scenarios about the capacity of hosts use.
pub const SEATS: &str = "seats";

/// Seats of every host. Each wish must fit; the exploration shows whether the intermediate configurations fit as well.
pub const SEATS_PER_HOST: u32 = 2;

/// The input of an exploration.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Scenario {
    /// Its name in reports; not part of its canonical fingerprint.
    pub name: String,
    /// The specs that wishes refer to; the position plus one is the revision.
    pub specs: Vec<Spec>,
    /// Hosts that are members at the beginning.
    pub hosts: u8,
    /// The wishes, in order. A later one may overtake an earlier one at any moment.
    pub wishes: Vec<Wish>,
    /// The faults that may occur.
    pub faults: Faults,
}

/// One configuration that is wanted: a placement, or a script.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Wish {
    /// The position of the spec in [`Scenario::specs`].
    pub spec: usize,
    /// Component → the hosts of its copies.
    pub placement: BTreeMap<ComponentName, Vec<u8>>,
    /// Number of new hosts that join together with this wish.
    pub joins: u8,
    /// A script instead of a placement; it changes the current configuration.
    pub script: Option<Script>,
    /// Whether the wish waits until the previous wish is reached.
    pub when_settled: bool,
}

/// The kinds of faults that may occur, and their number in total.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Faults {
    /// Maximal number of faults.
    pub max: u8,
    /// Their kinds.
    pub kinds: BTreeSet<Fault>,
}

/// A kind of fault, which may occur at any moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// A start or another action fails.
    StartFails,
    /// An action takes too long.
    TimesOut,
    /// A running instance ends by itself.
    Exit,
    /// A running instance fails its health check.
    Sickness,
    /// A host dies without a message.
    Crash,
    /// A node's process dies and restarts.
    Restart,
    /// A node's process dies and restarts with the oldest ledger that any node has.
    RestartBehind,
    /// A host is partitioned from all others, is committed dead, and learns of it later.
    Isolation,
}

impl Scenario {
    /// Returns whether the provider's confirmation that a dead node's host is gone makes a difference.
    #[must_use]
    pub fn needs_confirmation(&self) -> bool {
        let exclusive = |spec: &Spec| spec.components.values().any(|component| component.is_exclusive());
        self.specs.iter().any(exclusive) || self.wishes.iter().any(|wish| wish.script.is_some())
    }

    /// The fingerprint that scenarios share that differ in names only: the least over all renamings.
    #[must_use]
    pub fn canonical(&self) -> Fingerprint {
        let names: BTreeSet<&ComponentName> =
            self.specs.iter().flat_map(|spec| spec.components.keys()).collect();
        let names: Vec<&ComponentName> = names.into_iter().collect();
        let hosts = self.hosts + self.wishes.iter().map(|wish| wish.joins).sum::<u8>();
        // Hosts that join later keep higher numbers than the initial ones.
        let of_hosts = permutations(usize::from(self.hosts));
        let mut least: Option<Fingerprint> = None;
        for of_names in permutations(names.len()) {
            let number = |name: &ComponentName| {
                names.iter().position(|other| *other == name).map_or(usize::MAX, |at| of_names[at])
            };
            for order in &of_hosts {
                let host = |host: u8| {
                    order.get(usize::from(host)).map_or(host, |to| u8::try_from(*to).unwrap_or(host))
                };
                let fingerprint = self.fingerprint_under(&number, &host).number(u64::from(hosts));
                least = Some(least.map_or(fingerprint, |least| least.min(fingerprint)));
            }
        }
        least.unwrap_or_default()
    }

    fn fingerprint_under(
        &self,
        number: &dyn Fn(&ComponentName) -> usize,
        host: &dyn Fn(u8) -> u8,
    ) -> Fingerprint {
        let specs: Vec<BTreeMap<usize, Component>> = self
            .specs
            .iter()
            .map(|spec| {
                let renamed = spec.components.iter().map(|(name, component)| {
                    let mut component = Component::clone(component);
                    for (_, import) in &mut component.imports {
                        import.component = ComponentName(number(&import.component).to_string());
                    }
                    (number(name), component)
                });
                renamed.collect()
            })
            .collect();
        let wishes: Vec<Fingerprint> = self
            .wishes
            .iter()
            .map(|wish| {
                let placement = wish.placement.iter().map(|(name, hosts)| {
                    let mut hosts: Vec<u8> = hosts.iter().map(|number| host(*number)).collect();
                    hosts.sort_unstable();
                    (number(name), hosts)
                });
                let orders = wish.script.iter().flat_map(|script| &script.statements);
                let orders = orders.map(|statement| renamed(&statement.order, number)).collect();
                let (placement, orders): (BTreeMap<usize, Vec<u8>>, Vec<Order>) =
                    (placement.collect(), orders);
                Fingerprint::of(&(wish.spec, placement, wish.joins, wish.when_settled, orders))
            })
            .collect();
        Fingerprint::of(&(specs, self.hosts, wishes, &self.faults))
    }
}

/// An order with numbers for the names of components.
fn renamed(order: &Order, number: &dyn Fn(&ComponentName) -> usize) -> Order {
    let name = |instance: &InstanceId| InstanceId {
        component: ComponentName(number(&instance.component).to_string()),
        ..instance.clone()
    };
    match order.clone() {
        Order::Add { instance, place } => {
            let place = match place {
                Place::Beside(other) => Place::Beside(name(&other)),
                place => place,
            };
            Order::Add { instance: name(&instance), place }
        }
        Order::Del { instance } => Order::Del { instance: name(&instance) },
        Order::Connect { importer, import, exporter } => {
            Order::Connect { importer: name(&importer), import, exporter: name(&exporter) }
        }
        Order::Disconnect { importer, import, exporter } => {
            Order::Disconnect { importer: name(&importer), import, exporter: name(&exporter) }
        }
        Order::Push { instance, behaviour } => Order::Push { instance: name(&instance), behaviour },
        Order::Wait { instances } => Order::Wait { instances: instances.iter().map(name).collect() },
    }
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(count - 1) {
        for at in 0..count {
            let mut longer = shorter.clone();
            longer.insert(at, count - 1);
            all.push(longer);
        }
    }
    all
}

impl Faults {
    /// At most `max` of these kinds.
    #[must_use]
    pub fn new(max: u8, kinds: &[Fault]) -> Self {
        Self { max, kinds: kinds.iter().copied().collect() }
    }
}

/// A component with one export `main` and these imports, of the default life-cycle.
#[must_use]
pub fn component(imports: &[(&str, bool, Pick)]) -> Component {
    // Ports are named by position, so that the names of components do not matter.
    let import = |(position, (name, optional, pick)): (usize, &(&str, bool, Pick))| {
        let of = Import::of(ComponentName::from(*name), PortName::from("main"));
        let import = Import { optional: *optional, pick: *pick, ..of };
        (PortName(format!("in{position}")), import)
    };
    Component {
        replicas: Replicas { min: 0, max: 9 },
        exports: Ports::from_iter([(PortName::from("main"), Export::SERVICE)]),
        imports: imports.iter().enumerate().map(import).collect(),
        ..Component::new(Run::Embedded)
    }
}

/// A spec of these components and nothing else.
#[must_use]
pub fn spec(components: &[(&str, Component)]) -> Spec {
    let components = components.iter().map(|(name, c)| (ComponentName::from(*name), c.clone()));
    Spec::new("app", components.collect())
}

/// A wish: component → hosts, by the first spec.
#[must_use]
pub fn wish(placement: &[(&str, &[u8])]) -> Wish {
    let placement = placement.iter().map(|(name, hosts)| (ComponentName::from(*name), hosts.to_vec()));
    Wish { spec: 0, placement: placement.collect(), joins: 0, script: None, when_settled: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(names: [&str; 2], hosts: [u8; 2]) -> Scenario {
        let needs = [(names[1], false, Pick::One)];
        Scenario {
            name: String::new(),
            specs: vec![spec(&[(names[0], component(&needs)), (names[1], component(&[]))])],
            hosts: 2,
            wishes: vec![wish(&[(names[0], &[hosts[0]]), (names[1], &[hosts[1]])])],
            faults: Faults::default(),
        }
    }

    #[test]
    fn names_do_not_matter_and_everything_else_does() {
        let one = chain(["web", "db"], [0, 1]).canonical();
        assert_eq!(one, chain(["a", "z"], [0, 1]).canonical());
        assert_eq!(one, chain(["z", "a"], [1, 0]).canonical());
        assert_ne!(one, chain(["web", "db"], [0, 0]).canonical());
        let mut other = chain(["web", "db"], [0, 1]);
        other.faults = Faults::new(1, &[Fault::Crash]);
        assert_ne!(one, other.canonical());
        other.faults = Faults::default();
        other.wishes.push(wish(&[]));
        assert_ne!(one, other.canonical());
    }

    #[test]
    fn there_are_as_many_permutations_as_there_should_be() {
        let all: BTreeSet<Vec<usize>> = permutations(4).into_iter().collect();
        assert_eq!(all.len(), 24);
    }
}
