//! Clients without retries while an operator changes the number, the version and the region of the copies they use.
//!
//! One client is a component that asks through its import; the other one asks the public port of the founder's host.
//! Each question is an HTTP request over a connection of its own. Read next: `traffic`, in which hosts die.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::deployment::{Deployment, WATCHDOG, instances, is_told, nodes};

/// The port of the public export.
const PUBLIC: u16 = 7_644;
/// Number of requests that each client makes side by side.
const WORKERS: usize = 3;

/// An HTTP server whose answers take a while and name copy and version. It ends at the first signal.
const SERVER: &str = r"#!/usr/bin/env python3
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.05)
        body = f'{sys.argv[2]} {sys.argv[3]}'.encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

host, port = sys.argv[1].rsplit(':', 1)
Server((host, int(port)), Handler).serve_forever()
";

/// Asks again and again, and notes each answer or failure.
const CLIENT: &str = r"#!/usr/bin/env python3
import http.client, sys, threading

lock = threading.Lock()
with open(sys.argv[2] + '.addresses', 'w') as addresses:
    addresses.write(sys.argv[1] + ' ' + sys.argv[4])
journal = open(sys.argv[2], 'a', buffering=1)

def note(line):
    with lock:
        journal.write(line + '\n')

def work():
    while True:
        try:
            connection = http.client.HTTPConnection(sys.argv[1], timeout=30)
            connection.request('GET', '/')
            answer = connection.getresponse()
            note(f'ok {answer.read().decode()}' if answer.status == 200 else f'failed {answer.status}')
            connection.close()
        except Exception as error:
            note(f'failed {error!r}')

for _ in range(int(sys.argv[3])):
    threading.Thread(target=work, daemon=True).start()
threading.Event().wait()
";

/// The desired servers.
struct Servers {
    region: &'static str,
    replicas: usize,
    version: &'static str,
}

fn configure(deployment: &Deployment, servers: &Servers) {
    let Servers { region, replicas, version } = servers;
    let journal = deployment.file("journal");
    let config = format!(
        "rhizo = 1\n[app]\nname = \"traffic-changes\"\n\
         [components.server]\nexec = \"./server.py {{export.http.addr}} {{instance}} {version}\"\n\
         replicas = {replicas}\nneeds = {{ cpu = 1 }}\nexports.http = {{ port = {PUBLIC}, public = true }}\n\
         [components.client]\nexec = \"./client.py {{import.server.addr}} {} {WORKERS} \
         {{import.straight.addr}}\"\nneeds = {{ cpu = 1 }}\n\
         imports.server = {{ from = \"server.http\", pick = \"all\", on_loss = \"rebind\" }}\n\
         imports.straight = {{ from = \"server.http\", via = \"direct\", pick = \"all\", on_loss = \"rebind\" }}\n\
         [[require]]\nname = \"there\"\neach = \"server\"\nexpr = \"node.region == '{region}'\"\n\
         [providers.lab]\nkind = \"process\"\noffers = \"offers.csv\"\n[optimise]\nsettle = \"1s\"\n",
        journal.display()
    );
    deployment.write("rhizo.toml", &config);
}

/// The answer that one request gets, or what went wrong.
fn ask(at: SocketAddr) -> Result<String, String> {
    let mut socket = TcpStream::connect(at).map_err(|error| format!("connect: {error}"))?;
    let mut answer = String::new();
    let request = b"GET / HTTP/1.0\r\n\r\n";
    let exchanged = socket.write_all(request).and_then(|()| socket.read_to_string(&mut answer).map(|_| ()));
    exchanged.map_err(|error| format!("exchange: {error}"))?;
    let body = answer.split_once("\r\n\r\n").filter(|_| answer.contains(" 200 "));
    body.map(|(_, body)| body.to_owned()).ok_or_else(|| format!("answer: {answer:?}"))
}

/// A client at the public port.
struct Outside {
    answers: Arc<Mutex<Vec<Result<String, String>>>>,
    has_ended: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Outside {
    fn start() -> Self {
        let answers: Arc<Mutex<Vec<_>>> = Arc::default();
        let has_ended = Arc::new(AtomicBool::new(false));
        let work = |_| {
            let (answers, has_ended) = (Arc::clone(&answers), Arc::clone(&has_ended));
            std::thread::spawn(move || {
                while !has_ended.load(Ordering::Relaxed) {
                    let answer = ask(SocketAddr::from(([127, 0, 0, 1], PUBLIC)));
                    answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
                }
            })
        };
        let workers = (0..WORKERS).map(work).collect();
        Self { answers, has_ended, workers }
    }

    fn lines(&self) -> Vec<String> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .iter()
            .map(|answer| match answer {
                Ok(answer) => format!("ok {answer}"),
                Err(failure) => format!("failed {failure}"),
            })
            .collect()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            // A worker that panicked has failed the test already.
            let _ended = worker.join();
        }
    }
}

/// Waits until every running server, and no other one, answers both clients with this version.
fn until_answered(deployment: &Deployment, outside: &Outside, version: &str, status: &Value) {
    let all = instances(status).into_iter().filter(|instance| instance["name"] == "server");
    let expected: BTreeSet<String> = all
        .map(|instance| format!("ok {} {version}", instance["instance"].as_str().expect("a name")))
        .collect();
    let journal = || -> Vec<String> {
        let text = fs::read_to_string(deployment.file("journal")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let (inside_from, outside_from, start) = (journal().len(), outside.lines().len(), Instant::now());
    loop {
        let (inside, outside) = (journal().split_off(inside_from), outside.lines().split_off(outside_from));
        let answers = [inside, outside].map(|lines| lines.into_iter().collect::<BTreeSet<_>>());
        if answers.iter().all(|answers| answers.is_superset(&expected)) {
            return;
        }
        assert!(start.elapsed() < WATCHDOG, "{answers:?} instead of {expected:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The address of an instance's host.
fn host_of(status: &Value, instance: &Value) -> IpAddr {
    let node = nodes(status).into_iter().find(|node| node["id"] == instance["node"]).expect("it is a member");
    let address = node["address"].as_str().and_then(|address| address.parse().ok());
    address.map(|address: SocketAddr| address.ip()).expect("an address")
}

/// A relayed import is an address of its user's host; a direct one is that of a server, which answers there.
fn assert_direct_import_is_not_relayed(deployment: &Deployment, status: &Value) {
    let text = fs::read_to_string(deployment.file("journal.addresses")).expect("the client has started");
    let addresses: Vec<SocketAddr> = text.split(' ').map(|word| word.parse().expect("an address")).collect();
    let all = instances(status);
    let hosts_of = |name: &str| -> Vec<IpAddr> {
        all.iter().filter(|one| one["name"] == name).map(|one| host_of(status, one)).collect()
    };
    assert_eq!(hosts_of("client"), [addresses[0].ip()]);
    assert!(hosts_of("server").contains(&addresses[1].ip()), "{text}");
    assert!(ask(addresses[1]).is_ok_and(|answer| answer.ends_with(" v1")));
}

#[test]
fn a_change_of_number_version_and_region_loses_no_request() {
    let deployment = Deployment::new("traffic-changes", "rhizo");
    for (name, text) in [("server.py", SERVER), ("client.py", CLIENT)] {
        deployment.write(name, text);
        fs::set_permissions(deployment.file(name), fs::Permissions::from_mode(0o755))
            .expect("it was written");
    }
    deployment.write(
        "offers.csv",
        "name,region,price_per_hour,available,cap.cpu,cap.memory\n\
         small-west,west,0.1,8,1,4GiB\nsmall-east,east,0.1,8,1,4GiB\n",
    );
    let first = Servers { region: "west", replicas: 2, version: "v1" };
    configure(&deployment, &first);
    let status = deployment.up();
    let outside = Outside::start();
    until_answered(&deployment, &outside, "v1", &status);
    assert_direct_import_is_not_relayed(&deployment, &status);
    let changes = [
        ("more", Servers { replicas: 3, ..first }),
        ("fewer", Servers { replicas: 1, ..first }),
        ("another version", Servers { replicas: 1, version: "v2", ..first }),
        ("elsewhere", Servers { replicas: 1, version: "v2", region: "east" }),
    ];
    for (change, servers) in changes {
        configure(&deployment, &servers);
        deployment.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
        let status = deployment.until(change, |status| {
            let copies = instances(status).into_iter().filter(|instance| instance["name"] == "server");
            is_told(status) && copies.count() == servers.replicas
        });
        until_answered(&deployment, &outside, servers.version, &status);
    }
    let inside = fs::read_to_string(deployment.file("journal")).expect("the client writes it");
    let all = inside.lines().map(str::to_owned).chain(outside.lines());
    let failures: Vec<String> = all.filter(|line| !line.starts_with("ok ")).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    drop(outside);
    deployment.down();
}
