//! An import as the closure of an instance uses it: its addresses and values, now and after each re-binding.
//!
//! The bindings come from [`super::imports`]. Read next: [`super::embedded`].

use super::imports::{SeenImport, SeenImports};
use rhizo_types::{PortName, ValueName};
use std::net::SocketAddr;
use tokio::sync::watch;

/// The config declares no such import for the component.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the config declares no import `{name}` for this component; {declared}")]
pub struct UnknownImport {
    pub(super) name: PortName,
    /// The declared ones, in words.
    pub(super) declared: String,
}

/// An import as its user sees it.
#[derive(Clone)]
pub struct Import {
    pub(super) name: PortName,
    pub(super) table: watch::Receiver<SeenImports>,
    /// The bindings that the last call of [`Import::changed`] returned, so that no change between two calls is
    /// missed.
    pub(super) told: SeenImport,
}

impl Import {
    /// The addresses at which the exporters are reached now; empty while the import is unbound. An import of one exporter
    /// has one address, which stays the same when it is bound to another exporter.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.table.borrow().get(&self.name).map(SeenImport::addresses).unwrap_or_default()
    }

    /// A data value of the first exporter that the import is bound to now.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        let table = self.table.borrow();
        table.get(&self.name)?.exporters.values().next()?.values.get(&ValueName::from(name)).cloned()
    }

    /// The address of the import: of any exporter that it is bound to. Waits while it is unbound.
    pub async fn addr(&self) -> SocketAddr {
        let mut table = self.table.clone();
        loop {
            // The guard must not live until the next await: the loop copies the address out of it.
            let bound = table.borrow_and_update().get(&self.name).and_then(|seen| seen.address);
            if let Some(address) = bound {
                return address;
            }
            if table.changed().await.is_err() {
                // The sender of bindings is gone, so the instance is being dropped and no address will come.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Resolves with the addresses as soon as they, or the values beside them, differ from those that the last call
    /// returned. The first call compares with the state when the import was taken.
    pub async fn changed(&mut self) -> Vec<SocketAddr> {
        loop {
            let now = self.table.borrow_and_update().get(&self.name).cloned().unwrap_or_default();
            if now != self.told {
                let addresses = now.addresses();
                self.told = now;
                return addresses;
            }
            if self.table.changed().await.is_err() {
                // The sender of bindings is gone, so the instance is being dropped.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::InstanceId;
    use rhizo_types::lifecycle::Values;
    use rhizo_types::message::Served;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn a_rebinding_between_two_waits_is_not_missed() {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (sender, table) = watch::channel(SeenImports::new());
        let mut import = Import { name: PortName::from("db"), table, told: SeenImport::default() };
        let bind = |port, password: &str| {
            let exporter = InstanceId { component: "db".into(), ordinal: 0 };
            let values = Values::from([("password".into(), password.to_owned())]);
            let served = Served { address: Some(address(port)), values };
            let bound = SeenImport::direct([(exporter, served)].into_iter().collect());
            sender.send_replace(SeenImports::from_iter([(PortName::from("db"), bound)]));
        };
        bind(1, "old");
        // The user has read the new addresses already and must be notified all the same.
        assert_eq!(import.addrs(), [address(1)]);
        assert_eq!(import.changed().await, [address(1)]);
        bind(2, "old");
        assert_eq!(import.changed().await, [address(2)]);
        // A change of a value alone is notified as well.
        bind(2, "new");
        assert_eq!(import.changed().await, [address(2)]);
        assert_eq!(import.value("password").as_deref(), Some("new"));
    }
}
