//! The imports of this node's instances as their programs see them: local addresses behind which the node relays.
//!
//! An import with `via = "node"` has an address that the instance keeps on this node for as long as it exists. Connections
//! to it go to the exporter with the fewest. An import that is bound to several exporters also has one address for each
//! of them, for programs that tell them apart. An import with `via = "direct"` has the exporters' own addresses. The
//! relaying itself is in `rhizo-traffic`. Read next: [`super::ports`], [`super::template`].

use super::ports::AllocatedPorts;
use litemap::LiteMap;
use rhizo_protocol::{Bound, BoundImports};
use rhizo_traffic::{Exporter, Listening, Traffic};
use rhizo_types::spec::{Component, Import, Pick, Via};
use rhizo_types::{InstanceId, NodeId, PortName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The node of each exporter that an instance is bound to.
pub(crate) type ExporterNodes = BTreeMap<InstanceId, NodeId>;

/// One import as its program sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SeenImport {
    /// The address to use for any exporter; none while the import is unbound, or when it carries values only.
    pub(crate) address: Option<SocketAddr>,
    /// The bound exporters, each with its values and the address at which the program reaches it.
    pub(crate) exporters: Bound,
}

/// All imports of an instance as its program sees them.
pub(crate) type SeenImports = LiteMap<PortName, SeenImport>;

impl SeenImport {
    /// The import of a program that uses the exporters' own addresses.
    pub(crate) fn direct(exporters: Bound) -> Self {
        let address = exporters.values().find_map(|served| served.address);
        Self { address, exporters }
    }

    /// The addresses of the exporters. Exporters behind one address have one entry.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let mut all: Vec<SocketAddr> = Vec::new();
        for address in self.exporters.values().filter_map(|served| served.address) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        all
    }
}

/// The ports that imports may listen at.
pub(super) struct FreePorts<'a> {
    pub(super) allocated: &'a AllocatedPorts,
    /// The ports of exports, whose programs may not listen yet.
    pub(super) chosen: BTreeSet<u16>,
}

/// A listening address of an instance: of an import, or of one exporter of an import.
type AddressKey = (PortName, Option<InstanceId>);

/// The local addresses of one instance's imports. They are kept for as long as the instance exists on this node, also
/// while it is re-bound.
#[derive(Debug, Default)]
struct Addresses(BTreeMap<AddressKey, (SocketAddr, Listening)>);

/// The local addresses of the imports of all instances of a node.
#[derive(Debug)]
pub(super) struct LocalImports {
    traffic: Arc<Traffic>,
    /// The address of the host that only its own processes reach.
    host: IpAddr,
    instances: BTreeMap<InstanceId, Addresses>,
}

impl LocalImports {
    /// Listens at the loopback address of the host. An emulated host has one of its own.
    pub(super) fn new(traffic: Arc<Traffic>, node: IpAddr) -> Self {
        let host = match node {
            _ if node.is_loopback() => node,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        Self { traffic, host, instances: BTreeMap::new() }
    }

    /// Returns the imports of an instance as its program sees them, and directs new connections to these exporters.
    ///
    /// # Errors
    /// The reason in words, when no port can be taken.
    pub(super) fn see(
        &mut self,
        instance: &InstanceId,
        component: &Component,
        bound: &BoundImports,
        nodes: &ExporterNodes,
        ports: &FreePorts<'_>,
    ) -> Result<SeenImports, String> {
        let mut seen = SeenImports::with_capacity(bound.len());
        for (name, exporters) in bound {
            let import = component.imports.get(name);
            seen.insert(name.clone(), self.see_one(instance, (name, import), exporters, nodes, ports)?);
        }
        Ok(seen)
    }

    /// Returns one import of an instance as its program sees it, and directs new connections to these exporters.
    ///
    /// # Errors
    /// The reason in words, when no port can be taken.
    pub(super) fn see_one(
        &mut self,
        instance: &InstanceId,
        (name, import): (&PortName, Option<&Import>),
        bound: &Bound,
        nodes: &ExporterNodes,
        ports: &FreePorts<'_>,
    ) -> Result<SeenImport, String> {
        let Some(import) = import.filter(|import| import.via == Via::Node) else {
            return Ok(SeenImport::direct(bound.clone()));
        };
        // The use of an exporter without a node has ended since the order was given; a re-binding follows.
        let serves = |exporter: &InstanceId| {
            let node = *nodes.get(exporter)?;
            Some(Exporter { instance: exporter.clone(), node })
        };
        let serving = bound.iter().filter(|(_, served)| served.address.is_some());
        let is_served = serving.clone().next().is_some();
        let exporters: BTreeSet<Exporter> = serving.filter_map(|(exporter, _)| serves(exporter)).collect();
        let to_each = import.pick != Pick::One;
        self.forget_exporters(instance, name, &exporters);
        let key = (name.clone(), None);
        let is_known = self.instances.get(instance).is_some_and(|known| known.0.contains_key(&key));
        if !is_served && !is_known {
            return Ok(SeenImport { address: None, exporters: bound.clone() });
        }
        let any = self.listen(instance, (name, None), import, exporters.clone(), ports)?;
        let mut seen = SeenImport { address: is_served.then_some(any), exporters: bound.clone() };
        for (exporter, served) in &mut seen.exporters {
            if served.address.is_none() {
                continue;
            }
            let only = exporters.iter().find(|one| to_each && one.instance == *exporter);
            served.address = Some(match only {
                Some(only) => {
                    let to_one = BTreeSet::from([only.clone()]);
                    self.listen(instance, (name, Some(exporter)), import, to_one, ports)?
                }
                None => any,
            });
        }
        Ok(seen)
    }

    /// Closes the addresses of single exporters that an import is no longer bound to.
    fn forget_exporters(&mut self, instance: &InstanceId, name: &PortName, bound: &BTreeSet<Exporter>) {
        let Some(addresses) = self.instances.get_mut(instance) else { return };
        addresses.0.retain(|(import, only), _| {
            let is_bound = |only: &InstanceId| bound.iter().any(|exporter| exporter.instance == *only);
            import != name || only.as_ref().is_none_or(is_bound)
        });
    }

    /// Returns the local address of an import, or of one exporter of it, and directs new connections to these exporters.
    fn listen(
        &mut self,
        instance: &InstanceId,
        (name, only): (&PortName, Option<&InstanceId>),
        import: &Import,
        exporters: BTreeSet<Exporter>,
        ports: &FreePorts<'_>,
    ) -> Result<SocketAddr, String> {
        let addresses = self.instances.entry(instance.clone()).or_default();
        let key = (name.clone(), only.cloned());
        if let Some((address, listening)) = addresses.0.get(&key) {
            listening.bind(exporters);
            return Ok(*address);
        }
        let suffix = only.map(|exporter| format!("/{exporter}")).unwrap_or_default();
        let (address, socket) = ports
            .allocated
            .listen(self.host, &format!("{instance}/import/{name}{suffix}"), &ports.chosen)
            .map_err(|reason| format!("no address could be taken for its import `{name}`: {reason}"))?;
        let listening = self.traffic.listen(socket, import.export.clone());
        listening.bind(exporters);
        addresses.0.insert(key, (address, listening));
        Ok(address)
    }

    /// Closes the addresses of instances that no longer exist.
    pub(super) fn keep(&mut self, exists: impl Fn(&InstanceId) -> bool) {
        self.instances.retain(|instance, _| exists(instance));
    }

    /// The data plane, for the connections to the copies of this node.
    pub(super) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }
}
