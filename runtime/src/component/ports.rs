//! Choosing the ports of a run's exports.
//!
//! An allocated port lies outside the range from which the kernel takes the local ports of outgoing connections, so
//! that no connection of the host takes it while its program is not listening. A copy that is started again gets the
//! same port. A port that is taken is skipped. Which process listens later is checked by [`super::listeners`].

use super::{ExportTable, listeners};
use rhizo_types::InstanceId;
use rhizo_types::spec::{Export, Ports};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

/// The kernel's documented default of the ephemeral range, for a host that does not show its own.
const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

/// Allocated ports begin here at the lowest. Ports of well-known services are below it.
const PORT_MIN: u16 = 10_000;

/// A part of the port numbers with fewer ports than this is not used for allocation: more copies than that may run on
/// one host.
const PORTS_MIN: usize = 1_000;

/// The ports from which exports without a fixed port get theirs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AllocatedPorts(RangeInclusive<u16>);

impl AllocatedPorts {
    /// Reads the ephemeral range of this host and returns ports outside of it.
    pub(super) fn of_host() -> Self {
        let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        Self::outside(&ephemeral(&text).unwrap_or(EPHEMERAL))
    }

    /// Returns the ports above an ephemeral range, or those below it where there are too few above. A range that leaves
    /// too few on either side is not avoided.
    fn outside(ephemeral: &RangeInclusive<u16>) -> Self {
        let above = ephemeral.end().checked_add(1).map(|first| first..=u16::MAX);
        let below = ephemeral.start().checked_sub(1).map(|last| PORT_MIN..=last);
        let sides = [above, below].into_iter().flatten();
        Self(sides.into_iter().find(|side| side.len() >= PORTS_MIN).unwrap_or(PORT_MIN..=u16::MAX))
    }

    /// Returns all ports once, beginning at one that depends on the name alone. So a copy that is started again after
    /// the end of its node gets the same port as before, and copies of one host rarely try the same one.
    fn beginning_at(&self, name: &str) -> impl Iterator<Item = u16> + use<> {
        let count = u64::try_from(self.0.len()).unwrap_or(1);
        let skipped = usize::try_from(hash(name) % count).unwrap_or(0);
        self.0.clone().skip(skipped).chain(self.0.clone().take(skipped))
    }

    /// Listens at a port of an address: at the same one for the same name, unless it is taken. The ports in `chosen` are
    /// those of exports, whose programs may not listen yet.
    ///
    /// # Errors
    /// The reason in words, when every port is taken.
    pub(super) fn listen(
        &self,
        address: IpAddr,
        name: &str,
        chosen: &BTreeSet<u16>,
    ) -> Result<(SocketAddr, TcpListener), String> {
        for port in self.beginning_at(name).filter(|port| !chosen.contains(port)) {
            let at = SocketAddr::new(address, port);
            match TcpListener::bind(at) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                bound => {
                    return bound
                        .map(|listener| (at, listener))
                        .map_err(|error| format!("port {port} could not be taken: {error}"));
                }
            }
        }
        Err(format!("every port of {address} from {} to {} is taken", self.0.start(), self.0.end()))
    }
}

/// Parses `first last`; none for anything else.
fn ephemeral(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (first <= last).then_some(first..=last)
}

/// The 64-bit FNV-1a hash (Fowler, Noll, Vo), which is the same in every process.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The exports of a run that need ports.
pub(super) struct Wanted<'a> {
    /// The address of the host.
    pub(super) address: IpAddr,
    /// The instance.
    pub(super) instance: &'a InstanceId,
    /// Its exports.
    pub(super) exports: &'a Ports<Export>,
    /// The addresses that the last run of the instance on this node had.
    pub(super) last: &'a ExportTable,
    /// The ports of the other instances of this node. Their programs may not listen yet.
    pub(super) others: &'a BTreeSet<u16>,
}

impl Wanted<'_> {
    /// Returns an address for every export that has one. All sockets stay open until all are chosen, so the ports
    /// differ.
    ///
    /// # Errors
    /// The reason in words, when a fixed port is taken, or no port can be taken.
    pub(super) fn choose(&self, allocated: &AllocatedPorts) -> Result<ExportTable, String> {
        let mut chosen = ExportTable::new();
        let mut held = Vec::new();
        let services = || self.exports.iter().filter(|(_, export)| !export.data);
        // Fixed ports first, so that no other export of the component is given one of them.
        for (name, export) in services() {
            if let Some(port) = export.fixed_port() {
                held.push(self.bind(port).map_err(|error| self.refused(port, &error))?);
                chosen.insert(name.clone(), SocketAddr::new(self.address, port));
            }
        }
        for (name, _) in services().filter(|(_, export)| export.fixed_port().is_none()) {
            let listener = self.allocate(name.as_str(), allocated)?;
            let address =
                listener.local_addr().map_err(|error| format!("its ports could not be read: {error}"))?;
            chosen.insert(name.clone(), address);
            held.push(listener);
        }
        Ok(chosen)
    }

    fn allocate(&self, name: &str, allocated: &AllocatedPorts) -> Result<TcpListener, String> {
        let last = self.last.iter().find(|(export, _)| export.as_str() == name).map(|(_, at)| at.port());
        let by_name = allocated.beginning_at(&format!("{}/{name}", self.instance));
        let candidates = last.into_iter().chain(by_name).filter(|port| !self.others.contains(port));
        for port in candidates {
            match self.bind(port) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                bound => return bound.map_err(|error| format!("port {port} could not be taken: {error}")),
            }
        }
        Err(format!(
            "every port of {} from {} to {} is taken",
            self.address,
            allocated.0.start(),
            allocated.0.end()
        ))
    }

    fn bind(&self, port: u16) -> io::Result<TcpListener> {
        TcpListener::bind((self.address, port))
    }

    fn refused(&self, port: u16, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::AddrInUse => listeners::held_by(SocketAddr::new(self.address, port)),
            _ => format!("port {port} could not be taken: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::PortName;
    use std::net::Ipv4Addr;

    /// An address of the loopback network that no other test uses.
    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 77, 1, 1));

    fn instance() -> InstanceId {
        InstanceId { component: "web".into(), ordinal: 0 }
    }

    fn choose(
        address: IpAddr,
        exports: &Ports<Export>,
        last: &ExportTable,
        others: &[u16],
    ) -> Result<ExportTable, String> {
        let (instance, others) = (instance(), others.iter().copied().collect());
        let wanted = Wanted { address, instance: &instance, exports, last, others: &others };
        wanted.choose(&AllocatedPorts::of_host())
    }

    fn one() -> Ports<Export> {
        Ports::from_iter([(PortName::from("a"), Export::SERVICE)])
    }

    #[test]
    fn services_get_ports_that_differ_and_data_gets_none() {
        let data = Export { data: true, ..Export::SERVICE };
        let exports = [("a", Export::SERVICE), ("b", Export::SERVICE), ("c", data)];
        let exports = exports.map(|(name, export)| (PortName::from(name), export)).into_iter().collect();
        let chosen = choose(ADDRESS, &exports, &ExportTable::new(), &[]).expect("free ports");
        assert_eq!(chosen.len(), 2);
        assert_ne!(chosen[&"a".into()], chosen[&"b".into()]);
    }

    #[test]
    fn a_fixed_port_that_is_taken_names_the_process_that_holds_it() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let exports = Ports::from_iter([("a".into(), Export { port: Some(port), ..Export::SERVICE })]);
        let refused = choose(Ipv4Addr::LOCALHOST.into(), &exports, &ExportTable::new(), &[]);
        let reason = refused.expect_err("it is taken");
        let own = format!("port {port} is held by another process (pid {}, ", std::process::id());
        assert!(reason.starts_with(&own), "{reason}");
    }

    #[test]
    fn an_allocated_port_is_kept_and_lies_outside_the_ephemeral_range() {
        let address = IpAddr::V4(Ipv4Addr::new(127, 77, 1, 2));
        let first = choose(address, &one(), &ExportTable::new(), &[]).expect("a port");
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("the range");
        let port = first[&"a".into()].port();
        assert!(!ephemeral(&range).expect("two numbers").contains(&port), "{port} is ephemeral");
        assert_eq!(
            choose(address, &one(), &ExportTable::new(), &[]).expect("a port"),
            first,
            "a node that starts again"
        );
        let moved = ExportTable::from([("a".into(), SocketAddr::new(address, port + 1))]);
        assert_eq!(choose(address, &one(), &moved, &[]).expect("a port"), moved, "a copy that starts again");
    }

    #[test]
    fn a_taken_port_and_the_ports_of_other_instances_are_skipped() {
        let address = IpAddr::V4(Ipv4Addr::new(127, 77, 1, 3));
        let first = choose(address, &one(), &ExportTable::new(), &[]).expect("a port")[&"a".into()];
        let _stranger = TcpListener::bind(first).expect("it is free");
        let second = choose(address, &one(), &ExportTable::new(), &[]).expect("a port")[&"a".into()];
        assert_ne!(first, second);
        let third =
            choose(address, &one(), &ExportTable::new(), &[second.port()]).expect("a port")[&"a".into()];
        assert!(third != first && third != second);
    }

    #[test]
    fn an_import_gets_no_port_that_was_chosen_for_an_export() {
        let address = IpAddr::V4(Ipv4Addr::new(127, 77, 1, 4));
        let ports = AllocatedPorts::of_host();
        let listen = |chosen: &[u16]| {
            let chosen = chosen.iter().copied().collect();
            ports.listen(address, "web.0/import/db", &chosen).expect("a port").0
        };
        let first = listen(&[]);
        assert_eq!(listen(&[]), first, "a node that starts again");
        assert_ne!(listen(&[first.port()]), first);
        let _listening = ports.listen(address, "web.0/import/db", &BTreeSet::new()).expect("a port");
        assert_ne!(listen(&[]), first, "another process listens there");
    }

    #[test]
    fn ports_are_allocated_beside_any_ephemeral_range() {
        let outside = |range| AllocatedPorts::outside(&range).0;
        assert_eq!(outside(32_768..=60_999), 61_000..=65_535);
        assert_eq!(outside(32_768..=65_535), 10_000..=32_767);
        assert_eq!(outside(16_384..=65_000), 10_000..=16_383);
        assert_eq!(outside(1_024..=65_535), 10_000..=65_535);
        assert_eq!(ephemeral("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(ephemeral(""), None);
        let all: BTreeSet<u16> = AllocatedPorts(61_000..=65_535).beginning_at("web.0/http").collect();
        assert_eq!(all.len(), 4_536);
    }
}
