//! The two nodes of the bench: each is this program again, with an overlay and a data plane and nothing else.

use rhizo_overlay::{Admission, LinkShaper, NodeSecret, Overlay, OverlayConfig};
use rhizo_traffic::{Exporter, Member, Traffic};
use rhizo_types::{AppName, InstanceId, Lineage, NodeId, PortName};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Importer and exporter. Their keys are fixed, so that each can admit the other without a message.
const SECRETS: [[u8; 32]; 2] = [[1; 32], [2; 32]];

/// A delay that is the same for every address.
struct Delay(Duration);

impl LinkShaper for Delay {
    fn one_way_delay(&self, _: SocketAddr) -> Duration {
        self.0
    }
}

/// An importer's node and an exporter's node.
pub(super) struct Pair {
    /// The local address of the import.
    pub(super) address: SocketAddr,
    importer: Child,
    exporter: Child,
}

impl Pair {
    /// Starts both, with a copy that listens at `server`.
    pub(super) fn start(server: SocketAddr, one_way: Duration) -> Result<Self, String> {
        let delay = one_way.as_millis().to_string();
        let (mut exporter, overlay) = spawn(&["exporter", &server.to_string(), &delay])?;
        match spawn(&["importer", &overlay.to_string(), &delay]) {
            Ok((importer, address)) => Ok(Self { address, importer, exporter }),
            Err(error) => {
                end(&mut exporter);
                Err(error)
            }
        }
    }

    /// Resident memory of importer and exporter, in MiB.
    pub(super) fn memory_mib(&self) -> [u64; 2] {
        [self.importer.id(), self.exporter.id()].map(|pid| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
            kib.unwrap_or_default() / 1024
        })
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        end(&mut self.importer);
        end(&mut self.exporter);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ended = child.kill();
    let _reaped = child.wait();
}

/// Starts a node; returns it and the address that it prints.
fn spawn(arguments: &[&str]) -> Result<(Child, SocketAddr), String> {
    let program = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    let mut command = Command::new(program);
    command.args(["traffic", "node"]).args(arguments);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("start a node: {error}"))?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line).map_err(|error| format!("hear from a node: {error}"))?;
    }
    match line.trim().parse() {
        Ok(address) => Ok((child, address)),
        Err(_) => {
            end(&mut child);
            Err("start a node: it printed no address".to_owned())
        }
    }
}

/// Runs one node until its standard input ends: `exporter SERVER DELAY_MS` or `importer OVERLAY DELAY_MS`.
pub(super) fn run(arguments: &[String]) -> Result<(), String> {
    let [role, address, delay] = arguments else {
        return Err("start a node: three words expected".to_owned());
    };
    let address: SocketAddr = address.parse().map_err(|_| format!("understand the address {address}"))?;
    let delay = Duration::from_millis(delay.parse().map_err(|_| format!("understand the delay {delay}"))?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("make a runtime: {error}"))?;
    runtime.block_on(async move {
        let exports = role == "exporter";
        let (overlay, traffic, _events) = node(usize::from(exports), address, delay).await?;
        let _listening = if exports {
            println!("{}", overlay.listen_address().ok_or("listen")?);
            None
        } else {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
            let local = socket.local_addr().map_err(|error| error.to_string())?;
            let listening = traffic.listen(socket, export());
            listening.bind(BTreeSet::from([Exporter { instance: copy(), node: NodeId(1) }]));
            println!("{local}");
            Some(listening)
        };
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
        ended.await.map(|_| ()).map_err(|error| error.to_string())
    })
}

fn copy() -> InstanceId {
    InstanceId { component: "server".into(), ordinal: 0 }
}

fn export() -> PortName {
    "bench".into()
}

/// The importer (0) or the exporter (1). `address` is the exporter's node, or at the exporter its copy.
async fn node(
    place: usize,
    address: SocketAddr,
    delay: Duration,
) -> Result<(Overlay, Traffic, rhizo_overlay::OverlayEvents), String> {
    let secret = NodeSecret::from_bytes(SECRETS[place]);
    let listen = Some(SocketAddr::from(([127, 0, 0, 2 + u8::try_from(place).unwrap_or(0)], 0)));
    let mut config = OverlayConfig::new(secret, AppName::from("bench"), Lineage(1), listen);
    if !delay.is_zero() {
        config.shaper = Some(Arc::new(Delay(delay)));
    }
    let (overlay, events) = Overlay::bind(config).await.map_err(|error| error.to_string())?;
    let keys = SECRETS.map(|secret| NodeSecret::from_bytes(secret).peer_key());
    let members: BTreeMap<_, _> = keys.into_iter().zip([NodeId(0), NodeId(1)]).collect();
    overlay.set_admission(Admission { members, ..Admission::default() });
    let me = NodeId(u64::try_from(place).unwrap_or(0));
    let started = Traffic::start(me, overlay.stream_dialer(), overlay.accept_streams());
    let (traffic, mut lookups) = started.map_err(|error| error.to_string())?;
    let member = |place: usize| Member {
        key: keys[place],
        addresses: if place == 1 { vec![address] } else { vec![] },
    };
    traffic.set_members((0..2).map(|place| (NodeId(place as u64), member(place))).collect());
    tokio::spawn(async move {
        while let Some(lookup) = lookups.recv().await {
            let _gone = lookup.reply.send(Some(address));
        }
    });
    Ok((overlay, traffic, events))
}
