//! The process that listens at an address, and whether it belongs to a copy.
//!
//! A probe that is answered proves only that some process answers. [`ListenerCheck`] compares the listening sockets of
//! the kernel's table (`/proc/net/tcp`, `/proc/net/tcp6`) with the sockets that the processes of the copy have open. A
//! listener behind a redirection of the firewall shows no socket at the address, and is believed. Nothing is ended
//! here. Read next: [`super::probe`], [`super::processes`].

use super::processes::{self, Mark};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The kernel's code of the state in which a socket listens.
const LISTENING: &str = "0A";

/// The processes that may answer for a copy.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    /// A closure: this process, and programs that it launched itself.
    ThisProcess,
    /// The processes of a run.
    Run {
        /// The mark of everything that is launched for the run.
        mark: Mark,
        /// The leader of the launched service's process group. Without one, actions launched the service, and a daemon
        /// may have dropped its mark: a process of this host without the mark of another task is then believed.
        leader: Option<i32>,
    },
}

/// Checks again and again that the listener at an address belongs to a copy.
#[derive(Debug)]
pub(super) struct ListenerCheck {
    owner: Owner,
    /// The sockets that were found to belong to the copy. A socket does not change its owner while it listens, so that
    /// the processes of the machine are searched only when another socket listens.
    own: BTreeSet<u64>,
}

impl ListenerCheck {
    pub(super) fn new(owner: Owner) -> Self {
        Self { owner, own: BTreeSet::new() }
    }

    /// Returns the process that listens at the address in place of the copy, in words; none when the copy listens
    /// there, when no process does, or when the files of the copy's processes may not be read.
    pub(super) async fn stranger(&mut self, address: SocketAddr) -> Option<String> {
        let (owner, own) = (self.owner.clone(), self.own.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let sockets = listening(address);
            if sockets.is_subset(&own) {
                return Ok(own);
            }
            let (open, is_whole) = sockets_of(&owner);
            match sockets.iter().find(|socket| !open.contains(socket)) {
                Some(socket) if is_whole => Err(in_words(address.port(), *socket)),
                _ => Ok(sockets),
            }
        });
        match looked.await {
            Ok(Ok(own)) => {
                self.own = own;
                None
            }
            Ok(Err(stranger)) => Some(stranger),
            // The runtime shuts down, and the probe with it.
            Err(_) => None,
        }
    }
}

/// Says which process listens at an address that could not be taken.
pub(super) fn held_by(address: SocketAddr) -> String {
    match listening(address).first() {
        Some(socket) => in_words(address.port(), *socket),
        None => format!("port {} is held by another process", address.port()),
    }
}

fn in_words(port: u16, socket: u64) -> String {
    match holder(socket) {
        Some((pid, name)) => format!("port {port} is held by another process (pid {pid}, {name})"),
        None => format!("port {port} is held by another process, which belongs to another user"),
    }
}

/// The sockets that the owner's processes have open, and whether the files of all of them could be read.
fn sockets_of(owner: &Owner) -> (BTreeSet<u64>, bool) {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let pids = match owner {
        Owner::ThisProcess => {
            let mut pids = processes::unmarked_below(own);
            pids.insert(own);
            pids
        }
        Owner::Run { mark, leader: Some(leader) } => processes::members(mark, Some(*leader)),
        Owner::Run { mark, leader: None } => {
            let supervisor = i32::try_from(std::os::unix::process::parent_id()).unwrap_or_default();
            let mut pids = processes::members(mark, None);
            pids.extend(processes::unmarked_below(supervisor));
            pids.remove(&own);
            pids
        }
    };
    let (mut open, mut is_whole) = (BTreeSet::new(), true);
    for pid in pids {
        match sockets(pid) {
            Ok(sockets) => open.extend(sockets),
            // It has ended since the look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => is_whole = false,
        }
    }
    (open, is_whole)
}

/// The sockets that a process has open.
fn sockets(pid: i32) -> io::Result<BTreeSet<u64>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    Ok(links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect())
}

/// The process that has a socket open, with the name of its program; none when no process whose files may be read has.
fn holder(socket: u64) -> Option<(i32, String)> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let pid = pids.find(|pid| sockets(*pid).is_ok_and(|open| open.contains(&socket)))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, name.trim().to_owned()))
}

/// The sockets to which the kernel gives connections to an address: those that are bound to the address itself or, if
/// there is none, those that are bound to all addresses.
fn listening(address: SocketAddr) -> BTreeSet<u64> {
    let all: Vec<(SocketAddr, u64)> =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().flat_map(|path| table(path)).collect();
    answering(&all, address)
}

fn answering(all: &[(SocketAddr, u64)], address: SocketAddr) -> BTreeSet<u64> {
    let bound_to = |wanted: &dyn Fn(IpAddr) -> bool| -> BTreeSet<u64> {
        let at = all.iter().filter(|(at, _)| at.port() == address.port() && wanted(at.ip().to_canonical()));
        at.map(|(_, socket)| *socket).collect()
    };
    let exact = bound_to(&|ip| ip == address.ip().to_canonical());
    if !exact.is_empty() {
        return exact;
    }
    let of_family = bound_to(&|ip| ip.is_unspecified() && ip.is_ipv4() == address.is_ipv4());
    if of_family.is_empty() && address.is_ipv4() {
        // A socket that is bound to all addresses of version 6 also takes connections of version 4.
        return bound_to(&|ip| ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    of_family
}

/// The listening sockets of one table of the kernel, which lists them before all others.
fn table(path: &str) -> Vec<(SocketAddr, u64)> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let lines = BufReader::new(file).lines().map_while(Result::ok).skip(1);
    // The connections that follow may be thousands, and the kernel walks its whole table to list them.
    lines.map_while(|line| listener(&line)).collect()
}

/// The address and the socket of a line; none when it does not listen.
fn listener(line: &str) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if fields.get(3) != Some(&LISTENING) {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    // Each group of eight digits is one word of the address in memory, written as a number.
    let words: Vec<[u8; 4]> = (0..ip.len() / 8)
        .map(|word| u32::from_str_radix(ip.get(8 * word..8 * word + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    let ip = match words.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        words => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?)),
    };
    Some((SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?), fields.get(9)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::path::Path;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    #[test]
    fn a_line_of_the_table_is_read_when_it_listens() {
        let line = |address: &str, state: &str| {
            format!(
                "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1 0"
            )
        };
        let of = |word: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(word));
        let loopback = format!("{}:1F90", of([127, 0, 0, 1]));
        assert_eq!(
            listener(&line(&loopback, "0A")),
            Some(("127.0.0.1:8080".parse().expect("an address"), 4711))
        );
        assert_eq!(listener(&line(&loopback, "01")), None);
        let mapped = [[0; 4], [0; 4], [0, 0, 0xff, 0xff], [127, 0, 0, 1]].map(of).concat();
        let read = listener(&line(&format!("{mapped}:1F90"), "0A")).expect("a listener");
        assert_eq!(read.0, "[::ffff:127.0.0.1]:8080".parse().expect("an address"));
        assert_eq!(listener(""), None);
    }

    #[test]
    fn the_socket_of_the_address_itself_takes_precedence_over_those_of_all_addresses() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let all = [(at("0.0.0.0:80"), 1), (at("[::]:80"), 2), (at("127.0.0.2:80"), 3), (at("[::]:81"), 4)];
        assert_eq!(answering(&all, at("127.0.0.2:80")), BTreeSet::from([3]));
        assert_eq!(answering(&all, at("127.0.0.1:80")), BTreeSet::from([1]));
        assert_eq!(answering(&all, at("127.0.0.1:81")), BTreeSet::from([4]));
        assert_eq!(answering(&all, at("[::1]:80")), BTreeSet::from([2]));
        assert!(answering(&all, at("127.0.0.1:82")).is_empty());
    }

    /// Starts a server with this mark and waits until it listens.
    fn server(mark: &str, address: SocketAddr) -> Child {
        let script = format!(
            "import socket, time\ns = socket.create_server(('{}', {}))\ntime.sleep(60)",
            address.ip(),
            address.port()
        );
        let server = Command::new("python3").args(["-c", &script]).env(processes::MARK, mark).spawn();
        let until = Instant::now() + Duration::from_secs(30);
        while listening(address).is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.expect("python3 runs")
    }

    #[tokio::test]
    async fn only_the_listener_of_the_copy_itself_is_believed() {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let dir = tempfile::tempdir().expect("a directory");
        let mark = Mark::of_run(&dir.path().join("web.0-g1"), 1, None);
        let mut server = server(mark.part("service").value(), free);
        let pid = server.id();
        let owner = |mark: Mark| Owner::Run { mark, leader: Some(i32::MAX) };
        let mut own = ListenerCheck::new(owner(mark));
        assert_eq!(own.stranger(free).await, None);
        assert_eq!(own.own.len(), 1, "the socket is known, so that the next check is cheap");
        let other = Mark::of_run(Path::new("/run/web.1-g1"), 1, None);
        let held = format!("port {} is held by another process (pid {pid}, python3", free.port());
        let stranger = ListenerCheck::new(owner(other.clone())).stranger(free).await.expect("a stranger");
        assert!(stranger.starts_with(&held), "{stranger}");
        // A daemon of a script may have lost its mark, but never has that of another run.
        let script = Owner::Run { mark: other, leader: None };
        assert!(ListenerCheck::new(script).stranger(free).await.is_some());
        assert!(ListenerCheck::new(Owner::ThisProcess).stranger(free).await.is_some());
        server.kill().expect("it runs");
        server.wait().expect("it ends");
        let in_process = TcpListener::bind(free).expect("it is free again");
        assert_eq!(ListenerCheck::new(Owner::ThisProcess).stranger(free).await, None);
        assert!(own.stranger(free).await.is_some(), "another socket listens there now");
        drop(in_process);
        assert_eq!(own.stranger(free).await, None, "nobody listens");
    }
}
