//! The nodes of the application as the closures of a node see them.

use rhizo_protocol::ledger::Ledger;
use rhizo_types::{NodeId, ProviderName, RegionName};
use std::net::IpAddr;
use std::sync::Arc;

/// The facts about its node that a component can see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeView {
    /// The node's number in the overlay.
    pub id: NodeId,
    /// The provider the host comes from.
    pub provider: ProviderName,
    /// The region the host is in.
    pub region: RegionName,
    /// The address instances listen on.
    pub address: IpAddr,
}

/// The members of the application in the order of their ids; shared by all instances of a node.
pub(super) type Members = Arc<[NodeView]>;

/// The members of the ledger. One that has stated no address yet is left out.
pub(super) fn members_of(ledger: &Ledger) -> Members {
    let members = ledger.members.iter().filter_map(|(id, member)| {
        let address = member.record.addresses.first()?.ip();
        let (provider, region) = (member.record.provider.clone(), member.record.region.clone());
        Some(NodeView { id: *id, provider, region, address })
    });
    members.collect()
}
