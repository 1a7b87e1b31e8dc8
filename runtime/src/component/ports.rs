//! Choosing the ports of a run's exports.
//!
//! A free port is found by binding port 0 and closing the socket again. The host's address belongs to this node alone, so
//! only another instance of the node could take the port in between. Which process listens later is not checked.

use super::ExportTable;
use rhizo_types::spec::{Export, Ports};
use std::io;
use std::net::{IpAddr, TcpListener};

/// Returns an address for every export that has one. All sockets stay open until all are chosen, so the ports differ.
pub(super) fn choose(address: IpAddr, exports: &Ports<Export>) -> io::Result<ExportTable> {
    let mut chosen = ExportTable::new();
    let mut held = Vec::new();
    for (name, export) in exports.iter().filter(|(_, export)| !export.data) {
        let listener = TcpListener::bind((address, export.port.unwrap_or(0)))?;
        chosen.insert(name.clone(), listener.local_addr()?);
        held.push(listener);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::PortName;
    use std::net::Ipv4Addr;

    #[test]
    fn services_get_ports_that_differ_and_data_gets_none() {
        let data = Export { data: true, ..Export::SERVICE };
        let exports = [("a", Export::SERVICE), ("b", Export::SERVICE), ("c", data)];
        let exports = exports.map(|(name, export)| (PortName::from(name), export)).into_iter().collect();
        let chosen = choose(Ipv4Addr::LOCALHOST.into(), &exports).expect("free ports");
        assert_eq!(chosen.len(), 2);
        assert_ne!(chosen[&"a".into()], chosen[&"b".into()]);
    }

    #[test]
    fn a_fixed_port_that_is_taken_is_an_error() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let exports = Ports::from_iter([("a".into(), Export { port: Some(port), ..Export::SERVICE })]);
        assert!(choose(Ipv4Addr::LOCALHOST.into(), &exports).is_err());
    }
}
