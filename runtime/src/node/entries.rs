//! The public ports of this node: it listens at the port of every public export and relays to the copies of the target.
//!
//! A copy of the target that is not started, or is about to leave, declines a connection, which then goes to another copy.
//! So any host of the application is an entry. Read next: `rhizo_traffic`.

use rhizo_protocol::ledger::Ledger;
use rhizo_traffic::{Exporter, Listening, Traffic};
use rhizo_types::{ComponentName, InstanceId, PortName, Revision};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

/// The listening ports of public exports.
pub(super) struct Entries {
    traffic: Arc<Traffic>,
    address: IpAddr,
    open: BTreeMap<(ComponentName, PortName), Entry>,
    /// The revisions of the spec and of the target that were followed last.
    followed: (Revision, Revision),
}

struct Entry {
    port: u16,
    /// None while the port is taken; it is tried again at each tick.
    listening: Option<Listening>,
}

impl Entries {
    pub(super) fn new(traffic: Arc<Traffic>, address: IpAddr) -> Self {
        Self { traffic, address, open: BTreeMap::new(), followed: (Revision(0), Revision(0)) }
    }

    /// Listens at the ports of the spec in force, and directs new connections to the copies of the target.
    ///
    /// Most entries of the log change neither spec nor target, and each node applies each of them.
    pub(super) fn follow(&mut self, ledger: &Ledger) {
        let revisions = (ledger.spec_revision(), ledger.target.revision);
        if std::mem::replace(&mut self.followed, revisions) == revisions {
            return;
        }
        let components = ledger.spec().map(|spec| &spec.components);
        let public: BTreeMap<(ComponentName, PortName), u16> = components
            .into_iter()
            .flatten()
            .flat_map(|(name, component)| component.exports.iter().map(move |export| (name, export)))
            .filter_map(|(name, (port, export))| Some(((name.clone(), port.clone()), export.entry_port()?)))
            .collect();
        self.open.retain(|key, entry| public.get(key) == Some(&entry.port));
        for (key, port) in public {
            self.open.entry(key).or_insert(Entry { port, listening: None });
        }
        self.listen(ledger);
    }

    /// Listens at the ports that were taken before.
    pub(super) fn retry(&mut self, ledger: &Ledger) {
        if self.open.values().any(|entry| entry.listening.is_none()) {
            self.listen(ledger);
        }
    }

    fn listen(&mut self, ledger: &Ledger) {
        for ((component, export), entry) in &mut self.open {
            if entry.listening.is_none() {
                let at = SocketAddr::new(self.address, entry.port);
                match TcpListener::bind(at) {
                    Ok(socket) => {
                        entry.listening = Some(self.traffic.listen_publicly(socket, export.clone()));
                    }
                    Err(error) => tracing::debug!(%at, %component, %export, %error, "public port is taken"),
                }
            }
            if let Some(listening) = &entry.listening {
                let copies = ledger.target.instances.range(InstanceId::copies_of(component));
                let exporter = |(instance, placed): (&InstanceId, &rhizo_types::target::Placed)| Exporter {
                    instance: instance.clone(),
                    node: placed.node,
                };
                listening.bind(copies.map(exporter).collect());
            }
        }
    }
}
