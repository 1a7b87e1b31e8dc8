//! The data plane of a real application: a client without retries, while the copies that it uses move and die.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::deployment::{Deployment, WATCHDOG, id, instances, is_told, kill, nodes, pid};

/// Number of requests that the client makes side by side.
const WORKERS: usize = 4;

/// The port of the public export.
const PUBLIC: u16 = 7_643;

/// Answers each connection with the name of its copy after a while; knows nothing of an orderly end.
const SERVER: &str = r"#!/usr/bin/env python3
import socketserver, sys, time

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        time.sleep(0.05)
        self.wfile.write(sys.argv[2].encode())

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

host, port = sys.argv[1].rsplit(':', 1)
Server((host, int(port)), Handler).serve_forever()
";

/// Asks again and again, over a new connection for each question, and notes each answer or failure. Never asks the same
/// question twice.
const CLIENT: &str = r"#!/usr/bin/env python3
import socket, sys, threading

host, port = sys.argv[1].rsplit(':', 1)
lock = threading.Lock()
journal = open(sys.argv[2], 'a', buffering=1)

def note(line):
    with lock:
        journal.write(line + '\n')

def work():
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=30) as connection:
                connection.sendall(b'who\n')
                answer = b''
                while chunk := connection.recv(100):
                    answer += chunk
            note('ok ' + answer.decode() if answer else 'failed no answer')
        except OSError as error:
            note(f'failed {error!r}')

for _ in range(int(sys.argv[3])):
    threading.Thread(target=work, daemon=True).start()
threading.Event().wait()
";

fn install(deployment: &Deployment) {
    for (name, text) in [("server.py", SERVER), ("client.py", CLIENT)] {
        deployment.write(name, text);
        fs::set_permissions(deployment.file(name), fs::Permissions::from_mode(0o755))
            .expect("it was written");
    }
    let offers = "name,region,price_per_hour,available,cap.cpu,cap.memory\n\
                  small-west,west,0.1,8,1,4GiB\nsmall-east,east,0.1,8,1,4GiB\n";
    deployment.write("offers.csv", offers);
}

/// A config whose servers are in a region.
fn configure(deployment: &Deployment, region: &str) {
    let journal = deployment.file("journal");
    let config = format!(
        "rhizo = 1\n[app]\nname = \"traffic\"\n\
         [components.server]\nexec = \"./server.py {{export.line.addr}} {{instance}}\"\nreplicas = 2\n\
         needs = {{ cpu = 1 }}\nexports.line = {{ port = {PUBLIC}, public = true }}\n\
         [components.client]\nexec = \"./client.py {{import.server.addr}} {} {WORKERS}\"\nneeds = {{ cpu = 1 }}\n\
         imports.server = {{ from = \"server.line\", pick = \"all\", on_loss = \"rebind\" }}\n\
         [[require]]\nname = \"there\"\neach = \"server\"\nexpr = \"node.region == '{region}'\"\n\
         [providers.lab]\nkind = \"process\"\noffers = \"offers.csv\"\n[optimise]\nsettle = \"1s\"\n",
        journal.display()
    );
    deployment.write("rhizo.toml", &config);
}

fn lines(deployment: &Deployment) -> Vec<String> {
    let text = fs::read_to_string(deployment.file("journal")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn failures(deployment: &Deployment) -> Vec<String> {
    lines(deployment).into_iter().filter(|line| line.starts_with("failed")).collect()
}

/// The names of the servers.
fn servers(status: &Value) -> BTreeSet<String> {
    let all = instances(status).into_iter().filter(|instance| instance["name"] == "server");
    all.map(|instance| instance["instance"].as_str().expect("a name").to_owned()).collect()
}

/// Waits until the client has had answers of all these servers since now.
fn until_answered_by(deployment: &Deployment, servers: &BTreeSet<String>) {
    let (from, start) = (lines(deployment).len(), Instant::now());
    loop {
        let all = lines(deployment);
        let answers = all.iter().skip(from).filter_map(|line| line.strip_prefix("ok "));
        let answering: BTreeSet<String> = answers.map(str::to_owned).collect();
        if answering.is_superset(servers) {
            return;
        }
        assert!(start.elapsed() < WATCHDOG, "{answering:?} answer: {:?}", all.last());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn node_of(status: &Value, instance: &str) -> Value {
    let found = instances(status).into_iter().find(|found| found["instance"] == instance);
    let node = found.unwrap_or_else(|| panic!("no {instance}: {status:#}"))["node"].clone();
    nodes(status).into_iter().find(|found| found["id"] == node).expect("an instance is on a member")
}

/// Asks one question at an address; returns the answer.
fn ask(address: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    socket.write_all(b"who\n").expect("it is connected");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it is answered");
    answer
}

/// Asks one question through `rhizo forward`; returns the answer.
fn forwarded(deployment: &Deployment, export: &str) -> String {
    let mut command = deployment.command(&["forward", export]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program is built");
    let mut line = String::new();
    let output = child.stdout.take().expect("it was piped");
    BufReader::new(output).read_line(&mut line).expect("it can be read");
    let answer = ask(line.split_whitespace().next().unwrap_or_default());
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    answer
}

/// Asks one question at the public port of every host; returns the answers.
fn asked_everywhere(status: &Value) -> Vec<String> {
    let at = |node: &Value| {
        let address: SocketAddr =
            node["address"].as_str().and_then(|at| at.parse().ok()).expect("an address");
        ask(&SocketAddr::new(address.ip(), PUBLIC).to_string())
    };
    nodes(status).iter().map(at).collect()
}

#[test]
fn a_move_loses_no_request_and_a_death_only_those_in_flight() {
    let deployment = Deployment::new("traffic", "rhizo");
    install(&deployment);
    configure(&deployment, "west");
    let before = deployment.up();
    until_answered_by(&deployment, &servers(&before));

    let names = servers(&before);
    assert!(names.contains(&forwarded(&deployment, "server.line")));
    let first = names.first().expect("there are two");
    assert_eq!(forwarded(&deployment, &format!("{first}.line")), *first);
    let answers = asked_everywhere(&before);
    assert!(answers.len() >= 4 && answers.iter().all(|answer| names.contains(answer)), "{answers:?}");

    configure(&deployment, "east");
    deployment.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
    let moved = deployment.until("moved", |status| {
        let names = servers(status);
        is_told(status) && names.len() == 2 && names.is_disjoint(&servers(&before))
    });
    until_answered_by(&deployment, &servers(&moved));
    assert_eq!(failures(&deployment), [""; 0], "a move is voluntary");
    assert!(asked_everywhere(&moved).iter().all(|answer| servers(&moved).contains(answer)));

    let victim = node_of(&moved, servers(&moved).first().expect("there are two"));
    kill(pid(&victim));
    let after = deployment.until_stable_without(&[id(&victim)]);
    until_answered_by(&deployment, &servers(&after));
    // Each worker has one question in flight at a time, so more failures than workers would be of later questions.
    let lost = failures(&deployment);
    assert!(lost.len() <= WORKERS, "{lost:#?}");
    deployment.down();
}
